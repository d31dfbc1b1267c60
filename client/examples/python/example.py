"""Calls Halfstep with grpcio, NumPy and the proto alone.

Stubs, in any folder on PYTHONPATH (Debian: protobuf-compiler-grpc; elsewhere
`python -m grpc_tools.protoc` with the same arguments and no --plugin):

    protoc -I proto -I proto/third_party --python_out=. --grpc_out=. \\
        --plugin=protoc-gen-grpc=/usr/bin/grpc_python_plugin \\
        halfstep/v1/quantization.proto google/rpc/status.proto google/rpc/error_details.proto

    python example.py 127.0.0.1:50051 tests/golden
"""
import json
import pathlib
import sys
import time

import grpc
import numpy as np
from google.protobuf import json_format
from google.rpc import error_details_pb2, status_pb2
from halfstep.v1 import quantization_pb2 as pb
from halfstep.v1 import quantization_pb2_grpc

ATTEMPTS = 5
TIMEOUT_SECONDS = 10


def details_of(error, kind):
    """The messages of type `kind` in the status details of a failed call."""
    for key, value in error.trailing_metadata() or ():
        if key == "grpc-status-details-bin":
            for detail in status_pb2.Status.FromString(value).details:
                message = kind()
                if detail.Unpack(message):
                    yield message


def fields_at_fault(error):
    requests = details_of(error, error_details_pb2.BadRequest)
    return [violation.field for request in requests for violation in request.field_violations]


def patiently(method, request):
    """Calls again while the server is busy, after as long as it says each time.

    A RESOURCE_EXHAUSTED without RetryInfo is over a limit: that never gets better.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return method(request, timeout=TIMEOUT_SECONDS)
        except grpc.RpcError as error:
            retry = next(details_of(error, error_details_pb2.RetryInfo), None)
            busy = error.code() == grpc.StatusCode.RESOURCE_EXHAUSTED and retry is not None
            if not busy or attempt == ATTEMPTS:
                raise
            seconds = retry.retry_delay.ToTimedelta().total_seconds()
        print(f"busy         waiting {seconds * 1000:g} ms")
        time.sleep(seconds)


def round_trip(service):
    """Four reals to 4-bit codes and back."""
    reals = np.array([199.93, -9.18, 0, 7.15], np.float32)
    request = pb.QuantizeRequest(
        spec=pb.QuantizationSpec(bits=4),
        tensor=pb.Tensor(
            dtype=pb.DATA_TYPE_FLOAT32, shape=reals.shape, data=reals.astype("<f4").tobytes()))
    tensor = patiently(service.Quantize, request).tensor
    codes = np.frombuffer(tensor.codes, np.uint8).reshape(tensor.shape)
    scale = np.float32(tensor.parameters.scale[0])
    zero_point = tensor.parameters.zero_point[0]
    print(f"quantized    codes {codes}, scale {scale}, zero point {zero_point}")

    reply = patiently(service.Dequantize, pb.DequantizeRequest(tensor=tensor)).tensor
    back = np.frombuffer(reply.data, "<f4").reshape(reply.shape)
    print(f"dequantized  {back}")

    formula = scale * (codes.astype(np.int32) - zero_point).astype(np.float32)
    if not np.array_equal(back, formula):
        sys.exit(f"dequantized: {back}; must be {formula}")
    if np.any(np.abs(reals - back) > scale / 2):
        sys.exit(f"{reals} came back as {back}; must be at most half a step off")


def refusal(service):
    # Small tensors can be given as numbers, this one as a scalar.
    request = pb.QuantizeRequest(
        spec=pb.QuantizationSpec(bits=33), tensor=pb.Tensor(values=[7.15]))
    try:
        patiently(service.Quantize, request)
    except grpc.RpcError as error:
        fields = fields_at_fault(error)
        if error.code() != grpc.StatusCode.INVALID_ARGUMENT or fields != ["spec.bits"]:
            raise
        print(f"refused      field {fields[0]}: {error.details()}")
    else:
        sys.exit("33 bits: not refused")


def differences(actual, wanted, named, within, path=""):
    """Where two messages differ in the fields that `named`, JSON, has. Others are free."""
    for name, value in named.items():
        here = f"{path}.{name}" if path else name
        field = actual.DESCRIPTOR.fields_by_camelcase_name[name].name
        a, w = getattr(actual, field), getattr(wanted, field)
        if isinstance(value, dict):
            if not actual.HasField(field):
                yield f"{here}: missing"
            yield from differences(a, w, value, within, here)
        elif here in within:
            if np.shape(a) != np.shape(w) or np.any(np.abs(np.subtract(a, w)) > within[here]):
                yield f"{here}: {a}, not {w}"
        # As text, -0.0 is not 0.0, and NaN is NaN.
        elif str(a) != str(w):
            yield f"{here}: {a}, not {w}"


def check_case(service, case):
    method = case["method"]
    request = json_format.ParseDict(case["request"], getattr(pb, method + "Request")())
    wanted = case.get("error")
    try:
        reply = patiently(getattr(service, method), request)
    except grpc.RpcError as error:
        if wanted is None:
            return [f"refused: {error.details()}"]
        found = []
        if error.code().name != wanted["code"]:
            found.append(f"refused as {error.code().name}; must be {wanted['code']}")
        fields = fields_at_fault(error)
        if wanted["field"] is not None and fields[:1] != [wanted["field"]]:
            found.append(f"refused for {fields}; must be for {wanted['field']}")
        return found
    if wanted is not None:
        return [f"not refused; must be {wanted}"]
    response = json_format.ParseDict(case["response"], getattr(pb, method + "Response")())
    return list(differences(reply, response, case["response"], case.get("within", {})))


def check_golden(service, folder):
    """Checks every case of every file in `folder`, as docs/golden.md says."""
    count, failed = 0, 0
    for path in sorted(pathlib.Path(folder).glob("*.json")):
        for case in json.loads(path.read_text())["cases"]:
            found = check_case(service, case)
            count += 1
            if found:
                failed += 1
                print(f"{path}: {case['name']}: {'; '.join(found)}")
    if failed or count == 0:
        sys.exit(f"{failed} of {count} golden vectors differ")
    print(f"golden       {count} vectors agree")


def main():
    if len(sys.argv) != 3:
        sys.exit("usage: example.py ADDRESS GOLDEN_FOLDER")
    address, folder = sys.argv[1:]
    # By default a reply may not be larger than 4 MiB.
    options = [("grpc.max_receive_message_length", -1)]
    with grpc.insecure_channel(address, options=options) as channel:
        service = quantization_pb2_grpc.QuantizationServiceStub(channel)
        try:
            round_trip(service)
            refusal(service)
            check_golden(service, folder)
        except grpc.RpcError as error:
            sys.exit(f"{error.code().name}: {error.details()}")


if __name__ == "__main__":
    main()
