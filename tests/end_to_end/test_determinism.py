"""The same bytes from every instruction set and any number of threads.

Whole replies are compared as they come from the wire, error reports included.
"""

import pathlib
import subprocess

import pytest

import expected_replies
import oracle
import sample_requests
from server_process import binary

pb = expected_replies.pb
THREADS = (1, 2, 3, 16)
# Highway's name of a target, and the flags of /proc/cpuinfo that it needs.
TARGET_FLAGS = {
    "SSSE3": {"ssse3"},
    "SSE4": {"ssse3", "sse4_1", "sse4_2", "aes", "pclmulqdq"},
    "AVX2": {"avx", "avx2", "bmi1", "bmi2", "fma", "f16c", "abm"},
    "AVX3": {"avx512f", "avx512bw", "avx512cd", "avx512dq", "avx512vl"},
}


def built_targets():
    """What the built server says it can run, one name a line."""
    listed = subprocess.run(
        [binary("halfstep-server"), "--list-simd-targets"],
        check=True,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return listed.stdout.split()


def machine_targets():
    """What /proc/cpuinfo says that an x86 machine can run; each needs the one before."""
    text = pathlib.Path("/proc/cpuinfo").read_text()
    flags = set()
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "flags":
            flags = set(value.split())
            break
    found = ["SCALAR"]
    needed = set()
    for name, own in TARGET_FLAGS.items():
        needed |= own
        if needed <= flags:
            found.append(name)
    return found


def sample():
    """Requests of every method, small and larger than the blocks of any split."""
    requests = []
    for seed in range(40):
        dtype = oracle.DTYPES[seed % 4]
        bits = 1 + (seed * 7) % 32
        codes = sample_requests.INTEGER_CODES[0 if bits == 1 else seed % 5]
        profile = sample_requests.PROFILES[seed % 3]
        requests.append(sample_requests.quantize_request(seed, dtype, bits, profile, codes))
        requests.append(sample_requests.dequantize_request(seed, dtype, bits, profile, codes))
    shapes = [(1_100_003,), (1637, 701), (701, 1637), (101, 103, 107), (7, 200_001)]
    for seed, shape in enumerate(shapes * 2):
        dtype = oracle.DTYPES[(seed // 5 + seed) % 4]
        bits = (8, 4, 16, 24, 3, 7)[seed % 6]
        profile = sample_requests.PROFILES[(seed // 2) % 3]
        codes = sample_requests.INTEGER_CODES[seed % 5]
        requests.append(
            sample_requests.quantize_request(100 + seed, dtype, bits, profile, codes, shape)
        )
    for seed in range(8):
        dtype, code_type = oracle.DTYPES[seed % 4], oracle.FLOAT_CODES[seed // 4]
        requests.append(sample_requests.float_code_request(seed, dtype, code_type))
    for request in list(requests):
        if not isinstance(request, pb.QuantizeRequest):
            continue
        how = request.parameters if request.WhichOneof("how") == "parameters" else request
        how.spec.non_finite_policy = pb.NON_FINITE_POLICY_SATURATE
        request.measure_error = True
        requests.append(sample_requests.fake_quantize_request(request))
        # Against the tensor with lower precision: an error report of its own.
        requests.append(
            pb.MeasureErrorRequest(original=request.tensor, reconstructed=coarser(request.tensor))
        )
    return requests


def coarser(tensor):
    """The same tensor with the lowest four bits of every real cleared."""
    width = {pb.DATA_TYPE_FLOAT64: 8, pb.DATA_TYPE_FLOAT32: 4}.get(tensor.dtype, 2)
    data = bytearray(tensor.data)
    data[0::width] = bytes(b & 0xF0 for b in data[0::width])
    return pb.Tensor(dtype=tensor.dtype, shape=tensor.shape, data=bytes(data))


def replies(running, requests):
    """Serialized replies, as they come from the wire."""
    return [
        running.channel.unary_unary(
            f"/halfstep.v1.QuantizationService/{expected_replies.METHODS[type(r).__name__]}",
            request_serializer=lambda m: m.SerializeToString(),
        )(r)
        for r in requests
    ]


@pytest.fixture(scope="module")
def requests():
    return sample()


@pytest.fixture(scope="module")
def wanted(server, requests):
    """What the shared server, with its default flags, replies."""
    return replies(server, requests)


def check_same(running, requests, wanted):
    for i, (request, actual) in enumerate(zip(requests, replies(running, requests))):
        assert actual == wanted[i], (
            f"request {i}, {type(request).__name__}, dtype and shape "
            f"{request.tensor if request.ByteSize() < 300 else request.ByteSize()}"
        )


def test_no_target_of_the_machine_is_missing():
    missing = set(machine_targets()) - set(built_targets())
    assert not missing


@pytest.mark.parametrize("threads", THREADS)
def test_threads(start_server, requests, wanted, threads):
    running = start_server("--threads", str(threads))
    info = running.quantization.GetServerInfo(pb.GetServerInfoRequest())
    assert info.worker_threads == threads
    check_same(running, requests, wanted)


@pytest.mark.parametrize("target", sorted(set(built_targets()) | set(machine_targets())))
def test_simd_target(start_server, requests, wanted, target):
    running = start_server("--threads", "2", env={"HALFSTEP_SIMD_TARGET": target})
    info = running.quantization.GetServerInfo(pb.GetServerInfoRequest())
    assert info.simd_target == target
    check_same(running, requests, wanted)


def test_simd_target_by_flag(start_server):
    running = start_server("--simd-target=SCALAR")
    info = running.quantization.GetServerInfo(pb.GetServerInfoRequest())
    assert info.simd_target == "SCALAR"


def test_a_target_that_does_not_exist_is_refused():
    done = subprocess.run(
        [binary("halfstep-server"), "--listen=127.0.0.1:0", "--simd-target=ABACUS"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode != 0
    assert "ABACUS" in done.stderr
