"""Trains the weights of the text detector: ``python -m monitor.training.text_model --help``.

Two halves of the documents each count words and character n-grams; the network is fitted to rows
that were read with the tables of the other half, so it never sees a text that its tables know.
"""

import argparse
import json
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier

from detectors.text.rows import FEATURES, SHORT_BLOCK
from detectors.text.soup import CENTRE, QUICK_DECAY, QUICK_FEATURES
from detectors.text.tables import Tables
from monitor.training.corpus import fetch_packages, read_corpus
from monitor.training.documents import (
    Document,
    Recordings,
    damaged_documents,
    healthy_documents,
)
from monitor.training.text_tables import count_tables, glances, pack_tables, read_rows
from monitor.training.windows import network_inputs

SEEN_CHARACTERS = 96  # of damage in the window before a row counts as damaged
ROWS_PER_DOCUMENT = 64
EPOCHS = 8
GLANCED = ("noise", "zero_layers", "tokens", "latin_pieces")  # by which the glance is set
GLANCES_MISSED = 0.1
CLEAR_LOG_ODDS = 2.5
GROUP_WEIGHT = {
    "made:dense": 4.0,
    "noise": 3.0,
    "zero_layers": 3.0,
    "english_words": 0.5,
    "few_pieces": 0.5,
}
NO_TRAINING = frozenset(["words", "near_words", "phrases", "content_words"])  # too like prose

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Rows:
    """What the network is fitted to: inputs, labels 0 or 1, weights, and the quick look's rows."""

    inputs: Array
    labels: Array
    weights: Array
    quick: Array
    groups: NDArray[np.str_]

    def joined(self, other: "Rows") -> "Rows":
        pairs = (
            (getattr(self, name), getattr(other, name))
            for name in ("inputs", "labels", "weights", "quick", "groups")
        )
        return Rows(*(np.concatenate(pair) for pair in pairs))


def collect_rows(documents: Iterable[Document], tables: Tables, share: float, seed: int) -> Rows:
    """Rows of all documents; of healthy ones only the given share."""
    choice = np.random.default_rng(seed)
    inputs, labels, quick, groups = [], [], [], []
    for document in documents:
        rows = read_rows(document.text, tables, ROWS_PER_DOCUMENT)
        if len(rows) == 0:
            continue
        ends = SHORT_BLOCK * np.arange(1, len(rows) + 1)
        onset = document.onset_character
        if onset is None:
            label = np.zeros(len(rows))
            keep = choice.random(len(rows)) < share
        else:
            label = (ends >= onset + SEEN_CHARACTERS).astype(float)
            keep = (ends <= onset) | (label > 0)
        inputs.append(network_inputs(rows)[keep])
        quick.append(decayed(rows)[keep])
        labels.append(label[keep])
        groups += [document.group] * int(keep.sum())
    names = np.array(groups)
    truth = np.concatenate(labels)
    return Rows(
        np.concatenate(inputs), truth, row_weights(names, truth), np.concatenate(quick), names
    )


def row_weights(groups: NDArray[np.str_], labels: Array) -> Array:
    """Every group is heard: weight n^-0.35 in its class; damage and health weigh 0.7 to 1."""
    names, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    factor = np.array(
        [GROUP_WEIGHT.get(name, GROUP_WEIGHT.get(name.split(":")[0], 1.0)) for name in names]
    )
    weights = (counts.astype(float) ** -0.35 * factor)[index]
    for label, total in ((0.0, 1.0), (1.0, 0.7)):
        chosen = labels == label
        if chosen.any():
            weights[chosen] *= total / weights[chosen].sum()
    return np.asarray(weights / weights.mean())


def decayed(rows: NDArray[np.uint8]) -> Array:
    """The decayed mean of centred rows that the quick look keeps."""
    chosen = [FEATURES.index(name) for name in QUICK_FEATURES]
    centred = (rows.astype(float) - CENTRE)[:, chosen]
    means = np.empty_like(centred)
    mean = np.zeros(len(chosen))
    for index, row in enumerate(centred):
        mean = mean + (row - mean) * (1 - QUICK_DECAY)
        means[index] = mean
    return means


def fit_network(rows: Rows, hidden: int, members: int, seed: int) -> dict[str, object]:
    """Mean of a few small networks, as one; the standardisation is folded into the weights."""
    mean, spread = rows.inputs.mean(0), rows.inputs.std(0) + 1e-3
    scaled = ((rows.inputs - mean) / spread).astype(np.float32)
    parts = [_fit_member(scaled, rows, hidden, seed + index) for index in range(members)]
    first = np.concatenate([part.coefs_[0] for part in parts], axis=1) / spread[:, None]
    bias = np.concatenate([part.intercepts_[0] for part in parts]) - mean @ first
    output = np.concatenate([part.coefs_[1][:, 0] for part in parts]) / members
    return {
        "hidden": np.round(first.T.astype(float), 6).tolist(),
        "hidden_bias": np.round(bias.astype(float), 5).tolist(),
        "output": np.round(output.astype(float), 5).tolist(),
        "output_bias": round(float(np.mean([part.intercepts_[1][0] for part in parts])), 5),
    }


def _fit_member(inputs: NDArray[np.float32], rows: Rows, hidden: int, seed: int) -> MLPClassifier:
    network = MLPClassifier(
        (hidden,), alpha=1e-3, batch_size=2048, learning_rate_init=5e-3, max_iter=EPOCHS,
        random_state=seed, n_iter_no_change=100,
    )  # fmt: skip
    weights = rows.weights
    for _ in range(2):  # the second time the healthy rows that look damaged weigh more
        network.fit(inputs, rows.labels, sample_weight=weights)
        wrong = (network.predict_proba(inputs)[:, 1] > 0.5) & (rows.labels == 0)
        weights = rows.weights * np.where(wrong, 3.0, 1.0)
    return network


def network_scores(inputs: Array, network: dict[str, object]) -> Array:
    """Log-odds, as the detector computes them."""
    hidden = np.maximum(inputs @ np.array(network["hidden"]).T + network["hidden_bias"], 0)
    return np.asarray(hidden @ np.array(network["output"]) + network["output_bias"])


def fit_quick(rows: Rows, scores: Array, missed: float) -> dict[str, object]:
    """A linear look that lets through all but ``missed`` of the damaged rows that matter."""
    is_clear = scores > CLEAR_LOG_ODDS
    mean, spread = rows.quick.mean(0), rows.quick.std(0) + 1e-3
    model = LogisticRegression(C=1.0, max_iter=300)
    model.fit((rows.quick - mean) / spread, is_clear, rows.weights * np.where(is_clear, 3.0, 1.0))
    weights = model.coef_[0] / spread
    bias = float(model.intercept_[0] - mean @ weights)
    passed = (rows.quick @ weights + bias)[is_clear & (rows.labels == 1)]
    return {
        "quick": np.round(weights, 5).tolist(),
        "quick_bias": round(bias, 5),
        "quick_limit": round(float(np.quantile(passed, missed)), 4),
    }


def halves(documents: Sequence[Document]) -> tuple[list[Document], list[Document]]:
    parts: tuple[list[Document], list[Document]] = ([], [])
    for one in documents:
        parts[zlib.crc32(one.text[:200].encode("utf-8", "replace")) % 2].append(one)
    return parts


def train(
    healthy: Sequence[Document], damaged: Sequence[Document], hidden: int, members: int, seed: int
) -> tuple[bytes, str]:
    """The two weight files."""
    usable = [one for one in damaged if one.group not in NO_TRAINING]
    healthy_halves, damaged_halves = halves(healthy), halves(usable)
    tables = [count_tables(*pair) for pair in zip(healthy_halves, damaged_halves, strict=True)]
    first, second = (
        collect_rows([*healthy_halves[half], *damaged_halves[half]], tables[1 - half], 0.6, seed)
        for half in (0, 1)
    )
    rows = first.joined(second)
    network = fit_network(rows, hidden, members, seed)
    quick = fit_quick(rows, network_scores(rows.inputs, network), missed=0.08)
    final = count_tables(healthy, usable)
    seen = glances([one for one in usable if one.group.startswith(GLANCED)], tables[0])
    quick["glance_limit"] = int(np.quantile(seen, GLANCES_MISSED))
    return pack_tables(final), json.dumps({**quick, "network": network}, indent=1)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--corpus", type=Path, required=True, help="folder of unpacked packages")
    parser.add_argument("--fetch", action="store_true", help="download the packages first")
    parser.add_argument("--also", type=Path, nargs="*", default=[], help="more folders of text")
    parser.add_argument("--generations", type=Path, help="folder of benchmarks.generations output")
    parser.add_argument("--tokenizer", type=Path, help="tokenizer.json of that model")
    parser.add_argument("--output", type=Path, default=Path("detectors/text/weights"))
    parser.add_argument("--hidden", type=int, default=20, help="units of one network")
    parser.add_argument("--members", type=int, default=2, help="networks that are averaged")
    parser.add_argument("--characters", type=int, default=160_000, help="per group of the corpus")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if options.fetch:
        fetch_packages(options.corpus)
    recordings = (
        Recordings(options.generations, options.tokenizer)
        if options.generations and options.tokenizer
        else None
    )
    roots = [options.corpus / "root", *options.also]
    pieces = list(read_corpus(roots, options.characters))
    healthy = list(healthy_documents(pieces, recordings, "train", options.seed))
    damaged = list(damaged_documents(healthy, recordings, "train", options.seed))
    print(f"{len(healthy)} healthy and {len(damaged)} damaged documents")
    data, settings = train(healthy, damaged, options.hidden, options.members, options.seed)
    (options.output / "tables.bin").write_bytes(data)
    (options.output / "network.json").write_text(settings, encoding="utf-8")


if __name__ == "__main__":
    main()
