"""Puts fleet, proxy and monitor together and runs them until a signal says stop."""

import asyncio
import logging
import signal
import time
from contextlib import nullcontext
from pathlib import Path

import uvicorn
import uvloop
from fastapi import FastAPI

from monitor.admin_api import build_admin_router
from monitor.api import build_router
from monitor.collector import Limits
from monitor.config_hash import config_info
from monitor.drain import DrainingServer, Readiness
from monitor.engine_metrics.scraper import EngineScraper
from monitor.errors import InvalidOptions, JudgeUnavailable
from monitor.judge.judge import Judge, JudgeOptions
from monitor.judge.process import JudgeProcess, worker_command
from monitor.learned import read_learned
from monitor.monitor import Monitor
from monitor.options import MonitorConfig
from monitor.own_process import measured_lag
from monitor.ports import Store
from monitor.store.exchange import RedisExchange
from monitor.store.memory import MemoryStore
from monitor.store.redis import RedisStore, connect
from retry_proxy.access import ApiKeys
from retry_proxy.app import build_app
from retry_proxy.config import ProxyConfig
from retry_proxy.edge import EdgeLimits, edge_protocol
from retry_proxy.errors import InvalidConfig
from retry_proxy.fleet import Fleet

logger = logging.getLogger("specwatch")


def build_store(config: MonitorConfig) -> Store:
    """In memory, or in Redis where an address is given.

    Raises:
        InvalidOptions: not a Redis address. A server that is away is no error: it may come back.
    """
    if config.redis is None:
        return MemoryStore(config.keep_incidents)
    try:
        return RedisStore(connect(config.redis), config.keep_incidents)
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
    limits = Limits(
        proxy.max_ejected_share,
        proxy.false_alarm_bound,
        lambda: fleet.budget.left(time.monotonic()),
    )
    monitor.watch_limits(limits, fleet, proxy.max_held_bytes)


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
) -> FastAPI:
    """The whole application: every route that ``specwatch serve`` has.

    Raises:
        InvalidOptions: a file that the options name cannot be used.
    """
    learned = read_learned(config)
    monitor.tell_config(config_info(proxy, config, learned))
    routers = [
        build_router(monitor, fleet, config.admin_key, readiness),
        build_admin_router(fleet, config.admin_key),
    ]
    return build_app(
        proxy,
        sink=monitor,
        fleet=fleet,
        routers=routers,
        text_sink=judge,
        learned=learned,
        api_keys=read_api_keys(config),
    )


def run(proxy: ProxyConfig, config: MonitorConfig) -> None:
    """Serve until SIGTERM or SIGINT (see ``DrainingServer``)."""
    logging.basicConfig(
        level=config.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        uvloop.run(_serve(proxy, config))
    except (JudgeUnavailable, InvalidOptions, InvalidConfig) as error:
        raise SystemExit(f"specwatch: {error}") from error


async def _serve(proxy: ProxyConfig, config: MonitorConfig) -> None:
    monitor = Monitor(build_store(config))
    fleet = Fleet(proxy, monitor)
    watch(proxy, monitor, fleet)
    engines = build_scraper(proxy, config, monitor, fleet)
    judge = build_judge(config, monitor)
    readiness = Readiness()
    app = compose(proxy, config, monitor, fleet, judge, readiness)
    server = DrainingServer(
        uvicorn.Config(
            app,
            host=config.host,
            port=config.port,
            http=edge_protocol(EdgeLimits()),
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
    exchange = None if config.redis is None else RedisExchange(connect(config.redis), fleet)
    async with (
        monitor.running(),
        nullcontext() if judge is None else judge.running(),
        nullcontext() if exchange is None else exchange.running(),
        nullcontext() if engines is None else engines.running(),
        measured_lag(monitor.metrics.loop_lag),
    ):
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, fleet.reload)
        await server.serve()
