"""What the server holds in memory beyond what it holds when idle."""

from processes import KIB, MIB, load, servers

CALLS = 10_000
CALL_RATE = 2_000


def measure_memory(build, stubs, options):
    payload = (4 if options.quick else 64) * MIB
    seconds = 0.2 if options.quick else CALLS / CALL_RATE
    with servers(build, stubs, "tcp", ("halfstep",)) as running:
        server = running["halfstep"]
        load(build, server, 0.1, "--sizes", KIB, "--concurrency", 1)
        idle = server.resident_bytes()
        # The load tester asks once before it begins, one call at a time.
        load(build, server, 0.1, "--sizes", payload, "--concurrency", 1, "--channels", 1)
        most = server.peak_bytes()
        flat = []
        for _ in range(2):
            load(build, server, seconds, "--sizes", "1KiB,16KiB,64KiB", "--rate", CALL_RATE)
            flat.append(server.resident_bytes())
    row = {
        "payload_bytes": payload,
        "idle_bytes": idle,
        "above_idle_bytes": most - idle,
        "ratio": (most - idle) / payload,
        "calls": round(seconds * CALL_RATE),
        "growth_bytes": flat[1] - flat[0],
    }
    print(
        f"\nmemory: idle {idle / MIB:.0f} MiB; a call of {payload // MIB} MiB takes "
        f"{(most - idle) / MIB:.0f} MiB more, {row['ratio']:.2f} x its payload (at most 2); "
        f"{row['calls']} calls more: {row['growth_bytes'] / MIB:+.1f} MiB"
    )
    return row
