"""The proxy's configuration: one frozen value, read once at start."""

import dataclasses
import difflib
import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Self

from detectors.acceptance.calibrated import DEFAULT_BOUND
from detectors.acceptance.published import AcceptanceThresholds
from retry_proxy.addresses import AddressRules
from retry_proxy.checks import (
    check,
    check_address,
    check_enum,
    check_secret,
    check_type,
    parse_enum,
)
from retry_proxy.decide.hedge_after import HedgeAfter
from retry_proxy.errors import InvalidConfig


class EngineName(enum.StrEnum):
    """Which adapter talks to the replicas; ``auto`` asks each replica."""

    AUTO = "auto"
    SGLANG = "sglang"
    VLLM = "vllm"
    LLAMACPP = "llamacpp"
    OPENAI = "openai"


class ReleaseMode(enum.StrEnum):
    """When received text goes on to the client."""

    ADAPTIVE = "adaptive"  # at once, unless a detector's statistic is past its watch level
    LIVE = "live"  # always at once
    BUFFER = "buffer"  # after the attempt has ended


class PanelName(enum.StrEnum):
    """Which detectors watch a stream."""

    DEFAULT = "default"  # acceptance against its baseline, repetition, text, and their fusion
    PUBLISHED = "published"  # the two published thresholds alone


class BalanceName(enum.StrEnum):
    """Which healthy replica takes the next attempt."""

    LEAST = "least"  # the one with the fewest outstanding tokens
    TWO_CHOICES = "two_choices"  # the better of two at random: many proxies, many replicas
    PREFIX = "prefix"  # the one whose prefix cache knows the prompt, unless it is overloaded


class OnExhausted(enum.StrEnum):
    """What the client gets when the last allowed attempt shows an anomaly as well."""

    PASS = "pass"  # the answer, marked: most likely the model or the prompt is odd
    ERROR = "error"  # a typed error


@dataclass(frozen=True, slots=True)
class ProxyConfig:
    """Options of the proxy.

    Attributes:
        replicas: base addresses, e.g. ``http://127.0.0.1:30001``.
        replicas_file: YAML file with a list of further ones.
        replicas_dns: ``http://name:port``; each of the name's addresses is a replica.
        replicas_kubernetes: ``namespace/service:port``; each ready endpoint is a replica.
        source_interval_seconds: how often these three are read again.
        allow_addresses: hosts, ``*.suffix``, IP addresses and networks that replicas may have;
            empty allows all but metadata, link-local and unspecified addresses.
        balance: which replica takes the next attempt.
        slow_start_seconds: a replica that came back gets its full share only after so long.
        trip_after_failures: a replica that failed so often in a row is left alone for a while.
        max_ejected_share: of the replicas that are left alone at once; one is always allowed, the
            last healthy one never; 0 switches this off.
        quarantine_bound: probability that the test which quarantines a replica is ever wrong, for
            each 32 attempts on it.
        eject_seconds: a replica is left alone for this long, twice as long the second time in a
            row, three times the third ...
        eject_max_seconds: ... but never longer than this.
        max_attempts: attempts of one request that reached an engine (refused connections do not
            count).
        deadline_seconds: no new attempt starts later than this after the request's arrival.
        retry_budget_ratio: retries allowed per request ...
        retry_budget_min_per_second: ... and at least this many in each second.
        hedge_after: a second replica is asked beside the first when no token came for so long:
            seconds, or ``p95`` for as long as 95 % of the recent answers took; ``None``: never.
        hedge_share: most requests that this happens to, as a share.
        abort_limit_per_minute: generations stopped by a verdict on one replica; beyond it they are
            let through, marked (or an error, without an abort).
        panel: which detectors watch.
        false_alarm_bound: probability that low acceptance alone ever stops a healthy request.
        min_accept_length: tokens per step; a generation below it is garbled ...
        accept_length_after_tokens: ... once more than this many tokens are out.
        max_accept_rate: share of drafts accepted; a generation above it repeats itself ...
        accept_rate_min_steps: ... once this many steps were seen.
        watch_accept_length: below it text is held (release policy ``adaptive``).
        watch_accept_rate: above it text is held (release policy ``adaptive``).
            These six are the published rule; the default panel uses it where a model has no
            baseline.
        onset_margin_tokens: held tokens dropped before the estimated onset as well.
        hold_first_tokens: ``adaptive`` also holds the first so many tokens of an answer.
        max_held_tokens, max_held_bytes, max_held_seconds: bounds of the hold-back of a streamed
            answer, also under ``buffer``; what is over one is released, the oldest first.
        first_byte_timeout_seconds: longest wait for an engine's first byte (queueing included).
        stall_timeout_seconds: longest silence after the first byte.
        probe_api_key: sent when a replica is asked what it is; clients' requests bring their own.
        engine_api_key: sent with every request in place of the clients' credentials, which then go
            no further; with probes too, unless there is a ``probe_api_key``.
        capture_text: put a short text sample into ``AttemptEnded`` (evidence capture).

    Raises:
        InvalidConfig: a value is out of range; the message names it.
    """

    replicas: tuple[str, ...] = ()
    replicas_file: str | None = None
    replicas_dns: str | None = None
    replicas_kubernetes: str | None = None
    source_interval_seconds: float = 5.0
    allow_addresses: tuple[str, ...] = ()
    engine: EngineName = EngineName.AUTO
    balance: BalanceName = BalanceName.LEAST
    slow_start_seconds: float = 30.0
    trip_after_failures: int = 5
    max_ejected_share: float = 0.3
    quarantine_bound: float = 1e-6
    eject_seconds: float = 30.0
    eject_max_seconds: float = 300.0
    release: ReleaseMode = ReleaseMode.ADAPTIVE
    max_attempts: int = 3
    deadline_seconds: float = 600.0
    on_exhausted: OnExhausted = OnExhausted.PASS
    retry_budget_ratio: float = 0.2
    retry_budget_min_per_second: float = 10.0
    hedge_after: str | None = None
    hedge_share: float = 0.05
    abort_limit_per_minute: int = 60
    panel: PanelName = PanelName.DEFAULT
    false_alarm_bound: float = DEFAULT_BOUND
    min_accept_length: float = 1.4
    accept_length_after_tokens: int = 128
    max_accept_rate: float = 0.96
    accept_rate_min_steps: int = 32
    watch_accept_length: float = 1.6
    watch_accept_rate: float = 0.9
    onset_margin_tokens: int = 8
    hold_first_tokens: int = 0
    max_held_tokens: int = 32768
    max_held_bytes: int = 8 * 1024 * 1024
    max_held_seconds: float = 600.0
    connect_timeout_seconds: float = 3.0
    first_byte_timeout_seconds: float = 120.0
    stall_timeout_seconds: float = 30.0
    abort_timeout_seconds: float = 2.0
    probe_timeout_seconds: float = 3.0
    probe_interval_seconds: float = 1.0
    probe_max_interval_seconds: float = 30.0
    probe_api_key: str | None = field(default=None, repr=False)
    engine_api_key: str | None = field(default=None, repr=False)
    max_body_bytes: int = 32 * 1024 * 1024
    max_event_bytes: int = 4 * 1024 * 1024
    capture_text: bool = False

    def __post_init__(self) -> None:
        if not self.replicas and not self._has_source:
            raise InvalidConfig("at least one replica is needed, or where they are listed")
        rules = AddressRules(self.allow_addresses)
        for address in self.replicas:
            check_address(address, rules)
        if len({address.rstrip("/") for address in self.replicas}) != len(self.replicas):
            raise InvalidConfig("a replica is given twice")
        check_enum("engine", self.engine, EngineName)
        check_enum("balance", self.balance, BalanceName)
        check_enum("panel", self.panel, PanelName)
        for name in ("false_alarm_bound", "quarantine_bound"):
            check(0 < getattr(self, name) < 1, name, "between 0 and 1", getattr(self, name))
        for name in ("max_ejected_share", "hedge_share"):
            check(0 <= getattr(self, name) <= 1, name, "between 0 and 1", getattr(self, name))
        if self.hedge_after is not None:
            HedgeAfter.parse(self.hedge_after)
        check_enum("release", self.release, ReleaseMode)
        check_enum("on_exhausted", self.on_exhausted, OnExhausted)
        for name in _SECRETS:
            check_secret(name, getattr(self, name))
        for name in _AT_LEAST_ONE:
            check(getattr(self, name) >= 1, name, "at least 1", getattr(self, name))
        for name in _NOT_NEGATIVE:
            check(getattr(self, name) >= 0, name, "at least 0", getattr(self, name))
        for name in _POSITIVE:
            check(getattr(self, name) > 0, name, "above 0", getattr(self, name))

    @property
    def _has_source(self) -> bool:
        return any((self.replicas_file, self.replicas_dns, self.replicas_kubernetes))

    @property
    def thresholds(self) -> AcceptanceThresholds:
        """The detectors' part of the options."""
        return AcceptanceThresholds(
            min_accept_length=self.min_accept_length,
            accept_length_after_tokens=self.accept_length_after_tokens,
            max_accept_rate=self.max_accept_rate,
            accept_rate_min_steps=self.accept_rate_min_steps,
            watch_accept_length=self.watch_accept_length,
            watch_accept_rate=self.watch_accept_rate,
        )

    @classmethod
    def from_mapping(cls, options: Mapping[str, Any]) -> Self:
        """Builds a configuration from plain values (a YAML file, flags).

        Raises:
            InvalidConfig: an unknown key (the nearest name is told) or a bad value.
        """
        known = {each.name for each in dataclasses.fields(cls)}
        for key in options:
            if key not in known:
                near = difflib.get_close_matches(str(key), known, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise InvalidConfig(f"unknown option {key!r}{hint}")
        values = dict(options)
        for name in _LISTS:
            if isinstance(values.get(name, ()), str):
                raise InvalidConfig(f"{name} must be a list of addresses")
            values[name] = tuple(str(entry).rstrip("/") for entry in values.get(name) or ())
        for name, kind in _ENUMS.items():
            if name in values:
                values[name] = parse_enum(name, values[name], kind)
        for each in dataclasses.fields(cls):
            is_plain = each.type in (int, float, bool, str | None)
            if each.name in values and each.name not in _SECRETS and is_plain:
                check_type(each.name, values[each.name], each.type)
        return cls(**values)


_SECRETS = ("probe_api_key", "engine_api_key")
_LISTS = ("replicas", "allow_addresses")
_ENUMS: dict[str, type[enum.StrEnum]] = {
    "engine": EngineName,
    "balance": BalanceName,
    "release": ReleaseMode,
    "on_exhausted": OnExhausted,
}
_AT_LEAST_ONE = (
    "trip_after_failures",
    "max_attempts",
    "max_body_bytes",
    "max_event_bytes",
    "max_held_tokens",
    "max_held_bytes",
    "accept_rate_min_steps",
)
_NOT_NEGATIVE = (
    "abort_limit_per_minute",
    "slow_start_seconds",
    "retry_budget_ratio",
    "retry_budget_min_per_second",
    "accept_length_after_tokens",
    "min_accept_length",
    "watch_accept_length",
    "onset_margin_tokens",
    "hold_first_tokens",
)
_POSITIVE = (
    "max_held_seconds",
    "source_interval_seconds",
    "eject_seconds",
    "eject_max_seconds",
    "deadline_seconds",
    "max_accept_rate",
    "watch_accept_rate",
    "connect_timeout_seconds",
    "first_byte_timeout_seconds",
    "stall_timeout_seconds",
    "abort_timeout_seconds",
    "probe_timeout_seconds",
    "probe_interval_seconds",
    "probe_max_interval_seconds",
)
