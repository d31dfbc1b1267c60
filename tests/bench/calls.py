"""Calls beside servers that do less, generated handlers and NumPy."""

import statistics

from processes import GB, KIB, MIB, closed_loop, servers

SIDES = ("halfstep", "nothing", "reactor", "bare", "parsed", "generated", "numpy")

# (bytes of reals, calls in flight): their product is at most 1 GiB.
CALLS = [
    (KIB, 1), (KIB, 32), (16 * KIB, 64), (64 * KIB, 1), (64 * KIB, 16),
    (256 * KIB, 8), (MIB, 1), (MIB, 8), (16 * MIB, 1), (16 * MIB, 4), (64 * MIB, 1),
    (64 * MIB, 4), (255 * MIB, 1),
]  # fmt: skip
QUICK_CALLS = [(KIB, 8), (MIB, 1)]

WARM_UP_SECONDS = 0.1

# The slowest side moves this much a second: a step is long enough for some calls of it.
SLOWEST_BYTES_PER_SECOND = 150e6


def seconds_of(size, concurrency, options):
    return max(options.seconds, 2 * size * concurrency / SLOWEST_BYTES_PER_SECOND)


def rounds_of(size, options):
    """Twice as many for short calls, whose rounds differ by a tenth and more."""
    return options.rounds * (2 if size < 256 * KIB else 1)


def rotated(items, turn):
    """Each in its turn first, so that none always follows the same one."""
    items = list(items)
    turn %= len(items)
    return items[turn:] + items[:turn]


def median_of(samples, key):
    values = [sample[key] for sample in samples if sample[key] is not None]
    return statistics.median(values) if values else None


def quotient(ours, theirs):
    """The median over the rounds of our rate by theirs."""
    return statistics.median(
        our["bytes_per_second"] / their["bytes_per_second"] for our, their in zip(ours, theirs)
    )


def measure_calls(build, stubs, options, transport):
    rows = []
    for size, concurrency in QUICK_CALLS if options.quick else CALLS:
        samples = {name: [] for name in SIDES}
        rounds = rounds_of(size, options)
        for turn in range(rounds):
            for name, sample in round_of(build, stubs, options, transport, size, concurrency, turn):
                samples[name].append(sample)
        row = {
            "transport": transport,
            "bytes": size,
            "in_flight": concurrency,
            "rounds": rounds,
            "sides": {
                name: {key: median_of(taken, key) for key in taken[0]}
                for name, taken in samples.items()
            },
            "ratio": {
                name: quotient(samples["halfstep"], taken)
                for name, taken in samples.items()
                if name != "halfstep"
            },
            # What whoever computes, and whoever speaks the API besides, can reach of nothing.
            "limit": {
                name: quotient(samples[name], samples["nothing"]) for name in ("bare", "parsed")
            },
        }
        rows.append(row)
        print_call(row)
    return rows


def round_of(build, stubs, options, transport, size, concurrency, turn):
    """A sample of each side, of new processes that have been called before."""
    with servers(build, stubs, transport, SIDES) as running:
        for server in running.values():
            closed_loop(build, server, size, concurrency, WARM_UP_SECONDS)
        for name, server in rotated(running.items(), turn):
            yield name, closed_loop(
                build, server, size, concurrency, seconds_of(size, concurrency, options)
            )


def size_name(size):
    return f"{size // MIB} MiB" if size >= MIB else f"{size // KIB} KiB"


def print_call(row):
    sides, ratio = row["sides"], row["ratio"]
    cells = [
        f"{row['transport']:<5}{size_name(row['bytes']):>9}{row['in_flight']:>4}",
        *(
            f"{sides[name]['bytes_per_second'] / GB:>10.3f}"
            f"{sides[name]['server_cpu_seconds_per_gb'] or 0:>7.2f}"
            for name in SIDES
        ),
        *(f"{ratio[name]:>7.2f}" for name in SIDES[1:]),
        *(f"{limit:>9.2f}" for limit in row["limit"].values()),
    ]
    print("".join(cells), flush=True)


def print_heading():
    print(
        f"{'Quantize':<18}"
        + "".join(f"{name:>10}{'s/GB':>7}" for name in SIDES)
        + "".join(f"{'/' + name[:5]:>7}" for name in SIDES[1:])
        + f"{'bare/no':>9}{'parsd/no':>9}"
    )


def measure_error_report(build, stubs, options):
    """16 MiB with the error report, against the same without."""
    size = MIB if options.quick else 16 * MIB
    samples = []
    with servers(build, stubs, "tcp", ("halfstep",)) as running:
        for _ in range(options.rounds):
            samples.append([
                closed_loop(build, running["halfstep"], size, 1, options.seconds, *flags)
                for flags in (("--measure-error",), ())
            ])  # fmt: skip
    with_error, without = (
        statistics.median(sample[side]["bytes_per_second"] for sample in samples)
        for side in (0, 1)
    )
    row = {
        "bytes": size,
        "with_error_bytes_per_second": with_error,
        "without_bytes_per_second": without,
        "ratio": quotient(*zip(*samples)),
    }
    print(
        f"\nmeasure_error at {size_name(size)}: {with_error / GB:.3f} GB/s, "
        f"without {without / GB:.3f}, ratio {row['ratio']:.2f} (goal 0.8)"
    )
    return row
