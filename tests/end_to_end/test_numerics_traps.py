"""The traps of docs/numerics.md, one test each, with numbers worked out by hand.

Every request also goes to the oracle, whose whole reply the server's must equal.
"""

import grpc
import numpy as np
import pytest

import expected_replies
import oracle
from numerics_requests import (
    codes,
    dynamic,
    pairs,
    reconstructed,
    spec,
    static,
    tensor,
)
from server_process import refusal
from reply_checks import check

pb = expected_replies.pb
FLT_MAX = float(np.finfo(np.float32).max)
NAN, INF = float("nan"), float("inf")


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_ties_with_an_odd_zero_point(quantization, dtype):
    # rhe(k + 0.5) + 11 against rhe(k + 11.5): they differ for every even k.
    reals = tensor(dtype, [k + 0.5 for k in range(0, 8)])
    onnx = codes(static(quantization, reals, [1.0], [11]))
    pytorch = codes(static(quantization, reals, [1.0], [11], profile="PYTORCH"))
    notebook = codes(static(quantization, reals, [1.0], [11], profile="NOTEBOOK"))
    assert onnx == pytorch == [11, 13, 13, 15, 15, 17, 17, 19]
    assert notebook == [12, 12, 14, 14, 16, 16, 18, 18]


def test_division_is_not_multiplication_by_a_reciprocal(quantization):
    # In float32: 0.273939937 / 0.00214854861 is 127.499992, times the reciprocal 127.5.
    reals = tensor("FLOAT32", [0.273939937])
    scale = float(np.float32(0.00214854861))
    assert codes(static(quantization, reals, [scale], [0])) == [127]
    assert codes(static(quantization, reals, [scale], [0], profile="NOTEBOOK")) == [127]
    assert codes(static(quantization, reals, [scale], [0], profile="PYTORCH")) == [128]


def test_bfloat16_reals_with_a_power_of_two_scale_sit_on_ties(quantization):
    # Scale 127 / 127 = 1: halves tie to even.
    reals = [0.5, 1.5, 2.5, 3.5, -0.5, -1.5, -2.5, 127.0]
    reply = dynamic(quantization, tensor("BFLOAT16", reals), scheme="SYMMETRIC")
    assert pairs(reply) == ([1.0], [])
    assert codes(reply) == [0, 2, 2, 4, 0, -2, -2, 127]


def test_a_real_past_the_frozen_symmetric_scale_saturates_downwards(quantization):
    reply = static(
        quantization,
        tensor("FLOAT64", [-203.0, 203.0, -201.0]),
        [1.5742842519685039],
        scheme="SYMMETRIC",
        profile="NOTEBOOK",
    )
    # -203 / scale = -128.95, below -128; -201 / scale = -127.68.
    assert codes(reply) == [-128, 127, -128]
    assert reply.cuts.saturated_count == 2


def test_notebook_zero_point_far_outside_the_code_range(quantization):
    reply = dynamic(quantization, tensor("FLOAT64", [1024.0, 1030.0, 1027.0]), profile="NOTEBOOK")
    # 6 / 255; 0 - rhe(1024 / scale) = -43520. 1027 lands on 127.5 of the range.
    assert pairs(reply) == ([6 / 255], [-43520])
    assert codes(reply)[:2] == [0, 255]
    assert codes(reply)[2] in (127, 128)
    # ONNX's range holds zero.
    assert pairs(dynamic(quantization, tensor("FLOAT64", [1024.0, 1030.0]))) == ([1030 / 255], [0])


def test_notebook_zero_point_past_int32_takes_zero_into_the_range(quantization):
    highest = 1 + 2.0**-52
    reply = dynamic(quantization, tensor("FLOAT64", [1.0, highest]), profile="NOTEBOOK", bits=16)
    assert pairs(reply) == ([highest / 65535], [0])
    assert codes(reply) == [65535, 65535]


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_constant(quantization, dtype):
    for profile in ("ONNX", "NOTEBOOK"):
        reply = dynamic(quantization, tensor(dtype, [2.0] * 9), profile=profile)
        assert pairs(reply)[1] == [0]
        assert codes(reply) == [255] * 9
        reply = dynamic(quantization, tensor(dtype, [-2.0] * 9), profile=profile)
        assert pairs(reply)[1] == [255]
        assert codes(reply) == [0] * 9


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_all_zero(quantization, dtype):
    zeros = tensor(dtype, [0.0, -0.0, 0.0])
    for profile in ("ONNX", "NOTEBOOK"):
        reply = dynamic(quantization, zeros, profile=profile, code_type="INT")
        assert pairs(reply) == ([1.0], [0])
        assert codes(reply) == [0, 0, 0]
    reply = dynamic(quantization, zeros, profile="PYTORCH", code_type="INT")
    assert pairs(reply) == ([2.0**-23], [-128])
    assert codes(reply) == [-128] * 3
    assert pairs(dynamic(quantization, zeros, profile="PYTORCH", scheme="SYMMETRIC")) == (
        [2.0**-23],
        [],
    )
    # No error and no signal: infinitely good.
    assert reply.error.sqnr_db == INF
    assert reply.error.cosine_similarity == 1


@pytest.mark.parametrize("profile", ["ONNX", "PYTORCH", "NOTEBOOK"])
def test_a_single_element(quantization, profile):
    reply = dynamic(quantization, tensor("FLOAT32", [3.0]), profile=profile)
    assert pairs(reply) == ([float(np.float32(3) / np.float32(255))], [0])
    assert codes(reply) == [255]


@pytest.mark.parametrize("profile", ["ONNX", "PYTORCH", "NOTEBOOK"])
@pytest.mark.parametrize("scheme", ["ASYMMETRIC", "SYMMETRIC"])
def test_empty(quantization, profile, scheme):
    reply = dynamic(quantization, tensor("FLOAT32", []), profile=profile, scheme=scheme)
    assert pairs(reply) == ([1.0], [] if scheme == "SYMMETRIC" else [0])
    assert reply.tensor.codes == b""
    assert reply.error.element_count == 0
    assert reply.error.sqnr_db == 0 and reply.error.cosine_similarity == 0


def test_rank_0(quantization):
    reply = dynamic(quantization, tensor("FLOAT64", 5.0), scheme="SYMMETRIC")
    assert list(reply.tensor.shape) == []
    assert pairs(reply) == ([5 / 127], [])
    assert codes(reply) == [127]


def test_a_zero_dimension(quantization):
    reals = tensor("FLOAT32", [], (3, 0, 2))
    assert pairs(dynamic(quantization, reals, axis=0)) == ([1.0] * 3, [0] * 3)
    assert pairs(dynamic(quantization, reals, axis=1)) == ([], [])
    assert pairs(dynamic(quantization, reals, axis=2, group_size=1)) == ([], [])
    assert pairs(dynamic(quantization, reals, axis=1, group_size=4)) == ([], [])


def test_a_zero_dimension_beside_a_huge_one(quantization):
    huge = tensor("FLOAT32", [], (2**40, 0))
    refused = refusal(quantization.Quantize, pb.QuantizeRequest(spec=spec(axis=0), tensor=huge))
    assert refused.code == grpc.StatusCode.RESOURCE_EXHAUSTED
    assert not refused.has_retry_info
    assert refused.fields == [refused.message.split(":")[0]]
    # 2^40 rows of no group, or of one slice with no element, are fine.
    reply = quantization.Quantize(pb.QuantizeRequest(spec=spec(axis=1), tensor=huge))
    assert pairs(reply) == ([], [])
    reply = quantization.Quantize(pb.QuantizeRequest(tensor=huge))
    assert pairs(reply) == ([1.0], [0])
    # 2^62 * 2 reaches 2^63, though the tensor is empty.
    for shape in ([2**62, 2, 0], [0, 2**32, 2**31], [2**61]):
        past = pb.Tensor(dtype="DATA_TYPE_FLOAT32", shape=shape)
        refused = refusal(quantization.Quantize, pb.QuantizeRequest(tensor=past))
        assert refused.code == grpc.StatusCode.INVALID_ARGUMENT
        assert refused.fields in (["tensor.shape"], ["tensor.data"])


@pytest.mark.parametrize("dtype", oracle.DTYPES)
@pytest.mark.parametrize("lasts", [1, 2, 3])
def test_nan_only_in_the_last_elements_of_a_tail(quantization, dtype, lasts):
    for count in range(lasts, 131):
        reals = tensor(dtype, [1.0] * (count - lasts) + [NAN] * lasts)
        request = pb.QuantizeRequest(tensor=reals)
        with pytest.raises(oracle.NonFinite) as rejected:
            expected_replies.expected(request)
        assert (rejected.value.index, rejected.value.count) == (count - lasts, lasts)
        check(quantization, request, count)
        request.spec.non_finite_policy = pb.NON_FINITE_POLICY_SATURATE
        request.measure_error = True
        reply = check(quantization, request, count)
        assert codes(reply) == [255] * (count - lasts) + [0] * lasts
        assert reply.cuts.non_finite_count == lasts


def test_infinities_saturate_and_nan_becomes_real_zero(quantization):
    reals = tensor("FLOAT32", [-1.0, NAN, INF, -INF, 4.1])
    reply = dynamic(quantization, reals, non_finite_policy="SATURATE")
    # 5.1 / 255 in float32; rhe(0 + 1 / 0.02) = 50.
    assert pairs(reply)[1] == [50]
    assert codes(reply) == [0, 50, 255, 0, 255]
    assert (reply.cuts.non_finite_count, reply.cuts.saturated_count) == (3, 0)
    assert reply.error.element_count == 2
    # A zero point outside the code range saturates, too.
    reply = static(
        quantization, reals, [1.0], [-300], profile="NOTEBOOK", non_finite_policy="SATURATE"
    )
    assert codes(reply) == [0, 0, 255, 0, 0]
    assert (reply.cuts.non_finite_count, reply.cuts.saturated_count) == (3, 2)


@pytest.mark.parametrize("code_type", oracle.FLOAT_CODES)
def test_non_finite_reals_as_float_codes(quantization, code_type):
    reals = tensor("FLOAT32", [NAN, INF, -INF, -0.0, 1.0])
    reply = dynamic(quantization, reals, code_type=code_type, non_finite_policy="SATURATE")
    largest = oracle.largest_finite(code_type)
    assert reconstructed(quantization, reply)[:3] == [0.0, largest, -largest]
    assert codes(reply)[0] == 0


@pytest.mark.parametrize("dtype", oracle.DTYPES)
def test_negative_zero(quantization, dtype):
    # A range that begins or ends at -0.0 is one that begins or ends at 0.
    reply = dynamic(quantization, tensor(dtype, [-0.0, 255.0]))
    assert pairs(reply) == ([1.0], [0])
    assert codes(reply) == [0, 255]
    reply = dynamic(quantization, tensor(dtype, [-0.0, -255.0]), profile="NOTEBOOK")
    assert pairs(reply) == ([1.0], [255])
    assert codes(reply) == [255, 0]
    # Integer codes lose the sign, floating-point codes keep it.
    assert not np.signbit(reconstructed(quantization, reply)[0])
    for code_type, pattern in (("FLOAT16", 0x8000), ("BFLOAT16", 0x8000)):
        reply = dynamic(quantization, tensor(dtype, [-0.0, 0.0]), code_type=code_type)
        assert codes(reply) == [pattern, 0]
        assert np.signbit(reconstructed(quantization, reply)).tolist() == [True, False]


def test_subnormal_reals(quantization):
    smallest = 2.0**-149
    reals = tensor("FLOAT32", [smallest, 255 * smallest, 0.0])
    # 2^-149 as a scale is subnormal: it becomes 2^-126, 2^23 times as large.
    reply = dynamic(quantization, reals)
    assert pairs(reply) == ([2.0**-126], [0])
    assert codes(reply) == [0, 0, 0]
    assert reply.error.max_absolute_error == 255 * smallest
    # Subnormal reals and reconstructions are kept: 2^-126 / 2 ties to 0, 3/2 to 2.
    reals = tensor("FLOAT32", [2.0**-127, 3 * 2.0**-127, 2.0**-126])
    reply = static(quantization, reals, [2.0**-126], [0])
    assert codes(reply) == [0, 2, 1]
    reply = static(quantization, tensor("FLOAT16", [2.0**-24, 3 * 2.0**-24]), [2.0**-24], [0])
    assert codes(reply) == [1, 3]
    assert reconstructed(quantization, reply) == [2.0**-24, 3 * 2.0**-24]
    reply = dynamic(quantization, tensor("FLOAT64", [5e-324]))
    assert pairs(reply) == ([2.0**-1022], [0])
    # FLOAT16's smallest subnormal as a code: half of it ties to 0, more does not.
    reply = dynamic(
        quantization,
        tensor("FLOAT64", [2.0**-25, 2.0**-25 + 2.0**-70, -(2.0**-25)]),
        code_type="FLOAT16",
    )
    assert codes(reply) == [0, 1, 0x8000]


@pytest.mark.parametrize("profile", ["ONNX", "PYTORCH", "NOTEBOOK"])
@pytest.mark.parametrize("dtype", ["FLOAT32", "FLOAT64", "BFLOAT16"])
def test_quotients_past_int32(quantization, dtype, profile):
    reals = tensor(dtype, [2.0**31, -(2.0**31), 2.0**40, -(2.0**40), 2.0**100, -(2.0**100)])
    for bits in (8, 32):
        for scale in (1.0, 2.0**-100):
            reply = static(
                quantization, reals, [scale], [0], profile=profile, code_type="INT", bits=bits
            )
            top = 2 ** (bits - 1) - 1
            assert codes(reply) == [top, -top - 1] * 3
            # -2^31 is the lowest 32-bit code itself.
            assert reply.cuts.saturated_count == (5 if (bits, scale) == (32, 1.0) else 6)


@pytest.mark.parametrize("bits", range(1, 8))
def test_odd_counts_at_few_bits(quantization, bits):
    for count in (1, 3, 5, 7, 9, 15, 17, 31, 33, 63, 65):
        highest = 2**bits - 1
        reals = [float(i % (highest + 1)) for i in range(count)]
        reply = static(
            quantization, tensor("FLOAT32", reals), [1.0], [0], bits=bits, packing="DENSE"
        )
        assert codes(reply) == [int(r) for r in reals]
        assert len(reply.tensor.codes) == -(-count * bits // 8)
        # First code in the lowest bits, padding bits 0.
        stream = sum(int(r) << (i * bits) for i, r in enumerate(reals))
        assert int.from_bytes(reply.tensor.codes, "little") == stream


def test_ragged_last_groups(quantization):
    reals = tensor("FLOAT64", [[1, 2, 4, 8, 16], [-1, -2, -4, -8, -16]])
    reply = dynamic(quantization, reals, scheme="SYMMETRIC", axis=1, group_size=2)
    assert pairs(reply) == ([2 / 127, 8 / 127, 16 / 127] * 2, [])
    assert codes(reply) == [64, 127, 64, 127, 127, -64, -127, -64, -127, -127]
    # Groups along the first axis: columns' halves, pairs row-major in [2, 5].
    tall = tensor("FLOAT64", [[1, 10], [2, 20], [4, 40]])
    reply = dynamic(quantization, tall, scheme="SYMMETRIC", axis=0, group_size=2)
    assert pairs(reply) == ([2 / 127, 20 / 127, 4 / 127, 40 / 127], [])
    # A group longer than the axis is the whole row.
    reply = dynamic(quantization, reals, scheme="SYMMETRIC", axis=1, group_size=100)
    assert pairs(reply) == ([16 / 127] * 2, [])


def test_negative_axes(quantization):
    reals = tensor("FLOAT32", np.arange(24.0).reshape(2, 3, 4))
    for axis in range(3):
        for kind in ({}, {"group_size": 2}):
            positive = dynamic(quantization, reals, axis=axis, **kind)
            negative = dynamic(quantization, reals, axis=axis - 3, **kind)
            assert positive == negative
            granularity = negative.tensor.parameters.spec.granularity
            assert (granularity.group.axis if kind else granularity.axis) == axis


@pytest.mark.parametrize(
    "dtype, largest",
    [("FLOAT16", 65504.0), ("BFLOAT16", oracle.largest_finite("BFLOAT16")), ("FLOAT32", FLT_MAX)],
)
@pytest.mark.parametrize("profile", ["ONNX", "PYTORCH", "NOTEBOOK"])
def test_the_reconstruction_of_an_end_stays_finite(quantization, dtype, largest, profile):
    reals = tensor(dtype, [-largest, largest, 0.0])
    for scheme in ("ASYMMETRIC", "SYMMETRIC"):
        for bits in (2, 4, 7, 8, 16):
            reply = dynamic(quantization, reals, scheme=scheme, profile=profile, bits=bits)
            back = reconstructed(quantization, reply)
            assert np.isfinite(back).all()
            assert max(map(abs, back)) <= largest
    # The width of the range overflows float32 and is taken in float64.
    if dtype == "FLOAT32":
        scale = float(np.float32(2 * FLT_MAX / 255))
        assert pairs(dynamic(quantization, reals, profile=profile))[0] == [scale]


def test_the_reconstruction_of_an_end_overflows_by_hand(quantization):
    # Scale 131008 / 255 = 513.757; code 0 stands for -128 * scale = -65760.9.
    reply = dynamic(quantization, tensor("FLOAT16", [-65504.0, 65504.0]))
    scale, zero_point = pairs(reply)
    assert scale == [float(np.float32(131008) / np.float32(255))]
    assert zero_point == [128]
    assert codes(reply) == [0, 255]
    back = reconstructed(quantization, reply)
    assert back[0] == -65504.0


def test_a_clamp_with_one_bound(quantization):
    reals = tensor("FLOAT32", [-5.0, -1.0, 0.0, 2.0, 10.0])
    below = dynamic(quantization, reals, min=-1.0)
    assert below.cuts.clamped_count == 1
    assert pairs(below) == ([float(np.float32(11) / np.float32(255))], [23])
    assert below.tensor.parameters.spec.clamp.HasField("min")
    assert not below.tensor.parameters.spec.clamp.HasField("max")
    above = dynamic(quantization, reals, max=2.0)
    assert above.cuts.clamped_count == 1
    assert pairs(above) == ([float(np.float32(7) / np.float32(255))], [182])
    # An infinity that a bound catches is clamped, not refused; the other one is.
    one = tensor("FLOAT32", [1.0, INF])
    reply = dynamic(quantization, one, max=3.0)
    # Not finite as sent, it takes no part in the range: 1 / 255, and 3 saturates.
    assert pairs(reply) == ([float(np.float32(1) / np.float32(255))], [0])
    assert codes(reply) == [255, 255]
    assert (reply.cuts.clamped_count, reply.cuts.non_finite_count, reply.cuts.saturated_count) == (
        1,
        0,
        0,
    )
    check(quantization, pb.QuantizeRequest(spec=spec(min=3.0), tensor=one), "one bound")
    refused = refusal(quantization.Quantize, pb.QuantizeRequest(spec=spec(min=3.0), tensor=one))
    assert refused.fields == ["tensor.data"]


def test_clamp_bounds_are_rounded_to_the_arithmetic_and_echoed_so(quantization):
    reply = dynamic(quantization, tensor("FLOAT32", [1.0, 0.05]), min=0.1)
    assert reply.tensor.parameters.spec.clamp.min == float(np.float32(0.1))
    reply = dynamic(quantization, tensor("FLOAT32", [1.0, 0.05]), min=0.1, bits=17)
    assert reply.tensor.parameters.spec.clamp.min == 0.1


def test_cuts_count_each_element_once(quantization):
    # Clamped and saturated: clamped. Not finite and saturated: not finite.
    reals = tensor("FLOAT32", [5000.0, NAN, -INF, 300.0, 10.0, INF])
    reply = static(quantization, reals, [1.0], [0], max=1000.0, non_finite_policy="SATURATE")
    assert codes(reply) == [255, 0, 0, 255, 10, 255]
    cuts = reply.cuts
    assert (cuts.clamped_count, cuts.non_finite_count, cuts.saturated_count) == (2, 2, 1)


@pytest.mark.parametrize("dtype", ["FLOAT32", "FLOAT64"])
def test_float16_codes_saturate_past_their_largest(quantization, dtype):
    # 65519 rounds to 65504 and is not cut; 65520 would round to infinity.
    reply = dynamic(
        quantization, tensor(dtype, [65519.0, 65520.0, -1e6, 65504.0]), code_type="FLOAT16"
    )
    assert codes(reply) == [0x7BFF, 0x7BFF, 0xFBFF, 0x7BFF]
    assert reply.cuts.saturated_count == 2


def test_float64_reals_round_to_float16_once(quantization):
    # Just above a tie; by way of float32 it would be the tie and go to even.
    above = 1 + 2.0**-11 + 2.0**-40
    reply = dynamic(quantization, tensor("FLOAT64", [above, 1 + 2.0**-11]), code_type="FLOAT16")
    assert codes(reply) == [0x3C01, 0x3C00]
    above = 1 + 2.0**-8 + 2.0**-40
    reply = dynamic(quantization, tensor("FLOAT64", [above, 1 + 2.0**-8]), code_type="BFLOAT16")
    assert codes(reply) == [0x3F81, 0x3F80]


def test_an_unsigned_32_bit_zero_point_stays_in_int32(quantization):
    # qmin - lo / scale is 2^32 - 1; zero points are int32.
    reply = dynamic(quantization, tensor("FLOAT64", [-1.0, 0.0]), bits=32)
    assert pairs(reply) == ([1 / (2**32 - 1)], [2**31 - 1])
    assert codes(reply) == [0, 2**31 - 1]


def test_static_scales_are_rounded_to_the_arithmetic_and_echoed_so(quantization):
    reply = static(quantization, tensor("FLOAT32", [1.0]), [0.1], [0])
    assert pairs(reply)[0] == [float(np.float32(0.1))]
    reply = static(quantization, tensor("FLOAT64", [1.0]), [0.1], [0])
    assert pairs(reply)[0] == [0.1]


def test_notebook_adds_the_zero_point_in_float32(quantization):
    # 2^24 + 1 is not a float32 number: z becomes 2^24, and -2^24 + 2^24 is code 0.
    reply = static(
        quantization,
        tensor("FLOAT32", [-(2.0**24), 3 - 2.0**24]),
        [1.0],
        [2**24 + 1],
        profile="NOTEBOOK",
    )
    assert codes(reply) == [0, 3]
    # The reconstruction subtracts exactly, then rounds: 0 - (2^24 + 1) to -2^24.
    assert reconstructed(quantization, reply) == [-(2.0**24), -(2.0**24) + 2]


def test_the_order_of_sums_in_the_error_report(quantization):
    # Section 7 as a plain loop. Two blocks, magnitudes that lose low bits when added.
    rng = np.random.default_rng(7)
    count = 65536 + 1003
    reals = (rng.random(count) * 10.0 ** rng.integers(-6, 6, count)).tolist()
    total = 0.0
    for begin in range(0, count, 65536):
        a = [0.0] * 8
        for i in range(begin, min(begin + 65536, count)):
            a[i % 8] += reals[i]
        total += ((a[0] + a[4]) + (a[2] + a[6])) + ((a[1] + a[5]) + (a[3] + a[7]))
    straight = 0.0
    for real in reals:
        straight += real
    assert straight != total
    request = pb.MeasureErrorRequest(
        original=tensor("FLOAT64", reals), reconstructed=tensor("FLOAT64", [0.0] * count)
    )
    error = check(quantization, request, "order").error
    assert error.mean_absolute_error == total / count
    assert error.cosine_similarity == 0
    assert error.sqnr_db == 0


def test_the_first_of_equal_errors_is_reported(quantization):
    reply = static(quantization, tensor("FLOAT32", [1.0, 2.25, 3.0, 3.75, 4.25]), [1.0], [0])
    assert reply.error.max_absolute_error == 0.25
    assert reply.error.max_absolute_error_index == 1


def test_a_tie_of_the_zero_point_with_an_odd_lowest_code(quantization):
    # qmin = -127, scale 1: rhe(-127 + 2.5) = -124, but -127 + rhe(2.5) = -125.
    reals = tensor("FLOAT32", [-2.5, 251.5])
    for profile, zero_point in (("ONNX", -124), ("PYTORCH", -125), ("NOTEBOOK", -125)):
        reply = dynamic(quantization, reals, profile=profile, code_type="INT", narrow_range=True)
        assert pairs(reply) == ([1.0], [zero_point])


def test_a_tiny_constant_under_notebook_takes_zero_into_the_range(quantization):
    # With scale 2^-126 the zero point -2^26 would fit int32; the rule is hi = lo.
    reply = dynamic(quantization, tensor("FLOAT32", [2.0**-100] * 3), profile="NOTEBOOK")
    assert pairs(reply) == ([float(np.float32(2.0**-100) / np.float32(255))], [0])
    assert codes(reply) == [255] * 3


def test_symmetric_scales_of_the_profiles(quantization):
    reals = tensor("FLOAT64", [-1.0, 0.5])
    for profile, divisor in (("ONNX", 127), ("PYTORCH", 127.5), ("NOTEBOOK", 127)):
        assert pairs(dynamic(quantization, reals, scheme="SYMMETRIC", profile=profile)) == (
            [1 / divisor],
            [],
        )
    # narrow_range: Q = 254, so PYTORCH's half of it is 127, too.
    reply = dynamic(quantization, reals, scheme="SYMMETRIC", profile="PYTORCH", narrow_range=True)
    assert pairs(reply) == ([1 / 127], [])


def test_arithmetic_is_float64_from_17_bits_on(quantization):
    reals = tensor("FLOAT32", [0.0, 1.0])
    assert pairs(dynamic(quantization, reals, bits=16))[0] == [
        float(np.float32(1) / np.float32(65535))
    ]
    assert pairs(dynamic(quantization, reals, bits=17))[0] == [1 / 131071]
