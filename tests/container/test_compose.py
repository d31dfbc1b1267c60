"""docker/compose.yaml: two servers behind nginx, watched by Prometheus."""

import json
import re
import urllib.parse
import urllib.request

import pytest

import ledger as ledgers
from engine import compose, docker, inspect, wait_until

BALANCER = "127.0.0.1:50050"
SERVERS = ["server1", "server2"]


def container_of(service):
    return compose("ps", "-q", service).strip()


def query(expression):
    """What Prometheus answers: {instance: value}."""
    url = "http://127.0.0.1:9090/api/v1/query?query=" + urllib.parse.quote(expression)
    with urllib.request.urlopen(url, timeout=10) as answer:
        found = json.load(answer)["data"]["result"]
    return {row["metric"].get("instance", ""): float(row["value"][1]) for row in found}


def is_healthy(service):
    return inspect(container_of(service))["State"]["Health"]["Status"] == "healthy"


@pytest.fixture(scope="module", autouse=True)
def composed():
    compose("up", "-d", "--no-build")
    try:
        for service in SERVERS:
            wait_until(lambda: is_healthy(service), f"{service} is healthy")
        yield
    finally:
        print(compose("logs", "--no-color", "--tail=5", "balancer", check=False))
        compose("down", "--volumes", "--timeout", "10")


def answered(service):
    log = docker("logs", container_of(service), check=False)
    return len(re.findall(r'"status":"OK"|status=OK', log))


def assert_clean(summary, what):
    print(f"\n{what}: {summary}")
    assert summary["right"] > 0
    assert (summary["wrong"], summary["missing"], summary["failed"]) == (0, 0, {})


def test_both_servers_are_called():
    before = [answered(service) for service in SERVERS]
    ledger = ledgers.Ledger(BALANCER).start()
    ledger.wait_for(400)
    assert_clean(ledger.stop(), "balanced")
    counts = [answered(service) - b for service, b in zip(SERVERS, before)]
    # Fewest first: about the same for both; a third would be a balancer that does not.
    assert min(counts) > sum(counts) / 3, counts


def test_a_server_killed_under_load():
    ledger = ledgers.Ledger(BALANCER, callers=8).start()
    ledger.wait_for(300)
    docker("kill", container_of("server1"))
    ledger.wait_for(300)
    compose("start", "server1")
    wait_until(lambda: is_healthy("server1"), "server1 is healthy again")
    back = answered("server1")
    ledger.wait_for(300)
    wait_until(lambda: answered("server1") > back, "server1 is called again", 20)
    assert_clean(ledger.stop(), "one of two killed")


def test_a_rolling_restart_under_load():
    ledger = ledgers.Ledger(BALANCER, callers=8).start()
    ledger.wait_for(200)
    for service in SERVERS:
        compose("stop", service)
        state = inspect(container_of(service))["State"]
        assert state["ExitCode"] == 0 and not state["OOMKilled"]
        compose("start", service)
        wait_until(lambda: is_healthy(service), f"{service} is healthy again")
        ledger.wait_for(200)
    assert_clean(ledger.stop(), "rolling restart")


def test_prometheus_watches_both():
    wait_until(lambda: query("up") == {f"{s}:50052": 1.0 for s in SERVERS}, "both are up", 30)
    wait_until(lambda: all(v > 0 for v in query("sum by (instance) "
               "(grpc_server_handled_total{grpc_code='OK'})").values()), "calls are counted", 20)
    with urllib.request.urlopen("http://127.0.0.1:9090/api/v1/rules", timeout=10) as answer:
        groups = json.load(answer)["data"]["groups"]
    rules = groups[0]["rules"]
    assert len(rules) == 9 and all(rule["health"] in ("ok", "unknown") for rule in rules)


def test_alert_rules():
    promtool = ["docker", "run", "--rm", "--entrypoint=promtool", "halfstep-prometheus"]
    checked = docker(*promtool[1:], "check", "config", "/etc/halfstep/prometheus.yaml")
    assert "9 rules found" in checked
    tested = docker(*promtool[1:], "test", "rules", "/etc/halfstep/alerts_test.yaml")
    assert "SUCCESS" in tested


def test_every_metric_of_an_alert_exists():
    """A renamed metric would leave an alert silent for ever."""
    text = docker("run", "--rm", "--entrypoint=cat", "halfstep-prometheus",
                  "/etc/halfstep/alerts.yaml")
    names = set(re.findall(r"\b(?:halfstep|grpc_server)_[a-z_]+\b", text))
    # Only with TLS.
    names.discard("halfstep_certificate_expiry_timestamp_seconds")
    assert len(names) > 8
    for name in names:
        wait_until(lambda: query(f"count({name})"), f"Prometheus has {name}", 20)


def test_the_load_job():
    output = compose("run", "--rm", "-T", "load", "load", "--server", "balancer:50050", "--json",
                     "--concurrency", "4", "--duration", "3s")
    step = json.loads(output[output.index("{"):])["steps"][0]
    print(f"\nload through nginx: {step['calls_per_second']:.0f} calls/s, "
          f"p99 {1e3 * step['latency_seconds']['p99']:.1f} ms")
    assert step["ok"] > 0 and step["failed"] == 0
