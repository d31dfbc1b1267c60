"""The reply that docs/numerics.md demands for a valid request, as a message.

Requests and replies are the API's own messages, so that a test can compare a
whole reply, byte for byte, with what the oracle says.
"""

import numpy as np

import oracle
import oracle_report
from server_process import load_stubs

pb = load_stubs()[0]
NUMERICS_VERSION = 1


def _name(enum, value, prefix):
    """The name of an enum's value without its prefix; None if unspecified."""
    return None if value == 0 else enum.Name(value)[len(prefix) :]


def dtype_name(value):
    return _name(pb.DataType, value, "DATA_TYPE_")


def spec_of(message, dtype, rank):
    """QuantizationSpec to a resolved oracle.Spec."""
    granularity = message.granularity.WhichOneof("kind")
    axis = group_size = None
    if granularity == "axis":
        axis = message.granularity.axis
    elif granularity == "group":
        axis = message.granularity.group.axis
        group_size = message.granularity.group.size
    clamp = message.clamp
    return oracle.resolve(
        dtype,
        rank,
        scheme=_name(pb.Scheme, message.scheme, "SCHEME_"),
        bits=message.bits or None,
        code_type=_name(pb.CodeType, message.code_type, "CODE_TYPE_"),
        profile=_name(pb.Profile, message.profile, "PROFILE_"),
        axis=axis,
        group_size=group_size,
        packing=_name(pb.Packing, message.packing, "PACKING_"),
        non_finite=_name(pb.NonFinitePolicy, message.non_finite_policy, "NON_FINITE_POLICY_"),
        clamp_min=clamp.min if clamp.HasField("min") else None,
        clamp_max=clamp.max if clamp.HasField("max") else None,
        narrow=message.narrow_range,
    )


def spec_message(spec):
    """A resolved oracle.Spec as the echoed QuantizationSpec."""
    message = pb.QuantizationSpec(
        scheme="SCHEME_" + spec.scheme,
        bits=spec.bits,
        code_type="CODE_TYPE_" + spec.code_type,
        profile="PROFILE_" + spec.profile,
        packing="PACKING_" + spec.packing,
        non_finite_policy="NON_FINITE_POLICY_" + spec.non_finite,
        narrow_range=spec.narrow,
        numerics_version=NUMERICS_VERSION,
    )
    if spec.axis is not None and spec.group_size is None:
        message.granularity.axis = spec.axis
    elif spec.axis is not None:
        message.granularity.group.axis = spec.axis
        message.granularity.group.size = spec.group_size
    if spec.clamp_min is not None:
        message.clamp.min = spec.clamp_min
    if spec.clamp_max is not None:
        message.clamp.max = spec.clamp_max
    return message


def reals_of(tensor):
    """(dtype, reals, whether they came as values) of a Tensor."""
    if tensor.values:
        dtype = dtype_name(tensor.dtype) or "FLOAT64"
        with np.errstate(over="ignore"):
            rounded = oracle.round_to(dtype, np.array(tensor.values))[0]
        return dtype, oracle.as_decoded(dtype, rounded), True
    dtype = dtype_name(tensor.dtype)
    return dtype, oracle.decode_reals(dtype, tensor.data), False


def tensor_message(dtype, reals, shape, as_values):
    message = pb.Tensor(dtype="DATA_TYPE_" + dtype, shape=shape)
    if as_values:
        message.values.extend(reals.tolist())
    else:
        message.data = oracle.encode_reals(dtype, reals)
    return message


def _run(request):
    """Quantizes what a Quantize or FakeQuantize request holds."""
    dtype, reals, as_values = reals_of(request.tensor)
    shape = tuple(request.tensor.shape)
    static = request.WhichOneof("how") == "parameters"
    spec_in = request.parameters.spec if static else request.spec
    spec = spec_of(spec_in, dtype, len(shape))
    if static and not spec.float_codes:
        result = oracle.quantize(
            dtype,
            reals,
            shape,
            spec,
            scale=list(request.parameters.scale),
            zero_point=list(request.parameters.zero_point),
            measure_error=request.measure_error,
        )
    else:
        result = oracle.quantize(dtype, reals, shape, spec, measure_error=request.measure_error)
    parameters = pb.QuantizationParameters(
        spec=spec_message(spec), scale=result.scale, zero_point=result.zero_point
    )
    cuts = pb.Cuts(
        saturated_count=result.saturated,
        non_finite_count=result.non_finite,
        clamped_count=result.clamped,
    )
    return dtype, shape, as_values, spec, result, parameters, cuts


def quantize(request):
    """QuantizeRequest to QuantizeResponse. Raises oracle.NonFinite for REJECT."""
    dtype, shape, as_values, spec, result, parameters, cuts = _run(request)
    reply = pb.QuantizeResponse(cuts=cuts)
    if request.measure_error:
        reply.error.CopyFrom(pb.ErrorReport(**result.error))
    reply.tensor.parameters.CopyFrom(parameters)
    reply.tensor.dtype = pb.DataType.Value("DATA_TYPE_" + dtype)
    reply.tensor.shape.extend(shape)
    if as_values:
        reply.tensor.values.extend(result.codes.tolist())
    else:
        reply.tensor.codes = oracle.encode_codes(result.codes, spec)
    return reply


def fake_quantize(request):
    """FakeQuantizeRequest to FakeQuantizeResponse."""
    dtype, shape, as_values, _, result, parameters, cuts = _run(request)
    reply = pb.FakeQuantizeResponse(parameters=parameters, cuts=cuts)
    if request.measure_error:
        reply.error.CopyFrom(pb.ErrorReport(**result.error))
    if request.gradient_mask:
        reply.gradient_mask = oracle.encode_mask(result.mask)
    reply.tensor.CopyFrom(tensor_message(dtype, result.reconstructed, shape, as_values))
    return reply


def reconstruction(tensor, to_dtype):
    """(reals of to_dtype, spec, whether codes came as values) of a QuantizedTensor."""
    dtype = dtype_name(tensor.dtype)
    shape = tuple(tensor.shape)
    spec = spec_of(tensor.parameters.spec, dtype, len(shape))
    as_values = bool(tensor.values)
    if as_values:
        codes = np.array(tensor.values, np.int64)
    else:
        count = int(np.prod(shape, dtype=np.int64))
        codes = oracle.decode_codes(tensor.codes, count, spec)
    reals = oracle.dequantize(
        codes,
        shape,
        spec,
        dtype,
        to_dtype or dtype,
        list(tensor.parameters.scale),
        list(tensor.parameters.zero_point),
    )
    return reals, spec, as_values


def dequantize(request):
    """DequantizeRequest to DequantizeResponse."""
    to_dtype = dtype_name(request.dtype) or dtype_name(request.tensor.dtype)
    reals, _, as_values = reconstruction(request.tensor, to_dtype)
    return pb.DequantizeResponse(
        tensor=tensor_message(to_dtype, reals, tuple(request.tensor.shape), as_values)
    )


def measure_error(request):
    """MeasureErrorRequest to MeasureErrorResponse."""
    dtype, original, _ = reals_of(request.original)
    encoded_bytes = 0
    if request.WhichOneof("against") == "quantized":
        other, spec, _ = reconstruction(request.quantized, dtype)
        pairs = len(request.quantized.parameters.scale)
        item = np.dtype(spec.arithmetic(dtype_name(request.quantized.dtype))).itemsize
        encoded_bytes = (
            oracle.code_bytes(spec, len(other))
            + pairs * item
            + len(request.quantized.parameters.zero_point) * 4
        )
    else:
        other = reals_of(request.reconstructed)[1]
    usable = np.isfinite(original) & np.isfinite(other)
    report = oracle_report.error_report(original, other, usable)
    report["encoded_bytes"] = encoded_bytes
    return pb.MeasureErrorResponse(error=pb.ErrorReport(**report))


REPLIES = {
    "QuantizeRequest": quantize,
    "DequantizeRequest": dequantize,
    "FakeQuantizeRequest": fake_quantize,
    "MeasureErrorRequest": measure_error,
}
METHODS = {
    "QuantizeRequest": "Quantize",
    "DequantizeRequest": "Dequantize",
    "FakeQuantizeRequest": "FakeQuantize",
    "MeasureErrorRequest": "MeasureError",
}


def expected(request):
    """The reply to a valid request of any unary method of QuantizationService."""
    return REPLIES[type(request).__name__](request)


def call(quantization, request):
    """Sends a request to the method that takes it."""
    return getattr(quantization, METHODS[type(request).__name__])(request)


def same(actual, wanted):
    """Whether two messages are the same bytes, field by field."""
    return actual.SerializeToString(deterministic=True) == wanted.SerializeToString(
        deterministic=True
    )
