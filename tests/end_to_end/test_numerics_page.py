"""The worked examples of docs/numerics.md, on the server and on the oracle.

test_numerics_page.py --fill    writes what the oracle computes into the page
"""

import json
import pathlib
import re
import sys

import pytest
from google.protobuf import json_format

import expected_replies
from test_golden import as_json, differences

pb = expected_replies.pb
PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "numerics.md"
BLOCK = re.compile(r"^```example\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# "Quantize {request}\ngives {response}", each over any number of lines.
EXAMPLE = re.compile(
    r"^(\w+) (\{.*?\})\ngives *(\{.*?\})?$(?=\n\w|\n*\Z)", re.MULTILINE | re.DOTALL
)


def examples():
    """(method, request, response) of each example of the page, in order."""
    found = []
    for block in BLOCK.findall(PAGE.read_text()):
        parts = EXAMPLE.findall(block)
        assert len(parts) == block.count("\ngives"), block
        found += [(m, json.loads(q), json.loads(r) if r else None) for m, q, r in parts]
    return found


def message_of(method, request):
    return json_format.ParseDict(request, getattr(pb, method + "Request")())


EXAMPLES = examples()


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_server(quantization, number):
    method, request, response = EXAMPLES[number]
    reply = getattr(quantization, method)(message_of(method, request))
    assert differences(as_json(reply), response, {}) == []


@pytest.mark.parametrize("number", range(len(EXAMPLES)))
def test_oracle(number):
    method, request, response = EXAMPLES[number]
    reply = expected_replies.expected(message_of(method, request))
    assert differences(as_json(reply), response, {}) == []


def test_the_page_has_examples():
    assert len(EXAMPLES) > 30
    assert all(response for _, _, response in EXAMPLES)


def shown(method, reply):
    """What an example shows of a reply."""
    reply = as_json(reply)
    kept = {}
    if method == "Quantize":
        tensor = reply["tensor"]
        parameters = {
            k: tensor["parameters"][k] for k in ("scale", "zeroPoint") if tensor["parameters"][k]
        }
        kept["tensor"] = {"parameters": parameters} if parameters else {}
        form = "codes" if tensor["codes"] else "values"
        kept["tensor"][form] = tensor[form]
        cuts = {k: v for k, v in reply["cuts"].items() if v != "0"}
        if cuts:
            kept["cuts"] = cuts
        if "error" in reply:
            kept["error"] = reply["error"]
    elif method == "MeasureError":
        kept = reply
    else:
        kept["tensor"] = {"values": reply["tensor"]["values"]}
        if method == "FakeQuantize":
            kept["parameters"] = {k: reply["parameters"][k] for k in ("scale", "zeroPoint")}
            kept["gradientMask"] = reply["gradientMask"]
    return json.dumps(kept)


def fill():
    def block(match):
        def example(part):
            method, request = part[1], json.loads(part[2])
            reply = expected_replies.expected(message_of(method, request))
            return f"{method} {part[2]}\ngives {shown(method, reply)}"

        return "```example\n" + EXAMPLE.sub(example, match[1]) + "```"

    PAGE.write_text(BLOCK.sub(block, PAGE.read_text()))


if __name__ == "__main__":
    if sys.argv[1:] != ["--fill"]:
        sys.exit(__doc__)
    fill()
