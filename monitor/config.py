"""The configuration of the process around the proxy. Frozen; read once at start."""

from dataclasses import dataclass, field

from monitor.errors import InvalidOptions


@dataclass(frozen=True, slots=True)
class MonitorConfig:
    """Options of the process around the proxy.

    Raises:
        InvalidOptions: a value is out of range; the message names it.
    """

    host: str = "127.0.0.1"
    port: int = 30000
    share_port: bool = False
    baselines: str | None = None
    fusion: str | None = None
    admin_key: str | None = field(default=None, repr=False)
    api_keys: str | None = None
    redis: str | None = None
    keep_incidents: int = 1000
    keep_text_seconds: int = 3600
    lame_duck_seconds: float = 5.0
    shutdown_grace_seconds: int = 60
    log_level: str = "info"
    engine_metrics_seconds: float = 10.0
    judge: bool = False
    judge_model: str | None = None
    judge_sample_rate: float = 0.01
    judge_per_minute: int = 12
    record: str | None = None
    record_max_mb: int = 256
    record_salt_file: str | None = None
    otlp_endpoint: str | None = None
    trace_sample_rate: float = 1.0

    def __post_init__(self) -> None:
        check_value(0 <= self.port <= 65535, "port", "between 0 and 65535", self.port)
        check_value(self.admin_key != "", "admin_key", "a key, or not given", self.admin_key)
        if self.api_keys is not None and self.admin_key is None:
            raise InvalidOptions(
                "api_keys needs an admin_key too: metrics, incidents and orders are behind that one"
            )
        check_value(self.keep_incidents >= 1, "keep_incidents", "at least 1", self.keep_incidents)
        seconds = self.keep_text_seconds
        check_value(seconds >= 1, "keep_text_seconds", "at least 1", seconds)
        check_value(
            self.shutdown_grace_seconds >= 0,
            "shutdown_grace_seconds",
            "at least 0",
            self.shutdown_grace_seconds,
        )
        check_value(
            self.lame_duck_seconds >= 0, "lame_duck_seconds", "at least 0", self.lame_duck_seconds
        )
        check_value(
            0 <= self.judge_sample_rate <= 1,
            "judge_sample_rate",
            "between 0 and 1",
            self.judge_sample_rate,
        )
        check_value(
            self.judge_per_minute >= 1, "judge_per_minute", "at least 1", self.judge_per_minute
        )
        rate = self.trace_sample_rate
        check_value(0 <= rate <= 1, "trace_sample_rate", "between 0 and 1", rate)
        check_value(self.record_max_mb >= 1, "record_max_mb", "at least 1", self.record_max_mb)
        pause = self.engine_metrics_seconds
        check_value(pause >= 0, "engine_metrics_seconds", "at least 0", pause)
        levels = ("debug", "info", "warning", "error")
        check_value(self.log_level in levels, "log_level", " | ".join(levels), self.log_level)


def check_value(is_good: bool, name: str, wanted: str, value: object) -> None:
    """Raises ``InvalidOptions``, which names the option, unless the value is good."""
    if not is_good:
        raise InvalidOptions(f"{name} must be {wanted}, got {value!r}")
