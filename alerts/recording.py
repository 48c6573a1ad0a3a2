"""Recording rules: the ratios that alerts and dashboards share."""

from alerts.rule import Recording

WINDOWS = ("5m", "30m", "1h", "2h", "6h", "1d", "3d")


def burn(window: str) -> str:
    """Name of the bad share of the requests over a window, by model."""
    return f"model:specwatch_bad_output:ratio_rate{window}"


def _bad_share(window: str) -> str:
    requests = f"sum by (model) (rate(specwatch_requests_total[{window}]))"
    bad = f"sum by (model) (rate(specwatch_bad_output_total[{window}]))"
    # A model without a bad answer has no series of them: that is a share of 0.
    return f"({bad} or 0 * {requests}) / ({requests} > 0)"


def _share_of_replica(window: str) -> str:
    attempts = f"sum by (replica) (rate(specwatch_replica_attempts_total[{window}]))"
    anomalies = f"sum by (replica) (rate(specwatch_anomalies_total[{window}]))"
    return f"({anomalies} or 0 * {attempts}) / ({attempts} > 0)"


def _share_of_model(window: str) -> str:
    requests = f"sum by (model) (rate(specwatch_requests_total[{window}]))"
    found = f"sum by (model) (rate(specwatch_detections_total[{window}]))"
    return f"({found} or 0 * {requests}) / ({requests} > 0)"


REQUESTS_1H = Recording(
    "model:specwatch_requests:increase1h",
    "sum by (model) (increase(specwatch_requests_total[1h]))",
)
REQUESTS_1D = Recording(
    "model:specwatch_requests:increase1d",
    "sum by (model) (increase(specwatch_requests_total[1d]))",
)
REPLICA_ANOMALIES = Recording(
    "replica:specwatch_anomalies:increase15m",
    "sum by (replica) (increase(specwatch_anomalies_total[15m]))",
)
REPLICA_ATTEMPTS = Recording(
    "replica:specwatch_attempts:increase15m",
    "sum by (replica) (increase(specwatch_replica_attempts_total[15m]))",
)
REPLICA_SHARE = Recording("replica:specwatch_anomalies:ratio_rate15m", _share_of_replica("15m"))
MODEL_SHARE = Recording("model:specwatch_anomalies:ratio_rate1h", _share_of_model("1h"))
ACCEPT_LENGTH = Recording(
    "replica:specwatch_accept_length:5m",
    "1 + sum by (replica) (rate(specwatch_accepted_tokens_total[5m])) "
    "/ (sum by (replica) (rate(specwatch_steps_total[5m])) > 0)",
)
ACCEPT_LENGTH_1D = Recording(
    "replica:specwatch_accept_length:median1d",
    f"quantile_over_time(0.5, {ACCEPT_LENGTH.name}[1d])",
)
RETRY_RATIO = Recording(
    "specwatch_retries:ratio_rate5m",
    "sum(rate(specwatch_retries_total[5m])) / (sum(rate(specwatch_requests_total[5m])) > 0)",
)

RECORDINGS: tuple[Recording, ...] = (
    *(Recording(burn(window), _bad_share(window)) for window in WINDOWS),
    *(REQUESTS_1H, REQUESTS_1D),
    *(REPLICA_ANOMALIES, REPLICA_ATTEMPTS, REPLICA_SHARE, MODEL_SHARE),
    *(ACCEPT_LENGTH, ACCEPT_LENGTH_1D, RETRY_RATIO),
)
