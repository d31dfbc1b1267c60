"""Golden vectors by the notebook's formulas, and the notebook's own numbers."""

import numpy as np

from generate import b64, case, parameters, spec, tensor, values_tensor

DESCRIPTION = "Profile NOTEBOOK by the notebook's formulas in NumPy's float64, and the notebook's own numbers."
# NumPy's elementary float64 operations are IEEE's, the same in every version.
SOURCE = "NumPy, float64: the notebook's "
NOTEBOOK = "the notebook's own output, quoted in docs/numerics.md, section 10"
PARAMS = [
    199.9341,
    -9.1758,
    0,
    7.1529,
    123.2222,
    101.2439,
    182.7486,
    88.2835,
    58.6505,
    -8.1758,
    -4.9222,
    159.3742,
    110.0036,
    159.674,
    198.9341,
]
PARAMS_SY = [
    -16.88845729,
    -14.73619101,
    -9.84795077,
    -2.16624371,
    -13.58845586,
    -13.89295657,
    -5.13396663,
    -7.43403557,
    -2.02378329,
    -4.6139564,
    13.66297264,
    12.94906411,
    4.74121694,
    5.52796603,
    5.09095534,
    8.92738701,
    7.37523507,
    2.56579524,
    16.80063994,
    13.47113548,
]
CODES = [255, 0, 11, 20, 161, 134, 234, 119, 83, 1, 5, 205, 145, 206, 254]
CODES_OF_SYMMETRIC = [127, -6, 0, 5, 78, 64, 116, 56, 37, -5, -3, 101, 70, 101, 126]
CODES_SY = [
    -127,
    -111,
    -74,
    -16,
    -102,
    -104,
    -39,
    -56,
    -15,
    -35,
    103,
    97,
    36,
    42,
    38,
    67,
    55,
    19,
    126,
    101,
]
SYMMETRIC = spec(profile="NOTEBOOK", scheme="SYMMETRIC")
ASYMMETRIC = spec(profile="NOTEBOOK")
HELD = {4: np.uint8, 8: np.uint8, 16: np.uint16}


def own_case(name, reals, how, scale, zero, codes, mean_squared_error):
    made = {"scale": [scale]}
    if zero is not None:
        made["zeroPoint"] = [zero]
    wanted = {
        "tensor": {"parameters": made, "values": [str(c) for c in codes]},
        "error": {"meanSquaredError": mean_squared_error},
    }
    request = {"spec": how, "measureError": True, "tensor": values_tensor(reals)}
    # The notebook sums in another order.
    return case(
        name, NOTEBOOK, "Quantize", request, wanted, within={"error.meanSquaredError": 1e-12}
    )


def own_reconstruction(name, how, scale, zero, codes, printed):
    quantized = {
        "parameters": parameters(how, scale, zero),
        "dtype": "DATA_TYPE_FLOAT64",
        "shape": [str(len(codes))],
        "values": [str(c) for c in codes],
    }
    # Printed with two decimals; half a unit of the last one, and a little.
    return case(
        name,
        NOTEBOOK,
        "Dequantize",
        {"tensor": quantized},
        {"tensor": {"values": printed}},
        within={"tensor.values": 0.00500001},
    )


def asymmetric_case(name, reals, bits):
    reals = np.asarray(reals, np.float64)
    alpha, beta = np.max(reals), np.min(reals)
    scale = (alpha - beta) / (2**bits - 1)
    zero = -1 * np.round(beta / scale)
    codes = np.clip(np.round(reals / scale + zero), 0, 2**bits - 1)
    back = (codes - zero) * scale
    wanted = {
        "parameters": {"scale": [float(scale)], "zeroPoint": [int(zero)]},
        "tensor": {"data": b64(back)},
    }
    request = {"spec": spec(profile="NOTEBOOK", bits=bits), "tensor": tensor(reals)}
    return case(
        name, SOURCE + "asymmetric_quantization and its way back", "FakeQuantize", request, wanted
    )


def static_case(name, reals, how, scale, zero, low, high):
    reals = np.asarray(reals, np.float64)
    codes = np.clip(np.round(reals / scale + (zero or 0)), low, high)
    held = np.int8 if low < 0 else np.uint8
    request = {
        "parameters": parameters(how, scale, None if zero is None else [zero]),
        "tensor": tensor(reals),
    }
    return case(
        name,
        SOURCE + "formula with given parameters",
        "Quantize",
        request,
        {"tensor": {"codes": b64(codes.astype(held))}},
    )


def float16_case(name, reals):
    reals = np.asarray(reals, np.float64)
    request = {"spec": spec(codeType="FLOAT16"), "tensor": tensor(reals)}
    wanted = {"tensor": {"codes": b64(reals.astype(np.float16))}}
    return case(name, "NumPy: float64 array.astype(float16)", "Quantize", request, wanted)


def cases():
    rng = np.random.default_rng(3)
    return [
        own_case(
            "the notebook: params, asymmetric",
            PARAMS,
            ASYMMETRIC,
            0.8200388235294118,
            11,
            CODES,
            0.0534317560409699,
        ),
        own_case(
            "the notebook: params, symmetric",
            PARAMS,
            SYMMETRIC,
            1.5742842519685039,
            None,
            CODES_OF_SYMMETRIC,
            0.1530459437468387,
        ),
        own_case(
            "the notebook: params_sy, symmetric",
            PARAMS_SY,
            SYMMETRIC,
            0.13297997866141734,
            None,
            CODES_SY,
            0.00159113260444497,
        ),
        own_reconstruction(
            "the notebook: params, asymmetric, back",
            ASYMMETRIC,
            0.8200388235294118,
            [11],
            CODES,
            [
                200.09,
                -9.02,
                0,
                7.38,
                123.01,
                100.86,
                182.87,
                88.56,
                59.04,
                -8.2,
                -4.92,
                159.09,
                109.89,
                159.91,
                199.27,
            ],
        ),
        own_reconstruction(
            "the notebook: params, symmetric, back",
            SYMMETRIC,
            1.5742842519685039,
            None,
            CODES_OF_SYMMETRIC,
            [
                199.93,
                -9.45,
                0,
                7.87,
                122.79,
                100.75,
                182.62,
                88.16,
                58.25,
                -7.87,
                -4.72,
                159,
                110.2,
                159,
                198.36,
            ],
        ),
        asymmetric_case("a range without zero: zero point -43520", [1024, 1030, 1025.5], 8),
        asymmetric_case("a negative range without zero", [-1030, -1024, -1027], 8),
        asymmetric_case("random reals at 8 bits", rng.normal(4, 2, 19), 8),
        asymmetric_case("random reals at 4 bits", rng.normal(-4, 2, 19), 4),
        asymmetric_case("random reals at 16 bits", rng.normal(0, 1e5, 19), 16),
        asymmetric_case("random reals at 24 bits", rng.normal(0, 1e-5, 19), 24),
        asymmetric_case("subnormal reals with a normal scale", [0, 5e-324, 255 * 2.0**-1022], 8),
        static_case(
            "ties with an odd zero point", np.arange(-4.5, 12), ASYMMETRIC, 1.0, 11, 0, 255
        ),
        static_case(
            "-203 under the frozen symmetric scale: -128",
            [-203, 203, -201],
            SYMMETRIC,
            1.5742842519685039,
            None,
            -128,
            127,
        ),
        float16_case(
            "float64 to float16 rounds once",
            [
                1 + 2.0**-11 + 2.0**-40,
                1 + 2.0**-11,
                65519.0,
                2.0**-25 + 2.0**-70,
                2.0**-25,
                -0.0,
                0.1,
            ],
        ),
    ]
