"""What bad input gets: the code, the field at the head of the message, its detail."""

import math
import struct

import grpc
import pytest

import expected_replies
from numerics_requests import spec, tensor
from server_process import refusal

pb = expected_replies.pb
INVALID = grpc.StatusCode.INVALID_ARGUMENT
EXHAUSTED = grpc.StatusCode.RESOURCE_EXHAUSTED
NAN, INF = math.nan, math.inf


def check_refused(method, request, field, code=INVALID):
    """`field` is the path of the field at fault, or a tuple of the possible ones."""
    refused = refusal(method, request)
    assert refused.code == code, refused.message
    path, colon, fault = refused.message.partition(": ")
    possible = field if isinstance(field, tuple) else (field,)
    assert colon and path in possible, refused.message
    # "what it is; what it must be"
    assert "; " in fault, refused.message
    assert refused.fields == [path]
    assert not refused.has_retry_info


SOME = tensor("FLOAT32", [[1.0, 2.0], [3.0, 4.0]])

SPECS = {
    "33 bits": ("bits", dict(bits=33)),
    "4294967295 bits": ("bits", dict(bits=2**32 - 1)),
    "1 bit, symmetric": ("bits", dict(bits=1, scheme="SYMMETRIC")),
    "symmetric UINT": (("code_type", "scheme"), dict(scheme="SYMMETRIC", code_type="UINT")),
    "narrow UINT": ("narrow_range", dict(narrow_range=True)),
    "narrow 1 bit": (("narrow_range", "bits"), dict(narrow_range=True, bits=1, code_type="INT")),
    "version 2": ("numerics_version", dict(numerics_version=2)),
    "axis past rank": ("granularity.axis", dict(axis=2)),
    "axis before rank": ("granularity.axis", dict(axis=-3)),
    "group axis past rank": ("granularity.group.axis", dict(axis=2, group_size=1)),
    "group axis before rank": ("granularity.group.axis", dict(axis=-3, group_size=1)),
    "group size 0": ("granularity.group.size", dict(axis=0, group_size=0)),
    "group size -1": ("granularity.group.size", dict(axis=0, group_size=-1)),
    "reversed clamp": (("clamp", "clamp.min", "clamp.max"), dict(min=1.0, max=0.0)),
    "clamp min NaN": ("clamp.min", dict(min=NAN)),
    "clamp max NaN": ("clamp.max", dict(max=NAN)),
    "clamp min -inf": ("clamp.min", dict(min=-INF)),
    "clamp max inf": ("clamp.max", dict(max=INF)),
    "clamp infinite in float32": ("clamp.max", dict(max=1e39)),
    "float codes, 8 bits": ("bits", dict(code_type="FLOAT16", bits=8)),
    "float codes, symmetric": (
        ("scheme", "code_type"),
        dict(code_type="BFLOAT16", scheme="SYMMETRIC"),
    ),
    "float codes, axis": ("granularity", dict(code_type="FLOAT16", axis=0)),
    "float codes, group": ("granularity", dict(code_type="FLOAT16", axis=0, group_size=1)),
    "float codes, narrow": ("narrow_range", dict(code_type="FLOAT16", narrow_range=True)),
}


def prefixed(prefix, field):
    return tuple(f"{prefix}.{f}" for f in (field if isinstance(field, tuple) else (field,)))


@pytest.mark.parametrize("name", SPECS)
def test_spec(quantization, name):
    field, fields = SPECS[name]
    bad = spec(**fields)
    for method, message in (
        ("Quantize", pb.QuantizeRequest),
        ("FakeQuantize", pb.FakeQuantizeRequest),
    ):
        call = getattr(quantization, method)
        check_refused(call, message(spec=bad, tensor=SOME), prefixed("spec", field))
        static = message(parameters=pb.QuantizationParameters(spec=bad), tensor=SOME)
        check_refused(call, static, prefixed("parameters.spec", field))
    quantized = pb.QuantizedTensor(parameters=static.parameters, dtype=SOME.dtype, shape=SOME.shape)
    quantized.codes = bytes(4)
    check_refused(
        quantization.Dequantize,
        pb.DequantizeRequest(tensor=quantized),
        prefixed("tensor.parameters.spec", field),
    )
    check_refused(
        quantization.MeasureError,
        pb.MeasureErrorRequest(original=SOME, quantized=quantized),
        prefixed("quantized.parameters.spec", field),
    )


@pytest.mark.parametrize(
    "field", ["scheme", "code_type", "profile", "packing", "non_finite_policy"]
)
@pytest.mark.parametrize("value", [77, -1])
def test_unknown_enum_value(quantization, field, value):
    bad = pb.QuantizationSpec()
    setattr(bad, field, value)
    check_refused(quantization.Quantize, pb.QuantizeRequest(spec=bad, tensor=SOME), f"spec.{field}")


def test_empty_clamp_range(quantization):
    bad = pb.QuantizationSpec(clamp=pb.ClampRange())
    check_refused(quantization.Quantize, pb.QuantizeRequest(spec=bad, tensor=SOME), "spec.clamp")


def test_axis_of_a_scalar(quantization):
    request = pb.QuantizeRequest(spec=spec(axis=0), tensor=tensor("FLOAT32", 1.0))
    check_refused(quantization.Quantize, request, "spec.granularity.axis")


GROUPLESS = pb.QuantizationSpec()
GROUPLESS.granularity.group.SetInParent()


def test_group_without_size(quantization):
    request = pb.QuantizeRequest(spec=GROUPLESS, tensor=SOME)
    check_refused(quantization.Quantize, request, "spec.granularity.group.size")


TENSORS = {
    "no tensor": (("tensor", "tensor.dtype"), None),
    "no dtype": ("tensor.dtype", dict(data=bytes(4))),
    "unknown dtype": ("tensor.dtype", dict(dtype=9, data=bytes(4))),
    "too few bytes": ("tensor.data", dict(dtype=1, shape=[2], data=bytes(7))),
    "too many bytes": ("tensor.data", dict(dtype=1, shape=[2], data=bytes(9))),
    "no bytes": ("tensor.data", dict(dtype=1, shape=[2])),
    "bytes for an empty tensor": ("tensor.data", dict(dtype=1, shape=[0], data=bytes(4))),
    "data and values": (
        ("tensor.values", "tensor.data", "tensor"),
        dict(dtype=1, shape=[1], data=bytes(4), values=[1.0]),
    ),
    "too few values": (("tensor.values", "tensor.shape"), dict(shape=[2], values=[1.0])),
    "too many values": (("tensor.values", "tensor.shape"), dict(shape=[1], values=[1.0, 2.0])),
    "negative dimension": ("tensor.shape", dict(dtype=1, shape=[-1], data=bytes(4))),
    "negative dimensions": ("tensor.shape", dict(dtype=1, shape=[-1, -1], data=bytes(4))),
    "9 dimensions": ("tensor.shape", dict(dtype=1, shape=[1] * 9, data=bytes(4))),
    "product 2^63": ("tensor.shape", dict(dtype=1, shape=[2**62, 2])),
    "product 2^64": ("tensor.shape", dict(dtype=1, shape=[2**32, 2**32])),
    "product past 2^64": ("tensor.shape", dict(dtype=1, shape=[2**62, 3, 5, 7])),
    "bytes past 2^64": (("tensor.shape", "tensor.data"), dict(dtype=2, shape=[2**61])),
}


def at_path(name, position=0):
    """The possible paths of a tensor's fault, under another name of the field."""
    field = TENSORS[name][0]
    return field if isinstance(field, tuple) else (field,)


def relabelled(paths, label):
    return tuple(label + path[len("tensor") :] for path in paths)


@pytest.mark.parametrize("name", TENSORS)
def test_tensor(quantization, name):
    fields = TENSORS[name][1]
    bad = None if fields is None else pb.Tensor(**fields)
    paths = at_path(name)
    check_refused(quantization.Quantize, pb.QuantizeRequest(tensor=bad), paths)
    check_refused(quantization.FakeQuantize, pb.FakeQuantizeRequest(tensor=bad), paths)
    request = pb.MeasureErrorRequest(original=bad, reconstructed=SOME)
    check_refused(quantization.MeasureError, request, relabelled(paths, "original"))
    if bad is not None:
        request = pb.MeasureErrorRequest(original=SOME, reconstructed=bad)
        check_refused(quantization.MeasureError, request, relabelled(paths, "reconstructed"))


def test_measure_error_against_nothing(quantization):
    refused = refusal(quantization.MeasureError, pb.MeasureErrorRequest(original=SOME))
    assert refused.code == INVALID
    assert refused.fields == [refused.message.split(":")[0]]


def test_measure_error_of_different_shapes(quantization):
    flat = tensor("FLOAT32", [1.0, 2.0, 3.0, 4.0])
    request = pb.MeasureErrorRequest(original=SOME, reconstructed=flat)
    check_refused(quantization.MeasureError, request, "reconstructed.shape")
    quantized = quantization.Quantize(pb.QuantizeRequest(tensor=flat)).tensor
    request = pb.MeasureErrorRequest(original=SOME, quantized=quantized)
    check_refused(quantization.MeasureError, request, "quantized.shape")


def parameters(scale, zero_point, **fields):
    return pb.QuantizationParameters(spec=spec(**fields), scale=scale, zero_point=zero_point)


PARAMETERS = {
    "no scale": ("scale", parameters([], [])),
    "two scales": ("scale", parameters([1.0, 1.0], [0, 0])),
    "no zero point": ("zero_point", parameters([1.0], [])),
    "two zero points": ("zero_point", parameters([1.0], [0, 0])),
    "scale per axis": ("scale", parameters([1.0], [0], axis=0)),
    "scale per group": ("scale", parameters([1.0] * 2, [0] * 2, axis=1, group_size=1)),
    "zero points under SYMMETRIC": ("zero_point", parameters([1.0], [0], scheme="SYMMETRIC")),
    "scale 0": ("scale[0]", parameters([0.0], [0])),
    "scale -1": ("scale[0]", parameters([-1.0], [0])),
    "scale NaN": ("scale[0]", parameters([NAN], [0])),
    "scale inf": ("scale[0]", parameters([INF], [0])),
    "scale subnormal in float32": ("scale[0]", parameters([2.0**-127], [0])),
    "scale 0 in float32": ("scale[0]", parameters([1e-60], [0])),
    "scale inf in float32": ("scale[0]", parameters([1e39], [0])),
    "second scale": ("scale[1]", parameters([1.0, 0.0], [0, 0], axis=0)),
    "scale subnormal": ("scale[0]", parameters([2.0**-1023], [0], bits=24)),
    "ONNX zero point above": ("zero_point[0]", parameters([1.0], [256])),
    "ONNX zero point below": ("zero_point[0]", parameters([1.0], [-1])),
    "PYTORCH zero point above": (
        "zero_point[0]",
        parameters([1.0], [128], code_type="INT", profile="PYTORCH"),
    ),
    "PYTORCH zero point below": (
        "zero_point[0]",
        parameters([1.0], [-129], code_type="INT", profile="PYTORCH"),
    ),
    "narrow zero point": (
        "zero_point[0]",
        parameters([1.0], [-128], code_type="INT", narrow_range=True),
    ),
    "second zero point": ("zero_point[1]", parameters([1.0, 1.0], [0, -1], axis=1)),
    "scale with float codes": ("scale", parameters([1.0], [], code_type="FLOAT16")),
    "zero point with float codes": ("zero_point", parameters([], [0], code_type="BFLOAT16")),
}


@pytest.mark.parametrize("name", PARAMETERS)
def test_static_parameters(quantization, name):
    field, bad = PARAMETERS[name]
    # The element at fault may be named, or the list that holds it.
    paths = (field, field.split("[")[0])
    for method, message in (
        ("Quantize", pb.QuantizeRequest),
        ("FakeQuantize", pb.FakeQuantizeRequest),
    ):
        request = message(parameters=bad, tensor=SOME)
        check_refused(getattr(quantization, method), request, prefixed("parameters", paths))
    size = 8 if bad.spec.code_type in (pb.CODE_TYPE_FLOAT16, pb.CODE_TYPE_BFLOAT16) else 4
    size = 16 if bad.spec.bits > 16 else size
    quantized = pb.QuantizedTensor(
        parameters=bad, dtype=SOME.dtype, shape=SOME.shape, codes=bytes(size)
    )
    request = pb.DequantizeRequest(tensor=quantized)
    check_refused(quantization.Dequantize, request, prefixed("tensor.parameters", paths))


def test_a_scale_too_small_for_float32_is_fine_in_float64(quantization):
    # The same scales, where the arithmetic is float64.
    for scale in (2.0**-127, 1e-60, 1e39):
        request = pb.QuantizeRequest(
            parameters=parameters([scale], [0]), tensor=tensor("FLOAT64", [1.0])
        )
        assert list(quantization.Quantize(request).tensor.parameters.scale) == [scale]


def test_any_int32_zero_point_under_notebook(quantization):
    for zero_point in (256, -1, 2**31 - 1, -(2**31)):
        given = parameters([1.0], [zero_point], profile="NOTEBOOK")
        request = pb.QuantizeRequest(parameters=given, tensor=tensor("FLOAT32", [1.0]))
        assert list(quantization.Quantize(request).tensor.parameters.zero_point) == [zero_point]


def codes(data=b"", shape=(), values=(), scale=(1.0,), zero_point=(0,), dtype=1, **fields):
    given = parameters(scale, zero_point, **fields)
    return pb.QuantizedTensor(parameters=given, dtype=dtype, shape=shape, codes=data, values=values)


FLOAT16_INFINITY = struct.pack("<H", 0x7C00)
BFLOAT16_NAN = struct.pack("<H", 0xFFC0)
UNSCALED = dict(scale=(), zero_point=())
CODES = {
    "no dtype": ("dtype", codes(b"\0", dtype=0)),
    "unknown dtype": ("dtype", codes(b"\0", dtype=9)),
    "too few bytes": ("codes", codes(b"\0", (2,))),
    "too many bytes": ("codes", codes(b"\0\0", (1,))),
    "two bytes a code": ("codes", codes(b"\0", (1,), bits=9)),
    "four bytes a code": ("codes", codes(b"\0\0", (1,), bits=17)),
    "dense bytes": ("codes", codes(b"\0\0", (2,), bits=3, packing="DENSE")),
    "3 bits hold no 8": ("codes", codes(b"\7\x08", (2,), bits=3)),
    "3-bit INT holds no 4": ("codes", codes(b"\4", (1,), bits=3, code_type="INT")),
    "3-bit INT holds no -5": ("codes", codes(b"\xfb", (1,), bits=3, code_type="INT")),
    "narrow 8-bit INT holds no -128": (
        "codes",
        codes(b"\x80", (1,), code_type="INT", narrow_range=True),
    ),
    "12-bit INT in 2 bytes": (
        "codes",
        codes(struct.pack("<h", 2048), (1,), code_type="INT", bits=12),
    ),
    "31 bits in 4 bytes": ("codes", codes(struct.pack("<I", 2**31), (1,), bits=31)),
    "narrow 3-bit dense holds no -4": (
        "codes",
        codes(b"\4", (1,), bits=3, code_type="INT", narrow_range=True, packing="DENSE"),
    ),
    "padding bit": ("codes", codes(b"\x08", (1,), bits=3, packing="DENSE")),
    "highest padding bit": ("codes", codes(b"\0\x80", (3,), bits=5, packing="DENSE")),
    "value past the range": ("values", codes(values=[256], shape=(1,))),
    "value below the range": ("values", codes(values=[-1], shape=(1,))),
    "too few values": (("values", "shape"), codes(values=[1], shape=(2,))),
    "codes and values": (("values", "codes", ""), codes(b"\1", values=[1], shape=(1,))),
    "negative dimension": ("shape", codes(b"\0", (-1,))),
    "9 dimensions": ("shape", codes(b"\0", (1,) * 9)),
    "FLOAT16 infinity": ("codes", codes(FLOAT16_INFINITY, (1,), code_type="FLOAT16", **UNSCALED)),
    "BFLOAT16 NaN": (
        "codes",
        codes(b"\0\0" + BFLOAT16_NAN, (2,), code_type="BFLOAT16", **UNSCALED),
    ),
    "FLOAT16 value 65536": (
        "values",
        codes(values=[65536], shape=(1,), code_type="FLOAT16", **UNSCALED),
    ),
    "FLOAT16 value -1": ("values", codes(values=[-1], shape=(1,), code_type="FLOAT16", **UNSCALED)),
    "FLOAT16 infinity value": (
        "values",
        codes(values=[0x7C00], shape=(1,), code_type="FLOAT16", **UNSCALED),
    ),
}


@pytest.mark.parametrize("name", CODES)
def test_codes(quantization, name):
    field, bad = CODES[name]
    paths = []
    for path in field if isinstance(field, tuple) else (field,):
        paths += [f"tensor.{path}".rstrip("."), f"tensor.{path}[0]", f"tensor.{path}[1]"]
    check_refused(quantization.Dequantize, pb.DequantizeRequest(tensor=bad), tuple(paths))
    original = pb.Tensor(dtype=1, shape=bad.shape, data=bytes(4 * abs(math.prod(bad.shape))))
    if bad.dtype != 1 or "dimension" in name:
        return
    request = pb.MeasureErrorRequest(original=original, quantized=bad)
    paths = tuple("quantized" + path[len("tensor") :] for path in paths)
    check_refused(quantization.MeasureError, request, paths)


def test_unknown_dtype_to_dequantize_to(quantization):
    check_refused(
        quantization.Dequantize, pb.DequantizeRequest(dtype=9, tensor=codes(b"\0")), "dtype"
    )


def test_more_pairs_than_the_limit(quantization):
    limit = quantization.GetServerInfo(pb.GetServerInfoRequest()).max_parameter_pairs
    assert limit > 0
    empty = pb.Tensor(dtype=1, shape=[limit + 1, 0])
    path = ("spec.granularity", "spec.granularity.axis", "tensor.shape")
    check_refused(
        quantization.Quantize, pb.QuantizeRequest(spec=spec(axis=0), tensor=empty), path, EXHAUSTED
    )
    path = (
        "spec.granularity",
        "spec.granularity.group",
        "spec.granularity.group.size",
        "tensor.shape",
    )
    # 2 elements on each of limit / 2 + 1 rows, every one a group of its own.
    wide = pb.Tensor(dtype=1, shape=[limit // 2 + 1, 2, 0])
    request = pb.QuantizeRequest(spec=spec(axis=1, group_size=1), tensor=wide)
    assert quantization.Quantize(request).tensor.codes == b""
    ones = pb.Tensor(dtype=3, shape=[limit + 1], data=bytes(2 * (limit + 1)))
    request = pb.QuantizeRequest(spec=spec(axis=0, group_size=1), tensor=ones)
    check_refused(quantization.Quantize, request, path, EXHAUSTED)


def test_more_values_than_the_limit(quantization):
    limit = quantization.GetServerInfo(pb.GetServerInfoRequest()).max_values
    many = pb.Tensor(values=[1.0] * (limit + 1), shape=[limit + 1])
    check_refused(
        quantization.Quantize, pb.QuantizeRequest(tensor=many), "tensor.values", EXHAUSTED
    )


def test_what_cannot_be_parsed(server):
    call = server.channel.unary_unary("/halfstep.v1.QuantizationService/Quantize")
    refused = refusal(call, b"\x22\xff\xff\xff")
    assert refused.code == INVALID, refused.message


def test_version_1_is_accepted_and_echoed(quantization):
    request = pb.QuantizeRequest(spec=pb.QuantizationSpec(numerics_version=1), tensor=SOME)
    assert quantization.Quantize(request).tensor.parameters.spec.numerics_version == 1
    assert quantization.GetServerInfo(pb.GetServerInfoRequest()).numerics_version == 1


def test_a_group_size_far_past_the_axis_is_one_group(quantization):
    request = pb.QuantizeRequest(spec=spec(axis=1, group_size=2**63 - 1), tensor=SOME)
    assert len(quantization.Quantize(request).tensor.parameters.scale) == 2
