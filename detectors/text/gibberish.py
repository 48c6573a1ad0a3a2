"""Garbled text, rare characters and run-on chains of one stream."""

from dataclasses import dataclass
from typing import Protocol

from detectors.observation import Observation
from detectors.text.characters import SIGNS, WINDOW_CHARACTERS, CharacterScore
from detectors.text.rank import SURGE_TOKENS, TokenRank
from detectors.text.rows import CONTROL, FEATURES, LONG_BLOCK, SHORT_BLOCK
from detectors.text.run_on import RunOn
from detectors.text.soup import CALM, WINDOW_BLOCKS, SoupScore
from detectors.verdict import AnomalyKind, Verdict

_LOWER = FEATURES.index("lower")
_NO_SCORE = 0.5  # rare characters that date nothing
_LARGEST_STEP = 3.0  # of the sum that dates the onset, per block
_STEADY = 1.0  # log-odds that a second look in a row adds
_RARE_SHARE = 0.5  # log-odds that a point of rare characters adds to soup
_MOST_RARE = 6.0
_SAMPLED_CHARACTERS = 256  # the last long block of so many is read while the witness vouches


class Witness(Protocol):
    """Another sign of what a model means to write: its accepted drafts."""

    @property
    def vouches(self) -> bool:
        """Odd text would be the model's own.

        So only a sample is read, to know what it is like; once the witness no longer vouches, all
        that waits is read.
        """


@dataclass(frozen=True, slots=True)
class TextThresholds:
    """When the text alone is enough, and when it should be watched.

    Attributes:
        soup_log_odds: of word soup in the last 256 characters. Two looks in a row count as one
            that is higher by ``_STEADY``.
        rare_score: weighted count of characters that no healthy text has, in about as many.
            chain_score: letters of words without punctuation, less 5 a word.
        watch_share: of each of them: past it the stream is watched.
    """

    soup_log_odds: float = 5.0
    rare_score: float = 6.0
    chain_score: float = 40.0
    watch_share: float = 0.5


DEFAULT_THRESHOLDS = TextThresholds()


class Gibberish:
    """Reads the text in blocks of 32 or 64 characters, wherever the chunks end.

    What a fusion may read: ``surprise``, ``rare_score``, ``chain_score``, ``token_rank``.

    Args:
        witness: knows by other signs whether the text is what the model meant to write.
    """

    name = "text"
    __slots__ = (
        "_block_characters", "_block_token", "_characters", "_dating", "_is_suspicious", "_letters",
        "_may_skip",
        "_onset_chain", "_onset_rare", "_onset_soup", "_pending", "_rank", "_run_on", "_soup",
        "_soup_score", "_start_token", "_surprise", "_thresholds", "_token_ids", "_witness",
    )  # fmt: skip

    def __init__(
        self,
        thresholds: TextThresholds = DEFAULT_THRESHOLDS,
        witness: Witness | None = None,
    ) -> None:
        self._thresholds = thresholds
        self._witness = witness
        self._pending = ""
        self._block_characters = SHORT_BLOCK  # length of the next block
        self._start_token = 0  # where the block that is read began ...
        self._block_token = 0  # ... and where it ends
        self._may_skip = False
        self._is_suspicious = False  # the last block read was past the watch level
        self._letters = 0  # Latin ones, until there are other characters
        self._soup = SoupScore()
        self._characters: CharacterScore | None = None  # most streams never need one
        self._run_on = RunOn()
        self._rank: TokenRank | None = None
        self._token_ids: list[int] = []  # since the last block
        self._surprise = self._soup_score = CALM
        self._dating = 0.0  # CUSUM of the quick look: its last zero dates the soup
        self._onset_soup = self._onset_rare = self._onset_chain = 0

    @property
    def surprise(self) -> float:
        """Log-odds that the last 256 characters are word soup; below 0 for healthy text."""
        return self._surprise

    @property
    def rare_score(self) -> float:
        """Weighted count of damaged characters in about the last 256; 0 for healthy text."""
        return self._characters.score if self._characters is not None else 0.0

    @property
    def chain_score(self) -> float:
        """Letters since the last punctuation, less 5 a word."""
        return self._run_on.score

    @property
    def token_rank(self) -> float:
        """Surge of rare token ids, in bits of the id; 0 where no ids are sent."""
        return self._rank.surge if self._rank is not None else 0.0

    @property
    def onset_token(self) -> int:
        """Where the text that reads worst began, were it to end in a finding now."""
        return self._onset_rare if self.rare_score > 0.5 else self._onset_soup

    @property
    def is_watching(self) -> bool:
        if not self._is_suspicious:
            return False
        return self._witness is None or not self._witness.vouches

    @property
    def level(self) -> float:
        """The largest statistic as a share of its threshold."""
        limits = self._thresholds
        return max(
            self._surprise / limits.soup_log_odds,
            self.rare_score / limits.rare_score,
            self._run_on.score / limits.chain_score,
        )

    def corroborates(self, share: float = 0.2) -> bool:
        """A fifth of a threshold is weak evidence: enough, within about 100 characters, to confirm
        a low accept length, never enough alone.
        """
        return self.level >= share

    def update(self, observation: Observation, tokens: int) -> Verdict | None:
        if observation.token_ids:
            self._token_ids.extend(observation.token_ids)
            if len(self._token_ids) >= SURGE_TOKENS:
                self._read_ids()
        pending = self._pending = self._pending + observation.text
        if len(pending) < self._block_characters:
            return None
        if self._witness is not None and self._witness.vouches:
            if len(pending) < _SAMPLED_CHARACTERS:
                return None
            self._pass_over(_SAMPLED_CHARACTERS - LONG_BLOCK, tokens)
            self._block_characters = LONG_BLOCK
        return self._read_blocks(self._pending, tokens)

    def _pass_over(self, characters: int, tokens: int) -> None:
        """Leaves out the first so many of the pending characters."""
        passed, left = self._pending[:characters], self._pending[characters:]
        per_character = (tokens - self._block_token) / len(self._pending)
        self._pending = left
        self._block_token = tokens - round(per_character * len(left))
        self._rest(passed)

    def _read_blocks(self, pending: str, tokens: int) -> Verdict | None:
        """Every whole block of the pending text; the first verdict counts.

        The tokens since the last block are spread evenly over the pending text.
        """
        found: Verdict | None = None
        per_character = (tokens - self._block_token) / len(pending)
        start = 0
        while (end := start + self._block_characters) <= len(pending):
            block = pending[start:end]
            self._block_token = tokens - round(per_character * (len(pending) - end))
            if self._may_skip and block.isascii() and self._soup.may_skip(block):
                self._skip(block)
            else:
                self._read(block)
                found = found or self._verdict(tokens)
            start = end
        self._pending = pending[start:]
        if self._token_ids:
            self._read_ids()
        return found

    def _read_ids(self) -> None:
        self._rank = self._rank or TokenRank()
        self._rank.read(self._token_ids)
        self._token_ids.clear()

    def _skip(self, block: str) -> None:
        """Every second long block of plain ASCII, while all is calm, is only looked over."""
        self._may_skip = False
        self._rest(block)

    def _rest(self, text: str) -> None:
        """Text that is not read ends with nothing begun in it but a chain of words."""
        self._run_on.skip(text)
        if self._run_on.words == 0:
            self._onset_chain = self._block_token
        if self._dating <= 0.0:
            self._onset_soup = self._block_token
        self._start_token = self._block_token

    def _read(self, block: str) -> None:
        start_token, end_token = self._start_token, self._block_token
        step, row, classes = self._soup.read(block)
        self._may_skip = is_calm = self._soup.is_calm
        self._block_characters = LONG_BLOCK if is_calm else SHORT_BLOCK
        self._dating += min(step, _LARGEST_STEP)
        if self._dating <= 0.0:
            self._dating = 0.0
            self._onset_soup = end_token
        if self._characters is not None or CONTROL in classes or not block.isascii():
            self._read_characters(block, row, CONTROL in classes, start_token)
        else:
            self._letters += row[_LOWER]
        self._run_on.read(row, classes)
        if self._run_on.words == 0:
            self._onset_chain = end_token
        before = self._surprise
        self._surprise = self._soup.log_odds + _RARE_SHARE * min(self.rare_score, _MOST_RARE)
        self._soup_score = max(self._surprise, min(self._surprise, before) + _STEADY)
        self._start_token = end_token
        self._is_suspicious = self.corroborates(self._thresholds.watch_share)

    def _read_characters(self, block: str, row: bytes, has_control: bool, start_token: int) -> None:
        if self._characters is None:
            self._characters = CharacterScore(self._letters)
        characters = self._characters
        if characters.score <= _NO_SCORE:
            self._onset_rare = start_token
        if block.isascii() and not has_control:
            characters.rest(len(block), row[_LOWER])
        else:
            characters.read(block)

    def _verdict(self, tokens: int) -> Verdict | None:
        if self._witness is not None and self._witness.vouches:
            return None
        limits = self._thresholds
        if self._characters is not None and self._characters.score >= limits.rare_score:
            return self._rare_verdict(self._characters, tokens)
        if self._soup_score >= limits.soup_log_odds:
            return self._soup_verdict(tokens)
        if self._run_on.score >= limits.chain_score:
            return self._chain_verdict(tokens)
        return None

    def _rare_verdict(self, characters: CharacterScore, tokens: int) -> Verdict:
        sign = characters.leading_sign
        count = characters.count(sign)
        return Verdict(
            kind=AnomalyKind.RARE_CHAR,
            detector=self.name,
            score=characters.score,
            onset_token=min(self._onset_rare, tokens),
            alarm_token=tokens,
            reason=(
                f"about {count} {SIGNS[sign].words} in the last {WINDOW_CHARACTERS} characters "
                f"since token {self._onset_rare}"
            ),
            evidence={"rare_score": characters.score, "count": float(count), "sign": float(sign)},
        )

    def _soup_verdict(self, tokens: int) -> Verdict:
        log_odds = self._soup_score
        return Verdict(
            kind=AnomalyKind.GARBLED,
            detector=self.name,
            score=log_odds,
            onset_token=min(self._onset_soup, tokens),
            alarm_token=tokens,
            reason=(
                f"the last {WINDOW_BLOCKS * SHORT_BLOCK} characters read like word soup "
                f"(log-odds {log_odds:.1f}, alarm at {self._thresholds.soup_log_odds:.1f}) "
                f"since token {self._onset_soup}"
            ),
            evidence={"soup_log_odds": log_odds, "threshold": self._thresholds.soup_log_odds},
        )

    def _chain_verdict(self, tokens: int) -> Verdict:
        words, letters = self._run_on.words, self._run_on.letters
        return Verdict(
            kind=AnomalyKind.GARBLED,
            detector=self.name,
            score=self._run_on.score,
            onset_token=min(self._onset_chain, tokens),
            alarm_token=tokens,
            reason=(
                f"{words} words without punctuation, {letters / words:.1f} letters each (prose "
                f"has under 5), since token {self._onset_chain}"
            ),
            evidence={"words": float(words), "letters": float(letters)},
        )
