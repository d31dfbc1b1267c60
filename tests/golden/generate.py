"""Computes the golden vectors. docs/golden.md is the description of the files.

    tests/golden/generate.py PART...          writes tests/golden/PART.json
    tests/golden/generate.py --check PART...  fails if a file would change

Parts, and what computes their numbers:
    onnxruntime  ONNX Runtime's operators; run by build/conformance/venv/bin/python
    torch        torch's observers and operators; run by /usr/bin/python3
    numpy        the notebook's formulas in NumPy; run by /usr/bin/python3
    numerics     docs/numerics.md, where no runtime computes the same: by the second
                 implementation of it, tests/end_to_end/oracle.py; /usr/bin/python3

Nothing here calls the server or the core.
"""

import base64
import json
import pathlib
import sys

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))
NUMERICS_VERSION = 1
PARTS = ("onnxruntime", "torch", "numpy", "numerics")


def b64(array):
    return base64.b64encode(np.ascontiguousarray(array).tobytes()).decode()


def tensor(reals):
    """A Tensor in proto3 JSON from a float32 or float64 array."""
    return {
        "dtype": {"float32": "DATA_TYPE_FLOAT32", "float64": "DATA_TYPE_FLOAT64"}[str(reals.dtype)],
        "shape": [str(n) for n in reals.shape],
        "data": b64(reals),
    }


def values_tensor(reals, dtype=None):
    """A Tensor whose reals are written as numbers."""
    reals = np.asarray(reals, np.float64)
    made = {"shape": [str(n) for n in reals.shape], "values": reals.reshape(-1).tolist()}
    if dtype:
        made["dtype"] = "DATA_TYPE_" + dtype
    return made


def spec(**fields):
    """A QuantizationSpec in proto3 JSON: spec(bits=4, codeType="INT", axis=1)."""
    made = {}
    for name, value in fields.items():
        if name in ("scheme", "profile", "packing"):
            made[name] = f"{name.upper()}_{value}"
        elif name == "codeType":
            made[name] = f"CODE_TYPE_{value}"
        elif name == "nonFinitePolicy":
            made[name] = f"NON_FINITE_POLICY_{value}"
        elif name == "axis":
            made.setdefault("granularity", {})["axis"] = value
        elif name == "group":
            made["granularity"] = {"group": {"axis": value[0], "size": str(value[1])}}
        else:
            made[name] = value
    return made


def parameters(made_spec, scale, zero_point=None):
    made = {"spec": made_spec, "scale": np.asarray(scale, np.float64).reshape(-1).tolist()}
    if zero_point is not None:
        made["zeroPoint"] = np.asarray(zero_point).reshape(-1).tolist()
    return made


def case(name, source, method, request, response, **more):
    return {
        "name": name,
        "source": source,
        "method": method,
        "request": request,
        "response": response,
        **more,
    }


def write(part, description, cases):
    path = HERE / f"{part}.json"
    names = [c["name"] for c in cases]
    assert len(set(names)) == len(names), "names must differ"
    lines = ",\n".join(json.dumps(c) for c in cases)
    text = (
        f'{{"description": {json.dumps(description)},\n'
        f'"numericsVersion": {NUMERICS_VERSION},\n"cases": [\n{lines}\n]}}\n'
    )
    if "--check" in sys.argv:
        if path.read_text() != text:
            sys.exit(f"{path.name}: what computes it today gives other numbers")
        print(f"{path.name}: {len(cases)} cases, as computed now")
    else:
        path.write_text(text)
        print(f"{path.name}: {len(cases)} cases")


def main():
    parts = [a for a in sys.argv[1:] if a != "--check"]
    if not parts or not set(parts) <= set(PARTS):
        sys.exit(__doc__)
    for part in parts:
        module = __import__(f"cases_{part}")
        write(part, module.DESCRIPTION, module.cases())


if __name__ == "__main__":
    # The modules of the parts import this one by its name.
    sys.modules["generate"] = sys.modules["__main__"]
    main()
