"""The rules that the tree keeps, as functions from a tree to its faults.

docs/design.md has the table of layers, CONTRIBUTING.md the reasons. A fault is
one line: `path:line: what it is; what it must be`.
"""

import os
import re
from pathlib import Path

LINES_MAX = 500
OMITTED = {".git", "build", "third_party", "node_modules", "__pycache__", "baseline"}
SOURCES = {".h", ".cc", ".py", ".sh", ".cmake", ".proto", ".rs", ".go", ".java", ".js"}
VAGUE = {"util", "utils", "misc", "common", "helper", "helpers", "manager"}
INCLUDE = re.compile(r'^\s*#\s*include\s+["<]([^">]+)[">]')

GRPC = ("grpc/", "grpcpp/", "grpc++/")
PROTOBUF = ("google/protobuf", "google/rpc", "halfstep/v1/")
TBB = ("tbb/", "oneapi/")
SPDLOG = ("spdlog/",)
PROMETHEUS = ("prometheus/",)
MICROHTTPD = ("microhttpd",)
OPENSSL = ("openssl/",)
SERVING = OPENSSL + GRPC + PROTOBUF + SPDLOG + PROMETHEUS + MICROHTTPD + ("CLI/", "nlohmann/")

# (a layer's paths, what its files may not include). First match wins.
FORBIDDEN_INCLUDES = [
    ("core/kernels/", SERVING + TBB + ("absl/", "core/", "server/", "client/", "tests/")),
    ("core/", SERVING + ("server/", "client/", "tests/")),
    ("command_line/", GRPC + PROTOBUF + TBB + SPDLOG + PROMETHEUS
     + ("hwy/", "core/", "server/", "client/", "tests/")),
    ("server/", TBB + ("hwy/", "client/", "tests/")),
    # The command line alone also links the server, to run it in its own process.
    (("client/cli/", "client/cli.", "client/cli_"), TBB + ("hwy/", "tests/") + SPDLOG + PROMETHEUS),
    ("client/", TBB + ("hwy/", "CLI/", "server/", "core/", "tests/") + SPDLOG + PROMETHEUS),
]
# Folders of server/: each may include those before it, and what they all share.
SERVER_FOLDERS = ("wire", "telemetry", "network", "security", "call", "api", "settings")
SERVER_SHARED = ("server/options.h", "server/version.h")
# Third-party code that stays behind one decision: (prefixes, where, most files).
CONFINED = [
    (TBB, lambda path: path == "core/executor.cc", 1),
    (SPDLOG, lambda path: path.startswith("server/"), 2),
    (PROMETHEUS, lambda path: path.startswith("server/"), 1),
    (("gperftools/",), lambda path: path == "server/call/freed_memory_tcmalloc.cc", 1),
    (MICROHTTPD, lambda path: path.startswith("server/"), 1),
    # Certificates, tokens' digests, and the client's words for a handshake.
    (OPENSSL, lambda path: path.startswith(("server/", "client/cli/")), 3),
    (("toml++/",), lambda path: path == "server/settings/toml_file.cc", 1),
    (("hwy/",), lambda path: path.startswith("core/kernels/") or path == "core/simd.cc", None),
]

# MulAdd and its family change the bits of a result; so does the order of a lane
# reduction.
KERNEL_WORDS = re.compile(r"\b(MulAdd|NegMulAdd|MulSub|NegMulSub|SumOfLanes|ReduceSum)\b")
# Floating DemoteTo to 16 bits truncates on several targets.
TAG_OF_16_BITS = re.compile(r"\bb?float16_t\b[^;()]*>\s*(\w+)\s*[;{(]")
DEMOTE = re.compile(r"\b(?:Ordered|Reorder)?Demote2?To\s*\(\s*([^,]+),")
CORE_WORDS = re.compile(
    r"\b(throw|abort\s*\(|exit\s*\(|terminate\s*\(|f?printf\s*\(|puts\s*\(|cout|cerr|clog|"
    r"HWY_ABORT|HWY_ASSERT|A?B?S?L?_?CHECK(_\w+)?\s*\(|(ABSL_)?(RAW_)?LOG\s*\()")
NO_PROMISES = re.compile(r"\b(TODO|FIXME|XXX)\b")
BLANKET_NOLINT = re.compile(r"NOLINT(BEGIN|END|NEXTLINE)?\b(?!\()")


def paths(root):
    """Every file and folder but the omitted ones, as paths relative to root."""
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(set(folders) - OMITTED)
        for name in folders + sorted(names):
            yield (Path(folder) / name).relative_to(root)


def files(root):
    """Every source file, as (path relative to root with slashes, text)."""
    for path in paths(root):
        if path.suffix in SOURCES or path.name == "CMakeLists.txt":
            if (root / path).is_file():
                yield path.as_posix(), (root / path).read_text(encoding="utf-8")


def cpp_files(root, folder=""):
    return ((p, t) for p, t in files(root) if p.startswith(folder) and p.endswith((".h", ".cc")))


def code_lines(text):
    """Numbered lines with the contents of comments and strings blanked."""
    def blank(match):
        return re.sub(r"[^\n]", " ", match.group())
    token = r'//[^\n]*|/\*.*?\*/|R"(\w*)\(.*?\)\1"|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])+\''
    # An include's name looks like a string and is not looked at here.
    return enumerate(re.sub(token, blank, text, flags=re.DOTALL).split("\n"), 1)


def includes(text):
    for number, line in enumerate(text.split("\n"), 1):
        if match := INCLUDE.match(line):
            yield number, match.group(1)


def direction_of_includes(root):
    for path, text in cpp_files(root):
        for layer, forbidden in FORBIDDEN_INCLUDES:
            if path.startswith(layer):
                for number, name in includes(text):
                    own = path.startswith("core/kernels/") and name.startswith("core/kernels/")
                    if name.startswith(forbidden) and not own:
                        yield f"{path}:{number}: includes {name}; its layer must not"
                break


def order_of_server_folders(root):
    for path, text in cpp_files(root):
        folder = path.removeprefix("server/").split("/")[0]
        if not path.startswith("server/") or folder not in SERVER_FOLDERS:
            continue
        before = tuple(f"server/{name}/" for name in SERVER_FOLDERS[:SERVER_FOLDERS.index(folder) + 1])
        for number, name in includes(text):
            if name.startswith("server/") and not name.startswith(before) and name not in SERVER_SHARED:
                yield f"{path}:{number}: includes {name}; must be below {folder}: {', '.join(before)}"


def confined_libraries(root):
    for prefixes, may, files_max in CONFINED:
        users = []
        for path, text in cpp_files(root):
            if path.startswith("tests/"):
                continue
            number = next((n for n, name in includes(text) if name.startswith(prefixes)), None)
            if number is not None:
                users.append(path)
                if not may(path):
                    yield f"{path}:{number}: includes {prefixes[0]}; must not be known here"
        if files_max is not None and len(users) > files_max:
            yield f"{users[-1]}:1: {len(users)} files include {prefixes[0]}; must be {files_max}"


def proto_imports(root):
    for path, text in files(root):
        if path.endswith(".proto"):
            for number, line in enumerate(text.split("\n"), 1):
                match = re.match(r'\s*import\s+(?:public\s+)?"([^"]+)"', line)
                if match and not match.group(1).startswith(("google/", "halfstep/")):
                    yield f"{path}:{number}: imports {match.group(1)}; must be google/ or ours"


def vague_names(root):
    for path in paths(root):
        words = re.split(r"[^a-z]+", path.name.lower())
        for word in VAGUE.intersection(words):
            yield f"{path.as_posix()}:1: named {word}; must say what it decides"


def exact_kernels(root):
    for path, text in cpp_files(root, "core/kernels/"):
        narrow_tags = set()
        for number, line in code_lines(text):
            narrow_tags.update(TAG_OF_16_BITS.findall(line))
            if match := KERNEL_WORDS.search(line):
                yield f"{path}:{number}: {match.group()}; its bits differ between targets"
            for tag in DEMOTE.findall(line):
                if tag.strip() in narrow_tags or "float16_t" in tag:
                    yield f"{path}:{number}: floating DemoteTo to 16 bits; must round by integers"


def header_guards(root):
    for path, text in cpp_files(root):
        if path.endswith(".h"):
            guard = "HALFSTEP_" + re.sub(r"[^A-Z0-9]", "_", path.upper()) + "_"
            wanted = (f"#ifndef {guard}\n#define {guard}\n", f"#endif  // {guard}\n")
            # A file that Highway includes once per target has a toggle instead.
            if path.endswith("-inl.h"):
                continue
            if wanted[0] not in text or not text.endswith(wanted[1]):
                yield f"{path}:1: no header guard; must be {guard}"


def macros(root):
    for path, text in cpp_files(root):
        for number, line in code_lines(text):
            match = re.match(r"\s*#\s*define\s+(\w+)", line)
            if match and not re.match(r"HWY_|HALFSTEP_\w+_$|HALFSTEP_\w+_TOGGLE$", match.group(1)):
                yield f"{path}:{number}: defines {match.group(1)}; no macros but header guards"


def short_files(root):
    for path, text in files(root):
        if (count := text.count("\n")) > LINES_MAX:
            yield f"{path}:{count}: {count} lines; must be at most {LINES_MAX}"


def silent_core(root):
    for path, text in cpp_files(root, "core/"):
        for number, line in code_lines(text):
            if match := CORE_WORDS.search(line):
                yield f"{path}:{number}: {match.group().strip()}; core returns a Status"


def no_promises(root):
    for path, text in files(root):
        if path.startswith("tests/architecture/"):
            continue
        for number, line in enumerate(text.split("\n"), 1):
            if match := NO_PROMISES.search(line):
                yield f"{path}:{number}: {match.group()}; must be done, or be an issue"
            if BLANKET_NOLINT.search(line):
                yield f"{path}:{number}: NOLINT; must name its check"


RULES = [
    direction_of_includes, order_of_server_folders, confined_libraries, proto_imports, vague_names, exact_kernels,
    header_guards, macros, short_files, silent_core, no_promises,
]
