"""Work stops when nobody wants it any more, and gives back what it held, once."""
import re
import time
import urllib.request

import grpc
import numpy as np
import pytest

# What a busy machine may take; `-s` prints what it took.
CEILING_SECONDS = 2


@pytest.fixture(scope="module")
def request_(pb):
    count = 8 << 20
    reals = np.random.default_rng(1).standard_normal(count).astype("<f4")
    tensor = pb.Tensor(dtype=1, shape=[count], data=reals.tobytes())
    return pb.QuantizeRequest(tensor=tensor, measure_error=True)


@pytest.fixture
def running(start_server):
    server = start_server("--threads=1", "--admin-listen=127.0.0.1:0")
    end = time.monotonic() + 20
    while not (said := re.search(r"admin on (\S+)\n", server.stderr())):
        assert time.monotonic() < end
    server.admin = said.group(1)
    return server


def sums(running):
    """(calls that compute or wait for a thread, all calls in flight, bytes they hold)."""
    with urllib.request.urlopen(f"http://{running.admin}/metrics") as page:
        lines = page.read().decode().splitlines()

    def total(prefix):
        return sum(float(line.split()[-1]) for line in lines if line.startswith(prefix))

    busy = sum(total('halfstep_calls_in_flight{phase="%s"' % phase) for phase in ("compute", "queue"))
    return busy, total("halfstep_calls_in_flight{"), total("halfstep_bytes_in_flight ")


def await_rest(running):
    """Seconds until no call is in flight."""
    begin = time.monotonic()
    while sums(running)[1] > 0:
        assert time.monotonic() < begin + CEILING_SECONDS, sums(running)
        # grpcio looks at its connection only while a call is under way: without one, what
        # is cancelled may wait behind bytes that it has not sent yet.
        running.quantization.GetServerInfo(running.messages.GetServerInfoRequest())
    assert sums(running) == (0, 0, 0)
    return time.monotonic() - begin


def begin_calls(running, request, count, **keywords):
    calls = [running.quantization.Quantize.future(request, **keywords) for _ in range(count)]
    end = time.monotonic() + 60
    while sums(running)[0] == 0 and not all(call.done() for call in calls):
        assert time.monotonic() < end
    return calls


def test_cancelled_work_stops_and_gives_back_what_it_held(running, request_):
    took = []
    for _ in range(5):
        calls = begin_calls(running, request_, 4)
        for call in calls:
            call.cancel()
        took.append(await_rest(running))
    print("cancelled, then at rest after ms:", [round(1000 * one, 1) for one in took])
    # Nothing was given back twice: as much fits as before.
    assert len(running.quantization.Quantize(request_).tensor.codes) == 8 << 20
    assert sums(running)[2] == 0
    assert "CANCELLED" in running.stderr()


def test_expired_work_stops_and_gives_back_what_it_held(running, request_):
    calls = begin_calls(running, request_, 4, timeout=0.5)
    for call in calls:
        error = call.exception()
        assert error is None or error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    await_rest(running)


def test_work_of_a_client_that_is_gone_stops(running, request_):
    channel = running.new_channel()
    call = channel.unary_unary("/halfstep.v1.QuantizationService/Quantize").future(
        request_.SerializeToString())
    end = time.monotonic() + 60
    while sums(running)[0] == 0 and not call.done():
        assert time.monotonic() < end
    channel.close()
    await_rest(running)
