"""The engine's numbers at an incident, beside the others'."""

from monitor.engine_metrics.names import Quantity
from monitor.engine_metrics.reading import Reading
from monitor.engine_metrics.state import EngineStates
from monitor.incidents.engine_then import EngineNumbers, engine_then
from tests.monitor.events import REPLICA_A, REPLICA_B

OTHER = "http://127.0.0.1:30003"


def reading(running: float, cache: float | None = None) -> Reading:
    """A scrape of an engine that may not tell its cache."""
    values = {Quantity.RUNNING: running, Quantity.WAITING: 0.0, Quantity.ABORTS: 7.0}
    if cache is not None:
        values[Quantity.CACHE_USAGE] = cache
    return Reading(values)


def test_its_own_numbers_and_the_medians_of_the_others() -> None:
    states = EngineStates()
    states.take(REPLICA_A, "sglang", reading(30, cache=0.97), now=100.0)
    states.take(REPLICA_B, "sglang", reading(4, cache=0.5), now=101.0)
    states.take(OTHER, "llamacpp", reading(6), now=102.0)
    then = engine_then(states, REPLICA_A, now=103.5)
    assert then is not None
    assert then.own == EngineNumbers(running=30, waiting=0, cache_usage=0.97, aborts=7)
    assert then.age_seconds == 3.5
    assert then.others == EngineNumbers(running=5, waiting=0, cache_usage=0.5, aborts=7)
    assert then.other_replicas == 2


def test_after_a_failed_scrape_the_last_numbers_with_their_age() -> None:
    """An engine that hangs is what one wants to see; it stands in no comparison."""
    states = EngineStates()
    states.take(REPLICA_A, "sglang", reading(30), now=100.0)
    states.take(REPLICA_B, "sglang", reading(4), now=100.0)
    states.fail(REPLICA_A, "sglang", "no metrics within 5 s")
    then = engine_then(states, REPLICA_A, now=160.0)
    assert then is not None
    assert (then.own.running, then.age_seconds) == (30, 60.0)
    assert then.error == "no metrics within 5 s"
    other = engine_then(states, REPLICA_B, now=160.0)
    assert other is not None
    assert (other.others, other.other_replicas) == (None, 0)


def test_an_engine_that_never_told_anything() -> None:
    """No numbers are not zeros."""
    states = EngineStates()
    states.fail(REPLICA_A, "openai", "/metrics was answered with status 404")
    assert engine_then(states, REPLICA_A, now=1.0) is None
    assert engine_then(EngineStates(), REPLICA_A, now=1.0) is None
