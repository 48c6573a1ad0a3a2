"""A triage: the request alone and under load, in turns, and what follows from it."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import aiohttp

from monitor.ablation.run import profile_of
from monitor.traffic.request_body import Api, Asking
from monitor.traffic.target import ask_target
from monitor.triage.asking import Target, Trial
from monitor.triage.association import Association, Sample, associations
from monitor.triage.conclusion import Conclusion, Trials, conclude
from monitor.triage.errors import CannotTriage
from monitor.triage.request_file import Body

BLOCKS = 4  # alone, loaded, loaded, alone: what drifts meanwhile touches both alike
TIMEOUT_SECONDS = 600.0
SETTLE_SECONDS = 1.0


@dataclass(slots=True)
class Part:
    """The trials of one kind."""

    trials: list[Trial] = field(default_factory=list)

    @property
    def counts(self) -> Trials:
        """Answers that were no answers count as none."""
        whole = [trial for trial in self.trials if trial.failure is None or trial.is_anomalous]
        return Trials(len(whole), sum(trial.is_anomalous for trial in whole))


@dataclass(frozen=True, slots=True)
class Triage:
    """What came out.

    Attributes:
        control: another request, alone.
        associations: of the engine's numbers with anomalies; empty where it tells none, or where
            all trials ended alike.
    """

    conclusion: Conclusion
    alone: Part
    loaded: Part
    control: Part
    associations: Sequence[Association]
    tells_numbers: bool


async def run_triage(
    target: str,
    body: Body,
    *,
    trials: int,
    at_once: int,
    api_key: str | None = None,
    settle_seconds: float = SETTLE_SECONDS,
    told: Callable[[], None] = lambda: None,
) -> Triage:
    """Sends it ``trials`` times alone and as often under load.

    Raises:
        BadTarget, CannotTriage: the target cannot be asked, or has no ``/generate``.
    """
    asking = await ask_target(target, Api.GENERATE, Asking(), api_key, TIMEOUT_SECONDS)
    profile = await profile_of(target)
    headers = {} if api_key is None else {"authorization": f"Bearer {api_key}"}
    timeout = aiohttp.ClientTimeout(TIMEOUT_SECONDS)
    parts, control, samples = {False: Part(), True: Part()}, Part(), []
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        asked = Target(session, target, asking, profile, body)
        for block in range(BLOCKS):
            is_loaded = block in (1, 2)
            if not is_loaded:
                await asked.settle(settle_seconds)
            count = trials // 2 + (trials % 2 if block < BLOCKS // 2 else 0)
            found = await _block(asked, count, at_once if is_loaded else 0, api_key, told)
            if not is_loaded:
                control.trials += [await asked.ask(is_control=True) for _ in range(count)]
            parts[is_loaded].trials += [trial for trial, _ in found]
            samples += [sample for _, sample in found]
    return _weighed(parts[False], parts[True], control, samples)


async def _block(
    target: Target, count: int, at_once: int, api_key: str | None, told: Callable[[], None]
) -> list[tuple[Trial, Sample]]:
    found = []
    async with target.under_load(at_once, api_key):
        for _ in range(count):
            found.append(await target.sample())
            told()
    return found


def _weighed(alone: Part, loaded: Part, control: Part, samples: Sequence[Sample]) -> Triage:
    if alone.counts.sent == 0 or loaded.counts.sent == 0:
        raise CannotTriage("the target gave no whole answer to the request, alone or under load")
    trials = [*alone.trials, *loaded.trials]
    has_record = any(trial.causes is not None for trial in trials)
    corrupted = sum(bool(trial.causes) for trial in trials) if has_record else None
    return Triage(
        conclude(alone.counts, loaded.counts, corrupted, control.counts),
        alone,
        loaded,
        control,
        associations(samples),
        any(sample.numbers for sample in samples),
    )
