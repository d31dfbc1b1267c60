"""Prometheus itself: it accepts the names, scrapes the server under load, and answers the dashboard.

`./dev ci metrics` installs Debian's; without it these tests are not registered.
"""
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.parse
import urllib.request

import grpc
import numpy as np
import pytest

from certificates import Authority
from exposition import scrape
from server_process import ROOT, load_stubs

ADMIN = "--admin-listen=127.0.0.1:0"
SCRAPE_SECONDS = 1
RULES = ROOT / "docker" / "alerts.yaml"


class Prometheus:
    """One Prometheus that scrapes `targets`, on a port that was free a moment ago."""

    def __init__(self, folder, targets):
        with socket.create_server(("127.0.0.1", 0)) as free:
            self.address = f"127.0.0.1:{free.getsockname()[1]}"
        config = {
            "global": {"scrape_interval": f"{SCRAPE_SECONDS}s", "evaluation_interval": f"{SCRAPE_SECONDS}s"},
            "scrape_configs": [{"job_name": "halfstep", "static_configs": [{"targets": targets}]}],
            "rule_files": [str(RULES)],
        }
        # JSON is YAML.
        (folder / "prometheus.yaml").write_text(json.dumps(config))
        self.log = open(folder / "prometheus.log", "w+")
        self.process = subprocess.Popen(
            [
                os.environ["PROMETHEUS"],
                f"--config.file={folder}/prometheus.yaml",
                f"--storage.tsdb.path={folder}/data",
                f"--web.listen-address={self.address}",
            ],
            stdout=self.log,
            stderr=self.log,
        )

    def get(self, path, **arguments):
        query = urllib.parse.urlencode(arguments)
        with urllib.request.urlopen(f"http://{self.address}/api/v1/{path}?{query}", timeout=30) as response:
            reply = json.load(response)
        assert reply["status"] == "success"
        return reply["data"]

    def query(self, expression):
        """Every result of `expression`, as (labels, number)."""
        return [
            (sample["metric"], float(sample["value"][1]))
            for sample in self.get("query", query=expression)["result"]
        ]

    def number(self, expression):
        """The one result of `expression`; nothing if there is none yet."""
        results = self.query(expression)
        assert len(results) <= 1, results
        return results[0][1] if results else None

    def wait_for(self, is_done, seconds=60):
        end = time.monotonic() + seconds
        while True:
            assert self.process.poll() is None, self.told()
            try:
                if is_done():
                    return
            except OSError:
                pass  # it is still starting
            assert time.monotonic() < end, self.told()
            time.sleep(0.2)

    def told(self):
        self.log.seek(0)
        return self.log.read()

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(timeout=60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()


@pytest.fixture
def start_prometheus(tmp_path):
    started = []

    def start(targets):
        started.append(Prometheus(tmp_path, targets))
        return started[-1]

    yield start
    for prometheus in started:
        prometheus.stop()


@pytest.fixture
def secured(start_server, tmp_path):
    """A server with every metric there is: the one of the certificate needs TLS."""
    authority = Authority()
    authority.server().write(tmp_path, "server")
    running = start_server(ADMIN, f"--tls-cert={tmp_path}/server.crt", f"--tls-key={tmp_path}/server.key")
    running.channel = grpc.secure_channel(running.address, grpc.ssl_channel_credentials(authority.pem))
    running.quantization = load_stubs()[1].QuantizationServiceStub(running.channel)
    return running


class Load:
    """Calls from a few threads until it is stopped; one of four is refused."""

    def __init__(self, server, pb, threads=4):
        self.calls = 0
        self.failures = []
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        reals = np.linspace(-1, 1, 4096, dtype="<f4")
        tensor = pb.Tensor(dtype=1, shape=[4096], data=reals.tobytes())
        requests = [
            (server.quantization.Quantize, pb.QuantizeRequest(tensor=tensor), None),
            (server.quantization.MeasureError, pb.MeasureErrorRequest(original=tensor, reconstructed=tensor), None),
            (server.quantization.GetServerInfo, pb.GetServerInfoRequest(), None),
            (server.quantization.Quantize, pb.QuantizeRequest(), grpc.StatusCode.INVALID_ARGUMENT),
        ]
        self.threads = [threading.Thread(target=self.run, args=(requests,)) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def run(self, requests):
        while not self.stopping.is_set():
            for method, request, refusal in requests:
                code = None
                try:
                    method(request, timeout=60)
                except grpc.RpcError as error:
                    code = error.code()
                with self.lock:
                    self.calls += 1
                    if code != refusal:
                        self.failures.append(code)

    def stop(self):
        self.stopping.set()
        for thread in self.threads:
            thread.join()


def expressions():
    """(where it stands, PromQL) of the page and of the dashboard, with its variables filled in."""
    page = (ROOT / "docs" / "metrics.md").read_text()
    section = page[page.index("## What to ask them"):]
    for cell in re.findall(r"`([^`]+)` \|$", section, flags=re.MULTILINE):
        yield "docs/metrics.md", cell.replace("\\|", "|").replace("[5m]", "[10s]")
    board = json.loads((ROOT / "docker" / "grafana" / "halfstep.json").read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            text = target["expr"]
            text = text.replace("$__rate_interval", "10s")
            text = re.sub(r"\$(job|instance|method)\b", ".*", text)
            assert "$" not in text, text
            yield panel["title"], text


def test_scraped_under_load(pb, secured, start_prometheus):
    load = Load(secured, pb)
    try:
        prometheus = start_prometheus([secured.admin()])
        # Four scrapes, so that there is a rate.
        prometheus.wait_for(lambda: (prometheus.number("sum(count_over_time(halfstep_serving[1m]))") or 0) >= 4)
        assert prometheus.number("up") == 1
        assert prometheus.number("sum(rate(grpc_server_handled_total[10s]))") > 0
        codes = {
            labels["grpc_code"]
            for labels, rate in prometheus.query("sum by (grpc_code) (rate(grpc_server_handled_total[10s])) > 0")
        }
        assert codes == {"OK", "InvalidArgument"}
        assert prometheus.number('sum(rate(halfstep_elements_total{scheme="asymmetric"}[10s]))') > 0
        quantile = prometheus.number(
            "histogram_quantile(0.99, sum by (le) (rate(grpc_server_handling_seconds_bucket[10s])))"
        )
        assert 0 < quantile <= 10
        # Most calls are refused or empty, and none takes a tenth of a second to be read.
        assert prometheus.number("max(scrape_duration_seconds)") < 5

        # Everything that is asked for is understood, and has an answer under load
        # unless it is about what does not happen.
        silent = set()
        for where, expression in expressions():
            if not prometheus.query(expression):
                silent.add(where)
        assert silent == set()
        # What it holds is what the server says, no more.
        names = set(prometheus.get("label/__name__/values"))
        own = {name for name in names if not name.startswith(("up", "scrape_", "ALERTS"))}
        assert own == {name for name, _ in scrape(secured).samples}
    finally:
        load.stop()
    assert not load.failures and load.calls > 100
    # The last scrape after the last call knows all of them.
    prometheus.wait_for(lambda: prometheus.number("sum(grpc_server_handled_total)") == load.calls)
    assert prometheus.number("sum(grpc_server_started_total)") == load.calls


def test_promtool_finds_nothing_to_say(pb, secured):
    secured.quantization.Quantize(
        pb.QuantizeRequest(tensor=pb.Tensor(dtype=1, shape=[2], data=np.ones(2, "<f4").tobytes()))
    )
    _, text = secured.page("/metrics")
    checked = subprocess.run(
        [os.environ["PROMTOOL"], "check", "metrics"], input=text, capture_output=True, text=True, timeout=60
    )
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, "", "")


def test_the_alerts_ask_for_what_there_is(secured):
    checked = subprocess.run(
        [os.environ["PROMTOOL"], "check", "rules", str(RULES)], capture_output=True, text=True, timeout=60
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr
    tested = subprocess.run(
        [os.environ["PROMTOOL"], "test", "rules", "alerts_test.yaml"],
        capture_output=True, text=True, timeout=60, cwd=RULES.parent,
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
    known = {name for name, _ in scrape(secured).samples}
    expressions = re.findall(r"^\s+expr: (.*(?:\n {10,}.*)*)", RULES.read_text(), flags=re.MULTILINE)
    assert expressions
    for name in re.findall(r"\b(?:halfstep|grpc_server|process)_\w+", "\n".join(expressions)):
        assert name in known, name


def test_a_server_that_is_gone_is_down(start_server, start_prometheus):
    running = start_server(ADMIN)
    prometheus = start_prometheus([running.admin()])
    prometheus.wait_for(lambda: prometheus.number("up") == 1)
    assert running.stop() == 0
    prometheus.wait_for(lambda: prometheus.number("up") == 0)
