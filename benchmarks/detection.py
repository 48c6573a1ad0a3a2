"""How well the panel, its detectors and the rules of others find sick streams, all in one table.

Generations of the integrated engine (``benchmarks.generations``) with the truth beside them, real
outputs where there is a folder of them, and damage put into healthy text. Only prompts of the test
split are looked at.
"""

import argparse
import itertools
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from rich.console import Console
from rich.progress import track
from tokenizers import Tokenizer
from tokenizers.decoders import DecodeStream

from benchmarks.injections import Injector
from benchmarks.results import Report, write_files
from detectors.draft_health import DraftState
from inference_backend.model.source import load_model_files
from monitor.offline.baselines import load_baselines
from monitor.offline.evaluate import Evaluation, evaluation_of
from monitor.offline.loops import final_loop
from monitor.offline.panels import Panels
from monitor.offline.reading import read_recordings
from monitor.offline.recording import Recording
from monitor.offline.table import (
    COLUMNS,
    LEAST_WIDTH,
    NOTES,
    RATE_COLUMNS,
    RATE_NOTES,
    rate_rows,
    rates_table,
    results_table,
    rows,
)

TEST = "test"


def with_text(record: Recording, tokenizer: Tokenizer) -> Recording:
    """The text as a streaming server gives it: a token's text comes once its bytes are complete."""
    if record.text is not None or record.token_ids is None:
        return record
    stream = DecodeStream(skip_special_tokens=True)
    pieces = [stream.step(tokenizer, token_id) or "" for token_id in record.token_ids]
    sizes = record.tokens_per_event or (1,) * len(pieces)
    ends = iter(pieces)
    characters = tuple(sum(len(next(ends)) for _ in range(size)) for size in sizes)
    return msgspec.structs.replace(
        record,
        text="".join(pieces),
        tokens_per_event=sizes,
        chars_per_event=characters,
    )


def files_in(folder: Path) -> list[str]:
    """Its recordings, in order."""
    found = sorted(str(path) for path in folder.iterdir() if ".jsonl" in path.name)
    if not found:
        raise SystemExit(f"{folder} has no .jsonl or .jsonl.gz file")
    return found


def generations(folder: Path, tokenizer: Tokenizer, most: int | None) -> Iterator[Recording]:
    """Those of the test split; at most ``most`` of each file."""
    for name in files_in(folder):
        chosen = (one for one in read_recordings([name]) if one.split in {None, TEST})
        for record in itertools.islice(chosen, most):
            yield with_text(record, tokenizer)


def outputs(folder: Path, most: int | None) -> Iterator[Recording]:
    """All labelled texts; at most ``most`` of each file. Folders are left out of the names."""
    for name in files_in(folder):
        for record in itertools.islice(read_recordings([name]), most):
            yield msgspec.structs.replace(record, file=Path(name).name)


def ordinary_tokens(tokenizer: Tokenizer) -> list[int]:
    """Ids that stand for whole characters, special tokens left out."""
    special = set(tokenizer.get_added_tokens_decoder())
    ids = [one for one in range(tokenizer.get_vocab_size()) if one not in special]
    return [one for one in ids if "\ufffd" not in tokenizer.decode([one])]


def injector(records: Iterable[Recording], tokenizer: Tokenizer, seed: int) -> Injector:
    """Works on the healthy answers that do not loop by themselves."""
    clean = [
        one.token_ids
        for one in records
        if one.token_ids and not one.has_fault and final_loop(one.token_ids) is None
    ]
    decode: Callable[[Any], str] = lambda ids: tokenizer.decode(list(ids))  # noqa: E731
    return Injector(clean, ordinary_tokens(tokenizer), decode, seed)


def gather(options: argparse.Namespace, tokenizer: Tokenizer) -> dict[str, list[Recording]]:
    """All recordings by the part of the table they belong to."""
    generated = list(generations(options.generations, tokenizer, options.most))
    found = {"generations": generated}
    if options.outputs is not None:
        found["real outputs, text only"] = list(outputs(options.outputs, options.most))
    if options.injected:
        source = injector(generated, tokenizer, options.seed)
        found["damage put into healthy text"] = list(source.recordings(options.injected))
    return found


GROUPED = {
    "generations": ("class", "temperature"),
    "real outputs, text only": ("file", "class"),
    "damage put into healthy text": ("class",),
}


def measure(name: str, records: list[Recording], panels: Panels) -> Evaluation:
    """One part."""
    found = evaluation_of(panels, GROUPED[name])
    for record in track(records, description=f"{name:<30}", transient=True):
        found.add(record)
    found.measure_costs()
    return found


def joined(
    parts: dict[str, Evaluation], rows_of: Callable[[Evaluation], Iterable[list[str]]]
) -> list[list[str]]:
    """The rows of all parts, each named once."""
    return [
        [name if number == 0 else "", *cells]
        for name, part in parts.items()
        for number, cells in enumerate(rows_of(part))
    ]


def as_report(parts: dict[str, Evaluation]) -> Report:
    """All parts in one table."""
    return Report(
        name="detection",
        title="Detection: the panel, its detectors and the rules of others",
        device="cpu",
        columns=("recordings of", *COLUMNS),
        rows=joined(parts, rows),
        notes=NOTES,
        raw={name: part.to_dict() for name, part in parts.items()},
    )


def as_rate_report(parts: dict[str, Evaluation]) -> Report:
    """The same at fixed rates of false alarms."""
    return Report(
        name="detection_fixed_rate",
        title="Detection: recall at the same rate of false alarms",
        device="cpu",
        columns=("recordings of", *RATE_COLUMNS),
        rows=joined(parts, rate_rows),
        notes=RATE_NOTES,
    )


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.detection", description=__doc__)
    parser.add_argument("generations", type=Path, help="folder of benchmarks.generations")
    parser.add_argument("--outputs", type=Path, help="folder of labelled real outputs")
    parser.add_argument("--injected", type=int, default=40, help="of each kind of damage")
    parser.add_argument("--most", type=int, help="recordings of a file, for a quick look")
    parser.add_argument("--baseline", type=Path, help="baselines of `specwatch calibrate`")
    parser.add_argument(
        "--replica",
        type=DraftState,
        choices=list(DraftState),
        default=DraftState.UNKNOWN,
        help="what is known of the drafter",
    )
    parser.add_argument("--model", help="whose tokenizer to use (default: SmolLM2-135M-Instruct)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help="write benchmarks/results/")
    return parser.parse_args()


def main() -> None:
    options = parse()
    folder = load_model_files(options.model)
    tokenizer = Tokenizer.from_file(str(folder.path / "tokenizer.json"))
    panels = Panels(baselines=load_baselines(options.baseline), state=options.replica)
    parts = {
        name: measure(name, records, panels) for name, records in gather(options, tokenizer).items()
    }
    console = Console()
    console.width = max(console.width, LEAST_WIDTH)
    for name, part in parts.items():
        console.print(results_table(part, f"{name}: "))
        console.print(rates_table(part, f"{name}: "))
    for note in NOTES:
        console.print(f"- {note}", highlight=False)
    if options.write:
        for path in [*write_files(as_report(parts)), *write_files(as_rate_report(parts))]:
            console.print(f"wrote {path}", highlight=False)


if __name__ == "__main__":
    main()
