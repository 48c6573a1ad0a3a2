"""Takes out of captured text what may be somebody's secret. Pure; for short texts.

It errs on the side of taking too much: evidence must show how an answer went wrong, not what it
said. What a key or a number looks like is known; what a name looks like is not.
"""

import re

MAX_CHARACTERS = 1000
CUT = "…"

_SECRET = "[secret]"
# Each finds in linear time: no repetition stands inside another one over the same characters.
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY-----.*", re.S), _SECRET),
    (re.compile(r"(?i)\b(bearer\s+)[A-Za-z0-9._~+/=-]{6,}"), rf"\1{_SECRET}"),
    # Only what has a digit or padding: "basic knowledge" is prose.
    (re.compile(r"(?i)\b(basic\s+)(?=[a-z+/]{0,200}[\d=])[a-z0-9+/=]{6,}"), rf"\1{_SECRET}"),
    (
        re.compile(
            r"(?i)\b([a-z0-9_-]{0,30}(?:api[_-]?key|token|secret|passw(?:or)?d|passphrase))"
            r"(['\"]?\s{0,3}[:=]\s{0,3}['\"]?)[^\s'\",;}]{4,}"
        ),
        rf"\1\2{_SECRET}",
    ),
    (re.compile(r"\b(?:sk|pk|rk|glsa|hf|xox[abprs]|gh[pousr]|github_pat)[-_][\w-]{8,}"), _SECRET),
    (re.compile(r"\b(?:AKIA|ASIA)[0-9A-Z]{12,}|\bAIza[\w-]{20,}"), _SECRET),
    (re.compile(r"\beyJ[\w-]{8,}(?:\.[\w-]{4,}){0,2}"), _SECRET),
    (re.compile(r"(?<=://)[^\s/@]{1,200}@"), f"{_SECRET}@"),
    (re.compile(r"[^\s@<>()\[\],;:\"']{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){1,8}"), "[e-mail]"),
    # Letters and digits mixed, longer than any word: a key of a maker that is not in the list.
    (re.compile(r"(?<![\w-])(?=[A-Za-z_-]{0,99}\d)(?=[\d_-]{0,99}[A-Za-z])[\w-]{24,}"), _SECRET),
    (re.compile(r"\+?\d(?:[ .()/-]{0,2}\d){6,}"), "[number]"),
)
# What stands at an edge may be the rest of a secret whose beginning no rule can see.
_FIRST_PART = re.compile(r"^(?=\S{0,40}\d)[\w+/=.@-]{4,}")
_LAST_PART = re.compile(r"(?<!\S)(?=\S{0,60}[\d_+/=@:-])\S{4,60}$")


def redacted(text: str, *, is_cut: bool = True) -> str:
    """``text`` without keys, tokens, passwords, e-mail addresses and long numbers; bounded.

    Args:
        is_cut: it is a piece of a longer text.
    """
    if len(text) > MAX_CHARACTERS:
        text, is_cut = text[:MAX_CHARACTERS], True
    for pattern, instead in _RULES:
        text = pattern.sub(instead, text)
    if is_cut:
        text = _FIRST_PART.sub(CUT, text)
        text = _LAST_PART.sub(CUT, text)
    return text
