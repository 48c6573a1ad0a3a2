"""The options of ``specwatch serve``: one table of flags over two frozen configurations."""

import dataclasses
import difflib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from monitor.config import MonitorConfig, check_value
from monitor.errors import InvalidOptions
from retry_proxy.config import ProxyConfig
from retry_proxy.errors import InvalidConfig


@dataclass(frozen=True, slots=True)
class Flag:
    """How a field of a configuration is explained and grouped on the command line."""

    help: str
    panel: str


_FLEET = "The fleet"
_SERVE, _RULE, _RETRY = "Address and fleet", "When a generation is sick", "Retrying"
_RELEASE, _TIMES, _MONITOR = "What the client sees, and when", "Time limits", "Monitor"
_JUDGE = "Second opinion"

# Field name -> flag, in the order of --help. A test holds it complete.
FLAGS: dict[str, Flag] = {
    "replicas": Flag(
        "Address of an engine, e.g. http://127.0.0.1:30001. Once per replica.", _SERVE
    ),
    "replicas_file": Flag(
        "YAML file with a list of replicas; read again when it changes, or on SIGHUP.", _SERVE
    ),
    "replicas_dns": Flag(
        "http://name:port of which each address is a replica; resolved again and again.", _SERVE
    ),
    "replicas_kubernetes": Flag(
        "namespace/service:port of which each ready endpoint is a replica (in a pod whose account "
        "may list and watch endpointslices; without watch it is read again and again).",
        _SERVE,
    ),
    "source_interval_seconds": Flag("Pause between two looks at these lists.", _SERVE),
    "allow_addresses": Flag(
        "Host, *.suffix, IP address or network that replicas may have; several times. Metadata "
        "and link-local addresses are never allowed.",
        _SERVE,
    ),
    "admin_key": Flag(
        "Key for /metrics, /api/... and orders to the fleet; better given as the environment "
        "variable. Without one everybody may look, and processes of this machine give orders.",
        _SERVE,
    ),
    "api_keys": Flag(
        "File with the clients' keys, a key or sha256:HEX a line. Without one of them every route "
        "answers 401, but for /health and /ready, and those that need the admin key.",
        _SERVE,
    ),
    "engine": Flag("What the replicas are; auto asks each of them.", _SERVE),
    "host": Flag("Address to listen on; 0.0.0.0 for all.", _SERVE),
    "port": Flag("Port to listen on; 0 takes a free one.", _SERVE),
    "share_port": Flag(
        "Let further processes with this option listen on the same port; the system shares the "
        "connections out. Each has metrics of its own; --redis joins what they know of the fleet.",
        _SERVE,
    ),
    "balance": Flag(
        "least: fewest outstanding tokens; two_choices: the better of two drawn (many proxies); "
        "prefix: the replica whose prefix cache knows the prompt, unless it is overloaded.",
        _FLEET,
    ),
    "slow_start_seconds": Flag("A replica that came back takes this long to its share.", _FLEET),
    "trip_after_failures": Flag("Failures in a row after which a replica is left alone.", _FLEET),
    "max_ejected_share": Flag(
        "Most replicas left alone at once, as a share; one is always allowed, the last healthy one "
        "never. 0 switches it off.",
        _FLEET,
    ),
    "quarantine_bound": Flag(
        "Probability that a replica's anomalies stand out by chance, for each 32 attempts.", _FLEET
    ),
    "eject_seconds": Flag("How long a replica is left alone: n times this the n-th time.", _FLEET),
    "eject_max_seconds": Flag("... and never longer than this.", _FLEET),
    "panel": Flag(
        "default: acceptance against the model's baseline, repetition, text and their fusion; "
        "published: the two published thresholds alone.",
        _RULE,
    ),
    "baselines": Flag("Healthy acceptance, from `specwatch calibrate` (a JSON file).", _RULE),
    "fusion": Flag("The fusion's numbers, from `specwatch train` (a JSON file).", _RULE),
    "false_alarm_bound": Flag(
        "Probability that low acceptance alone ever stops a healthy answer.", _RULE
    ),
    "min_accept_length": Flag("Fewer tokens per verification step than this is garbled.", _RULE),
    "accept_length_after_tokens": Flag("... judged once more tokens than this are out.", _RULE),
    "max_accept_rate": Flag("A higher share of accepted drafts than this is repetition.", _RULE),
    "accept_rate_min_steps": Flag("... judged once this many steps were seen.", _RULE),
    "release": Flag(
        "adaptive holds text back only while a generation looks doubtful; live never does; "
        "buffer holds all of it until the end.",
        _RELEASE,
    ),
    "watch_accept_length": Flag("adaptive: hold text below this accept length.", _RELEASE),
    "watch_accept_rate": Flag("adaptive: hold text above this accept rate.", _RELEASE),
    "hold_first_tokens": Flag("adaptive: also hold the first so many tokens.", _RELEASE),
    "max_held_tokens": Flag("Hold back at most so many tokens; the oldest go first.", _RELEASE),
    "max_held_bytes": Flag("... and at most so many bytes, as received.", _RELEASE),
    "max_held_seconds": Flag("... and nothing for longer than this.", _RELEASE),
    "onset_margin_tokens": Flag("Drop so many held tokens before the onset too.", _RELEASE),
    "on_exhausted": Flag(
        "When the last attempt is sick as well: pass lets it through, marked "
        "(most likely the model or the prompt is odd); error sends a typed error.",
        _RELEASE,
    ),
    "max_attempts": Flag("Attempts of one request that reach an engine.", _RETRY),
    "retry_budget_ratio": Flag("Retries allowed as a share of the requests.", _RETRY),
    "retry_budget_min_per_second": Flag("... and at least so many a second.", _RETRY),
    "hedge_after": Flag(
        "Ask a second replica beside the first when no token came for so many seconds, or (p95) "
        "for as long as 95 % of the recent answers took; the slower one is aborted. Off unless "
        "given.",
        _RETRY,
    ),
    "hedge_share": Flag("Most requests that this happens to, as a share.", _RETRY),
    "abort_limit_per_minute": Flag(
        "Most generations stopped by a verdict on one replica; further ones are let through.",
        _RETRY,
    ),
    "deadline_seconds": Flag("No attempt starts later than this after the request.", _RETRY),
    "connect_timeout_seconds": Flag("Longest wait for a connection to a replica.", _TIMES),
    "first_byte_timeout_seconds": Flag("Longest wait for an answer's first byte.", _TIMES),
    "stall_timeout_seconds": Flag("Longest silence after the first byte.", _TIMES),
    "abort_timeout_seconds": Flag("Longest wait for an engine to take an abort.", _TIMES),
    "probe_timeout_seconds": Flag("Longest wait for a health probe.", _TIMES),
    "probe_api_key": Flag(
        "Sent when a replica is asked what it is; better given through the environment.", _TIMES
    ),
    "engine_api_key": Flag(
        "Sent to the engines in place of the clients' credentials, which then stop here; better "
        "given through the environment.",
        _TIMES,
    ),
    "probe_interval_seconds": Flag("First pause between probes of an unreachable replica.", _TIMES),
    "probe_max_interval_seconds": Flag("Longest pause between such probes.", _TIMES),
    "lame_duck_seconds": Flag(
        "After SIGTERM, /ready answers 503 and everything is still served for so long.", _TIMES
    ),
    "shutdown_grace_seconds": Flag("... and running answers may then take this long.", _TIMES),
    "max_body_bytes": Flag("Largest request body.", _TIMES),
    "max_event_bytes": Flag("Largest event of a stream.", _TIMES),
    "redis": Flag(
        "Share incidents, quarantine and the retry budget's floor between proxies through Redis, "
        "e.g. redis://127.0.0.1:6379/0. In memory if not given. An outage of it never touches a "
        "request.",
        _MONITOR,
    ),
    "engine_metrics_seconds": Flag(
        "Pause between two looks at the replicas' own /metrics; 0 leaves them alone.", _MONITOR
    ),
    "keep_incidents": Flag("How many incidents are kept.", _MONITOR),
    "capture_text": Flag(
        "Keep a short text sample with each incident, without keys, addresses and long numbers. "
        "Off: no answer's text is kept anywhere.",
        _MONITOR,
    ),
    "keep_text_seconds": Flag("How long that sample is kept.", _MONITOR),
    "record": Flag(
        "File to record the traffic to, as JSON lines (gzipped if it ends in .gz): arrival times, "
        "token counts, sampling settings and salted hashes of the prompts' blocks; no text. For "
        "`specwatch replay`.",
        _MONITOR,
    ),
    "record_max_mb": Flag("Begin a new file at this size; three full ones are kept.", _MONITOR),
    "record_salt_file": Flag(
        "File with the salt of these hashes, to compare recordings of several proxies or days. "
        "Without one it is drawn anew and kept nowhere.",
        _MONITOR,
    ),
    "judge": Flag(
        "Have a small language model judge the text of incidents and of a sample of the other "
        "answers, later and in a process of its own. The text is read in memory and kept nowhere.",
        _JUDGE,
    ),
    "judge_model": Flag(
        "Another judge than SmolLM2-135M-Instruct: a folder or a name that transformers loads.",
        _JUDGE,
    ),
    "judge_sample_rate": Flag("Share of the answers without a finding that is judged.", _JUDGE),
    "judge_per_minute": Flag("Most texts judged in a minute; incidents come first.", _JUDGE),
    "otlp_endpoint": Flag(
        "Send a span for each request and attempt to this OpenTelemetry collector (OTLP over HTTP, "
        "e.g. http://127.0.0.1:4318); OTEL_EXPORTER_OTLP_ENDPOINT does the same. Needs the extra "
        "`otel`.",
        _MONITOR,
    ),
    "trace_sample_rate": Flag(
        "Share of the traces begun here that are sent; where a client is in a trace, its own "
        "choice counts.",
        _MONITOR,
    ),
    "log_level": Flag("debug, info, warning or error.", _MONITOR),
}

_KINDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}
PROXY_FIELDS = {field.name: field for field in dataclasses.fields(ProxyConfig)}
MONITOR_FIELDS = {field.name: field for field in dataclasses.fields(MonitorConfig)}
FIELDS = {**PROXY_FIELDS, **MONITOR_FIELDS}


def read_file(path: Path) -> dict[str, Any]:
    """The options in a YAML file; its keys are the names of the flags with ``_`` for ``-``.

    Raises:
        InvalidOptions: not readable, not YAML, not a mapping, or a key that is no option.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise InvalidOptions(f"cannot read {path}: {error}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise InvalidOptions(f"{path} must hold option: value lines")
    for key in content:
        if key not in FIELDS:
            raise InvalidOptions(f"{path}: unknown option {key!r}{_did_you_mean(str(key))}")
    return content


def merge(given: Mapping[str, Any], from_file: Mapping[str, Any]) -> dict[str, Any]:
    """What was given as flag or environment (``None`` means: was not), else what the file says."""
    return {**from_file, **{name: value for name, value in given.items() if value is not None}}


def build_configs(values: Mapping[str, Any]) -> tuple[ProxyConfig, MonitorConfig]:
    """Both configurations; an option that is not in ``values`` keeps its default.

    Raises:
        InvalidOptions: a value is of the wrong type or out of range; the message names it.
    """
    for_monitor = {name: values[name] for name in MONITOR_FIELDS if name in values}
    for name, value in for_monitor.items():
        _check_like_default(name, value)
    try:
        proxy = ProxyConfig.from_mapping({k: v for k, v in values.items() if k in PROXY_FIELDS})
    except InvalidConfig as error:
        raise InvalidOptions(str(error)) from error
    return proxy, MonitorConfig(**for_monitor)


def _check_like_default(name: str, value: object) -> None:
    default = MONITOR_FIELDS[name].default
    kind = str if default is None else type(default)
    accepted = (int, float) if kind is float else kind
    is_good = isinstance(value, accepted) and isinstance(value, bool) == (kind is bool)
    check_value(is_good, name, _KINDS[kind], value)


def _did_you_mean(key: str) -> str:
    near = difflib.get_close_matches(key, FIELDS, n=1)
    return f"; did you mean {near[0]!r}?" if near else ""
