"""What ``benchmarks.races`` sends, and when. Pure."""

import argparse
import random
from functools import partial

from benchmarks.loading import FEWER_TOKENS, Subject
from inference_backend.speculative.openings import random_openings


def arrivals(count: int, rate: float, burst: float, rng: random.Random) -> list[float]:
    """Seconds of each arrival: Poisson, an eighth of the time at ``burst`` times the other rate."""
    calm = rate / (7 / 8 + burst / 8)
    times, now, period = [], 0.0, 4.0
    for _ in range(count):
        is_burst = now % period > period * 7 / 8
        now += rng.expovariate(calm * burst if is_burst else calm)
        times.append(now)
    return times


def make_prompts(subject: Subject, args: argparse.Namespace) -> list[tuple[int, ...]]:
    """Chat prompts of real sentences, lengths spread as in practice: many short, a few long.

    With ``--documents`` each begins with one of so many texts of 400 to 800 tokens.
    """
    rng = random.Random(args.seed)
    encode = partial(subject.tokenizer.encode, add_special_tokens=False)
    pieces = [encode(" " + text) for text in random_openings(4000, seed=args.seed) if text]
    opening, ending = encode("<|im_start|>user\n"), encode("<|im_end|>\n<|im_start|>assistant\n")

    def text(tokens: int) -> list[int]:
        body: list[int] = []
        while len(body) < tokens:
            body += rng.choice(pieces)
        return body[:tokens]

    documents = [text(rng.randrange(400, 800)) for _ in range(args.documents)] or [[]]
    prompts = []
    for _ in range(args.requests):
        wanted = min(args.longest_prompt, max(24, int(rng.lognormvariate(5.3, 0.8))))
        prompts.append((*opening, *rng.choice(documents), *text(wanted), *ending))
    if args.layers is None:
        return prompts
    return [tuple(token % FEWER_TOKENS for token in prompt) for prompt in prompts]
