"""Instances that should be alike show the same; keys are in no hash."""

from dataclasses import replace

from detectors.acceptance.library import BaselineLibrary
from monitor.config import MonitorConfig
from monitor.config_hash import config_info
from retry_proxy.config import ProxyConfig
from retry_proxy.watch import Learned

PROXY, MONITOR, LEARNED = ProxyConfig(replicas=("http://a",)), MonitorConfig(), Learned()


def test_options_count_and_where_it_listens_does_not() -> None:
    usual = config_info(PROXY, MONITOR, LEARNED)
    assert config_info(PROXY, replace(MONITOR, port=1, host="::"), LEARNED) == usual
    assert config_info(replace(PROXY, max_attempts=2), MONITOR, LEARNED).config != usual.config
    assert config_info(PROXY, replace(MONITOR, judge=True), LEARNED).config != usual.config


def test_keys_do_not_count() -> None:
    """A hash of few options would give a short key away."""
    proxy = replace(PROXY, engine_api_key="one", probe_api_key="two")
    monitor = replace(MONITOR, admin_key="three", redis="redis://:secret@h/0")
    assert config_info(proxy, monitor, LEARNED) == config_info(PROXY, MONITOR, LEARNED)


def test_what_was_learned_counts_by_its_numbers() -> None:
    without = replace(LEARNED, baselines=BaselineLibrary())
    usual = config_info(PROXY, MONITOR, LEARNED)
    assert config_info(PROXY, MONITOR, without).learned != usual.learned
    assert config_info(PROXY, MONITOR, Learned()).learned == usual.learned
