"""What a replay found, in numbers. Pure."""

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import msgspec

from monitor.interval import clopper_pearson
from monitor.traffic.outcome import CAUSES, Failure, Outcome
from monitor.traffic.replay import Replayed
from monitor.traffic.schedule import Planned

LATE_SECONDS = 0.1
_LATE_SHARE = 0.01  # more late requests than this: the load was not the one that was asked for
_OFF_LENGTH = 0.05


class Spread(msgspec.Struct, frozen=True):
    """Percentiles, by nearest rank."""

    count: int
    p50: float
    p90: float
    p95: float
    p99: float
    max: float


class Rate(msgspec.Struct, frozen=True):
    """A count among the answered requests, per 10,000 of them.

    Attributes:
        low, high: exact 95 % interval (Clopper and Pearson).
    """

    count: int
    per_10k: float
    low: float
    high: float


class Report(msgspec.Struct, frozen=True):
    """One replay.

    Attributes:
        answered: whole answers, whatever they are worth.
        failures: requests without one, by why; ``status`` is followed by the number.
        lag_seconds: between the time a request was due and the time it was sent.
        input_ratio: prompt tokens as the target counted them, of those in the trace.
        anomalies: answers delivered with a finding, by kind.
        retried: answers that took more than one attempt by the time their head was sent.
        causes: answers with tokens computed from wrong cache, by the engine's own record; ``None``
            where no answer told.
        warnings: what makes the numbers worth less, in words.
    """

    planned: int
    sent: int
    answered: int
    interrupted: int
    unsent: int
    held: int
    most_in_flight: int
    seconds: float
    sent_per_second: float
    failures: dict[str, int]
    lag_seconds: Spread | None
    late: int
    first_token_seconds: Spread | None
    per_token_seconds: Spread | None
    whole_seconds: Spread | None
    input_tokens: int
    output_tokens: int
    input_ratio: float | None
    any_anomaly: Rate
    anomalies: dict[str, Rate]
    retried: Rate
    causes: dict[str, Rate] | None
    cause_tokens: dict[str, int]
    writers: dict[str, int]
    warnings: list[str]


def report_of(plan: Sequence[Planned], replayed: Replayed) -> Report:
    """The report over all outcomes."""
    outcomes = replayed.outcomes
    ended = [one for one in outcomes if one.failure is not Failure.INTERRUPTED]
    answered = [one for one in ended if one.failure is None]
    failed = [one for one in ended if one.failure is not None]
    trials = len(answered)
    verdicts = Counter(one.verdict for one in answered if one.verdict is not None)
    told = [one.sanitizer for one in answered if one.sanitizer is not None]
    lag = spread(one.lag_seconds for one in ended)
    late = sum(one.lag_seconds > LATE_SECONDS for one in ended)
    ratio = input_ratio(plan, answered)
    return Report(
        planned=len(plan),
        sent=len(outcomes),
        answered=trials,
        interrupted=len(outcomes) - len(ended),
        unsent=replayed.unsent,
        held=replayed.held,
        most_in_flight=replayed.most_in_flight,
        seconds=replayed.seconds,
        sent_per_second=len(outcomes) / sending_seconds(outcomes, replayed.seconds),
        failures=dict(sorted(Counter(map(failure_name, failed)).items())),
        lag_seconds=lag,
        late=late,
        first_token_seconds=spread(_known(answered, lambda one: one.first_token_seconds)),
        per_token_seconds=spread(_known(answered, lambda one: one.per_token_seconds)),
        whole_seconds=spread(one.seconds for one in answered),
        input_tokens=sum(one.prompt_tokens or 0 for one in answered),
        output_tokens=sum(one.completion_tokens or 0 for one in answered),
        input_ratio=ratio,
        any_anomaly=rate(sum(verdicts.values()), trials),
        anomalies={kind: rate(count, trials) for kind, count in sorted(verdicts.items())},
        retried=rate(sum((one.attempts or 1) > 1 for one in answered), trials),
        causes=_causes(answered) if told else None,
        cause_tokens={name: sum(getattr(one, name) for one in told) for name in CAUSES},
        writers=dict(Counter(name for one in told for name in one.writers).most_common(20)),
        warnings=warnings_of(len(ended), late, lag, replayed.held, ratio),
    )


def failure_name(outcome: Outcome) -> str:
    """``cut``, ``status 503`` …"""
    assert outcome.failure is not None, "an answer is no failure"
    if outcome.failure is Failure.STATUS:
        return f"status {outcome.status}"
    return outcome.failure.value


def _causes(answered: Sequence[Outcome]) -> dict[str, Rate]:
    """Of the answers whose engine told."""
    told = [one.sanitizer for one in answered if one.sanitizer is not None]
    counts = Counter(cause for one in told for cause in one.causes)
    counts["any"] = sum(bool(one.causes) for one in told)
    return {name: rate(counts[name], len(told)) for name in (*CAUSES, "any")}


def rate(count: int, trials: int) -> Rate:
    """A share with its interval; without any trial nothing is known: 0 to 10,000."""
    low, high = clopper_pearson(count, trials)
    share = count / trials if trials else 0.0
    return Rate(count, share * 1e4, low * 1e4, high * 1e4)


def spread(values: Iterable[float]) -> Spread | None:
    """Percentiles of some values, ``None`` of none."""
    found = sorted(values)
    if not found:
        return None

    def at(percent: int) -> float:
        return found[max(0, math.ceil(len(found) * percent / 100) - 1)]

    return Spread(len(found), at(50), at(90), at(95), at(99), found[-1])


def _known(
    outcomes: Iterable[Outcome], value: Callable[[Outcome], float | None]
) -> Iterable[float]:
    return (found for one in outcomes if (found := value(one)) is not None)


def sending_seconds(outcomes: Sequence[Outcome], seconds: float) -> float:
    """How long requests were sent; the wait for the last answers is no part of a rate."""
    last = max((one.at_seconds + one.lag_seconds for one in outcomes), default=0.0)
    return last if last > 0 else max(seconds, 1e-9)


def input_ratio(plan: Sequence[Planned], answered: Sequence[Outcome]) -> float | None:
    """Prompt tokens counted by the target, of those wanted; ``None`` where it counts none."""
    wanted_of = {planned.number: planned.request.input_tokens for planned in plan}
    counted = [one for one in answered if one.prompt_tokens]
    wanted = sum(wanted_of[one.number] for one in counted)
    return sum(one.prompt_tokens or 0 for one in counted) / wanted if wanted else None


def warnings_of(
    sent: int, late: int, lag: Spread | None, held: int, ratio: float | None
) -> list[str]:
    """What the reader must know before believing the numbers."""
    found = []
    if lag is not None and late > sent * _LATE_SHARE:
        found.append(
            f"the generator could not keep up: {late:,} of {sent:,} requests were sent more than "
            f"{LATE_SECONDS:g} s late (longest {lag.max:.2f} s); the load was lighter than asked "
            "for. Lower --speed, or spread it with --ray."
        )
    if held:
        found.append(
            f"{held:,} requests waited for --max-in-flight: the loop was not open, and their "
            "latencies leave that wait out"
        )
    if ratio is not None and abs(ratio - 1) > _OFF_LENGTH:
        found.append(
            f"prompts had {ratio:.0%} of the recorded tokens by the target's count; "
            "`--api generate` sends exact lengths where the engine takes token ids"
        )
    return found
