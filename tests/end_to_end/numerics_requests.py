"""Short forms for the numerics tests: a tensor or a spec in one line, and its reply."""

import numpy as np

import expected_replies
import oracle
from reply_checks import check_all_methods

pb = expected_replies.pb


def tensor(dtype, reals, shape=None):
    held = oracle.as_decoded(dtype, np.asarray(reals, np.float64).reshape(-1))
    shape = np.shape(reals) if shape is None else shape
    return pb.Tensor(dtype="DATA_TYPE_" + dtype, shape=shape, data=oracle.encode_reals(dtype, held))


def spec(**fields):
    """A QuantizationSpec with the enums' prefixes left out; axis, group and clamp flat."""
    message = pb.QuantizationSpec()
    for name in ("scheme", "code_type", "profile", "packing", "non_finite_policy"):
        if name in fields:
            enum = pb.QuantizationSpec.DESCRIPTOR.fields_by_name[name].enum_type
            value = enum.values_by_name[f"{name.upper()}_{fields.pop(name)}"].number
            setattr(message, name, value)
    if "group_size" in fields:
        message.granularity.group.axis = fields.pop("axis")
        message.granularity.group.size = fields.pop("group_size")
    elif "axis" in fields:
        message.granularity.axis = fields.pop("axis")
    for bound in ("min", "max"):
        if bound in fields:
            setattr(message.clamp, bound, fields.pop(bound))
    message.MergeFrom(pb.QuantizationSpec(**fields))
    return message


def dynamic(quantization, reals, **fields):
    """Quantizes, checks all methods against the oracle, returns the reply."""
    request = pb.QuantizeRequest(spec=spec(**fields), measure_error=True, tensor=reals)
    check_all_methods(quantization, request, fields)
    return quantization.Quantize(request)


def static(quantization, reals, scale, zero_point=(), **fields):
    request = pb.QuantizeRequest(measure_error=True, tensor=reals)
    request.parameters.spec.CopyFrom(spec(**fields))
    request.parameters.scale.extend(scale)
    request.parameters.zero_point.extend(zero_point)
    check_all_methods(quantization, request, fields)
    return quantization.Quantize(request)


def codes(reply):
    resolved = expected_replies.spec_of(
        reply.tensor.parameters.spec,
        expected_replies.dtype_name(reply.tensor.dtype),
        len(reply.tensor.shape),
    )
    count = int(np.prod(reply.tensor.shape, dtype=np.int64))
    return oracle.decode_codes(reply.tensor.codes, count, resolved).tolist()


def reconstructed(quantization, reply):
    back = quantization.Dequantize(pb.DequantizeRequest(tensor=reply.tensor)).tensor
    return oracle.decode_reals(expected_replies.dtype_name(back.dtype), back.data).tolist()


def pairs(reply):
    return list(reply.tensor.parameters.scale), list(reply.tensor.parameters.zero_point)
