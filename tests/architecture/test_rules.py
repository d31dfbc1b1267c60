"""The tree keeps its rules, and each rule sees what it is there for."""

import os
from pathlib import Path

import pytest
import rules

ROOT = Path(os.environ.get("HALFSTEP_ROOT", Path(__file__).parents[2]))


def guarded(path, body=""):
    guard = "HALFSTEP_" + path.upper().replace("/", "_").replace(".", "_") + "_"
    return f"// A header.\n#ifndef {guard}\n#define {guard}\n{body}\n#endif  // {guard}\n"


# A tree that keeps every rule, with what comes nearest to breaking one.
CLEAN = {
    "core/tensor.h": guarded("core/tensor.h", '#include "absl/types/span.h"'),
    "core/executor.cc": '#include "core/executor.h"\n#include <tbb/task_arena.h>\n',
    "core/tensor.cc": '// We never throw, abort() or printf().\nconst char* a = "throw";\n',
    "core/kernels/affine.cc":
        '#include "core/kernels/affine.h"\n#include "hwy/highway.h"\n'
        "const hn::Rebind<int16_t, D> di16;\nauto v = hn::DemoteTo(di16, w);\n"
        "const hn::Rebind<hwy::float16_t, D> df16;\nauto p = hn::PromoteTo(df, h);\n",
    "server/telemetry/call_log.cc": '#include "spdlog/spdlog.h"\n#include "core/tensor.h"\n',
    "server/api/service.cc":
        '#include "server/call/call.h"\n#include "server/options.h"\n#include "server/wire/wire.h"\n',
    "server/main.cc": '#include "spdlog/spdlog.h"\n#include "CLI/CLI.hpp"\n',
    "server/telemetry/metrics.cc": '#include "prometheus/counter.h"\n',
    "server/network/admin.cc": "#include <microhttpd.h>\n",
    "client/client.cc": '#include "grpcpp/channel.h"\n#include "halfstep/v1/q.pb.h"\n',
    "client/cli/main.cc": '#include "server/server.h"\n#include "core/quantize.h"\n',
    "tests/core/tensor_test.cc": '#include "core/tensor.h"\n#include "server/server.h"\n',
    "proto/halfstep/v1/q.proto": 'import "google/protobuf/any.proto";\n',
}

# (rule, path, text): each must be found, and by that rule.
PLANTED = [
    ("direction_of_includes", "core/a.cc", '#include "grpcpp/grpcpp.h"\n'),
    ("direction_of_includes", "core/a.cc", '#include <google/protobuf/message.h>\n'),
    ("direction_of_includes", "core/a.cc", '#include "halfstep/v1/quantization.pb.h"\n'),
    ("direction_of_includes", "core/a.cc", '#include "server/server.h"\n'),
    ("direction_of_includes", "core/kernels/a.cc", '#include "core/spec.h"\n'),
    ("direction_of_includes", "core/kernels/a.cc", '#include "absl/status/status.h"\n'),
    ("direction_of_includes", "server/a.cc", '  #  include "client/client.h"\n'),
    ("direction_of_includes", "client/client.h",
     guarded("client/client.h", '#include "core/spec.h"')),
    ("direction_of_includes", "client/load.cc", '#include "server/server.h"\n'),
    ("order_of_server_folders", "server/wire/a.cc", '#include "server/call/call.h"\n'),
    ("order_of_server_folders", "server/call/a.cc", '#include "server/server.h"\n'),
    ("order_of_server_folders", "server/network/a.cc", '#include "server/security/security.h"\n'),
    ("confined_libraries", "core/a.cc", "#include <oneapi/tbb.h>\n"),
    ("confined_libraries", "core/a.cc", '#include "hwy/highway.h"\n'),
    ("confined_libraries", "server/third.cc", '#include "spdlog/spdlog.h"\n'),
    ("confined_libraries", "server/second.cc", '#include "prometheus/gauge.h"\n'),
    ("confined_libraries", "server/other.cc", "#include <microhttpd.h>\n"),
    ("proto_imports", "proto/halfstep/v1/a.proto", 'import "other/a.proto";\n'),
    ("vague_names", "core/string_util.h", guarded("core/string_util.h")),
    ("vague_names", "server/buffer-manager.cc", "\n"),
    ("vague_names", "tests/common/a.py", "\n"),
    ("exact_kernels", "core/kernels/a.cc", "auto v = hn::MulAdd(a, b, c);\n"),
    ("exact_kernels", "core/kernels/a.cc", "auto v = hn::NegMulAdd(a, b, c);\n"),
    ("exact_kernels", "core/kernels/a.cc", "auto v = hn::SumOfLanes(d, a);\n"),
    ("exact_kernels", "core/kernels/a.cc",
     "const hn::Rebind<hwy::bfloat16_t, D> dbf16;\nauto v = hn::DemoteTo(dbf16, a);\n"),
    ("exact_kernels", "core/kernels/a.cc",
     "auto v = hn::DemoteTo(hn::Rebind<hwy::float16_t, D>(), a);\n"),
    ("header_guards", "core/a.h", "#pragma once\n"),
    ("header_guards", "server/a.h", guarded("core/a.h")),
    ("macros", "server/a.cc", "#define RETURN_IF_ERROR(x) x\n"),
    ("short_files", "server/a.cc", "\n" * 501),
    ("silent_core", "core/a.cc", 'void F() { throw 1; }\n'),
    ("silent_core", "core/a.cc", 'void F() { std::abort(); }\n'),
    ("silent_core", "core/a.cc", 'void F() { std::cerr << "x"; }\n'),
    ("silent_core", "core/kernels/a.cc", 'void F() { printf("x"); }\n'),
    ("silent_core", "core/a.cc", 'void F() { ABSL_CHECK(x); }\n'),
    ("no_promises", "core/a.cc", "// TODO: later\n"),
    ("no_promises", "core/a.cc", "int a;  // NOLINT\n"),
]


def plant(root, tree):
    for path, text in tree.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_tree_keeps(rule):
    faults = list(rule(ROOT))
    assert not faults, "\n" + "\n".join(faults)


@pytest.mark.parametrize("folder", ["core/", "core/kernels/", "server/", "client/", "tests/"])
def test_every_layer_is_looked_at(folder):
    assert any(True for _ in rules.cpp_files(ROOT, folder))


@pytest.mark.parametrize("rule", rules.RULES, ids=lambda rule: rule.__name__)
def test_clean_tree_has_no_fault(rule, tmp_path):
    plant(tmp_path, CLEAN)
    assert not list(rule(tmp_path))


@pytest.mark.parametrize("name, path, text", PLANTED,
                         ids=[f"{name}-{i}" for i, (name, _, _) in enumerate(PLANTED)])
def test_planted_fault_is_found(name, path, text, tmp_path):
    plant(tmp_path, CLEAN | {path: text})
    faults = list(getattr(rules, name)(tmp_path))
    assert any(fault.startswith(path.split("/")[0]) for fault in faults)


def test_every_rule_has_a_planted_fault():
    assert {rule.__name__ for rule in rules.RULES} == {name for name, _, _ in PLANTED}
