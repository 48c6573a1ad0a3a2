"""A fleet behind the real ``specwatch serve``, watched by a real Prometheus and Alertmanager; one
replica falls ill. The tests look at what all parts show after that.
"""

import json
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import yaml

from alerts.build import main as build_alerts
from tests.alerts.tools import tool
from tests.live.processes import Children, answers, free_port, listens
from tests.live.webhook import Received, Webhook, receiving
from tests.monitor.judge.tiny_folder import write_tiny_folder

ROOT = Path(__file__).parents[2]
DRILL = "ReplicaAnomalyOutlier"
DRILL_SECONDS = 75.0


@dataclass
class Live:
    """Addresses, and what the drill came to.

    Attributes:
        sick: address of the replica that fell ill.
        dead: of one that was killed at the end.
        began_at: unix time.
        seconds: from the first damaged answer to the webhook.
    """

    proxy: str
    prometheus: str
    sick: str
    dead: str
    began_at: float
    alert: Received
    watchdog: Received
    seconds: float

    def query_range(self, expr: str) -> list[dict[str, Any]]:
        """The result over the whole incident, as a panel asks for it."""
        now = time.time()
        ask = {"query": expr, "start": str(self.began_at), "end": str(now), "step": "2"}
        content = httpx.post(f"{self.prometheus}/api/v1/query_range", data=ask, timeout=20).json()
        assert content["status"] == "success", f"{expr}: {content.get('error')}"
        result: list[dict[str, Any]] = content["data"]["result"]
        return result

    def query(self, expr: str) -> list[dict[str, Any]]:
        """The result of an instant query."""
        answer = httpx.post(f"{self.prometheus}/api/v1/query", data={"query": expr}, timeout=20)
        content = answer.json()
        assert content["status"] == "success", f"{expr}: {content.get('error')}"
        result: list[dict[str, Any]] = content["data"]["result"]
        return result


def chat(proxy: str, max_tokens: int = 300) -> str:
    """One streamed answer, read to its end."""
    body = {
        "model": "fake",
        "messages": [{"role": "user", "content": "hello"}],
        "max_tokens": max_tokens,
        "stream": True,
    }
    return httpx.post(f"{proxy}/v1/chat/completions", json=body, timeout=60).text


def damage(replica: str, kind: str | None) -> None:
    """From now on every answer, or none."""
    plan = {"kind": kind, "rate": 1.0, "after_tokens": 20}
    headers = {"authorization": "Bearer drill"}
    httpx.post(f"{replica}/faults", json=plan, headers=headers).raise_for_status()


def send(proxy: str, count: int) -> None:
    """So many requests, a few at a time."""
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda _: chat(proxy), range(count)))


@contextmanager
def incident(folder: Path) -> Iterator[Live]:
    """Everything up, ill and told; down afterwards."""
    programs = {name: tool(name) for name in ("prometheus", "prometheus-alertmanager")}
    redis = tool("redis-server")
    children = Children(folder)
    try:
        with receiving() as webhook:
            replicas = [start_replica(children, n, e) for n, e in enumerate(("sglang",) * 3)]
            replicas.append(start_replica(children, 3, "vllm"))
            replicas.append(start_replica(children, 4, "sglang"))
            store = start_redis(children, redis)
            proxy = start_proxy(children, replicas, store)
            prometheus = start_monitoring(children, programs, proxy, webhook)
            yield run_drill(proxy, prometheus, replicas, webhook, lambda: children.kill("replica4"))
    finally:
        children.end()


def run_drill(
    proxy: str,
    prometheus: str,
    replicas: list[str],
    webhook: Webhook,
    kill_the_last: Callable[[], None],
) -> Live:
    """Healthy traffic; one sick replica until the alert is there; at last all of them, and a death.

    The order of the numbers: what is compared with its past needs a past.
    """
    began_at = time.time()
    send(proxy, 30)
    time.sleep(3)  # three scrapes, so that growth is seen
    sick = replicas[0]
    damage(sick, "noise")
    began = time.monotonic()
    with ThreadPoolExecutor(1) as pool:
        traffic = pool.submit(send, proxy, 50)
        alert = webhook.wait_for(DRILL, DRILL_SECONDS)
        traffic.result()
    for one in replicas:
        damage(one, "noise")
    send(proxy, 12)
    httpx.post(f"{proxy}/generate", json={"text": ["a", "b"]}, timeout=20)  # not watched
    for one in replicas:
        damage(one, None)
    kill_the_last()
    send(proxy, 12)
    wait_for_the_judge(proxy)
    time.sleep(3)  # all is scraped
    watchdog = webhook.wait_for("Watchdog", 20)
    seconds = alert.at - began
    return Live(proxy, prometheus, sick, replicas[-1], began_at, alert, watchdog, seconds)


def wait_for_the_judge(proxy: str) -> None:
    """Until it has a clear opinion on texts of both kinds."""
    give_up_at = time.monotonic() + 30
    while time.monotonic() < give_up_at:
        judge = httpx.get(f"{proxy}/api/judge").json()["judge"]
        shares = (judge["false_alarms"], judge["misses"])
        if all(share["estimate"] is not None for share in shares):
            return
        time.sleep(0.2)
    raise AssertionError(f"the judge has no opinion: {judge['opinions']}")


def start_replica(children: Children, number: int, engine: str) -> str:
    """A scripted one."""
    port = free_port()
    script = str(ROOT / "tests" / "fakes" / "replica.py")
    options = ["--port", str(port), "--engine", engine, "--admin-key", "drill"]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, script, *options]
    children.start(f"replica{number}", command, answers(f"{address}/ready"))
    return address


def start_redis(children: Children, program: str) -> str:
    """One that keeps nothing on disk."""
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    children.start("redis", [program, *options], listens(port))
    return f"redis://127.0.0.1:{port}/0"


def start_proxy(children: Children, replicas: list[str], store: str) -> str:
    """The real command, with a judge whose model is real and tiny."""
    port = free_port()
    judge = str(write_tiny_folder(children.folder / "judge"))
    options = ["--port", str(port), "--redis", store, "--engine-metrics-seconds", "1"]
    options += ["--panel", "published", "--max-attempts", "2", "--lame-duck-seconds", "0"]
    options += ["--judge", "--judge-model", judge, "--judge-sample-rate", "1"]
    options += ["--judge-per-minute", "600", "--record", str(children.folder / "trace.jsonl")]
    for one in replicas:
        options += ["--replica", one]
    address = f"http://127.0.0.1:{port}"
    command = [sys.executable, "-m", "monitor", "serve", *options]
    children.start("proxy", command, answers(f"{address}/ready"))
    return address


def start_monitoring(
    children: Children, programs: dict[str, str], proxy: str, webhook: Webhook
) -> str:
    """Prometheus with our rules as they are, and Alertmanager with our routes."""
    folder = children.folder
    assert build_alerts(["--out", str(folder), "--receiver", webhook.address]) == 0
    port, alert_port = free_port(), free_port()
    config = {
        "global": {"scrape_interval": "1s", "evaluation_interval": "1s"},
        "rule_files": [str(folder / "specwatch.rules.yaml")],
        "alerting": {"alertmanagers": [{"static_configs": [{"targets": [_host(alert_port)]}]}]},
        "scrape_configs": [
            {"job_name": "specwatch", "static_configs": [{"targets": [proxy.split("//")[1]]}]}
        ],
    }
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(json.loads(json.dumps(config))))
    alertmanager = [
        programs["prometheus-alertmanager"],
        f"--config.file={folder / 'alertmanager.yaml'}",
        f"--storage.path={folder / 'alertmanager'}",
        f"--web.listen-address={_host(alert_port)}",
        "--cluster.listen-address=",
    ]
    children.start("alertmanager", alertmanager, answers(f"http://{_host(alert_port)}/-/ready"))
    prometheus = [
        programs["prometheus"],
        f"--config.file={folder / 'prometheus.yaml'}",
        f"--storage.tsdb.path={folder / 'tsdb'}",
        f"--web.listen-address={_host(port)}",
        "--enable-feature=exemplar-storage",
        # It finds its Alertmanager after the first evaluation, and would be silent for a minute.
        "--rules.alert.resend-delay=5s",
    ]
    children.start("prometheus", prometheus, answers(f"http://{_host(port)}/-/ready"))
    return f"http://{_host(port)}"


def _host(port: int) -> str:
    return f"127.0.0.1:{port}"
