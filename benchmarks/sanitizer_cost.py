"""What the KV sanitizer's mode ``record`` costs: the same requests with it and without, in turns.

Both engines answer the same greedy requests round by round, the one that goes first changing; the
ratio of each round's time a step is one measurement. On a CPU the process's own time is taken, so
that other work on the machine matters less; on a GPU the time that passed.
"""

import argparse
import random
import statistics
import time

import torch

from benchmarks.loading import Subject, add_model_options, load_subject
from benchmarks.results import Report, publish
from inference_backend.engine.engine import Engine
from inference_backend.engine.request import GenerationRequest, SamplingParams
from inference_backend.kv.sanitizer import SanitizerMode

MODES = (SanitizerMode.OFF, SanitizerMode.RECORD)
COLUMNS = ("sequences", "prompt", "off, ms a step", "record, ms a step", "ratio, median", "rounds")


def run_round(
    engine: Engine, seed: int, count: int, prompt_tokens: int, new_tokens: int, vocabulary: int
) -> float:
    """Milliseconds of a step, all steps of the round, prompts included."""
    rng = random.Random(seed)
    params = SamplingParams(max_new_tokens=new_tokens, temperature=0.0, ignore_eos=True)
    for number in range(count):
        prompt = tuple(rng.randrange(vocabulary) for _ in range(prompt_tokens))
        engine.add(GenerationRequest(f"{seed}-{number}", prompt, params, str(seed)))
    clock = time.process_time if engine.runner.device.type == "cpu" else time.perf_counter
    if engine.runner.device.type == "cuda":
        torch.cuda.synchronize()
    started, steps = clock(), 0
    while engine.has_work:
        engine.step()
        steps += 1
    return 1e3 * (clock() - started) / steps


def measure(
    subject: Subject, args: argparse.Namespace, count: int
) -> dict[SanitizerMode, list[float]]:
    """Times by mode, round by round; the first round, with its compiling, is left out."""
    tokens = count * (args.prompt_tokens + args.new_tokens + 32)
    engines = {
        mode: subject.engine(sanitizer=mode, kv_tokens=tokens, max_running=count) for mode in MODES
    }
    vocabulary = subject.weights.config.vocab_size
    found: dict[SanitizerMode, list[float]] = {mode: [] for mode in MODES}
    for number in range(args.rounds + 1):
        for mode in MODES if number % 2 else MODES[::-1]:
            milliseconds = run_round(
                engines[mode], number, count, args.prompt_tokens, args.new_tokens, vocabulary
            )
            if number:
                found[mode].append(milliseconds)
    for engine in engines.values():
        flagged = engine.sanitizer_records()
        assert not flagged, f"nothing was wrong, and {len(flagged)} generations were labelled"
    return found


def row(count: int, prompt_tokens: int, found: dict[SanitizerMode, list[float]]) -> list[str]:
    off, record = (found[mode] for mode in MODES)
    ratios = sorted(with_it / without for without, with_it in zip(off, record, strict=True))
    return [
        str(count),
        str(prompt_tokens),
        f"{statistics.median(off):.3f}",
        f"{statistics.median(record):.3f}",
        f"{statistics.median(ratios):.3f} ({ratios[0]:.3f} to {ratios[-1]:.3f})",
        str(len(ratios)),
    ]


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.sanitizer_cost", description=__doc__
    )
    parser.add_argument("--sequences", type=int, nargs="+", default=[8, 64], help="at once")
    parser.add_argument("--prompt-tokens", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=9)
    add_model_options(parser)
    args = parser.parse_args()
    subject = load_subject(args)
    found = {count: measure(subject, args, count) for count in args.sequences}
    report = Report(
        name="sanitizer-cost",
        title=f"Cost of the KV sanitizer's record mode, {subject.weights.config.name}",
        device=args.device,
        columns=COLUMNS,
        rows=[row(count, args.prompt_tokens, times) for count, times in found.items()],
        notes=[
            "Ratio: of the two times of one round; lowest and highest round in brackets.",
            f"Greedy answers of {args.new_tokens} tokens, drafts on, all requests at once.",
        ],
        raw={
            str(count): {mode.value: values for mode, values in times.items()}
            for count, times in found.items()
        },
    )
    publish(report, write=args.write)


if __name__ == "__main__":
    main()
