"""For every alert: series in which it must fire, and series in which it must not."""

from tests.alerts.case import Case
from tests.alerts.quality_cases import QUALITY
from tests.alerts.serving_cases import SERVING

CASES: tuple[Case, ...] = (*QUALITY, *SERVING)
