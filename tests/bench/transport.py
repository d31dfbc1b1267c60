"""Settings of the transport, each beside the server's own (server/network/transport.cc).

The server that does nothing has them, since whatever a setting gains or costs is
gained or lost there. One setting at a time is put back to gRPC's default or moved.
"""

import statistics

from calls import size_name
from processes import GB, KIB, MIB, closed_loop, servers

FRAME = "grpc.http2.max_frame_size"
CHUNK = ("grpc.experimental.tcp_read_chunk_size", "grpc.experimental.tcp_max_read_chunk_size")
WINDOW = "grpc.http2.lookahead_bytes"
PROBE = "grpc.http2.bdp_probe"

OURS = "ours"
VARIANTS = {
    OURS: [],
    "frame 16 KiB (default)": [f"{FRAME}={16 * KIB}"],
    "frame 256 KiB": [f"{FRAME}={256 * KIB}"],
    "frame 4 MiB": [f"{FRAME}={4 * MIB}"],
    "chunk 64 KiB": [f"{name}={64 * KIB}" for name in CHUNK],
    "chunk 256 KiB": [f"{name}={256 * KIB}" for name in CHUNK],
    "chunk 4 MiB": [f"{name}={4 * MIB}" for name in CHUNK],
    "window 256 KiB": [f"{WINDOW}={256 * KIB}"],
    "window by probing (default)": [f"{PROBE}=1"],
}
SIZES = [64 * KIB, MIB, 16 * MIB, 64 * MIB]


def measure_transport(build, stubs, options):
    rows = []
    sides = {label: ("nothing", arguments) for label, arguments in VARIANTS.items()}
    sizes = SIZES[:1] if options.quick else SIZES
    print(f"\n{'a server that does nothing, 1 in flight':<40}"
          + "".join(f"{size_name(size):>9}{'ratio':>7}" for size in sizes))  # fmt: skip
    with servers(build, stubs, "tcp", sides) as running:
        samples = {label: {size: [] for size in sizes} for label in running}
        for size in sizes:
            for _ in range(options.rounds):
                for label, server in running.items():
                    taken = closed_loop(build, server, size, 1, options.seconds)
                    samples[label][size].append(taken["bytes_per_second"])
    for label, by_size in samples.items():
        row = {"setting": label, "sizes": {}}
        for size, rates in by_size.items():
            row["sizes"][size] = {
                "bytes_per_second": statistics.median(rates),
                "ratio": statistics.median(
                    rate / ours for rate, ours in zip(rates, samples[OURS][size])
                ),
            }
        rows.append(row)
        print(f"{label:<40}" + "".join(
            f"{taken['bytes_per_second'] / GB:>9.3f}{taken['ratio']:>7.2f}"
            for taken in row["sizes"].values()
        ))  # fmt: skip
    return rows
