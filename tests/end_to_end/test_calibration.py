"""CalibrationService and its command line: states that add up, parameters that
static quantization takes, and what bad states get."""
import json
import subprocess

import grpc
import numpy as np
import pytest

import calibration_table
from server_process import ROOT, binary, refusal

GLOVE = ROOT / "tests" / "data" / "glove_1000x100.npy"
SILERO = ROOT / "tests" / "data" / "silero_vad_encoder3.npy"


@pytest.fixture(scope="module")
def calibration(server):
    return server.calibration


@pytest.fixture(scope="module")
def glove():
    return np.load(GLOVE)


def tensor(pb, reals):
    dtypes = {"f4": pb.DATA_TYPE_FLOAT32, "f8": pb.DATA_TYPE_FLOAT64, "f2": pb.DATA_TYPE_FLOAT16}
    return pb.Tensor(
        dtype=dtypes[reals.dtype.str[1:]],
        shape=reals.shape,
        data=np.ascontiguousarray(reals).tobytes(),
    )


def observe(pb, calibration, *tensors, axis=None, state=None):
    requests = [pb.ObserveRequest(tensor=tensor(pb, reals)) for reals in tensors]
    if axis is not None:
        requests[0].axis = axis
    if state is not None:
        requests[0].state.CopyFrom(state)
    return calibration.Observe(iter(requests)).state


def defined(reals):
    """(count, min, max, non-finite, keys, counts), as docs/numerics.md says."""
    reals = np.asarray(reals).ravel()
    finite = reals[np.isfinite(reals)].astype("f8")
    with np.errstate(over="ignore"):
        single = finite.astype("f4")
    away = np.abs(single.astype("f8")) > np.abs(finite)
    bits = single.view("u4") - away
    magnitude = (bits >> 16 & 0x7FFF).astype("i4")
    keys = np.where(bits >> 31 != 0, -magnitude, magnitude)
    values, counts = np.unique(keys, return_counts=True)
    least, most = (finite.min(), finite.max()) if finite.size else (0.0, 0.0)
    return finite.size, least, most, reals.size - finite.size, values, counts


def check_summary(summary, reals):
    count, least, most, non_finite, keys, counts = defined(reals)
    assert (summary.count, summary.non_finite_count) == (count, non_finite)
    assert (summary.min, summary.max) == (least, most)
    assert list(np.cumsum(summary.bucket_delta)) == list(keys)
    assert list(summary.bucket_count) == list(counts)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2"])
def test_observing_counts_as_defined(pb, calibration, dtype):
    generator = np.random.default_rng(3)
    reals = (generator.normal(size=5000) * 10.0 ** generator.integers(-4, 4, 5000)).astype(dtype)
    reals[17], reals[18], reals[19], reals[20] = np.nan, np.inf, -0.0, 0.0
    state = observe(pb, calibration, reals)
    assert state.format_version == 1 and not state.HasField("axis")
    check_summary(state.summaries[0], reals)
    per_axis = observe(pb, calibration, reals.reshape(50, 4, 25), axis=-2)
    assert per_axis.axis == 1
    for index, summary in enumerate(per_axis.summaries):
        check_summary(summary, reals.reshape(50, 4, 25)[:, index])


def test_any_split_on_any_servers_gives_the_same_bytes(pb, calibration, start_server, glove):
    other = start_server("--threads=1").calibration
    whole = observe(pb, calibration, glove, axis=1).SerializeToString()
    generator = np.random.default_rng(1)
    for _ in range(10):
        rows = generator.permutation(len(glove))
        parts = np.split(glove[rows], sorted(generator.integers(0, len(glove) + 1, 3)))
        states = [
            observe(pb, [calibration, other][i % 2], part, axis=1) for i, part in enumerate(parts)
        ]
        merged = calibration.Merge(pb.MergeRequest(states=states)).state
        assert merged.SerializeToString() == whole
        on_and_on = observe(pb, calibration, parts[0], axis=1)
        for part in parts[1:]:
            on_and_on = observe(pb, other, part, state=on_and_on)
        assert on_and_on.SerializeToString() == whole


def test_nothing_observed_is_a_state(pb, calibration):
    state = calibration.Observe(iter([])).state
    assert (len(state.summaries), state.summaries[0].count) == (1, 0)
    no_tensor = calibration.Observe(iter([pb.ObserveRequest()])).state
    assert no_tensor == state


def compute(pb, calibration, state, method="MIN_MAX", **request):
    spec = request.pop("spec", {})
    return calibration.ComputeParameters(
        pb.ComputeParametersRequest(
            state=state,
            spec=pb.QuantizationSpec(**spec),
            method=f"CALIBRATION_METHOD_{method}",
            **request,
        )
    )


@pytest.mark.parametrize("granularity", [{}, {"axis": 1}])
@pytest.mark.parametrize("scheme", [1, 2])
@pytest.mark.parametrize("profile", [1, 2, 3])
def test_min_max_is_dynamic_quantization(
    pb, calibration, quantization, glove, granularity, scheme, profile
):
    spec = {"scheme": scheme, "profile": profile, "granularity": granularity, "bits": 4}
    state = observe(pb, calibration, glove, axis=granularity.get("axis"))
    dynamic = quantization.Quantize(
        pb.QuantizeRequest(spec=pb.QuantizationSpec(**spec), tensor=tensor(pb, glove))
    )
    assert compute(pb, calibration, state, spec=spec).parameters == dynamic.tensor.parameters


@pytest.mark.parametrize("file", [GLOVE, SILERO])
def test_percentiles_are_numpys_within_a_bucket(pb, calibration, file):
    reals = np.load(file)
    state = observe(pb, calibration, reals)
    for quantile in (0.5, 0.9, 0.99, 0.999, 0.9999):
        share = (1 - quantile) / 2
        low, high = np.quantile(reals.ravel().astype("f8"), [share, 1 - share])
        low, high = min(low, 0), max(high, 0)
        scale = compute(pb, calibration, state, "PERCENTILE", quantile=quantile).parameters.scale[0]
        assert scale == pytest.approx((high - low) / 255, rel=2**-7)
        largest = np.quantile(np.abs(reals.ravel()).astype("f8"), quantile)
        symmetric = compute(
            pb, calibration, state, "PERCENTILE", quantile=quantile, spec={"scheme": 2}
        )
        assert symmetric.parameters.scale[0] == pytest.approx(largest / 127, rel=2**-7)


def measured(pb, quantization, reals, parameters):
    return quantization.Quantize(
        pb.QuantizeRequest(parameters=parameters, measure_error=True, tensor=tensor(pb, reals))
    ).error


@pytest.mark.parametrize("file", [GLOVE, SILERO])
@pytest.mark.parametrize("bits", [8, 4, 3])
def test_methods_help_where_they_should(pb, calibration, quantization, file, bits):
    """On the data observed: MSE is the least, and errors are as expected."""
    reals = np.load(file)
    state = observe(pb, calibration, reals)
    found = {}
    for method in ("MIN_MAX", "PERCENTILE", "MSE", "ENTROPY"):
        reply = compute(pb, calibration, state, method, spec={"scheme": 2, "bits": bits})
        found[method] = measured(pb, quantization, reals, reply.parameters).mean_squared_error
        assert reply.expected_error.mean_squared_error == pytest.approx(found[method], rel=0.02)
    assert found["MSE"] <= 1.005 * min(found.values())
    if file == SILERO and bits < 8:
        assert found["MSE"] < 0.9 * found["MIN_MAX"]


def test_half_of_a_matrix_calibrates_the_other(pb, calibration, quantization, glove):
    seen, unseen = glove[::2], glove[1::2]
    state = observe(pb, calibration, seen)
    for bits in (8, 4, 3):
        spec = {"scheme": 2, "bits": bits}
        by_range = compute(pb, calibration, state, spec=spec).parameters
        by_error = compute(pb, calibration, state, "MSE", spec=spec).parameters
        whole = measured(pb, quantization, unseen, by_range).mean_squared_error
        least = measured(pb, quantization, unseen, by_error).mean_squared_error
        # What was chosen on one half holds on the other.
        assert least <= 1.02 * whole
        if bits < 8:
            assert least < 0.8 * whole


def test_known_ranges(pb, calibration):
    request = pb.ComputeParametersRequest(
        ranges={"min": [-1, 0], "max": [3, 2]},
        spec=pb.QuantizationSpec(granularity={"axis": 1}),
    )
    reply = calibration.ComputeParameters(request)
    assert list(reply.parameters.scale) == [
        np.float32(4) / np.float32(255), np.float32(2) / np.float32(255)]
    assert list(reply.parameters.zero_point) == [64, 0]
    assert not reply.HasField("expected_error")


def test_the_tables_of_the_documentation(server):
    text = (ROOT / "docs" / "calibration.md").read_text()
    for table in calibration_table.tables(calibration_table.Calibrator(server)):
        assert "\n".join(table) in text


# --- What bad input gets.


def bad_state(pb, **changes):
    state = pb.CalibrationState(
        format_version=1,
        summaries=[{"count": 5, "min": -1, "max": 2.5, "bucket_delta": [-16256, 16256, 16416],
                    "bucket_count": [2, 1, 2]}],
    )
    summary = state.summaries[0]
    for name, value in changes.items():
        if name in ("format_version", "axis"):
            setattr(state, name, value)
        elif isinstance(value, list):
            del getattr(summary, name)[:]
            getattr(summary, name).extend(value)
        else:
            setattr(summary, name, value)
    return state


BAD_STATES = [
    ({"format_version": 2}, "format_version"),
    ({"format_version": 0}, "format_version"),
    ({"axis": -1}, "axis"),
    ({"count": 6}, "summaries[0].count"),
    ({"bucket_count": [2, 1]}, "summaries[0].bucket_count"),
    ({"bucket_count": [2, 0, 2]}, "summaries[0].bucket_count[1]"),
    ({"bucket_count": [2, 2**64 - 1, 2]}, "summaries[0].bucket_count[1]"),
    ({"bucket_delta": [-16256, 0, 32672]}, "summaries[0].bucket_delta[1]"),
    ({"bucket_delta": [-16256, 40000, -7328]}, "summaries[0].bucket_delta[2]"),
    ({"bucket_delta": [-16256, 16256, 2**31 - 1]}, "summaries[0].bucket_delta[2]"),
    ({"bucket_delta": [-32640, 32640, 16416]}, "summaries[0].bucket_delta[0]"),
    ({"min": float("nan")}, "summaries[0].min"),
    ({"max": float("inf")}, "summaries[0].max"),
    ({"min": -3}, "summaries[0].min"),
    ({"max": 1}, "summaries[0].max"),
    ({"non_finite_count": 2**63}, "summaries[0].non_finite_count"),
    ({"count": 0, "bucket_delta": [], "bucket_count": []}, "summaries[0].min"),
]


@pytest.mark.parametrize("changes, field", BAD_STATES)
def test_bad_states_name_their_fault(pb, calibration, changes, field):
    state = bad_state(pb, **changes)
    good = bad_state(pb)
    merge = refusal(calibration.Merge, pb.MergeRequest(states=[good, state]))
    assert (merge.code, merge.fields) == (
        grpc.StatusCode.INVALID_ARGUMENT, [f"states[1].{field}"]), merge.message
    parameters = refusal(calibration.ComputeParameters, pb.ComputeParametersRequest(state=state))
    assert parameters.fields == [f"state.{field}"]
    on = refusal(calibration.Observe, iter([pb.ObserveRequest(state=state)]))
    assert on.fields == [f"state.{field}"]
    # And the server is ready for the next.
    assert calibration.Merge(pb.MergeRequest(states=[good])).state == good


def test_states_that_do_not_fit_each_other(pb, calibration, glove):
    whole = observe(pb, calibration, glove)
    columns = observe(pb, calibration, glove, axis=1)
    rows = observe(pb, calibration, glove[:10], axis=0)
    fewer = observe(pb, calibration, glove[:, :7], axis=1)
    for states, field in [
        ([whole, columns], "states[1].axis"),
        ([rows, columns], "states[1].axis"),
        ([columns, columns, fewer], "states[2].summaries"),
        ([], "states"),
    ]:
        assert refusal(calibration.Merge, pb.MergeRequest(states=states)).fields == [field]


def test_bad_observations(pb, calibration, glove):
    good = pb.ObserveRequest(tensor=tensor(pb, glove))
    state = observe(pb, calibration, glove)
    short = pb.ObserveRequest(tensor=pb.Tensor(dtype=1, shape=[3], data=b"12345678"))
    wide = pb.ObserveRequest(axis=1, tensor=tensor(pb, np.ones((1, 5000), "f4")))
    for requests, code, field in [
        ([good, pb.ObserveRequest(state=state)], "INVALID_ARGUMENT", "state"),
        ([good, pb.ObserveRequest(axis=0)], "INVALID_ARGUMENT", "axis"),
        ([pb.ObserveRequest(axis=2, tensor=good.tensor)], "INVALID_ARGUMENT", "tensor.shape"),
        ([pb.ObserveRequest(axis=0)], "INVALID_ARGUMENT", "axis"),
        ([good, short], "INVALID_ARGUMENT", "tensor.data"),
        ([pb.ObserveRequest(axis=0, tensor=good.tensor),
          pb.ObserveRequest(tensor=tensor(pb, glove[:5]))], "INVALID_ARGUMENT", "tensor.shape"),
        ([wide], "RESOURCE_EXHAUSTED", "tensor.shape"),
    ]:
        found = refusal(calibration.Observe, iter(requests))
        assert (found.code.name, found.fields) == (code, [field]), found.message


def test_parameters_that_cannot_be(pb, calibration, glove):
    state = observe(pb, calibration, glove)
    empty = calibration.Observe(iter([])).state
    all_nan = observe(pb, calibration, np.full(3, np.nan, "f4"))

    def fault(**request):
        return refusal(calibration.ComputeParameters, pb.ComputeParametersRequest(**request)).fields

    assert fault() == ["source"]
    assert fault(state=empty) == ["state.summaries"]
    assert fault(state=all_nan) == ["state.summaries"]
    assert fault(state=state, method=4) == ["method"]
    assert fault(state=state, method=9) == ["method"]
    assert fault(state=state, method=2, quantile=1.1) == ["quantile"]
    assert fault(state=state, method=2, quantile=float("nan")) == ["quantile"]
    assert fault(state=state, dtype=9) == ["dtype"]
    assert fault(state=state, spec=pb.QuantizationSpec(granularity={"axis": 0})) == [
        "spec.granularity.axis"]
    assert fault(state=state, spec=pb.QuantizationSpec(granularity={"group": {"size": 4}})) == [
        "spec.granularity.group"]
    assert fault(state=state, spec=pb.QuantizationSpec(code_type=3)) == ["spec.code_type"]
    assert fault(ranges={"min": [1], "max": [0]}) == ["ranges.min[0]"]
    assert fault(ranges={"min": [0], "max": []}) == ["ranges.max"]
    assert fault(ranges={"min": [float("nan")], "max": [0]}) == ["ranges.min[0]"]


def test_histograms_have_a_limit(pb, start_server):
    server = start_server("--max-buffered-bytes=1048576")
    wide = np.ones((1, 4000), "f4")
    request = pb.ObserveRequest(axis=1, tensor=tensor(pb, wide))
    found = refusal(server.calibration.Observe, iter([request]))
    assert found.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "max_buffered_bytes" in found.message and not found.has_retry_info


def test_an_observation_that_is_cancelled(pb, calibration, glove):
    def requests():
        yield pb.ObserveRequest(tensor=tensor(pb, glove))
        call.cancel()
        yield pb.ObserveRequest(tensor=tensor(pb, glove))

    call = calibration.Observe.future(requests())
    with pytest.raises(grpc.FutureCancelledError):
        call.result(timeout=60)
    check_summary(observe(pb, calibration, glove).summaries[0], glove)


# --- The command line.


def halfstep(*arguments, code=0):
    done = subprocess.run(
        [binary("halfstep"), *map(str, arguments)], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == code, done.stderr
    return done


def test_command_line_from_tensors_to_codes(tmp_path, glove):
    np.save(tmp_path / "a.npy", glove[:400])
    np.save(tmp_path / "b.npy", glove[400:500])
    np.save(tmp_path / "c.npy", glove[500:])
    for name in "ab":
        halfstep("calibrate", tmp_path / f"{name}.npy", "-o", tmp_path / f"{name}.json")
    both, merged = tmp_path / "both.json", tmp_path / "merged.json"
    done = halfstep("calibrate", tmp_path / "a.npy", tmp_path / "b.npy", "-o", both)
    assert done.stderr == ""  # no progress where there is no terminal
    halfstep("calibrate", "--merge", tmp_path / "b.json", tmp_path / "a.json", "-o", merged)
    assert merged.read_bytes() == both.read_bytes()
    on = tmp_path / "on.json"
    halfstep("calibrate", tmp_path / "b.npy", "--begin", tmp_path / "a.json", "-o", on)
    assert on.read_bytes() == both.read_bytes()
    parameters = tmp_path / "parameters.json"
    halfstep("parameters", both, "--method", "mse", "--bits", "4", "-o", parameters)
    done = halfstep("--json", "quantize", tmp_path / "c.npy", "--parameters", parameters,
                    "--error", "-o", tmp_path / "codes")
    reply = json.loads(done.stdout)
    assert reply["tensor"]["parameters"]["scale"] == json.loads(parameters.read_text())["scale"]
    assert reply["error"]["sqnr_db"] > 15
    assert np.load(tmp_path / "codes.npy").max() == 15


def test_command_line_keeps_the_axis(tmp_path, glove):
    state = tmp_path / "state.json"
    halfstep("calibrate", GLOVE, "--axis", "-1", "-o", state)
    per_axis = json.loads(halfstep("--json", "parameters", state).stdout)["parameters"]
    assert len(per_axis["scale"]) == 100
    whole = json.loads(halfstep("--json", "parameters", state, "--whole").stdout)["parameters"]
    assert len(whole["scale"]) == 1


@pytest.mark.parametrize("options", [[], ["--axis", "0"], ["--axis", "-1", "--bits", "3",
                                     "--packing", "dense"], ["--group-size", "32"],
                                     ["--scheme", "symmetric"]])
def test_command_line_streams_what_is_too_large(tmp_path, start_server, options):
    """A server that takes little at once gets pieces; the files are the same."""
    server = start_server("--max-message-bytes=1048576", "--max-buffered-bytes=4194304")
    small = ["--server", server.address]
    file, whole, pieces = tmp_path / "tensor.npy", tmp_path / "whole", tmp_path / "pieces"
    # 4.8 MB: more than a message, and more than may be held back.
    np.save(file, np.tile(np.load(GLOVE), (12, 1)))
    halfstep("quantize", file, *options, "--error", "-o", whole)
    halfstep(*small, "quantize", file, *options, "--error", "-o", pieces)
    for suffix in (".npy", ".json"):
        assert pieces.with_suffix(suffix).read_bytes() == whole.with_suffix(suffix).read_bytes()
    halfstep("dequantize", whole, "-o", tmp_path / "whole_back.npy")
    halfstep(*small, "dequantize", pieces, "-o", tmp_path / "pieces_back.npy")
    assert (tmp_path / "pieces_back.npy").read_bytes() == (tmp_path / "whole_back.npy").read_bytes()


def test_command_line_says_what_is_wrong(tmp_path):
    assert "cannot be read" in halfstep("calibrate", tmp_path / "none.npy", code=3).stderr
    np.save(tmp_path / "integers.npy", np.arange(5))
    halfstep("calibrate", tmp_path / "integers.npy", code=3)
    (tmp_path / "state.json").write_text('{"format_version": 7}')
    assert "format_version" in halfstep("parameters", tmp_path / "state.json", code=1).stderr
    assert "format_version" in halfstep(
        "calibrate", "--merge", tmp_path / "state.json", code=1).stderr
    halfstep("parameters", code=2)
    halfstep("parameters", "--min", "1", code=2)
    np.save(tmp_path / "a.npy", np.ones(3, "f4"))
    halfstep("calibrate", tmp_path / "a.npy", "-o", tmp_path / "a.npy", code=2)
    assert "method" in halfstep("parameters", "--min", "0", "--max", "1", "--method", "mse",
                                code=1).stderr
