"""Metrics of acceptance, of verdicts and of how far both can be trusted."""

from monitor.catalog.metric import Metric, MetricType, metrics_of

_ACCEPT_LENGTH = (1.0, 1.05, 1.1, 1.2, 1.4, 1.6, 1.8, 2.0, 2.5, 3.0, 4.0, 6.0)
_ACCEPT_RATE = (0.05, 0.1, 0.2, 0.4, 0.6, 0.8, 0.9, 0.96, 1.0)
_TOKENS = (0.0, 8.0, 16.0, 32.0, 64.0, 96.0, 128.0, 192.0, 256.0, 512.0, 1024.0, 2048.0, 4096.0)
_SCORE = (0.5, 1.0, 1.4, 2.0, 4.0, 8.0, 13.3, 20.0, 40.0)

ANOMALIES = Metric(
    "specwatch_anomalies_total",
    MetricType.COUNTER,
    "verdicts",
    "Attempts with a verdict, whether stopped or let through and marked, by the replica.",
    ("kind", "replica"),
)
DETECTIONS = Metric(
    "specwatch_detections_total",
    MetricType.COUNTER,
    "verdicts",
    "The same verdicts by who found them and for which model.",
    ("kind", "detector", "model"),
)
DETECTION_TOKENS = Metric(
    "specwatch_detection_tokens",
    MetricType.HISTOGRAM,
    "tokens",
    "Tokens from the estimated onset of an anomaly to its alarm.",
    ("kind",),
    _TOKENS,
)
DETECTOR_SCORE = Metric(
    "specwatch_detector_score",
    MetricType.HISTOGRAM,
    "score",
    "The detector's own statistic at its verdicts (bits, log-odds or an accept length).",
    ("detector",),
    _SCORE,
)
LEAKED_TOKENS = Metric(
    "specwatch_leaked_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens after the estimated onset that had reached the client before the alarm.",
    ("kind",),
)
ACCEPT_LENGTH = Metric(
    "specwatch_accept_length",
    MetricType.HISTOGRAM,
    "tokens",
    "Tokens out per verification step over a whole attempt, bonus token included.",
    ("model",),
    _ACCEPT_LENGTH,
)
ACCEPT_RATE = Metric(
    "specwatch_accept_rate",
    MetricType.HISTOGRAM,
    "ratio",
    "Share of the proposed draft tokens that were kept over a whole attempt.",
    ("model",),
    _ACCEPT_RATE,
)
STEPS = Metric(
    "specwatch_steps_total",
    MetricType.COUNTER,
    "steps",
    "Verification steps of the attempts that ran; rate(accepted) / rate(steps) + 1 is the accept "
    "length.",
    ("replica",),
)
DRAFTED = Metric(
    "specwatch_drafted_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Draft tokens proposed in attempts that ran.",
    ("replica",),
)
ACCEPTED = Metric(
    "specwatch_accepted_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Draft tokens accepted in attempts that ran.",
    ("replica",),
)
POSITION_STEPS = Metric(
    "specwatch_position_steps_total",
    MetricType.COUNTER,
    "steps",
    "Steps of which the engine told exactly how many drafts were accepted (at most 2,048 of an "
    "attempt, the last).",
    ("model",),
)
POSITION_ACCEPTED = Metric(
    "specwatch_position_accepted_total",
    MetricType.COUNTER,
    "steps",
    "Those of them in which the draft at this position (from 1; 8 is the eighth) was accepted.",
    ("model", "kind"),
)
INSPECTED_ATTEMPTS = Metric(
    "specwatch_inspected_attempts_total",
    MetricType.COUNTER,
    "attempts",
    "Attempts that the detectors watched: by acceptance and text, or by the text alone.",
    ("kind",),
)
INSPECTED_TOKENS = Metric(
    "specwatch_inspected_tokens_total",
    MetricType.COUNTER,
    "tokens",
    "Tokens that the detectors saw.",
)
DETECTOR_ERRORS = Metric(
    "specwatch_detector_errors_total",
    MetricType.COUNTER,
    "errors",
    "Detectors that crashed, or took too long too often; the stream they watched went on without "
    "them.",
    ("detector",),
    is_pulled=True,
)
DETECTOR_SECONDS = Metric(
    "specwatch_detector_seconds_total",
    MetricType.COUNTER,
    "seconds",
    "Time that this process spent in detectors.",
    is_pulled=True,
)
FALSE_ALARM_BOUND = Metric(
    "specwatch_false_alarm_bound",
    MetricType.GAUGE,
    "ratio",
    "--false-alarm-bound: probability that low acceptance alone ever stops a healthy answer.",
    is_pulled=True,
)
JUDGE_TEXTS = Metric(
    "specwatch_judge_texts_total",
    MetricType.COUNTER,
    "texts",
    "Texts that the judge gave a second opinion on, by why they were chosen and its opinion.",
    ("kind", "outcome"),
    is_pulled=True,
)
JUDGE_DROPPED = Metric(
    "specwatch_judge_dropped_total",
    MetricType.COUNTER,
    "texts",
    "Texts chosen for the judge that it did not judge, by why.",
    ("outcome",),
    is_pulled=True,
)
JUDGE_UP = Metric(
    "specwatch_judge_up",
    MetricType.GAUGE,
    "flag",
    "1 while the judge's process answers; no series without --judge.",
    is_pulled=True,
)
JUDGE_FALSE_ALARMS = Metric(
    "specwatch_judge_false_alarm_share",
    MetricType.GAUGE,
    "ratio",
    "Incidents held for fine among those with a clear opinion: estimate and 95 % interval.",
    ("kind",),
    is_pulled=True,
)
JUDGE_MISSES = Metric(
    "specwatch_judge_miss_share",
    MetricType.GAUGE,
    "ratio",
    "Answers without a finding held for sick, among those sampled that got a clear opinion: "
    "estimate and 95 % interval.",
    ("kind",),
    is_pulled=True,
)

ALL = metrics_of(vars())
