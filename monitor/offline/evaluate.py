"""``specwatch evaluate``: the panel, each detector and the rivals on labelled recordings."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from detectors.panels import published_panel
from monitor.offline.cost import Cost, measure_cost
from monitor.offline.fixed_rate import RATES, FixedRates, read
from monitor.offline.gauges import MakeGauge, gauges
from monitor.offline.panels import Panels
from monitor.offline.recording import Recording
from monitor.offline.rivals import RIVALS
from monitor.offline.scores import Score
from monitor.offline.trials import Case, build_case, try_case
from monitor.offline.watch import Alone, Watcher

PANEL, PUBLISHED = "panel", "published rule"
ALL = "all"
HEALTHY = "healthy"
TIMED_CASES = 24  # spread over the input; a detector's time does not depend on the truth
GROUPINGS = ("class", "temperature", "file", "model", "engine", "split", "fault", "label")

Make = Callable[[Case], Watcher]


@dataclass(frozen=True, slots=True)
class Contender:
    """Something that is compared."""

    name: str
    make: Make
    is_rival: bool = False


def contenders(panels: Panels, with_rivals: bool = True) -> list[Contender]:
    """The panel first, then its detectors, then the rivals."""
    found = [Contender(PANEL, lambda case: panels.panel(case.record))]
    for name in panels.detectors(Recording(text="")):
        found.append(Contender(name, _detector(panels, name)))
    if with_rivals:
        found.append(Contender(PUBLISHED, lambda _: published_panel(), is_rival=True))
        found += [
            Contender(rival().name, _rival(number), True) for number, rival in enumerate(RIVALS)
        ]
    return found


def _detector(panels: Panels, name: str) -> Make:
    return lambda case: Alone(panels.detectors(case.record)[name])


def _rival(number: int) -> Make:
    return lambda _: Alone(RIVALS[number]())


def group_of(record: Recording, by: Sequence[str]) -> str:
    """The group a record is counted in, such as ``noise 0.7``."""
    return " ".join(_value(record, name) for name in by)


def _value(record: Recording, name: str) -> str:
    if name == "class":
        if not record.is_damaged:
            return HEALTHY
        return (record.fault if record.has_fault else record.label) or HEALTHY
    value = getattr(record, name)
    if isinstance(value, float):
        return f"{value:g}"
    return "-" if value is None else str(value)


@dataclass(slots=True)
class Evaluation:
    """All figures.

    Attributes:
        gauges: what is held to the same rates of false alarms.
        fixed_rates: what each of them read, by its name.
        scores: by contender and group; the group ``all`` has every record.
        unlabelled: records that say neither fault nor label; they were taken for healthy.
    """

    contenders: Sequence[Contender]
    by: Sequence[str]
    onset_slack: int = 0
    gauges: Mapping[str, MakeGauge] = field(default_factory=dict)
    fixed_rates: dict[str, FixedRates] = field(default_factory=dict)
    scores: dict[str, dict[str, Score]] = field(default_factory=dict)
    costs: dict[str, Cost] = field(default_factory=dict)
    records: int = 0
    unlabelled: int = 0
    _timed: list[Case] = field(default_factory=list)
    _every: int = 1  # one in so many is kept for the timing

    def add(self, record: Recording) -> None:
        """Tries every contender on one more record."""
        case = build_case(record)
        group = group_of(record, self.by)
        for contender in self.contenders:
            trial = try_case(case, contender.make(case), self.onset_slack)
            scores = self.scores.setdefault(contender.name, {ALL: Score()})
            scores[ALL].trials.append(trial)
            scores.setdefault(group, Score()).trials.append(trial)
        for name, make in self.gauges.items():
            rates = self.fixed_rates.setdefault(name, FixedRates())
            rates.add(group, read(case, make(record)))
        self.unlabelled += not record.is_labelled
        self._keep_for_timing(case)
        self.records += 1

    def _keep_for_timing(self, case: Case) -> None:
        """A spread over an input of unknown length: thins out each time it is full."""
        if self.records % self._every:
            return
        self._timed.append(case)
        if len(self._timed) > TIMED_CASES:
            self._timed = self._timed[::2]
            self._every *= 2

    def measure_costs(self) -> None:
        """Times every contender, one after the other."""
        for contender in self.contenders:
            cost = measure_cost(contender.make, self._timed)
            if cost is not None:
                self.costs[contender.name] = cost

    def to_dict(self) -> dict[str, Any]:
        """Every figure, for scripts."""
        return {
            "records": self.records,
            "unlabelled": self.unlabelled,
            "detectors": {
                name: {
                    "cost": self.costs[name].to_dict() if name in self.costs else None,
                    "groups": {group: score.to_dict() for group, score in groups.items()},
                }
                for name, groups in self.scores.items()
            },
            "fixed_rates": {
                name: {
                    f"{rate:g} per 1M tokens": {
                        group: point.to_dict() for group, point in readings.points(rate).items()
                    }
                    for rate in RATES
                }
                for name, readings in self.fixed_rates.items()
            },
        }


def evaluation_of(
    panels: Panels, by: Sequence[str], *, with_rivals: bool = True, onset_slack: int = 0
) -> Evaluation:
    """An empty one of everything that is compared."""
    return Evaluation(contenders(panels, with_rivals), by, onset_slack, gauges(panels))


def evaluate(
    records: Iterable[Recording],
    panels: Panels,
    *,
    by: Sequence[str] = ("class",),
    with_rivals: bool = True,
    onset_slack: int = 0,
) -> Evaluation:
    """Runs all of it."""
    found = evaluation_of(panels, by, with_rivals=with_rivals, onset_slack=onset_slack)
    for record in records:
        found.add(record)
    found.measure_costs()
    return found
