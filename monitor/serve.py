"""Puts fleet, proxy and monitor together and runs them until a signal says stop."""

import asyncio
import gc
import logging
import os
import signal
import socket
import time
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI

from detectors.acceptance.baseline import AcceptanceBaseline
from detectors.acceptance.library import BaselineLibrary
from monitor.admin_api import build_admin_router
from monitor.api import build_router
from monitor.budget_api import build_budget_router
from monitor.collector import Limits
from monitor.config import MonitorConfig
from monitor.config_hash import config_info
from monitor.drain import DrainingServer, Readiness
from monitor.engine_metrics.scraper import EngineScraper
from monitor.errors import InvalidOptions, JudgeUnavailable
from monitor.judge.judge import Judge, JudgeOptions
from monitor.judge.process import JudgeProcess, worker_command
from monitor.learned import read_learned
from monitor.monitor import Monitor
from monitor.own_process import measured_lag
from monitor.page.hub import Hub
from monitor.page.routes import build_page_router
from monitor.page.snapshot import PageSources, SnapshotBuilder
from monitor.ports import Store
from monitor.store.baselines import RedisBaselines
from monitor.store.exchange import RedisExchange
from monitor.store.memory import MemoryStore
from monitor.store.redis import RedisStore, connect
from monitor.tracing.exporter import Tracer, build_tracer
from monitor.traffic.build import build_recorder
from monitor.traffic.collector import RecordCollector
from monitor.traffic.errors import CannotRecord
from monitor.traffic.recorder import Recorder
from retry_proxy.access import ApiKeys
from retry_proxy.app import build_app
from retry_proxy.config import ProxyConfig
from retry_proxy.edge import EdgeLimits, edge_protocol
from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet import Fleet
from retry_proxy.stream.running import Running
from retry_proxy.trace_context import Tracing
from retry_proxy.watch import Learned

_GARBAGE_YOUNG = 10_000  # objects that are new since the last look

logger = logging.getLogger("specwatch")


def build_store(config: MonitorConfig) -> Store:
    """In memory, or in Redis where an address is given.

    Raises:
        InvalidOptions: not a Redis address. A server that is away is no error: it may come back.
    """
    if config.redis is None:
        return MemoryStore(config.keep_incidents, config.keep_text_seconds)
    try:
        client = connect(config.redis)
        return RedisStore(client, config.keep_incidents, text_seconds=config.keep_text_seconds)
    except ValueError as error:
        raise InvalidOptions(f"redis: {error}") from error


def build_judge(config: MonitorConfig, monitor: Monitor) -> Judge | None:
    """The judge, if it is switched on.

    Raises:
        JudgeUnavailable: what it needs is not installed.
    """
    if not config.judge:
        return None
    options = JudgeOptions(config.judge_sample_rate, config.judge_per_minute)
    process = JudgeProcess(worker_command(config.judge_model))
    judge = Judge(process, monitor.take_opinion, options)
    monitor.watch_judge(judge)
    return judge


def watch(proxy: ProxyConfig, monitor: Monitor, fleet: Fleet) -> None:
    """Has the monitor read what the data plane counts, and what it is allowed."""
    monitor.watch_detectors(fleet.detector_errors, lambda: fleet.detector_time.seconds)
    monitor.watch_limits(limits_of(proxy, fleet), fleet, proxy.max_held_bytes)


def limits_of(proxy: ProxyConfig, fleet: Fleet) -> Limits:
    """What the data plane is allowed."""
    return Limits(
        proxy.max_ejected_share,
        proxy.false_alarm_bound,
        lambda: fleet.budget.left(time.monotonic()),
    )


def build_scraper(
    proxy: ProxyConfig, config: MonitorConfig, monitor: Monitor, fleet: Fleet
) -> EngineScraper | None:
    """Reads the replicas' own metrics, unless that is switched off."""
    if config.engine_metrics_seconds == 0:
        return None
    key = proxy.probe_api_key or proxy.engine_api_key
    scraper = EngineScraper(fleet, fleet.upstream, config.engine_metrics_seconds, key)
    monitor.watch_engines(scraper.states)
    return scraper


def read_api_keys(config: MonitorConfig) -> ApiKeys | None:
    """The clients' keys, if a file of them is given.

    Raises:
        InvalidOptions: it cannot be read, or holds no keys.
    """
    if config.api_keys is None:
        return None
    try:
        return ApiKeys.from_text(Path(config.api_keys).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, InvalidConfig) as error:
        raise InvalidOptions(f"api_keys: {config.api_keys}: {error}") from error


def compose(
    proxy: ProxyConfig,
    config: MonitorConfig,
    monitor: Monitor,
    fleet: Fleet,
    judge: Judge | None = None,
    readiness: Readiness | None = None,
    learned: Learned | None = None,
    recorder: Recorder | None = None,
    tracer: Tracer | None = None,
) -> FastAPI:
    """The whole application: every route that ``specwatch serve`` has.

    Args:
        learned: by default what the options name.

    Raises:
        InvalidOptions: a file that the options name cannot be used.
    """
    learned = learned or read_learned(config)
    monitor.tell_config(config_info(proxy, config, learned))
    readiness, running = readiness or Readiness(), Running()
    shown = PageSources(monitor, fleet, running, fleet.budget, limits_of(proxy, fleet))
    hub = Hub(SnapshotBuilder(shown).build, is_leaving=lambda: readiness.is_draining)
    routers = [
        build_router(monitor, fleet, config.admin_key, readiness),
        build_admin_router(fleet, config.admin_key),
        build_budget_router(fleet.budget, config.admin_key),
        build_page_router(hub, config.admin_key),
    ]
    return build_app(
        proxy,
        sink=tracer or recorder or monitor,
        fleet=fleet,
        routers=routers,
        text_sink=judge,
        learned=learned,
        api_keys=read_api_keys(config),
        call_sink=recorder,
        tracing=None if tracer is None else Tracing(config.trace_sample_rate),
        running=running,
    )


def run(proxy: ProxyConfig, config: MonitorConfig) -> None:
    """Serve until SIGTERM or SIGINT (see ``DrainingServer``)."""
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        uvloop.run(serve(proxy, config))
    except (JudgeUnavailable, CannotRecord, InvalidOptions, InvalidConfig) as error:
        raise SystemExit(f"specwatch: {error}") from error


def shared_socket(config: MonitorConfig) -> socket.socket:
    """A listening socket whose port other processes may have too.

    Raises:
        InvalidOptions: the port is somebody's who does not share it.
    """
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listening = socket.socket(family)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        listening.bind((config.host, config.port))
    except OSError as error:
        listening.close()
        raise InvalidOptions(f"port {config.port}: {error.strerror}") from error
    return listening


def settle_garbage() -> None:
    """Has the collector leave alone what lives as long as the process, and come less often.

    Its full passes over everything imported took milliseconds out of a stream. A request leaves few
    cycles behind; what it allocates is freed by counting.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GARBAGE_YOUNG, *gc.get_threshold()[1:])


@asynccontextmanager
async def sharing(
    config: MonitorConfig, monitor: Monitor, fleet: Fleet, learned: Learned
) -> AsyncIterator[None]:
    """What goes to and comes from other proxies through Redis, where an address is given."""
    if config.redis is None:
        yield
        return
    own = list(learned.baselines)

    def take(shared: Iterable[AcceptanceBaseline]) -> None:
        learned.baselines = BaselineLibrary([*own, *shared])

    baselines = RedisBaselines(connect(config.redis), take)
    monitor.watch_baselines(lambda: baselines.refused)
    async with RedisExchange(connect(config.redis), fleet).running(), baselines.running():
        yield


async def serve(proxy: ProxyConfig, config: MonitorConfig) -> None:
    """What ``run`` runs, for whoever has a loop."""
    monitor = Monitor(build_store(config))
    fleet = Fleet(proxy, monitor)
    watch(proxy, monitor, fleet)
    engines = build_scraper(proxy, config, monitor, fleet)
    judge = build_judge(config, monitor)
    readiness = Readiness()
    learned = read_learned(config)
    recorder = build_recorder(config.record, config.record_max_mb, config.record_salt_file, monitor)
    if recorder is not None:
        monitor.metrics.registry.register(RecordCollector(recorder))
    tracer = build_tracer(config.otlp_endpoint, os.environ, recorder or monitor)
    app = compose(proxy, config, monitor, fleet, judge, readiness, learned, recorder, tracer)
    server = DrainingServer(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            http=edge_protocol(EdgeLimits(), lambda: readiness.is_draining),
            ws="none",
            log_level=config.log_level,
            access_log=False,
            server_header=False,
            proxy_headers=False,  # nobody's word for where a request comes from is taken
            timeout_graceful_shutdown=config.shutdown_grace_seconds,
        ),
        readiness,
        config.lame_duck_seconds,
    )
    logger.info("watching %s", ", ".join(proxy.replicas))
    logger.info("the page for people is at http://%s:%s/page", config.host, config.port)
    async with (
        monitor.running(),
        nullcontext() if judge is None else judge.running(),
        sharing(config, monitor, fleet, learned),
        nullcontext() if engines is None else engines.running(),
        nullcontext() if tracer is None else tracer.running(),
        measured_lag(monitor.metrics.loop_lag),
    ):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, fleet.reload)
        settle_garbage()
        with nullcontext() if recorder is None else recorder.running():
            await server.serve(None if not config.share_port else [shared_socket(config)])
