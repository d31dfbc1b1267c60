"""Kernels beside what bounds them and what others do."""

import json
import os
import statistics
import subprocess

from processes import GB

# (kernel, what it is compared with, the least ratio to reach)
KERNEL_ROWS = [
    ("quantize/static/threads:1", "xnnpack/convert_f32_qu8/threads:1", 1.0),
    ("quantize/static/threads:1", "onednn/reorder_f32_u8/threads:1", None),
    ("quantize/static/threads:1", "floor/one_read/threads:1", None),
    ("quantize/dynamic/threads:1", "floor/two_reads/threads:1", None),
    ("quantize/dynamic/threads:all", "floor/two_reads/threads:all", 0.9),
    ("quantize/dynamic_group128/threads:1", "quantize/static/threads:1", 0.8),
    ("quantize/dynamic_group32/threads:1", "quantize/static/threads:1", 0.5),
    ("quantize/static_last_axis/threads:1", "quantize/static/threads:1", 0.7),
    ("quantize/dynamic_last_axis/threads:1", "quantize/dynamic/threads:1", 0.7),
    ("quantize/static_4bit_dense/threads:1", "quantize/static/threads:1", 0.8),
    ("quantize/static_with_error/threads:1", "quantize/static/threads:1", None),
]


def measure_kernels(build, options):
    command = [
        str(build / "tests" / "kernels_bench"),
        f"--benchmark_repetitions={options.rounds}",
        "--benchmark_enable_random_interleaving=true",
        f"--benchmark_min_time={0.01 if options.quick else 0.2}",
        "--benchmark_format=json",
    ]
    # oneDNN's own threads: one, as the row says.
    done = subprocess.run(
        command, stdout=subprocess.PIPE, text=True, check=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    taken = {}
    for entry in json.loads(done.stdout)["benchmarks"]:
        if entry["run_type"] == "iteration":
            name = entry["run_name"].removesuffix("/real_time")
            taken.setdefault(name, []).append(entry["bytes_per_second"])
    rates = {name: statistics.median(values) for name, values in taken.items()}
    rows = []
    print(f"\n{'kernel, 256 MiB of float32':<38}{'GB/s':>7}  {'against':<36}{'GB/s':>7}{'ratio':>7}")
    for name, against, goal in KERNEL_ROWS:
        row = {
            "kernel": name,
            "against": against,
            "bytes_per_second": rates[name],
            "against_bytes_per_second": rates[against],
            "ratio": rates[name] / rates[against],
            "goal": goal,
        }
        rows.append(row)
        print(
            f"{name:<38}{rates[name] / GB:>7.2f}  {against:<36}{rates[against] / GB:>7.2f}"
            f"{row['ratio']:>7.2f}" + (f"  (goal {goal})" if goal else "")
        )
    return rows
