"""Texts for these tests, written for them or made with a fixed seed."""

# ruff: noqa: RUF001  # letters of other scripts are what is tested

import random
import re
from collections.abc import Iterator
from pydoc_data.topics import topics

from detectors.observation import Observation
from detectors.text.gibberish import Gibberish
from detectors.verdict import Verdict

CHARACTERS_PER_TOKEN = 4

PROSE = (
    "The harbour was quiet when the first boats came back in the morning. A woman in a yellow coat "
    "counted the boxes on the quay and wrote the numbers into a small book. She had done this work "
    "for twenty years, and she still liked the smell of rope and wet wood. When the last box was "
    "on the cart, she closed the book, thanked the men, and walked up the hill to the market. "
    "There she met her brother, who asked whether the catch had been good. It was not bad, she "
    "said, but the wind will turn before the evening, and then nobody should be out at sea. "
)
OTHERS = {
    "german": "Der Hafen war still, als die ersten Boote am Morgen zurückkamen. Eine Frau in einem "
    "gelben Mantel zählte die Kisten auf dem Kai und schrieb die Zahlen in ein kleines Buch. ",
    "russian": "Гавань была тихой, когда утром вернулись первые лодки. Женщина в жёлтом пальто "
    "считала ящики на причале и записывала числа в маленькую книгу. ",
    "chinese": "清晨第一批船回来的时候，港口很安静。"
    "一个穿黄色外套的女人在码头上数箱子，把数字写进一本小本子里。",
    "japanese": "朝、最初の船が戻ってきたとき、港は静かだった。"
    "黄色いコートを着た女の人が箱を数えていた。",
    "hindi": "सुबह जब पहली नावें लौटीं तब बंदरगाह शांत था। पीले कोट में एक महिला घाट पर बक्से गिन रही थी। ",
    "arabic": "كان الميناء هادئا عندما عادت القوارب الأولى في الصباح، وكانت امرأة تعد الصناديق. ",
    "thai": "ท่าเรือเงียบสงบเมื่อเรือลำแรกกลับมาในตอนเช้า ผู้หญิงคนหนึ่งกำลังนับกล่องอยู่บนท่าเรือ ",
    "python": "def total(values: list[int]) -> int:\n    result = 0\n    for value in values:\n"
    "        if value > 0:\n            result += value\n    return result\n\n",
    "emoji": "🎉 Great news! 🚀 We are live ✅ and the harbour is open again 🌊🐟 see you soon ❤️\n",
    "formulas": "The energy is $E = mc^2$ and Δx·Δp ≥ ħ/2, so α + β ≈ λ for every μm of it.\n",
}


WORDS = sorted(set(re.findall(r"[A-Za-z]{3,}", " ".join(topics.values()))))


def soup(characters: int, seed: int = 1) -> str:
    """Words and parts of words of the Python manual, in no order, often glued."""
    choice = random.Random(seed)
    parts: list[str] = []
    while sum(map(len, parts)) < characters:
        word = choice.choice(WORDS)
        start = choice.randrange(max(1, len(word) - 3))
        part = word[start : start + choice.randint(3, 7)]
        parts.append(f" {part}" if choice.random() < 0.6 else part)
        parts.append(choice.choice([".", ",", "-", "'s", ");"]) if choice.random() < 0.1 else "")
    return "".join(parts)[:characters]


def observations(text: str, size: int = CHARACTERS_PER_TOKEN) -> Iterator[Observation]:
    """Chunks of ``size`` characters, one token for every four."""
    for start in range(0, len(text), size):
        end = min(start + size, len(text))
        tokens = end // CHARACTERS_PER_TOKEN - start // CHARACTERS_PER_TOKEN
        yield Observation(text=text[start:end], new_tokens=tokens)


def first_verdict(text: str, size: int = CHARACTERS_PER_TOKEN) -> Verdict | None:
    detector = Gibberish()
    tokens = 0
    for observation in observations(text, size):
        tokens += observation.new_tokens or 0
        if (verdict := detector.update(observation, tokens)) is not None:
            return verdict
    return None


def long(text: str, characters: int = 2400) -> str:
    return (text * (characters // len(text) + 1))[:characters]
