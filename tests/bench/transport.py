"""Settings of the transport, the server's (server/network/transport.cc) and the client's.

The server that does nothing has them, since whatever a setting gains or costs is
gained or lost there. One setting at a time is moved, or put back to gRPC's default;
the client has gRPC's defaults.
"""

import statistics

from calls import size_name
from processes import GB, KIB, MIB, closed_loop, servers

FRAME = "grpc.http2.max_frame_size"
CHUNK = ("grpc.experimental.tcp_read_chunk_size", "grpc.experimental.tcp_max_read_chunk_size")
WINDOW = "grpc.http2.lookahead_bytes"
PROBE = "grpc.http2.bdp_probe"
WRITE_BUFFER = "grpc.http2.write_buffer_size"

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
# Of the client, which calls the server with our settings.
CLIENT_VARIANTS = {
    "client: frame 1 MiB": [f"{FRAME}={MIB}"],
    "client: chunk 256 KiB": [f"{name}={256 * KIB}" for name in CHUNK],
    "client: chunk 1 MiB": [f"{name}={MIB}" for name in CHUNK],
    "client: window 64 KiB": [f"{PROBE}=0"],
    "client: window 4 MiB": [f"{PROBE}=0", f"{WINDOW}={4 * MIB}"],
    "client: write buffer 1 MiB": [f"{WRITE_BUFFER}={MIB}"],
}
SIZES = [64 * KIB, MIB, 16 * MIB, 64 * MIB]


def channel_settings(settings):
    return [word for setting in settings for word in ("--channel-setting", setting)]


def measure_transport(build, stubs, options):
    rows = []
    sides = {label: ("nothing", arguments) for label, arguments in VARIANTS.items()}
    sizes = SIZES[:1] if options.quick else SIZES
    print(f"\n{'a server that does nothing, 1 in flight':<40}"
          + "".join(f"{size_name(size):>9}{'ratio':>7}" for size in sizes))  # fmt: skip
    with servers(build, stubs, "tcp", sides) as running:
        callers = {label: (server, []) for label, server in running.items()}
        for label, settings in CLIENT_VARIANTS.items():
            callers[label] = (running[OURS], channel_settings(settings))
        samples = {label: {size: [] for size in sizes} for label in callers}
        for size in sizes:
            for _ in range(options.rounds):
                for label, (server, flags) in callers.items():
                    taken = closed_loop(build, server, size, 1, options.seconds, *flags)
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
