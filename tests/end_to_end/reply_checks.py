"""Holds one reply of the server, or its refusal, to what the oracle says."""

import struct

import grpc

import expected_replies
import oracle
import sample_requests
from server_process import refusal

pb = expected_replies.pb


def check(quantization, request, what):
    """One request; its reply or its refusal is the oracle's. Returns the reply."""
    try:
        wanted = expected_replies.expected(request)
    except oracle.NonFinite as non_finite:
        check_rejection(quantization, request, non_finite, what)
        return None
    actual = expected_replies.call(quantization, request)
    assert expected_replies.same(actual, wanted), describe(what, request, actual, wanted)
    return actual


def check_rejection(quantization, request, non_finite, what):
    refused = refusal(
        getattr(quantization, expected_replies.METHODS[type(request).__name__]), request
    )
    assert refused.code == grpc.StatusCode.INVALID_ARGUMENT, what
    assert refused.message.startswith("tensor.data: "), f"{what}: {refused.message}"
    assert refused.fields == ["tensor.data"], what
    words = (
        refused.message.replace(",", " ")
        .replace(";", " ")
        .replace("]", " ")
        .replace("[", " ")
        .split()
    )
    assert str(non_finite.index) in words, f"{what}: {non_finite} in {refused.message}"
    assert str(non_finite.count) in words, f"{what}: {non_finite} in {refused.message}"


def describe(what, request, actual, wanted):
    """The first fields that differ, in a few lines."""
    lines = [f"{what} {type(request).__name__}"]
    lines += differences(actual, wanted, "")[:12]
    how = (
        getattr(request, request.WhichOneof("how") or "", None)
        if "how" in request.DESCRIPTOR.oneofs_by_name
        else None
    )
    lines.append(str(how)[:1500])
    return "\n".join(lines)


def differences(actual, wanted, path):
    found = []
    for field in wanted.DESCRIPTOR.fields:
        a, w = getattr(actual, field.name), getattr(wanted, field.name)
        here = f"{path}{field.name}"
        if field.label == field.LABEL_REPEATED:
            a, w = list(a), list(w)
            if a != w:
                at = next((i for i, (x, y) in enumerate(zip(a, w)) if x != y), min(len(a), len(w)))
                found.append(
                    f"{here}[{at}]: {a[at:at + 4]} is not {w[at:at + 4]} (of {len(a)}, {len(w)})"
                )
        elif field.message_type is not None:
            found += differences(a, w, here + ".")
        elif isinstance(w, bytes):
            if a != w:
                at = next((i for i, (x, y) in enumerate(zip(a, w)) if x != y), min(len(a), len(w)))
                shown = f"{a[at:at + 8].hex()} is not {w[at:at + 8].hex()}"
                found.append(f"{here}: byte {at}: {shown} (of {len(a)}, {len(w)})")
        elif isinstance(w, float):
            # By their bits: NaN has many, and zero two.
            a_bits, w_bits = struct.pack(">d", a).hex(), struct.pack(">d", w).hex()
            if a_bits != w_bits:
                found.append(f"{here}: {a!r} ({a_bits}) is not {w!r} ({w_bits})")
        elif a != w:
            found.append(f"{here}: {a!r} is not {w!r}")
    return found


def check_all_methods(quantization, request, what):
    """Quantize, then FakeQuantize, Dequantize and MeasureError of the same tensor."""
    reply = check(quantization, request, what)
    check(quantization, sample_requests.fake_quantize_request(request), what)
    if reply is None:
        return
    again = pb.DequantizeRequest(tensor=reply.tensor)
    check(quantization, again, what)
    measured = pb.MeasureErrorRequest(original=request.tensor, quantized=reply.tensor)
    check(quantization, measured, what)
    reconstructed = expected_replies.call(quantization, again).tensor
    check(
        quantization,
        pb.MeasureErrorRequest(original=request.tensor, reconstructed=reconstructed),
        what,
    )
