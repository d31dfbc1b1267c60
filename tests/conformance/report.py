"""Prints the table of all runtimes and fails if it does not prove what it should."""

import json
import pathlib
import sys

COMPARED_MIN = 2_000_000


def main():
    rows = []
    for path in sys.argv[1:]:
        rows += json.loads(pathlib.Path(path).read_text())
    faults = []
    width = max(len(r["row"]) for r in rows)
    print(
        f"{'runtime':<12} {'row':<{width}} {'compared':>12} {'on ties':>10} {'left out':>9} {'mismatches':>10}"
    )
    for r in rows:
        left_out = sum(r["left_out"].values())
        print(
            f"{r['runtime']:<12} {r['row']:<{width}} {r['compared']:>12,} {r['ties']:>10,} "
            f"{left_out:>9,} {r['mismatches']:>10,}"
        )
        name = f"{r['runtime']}, {r['row']}"
        if r["mismatches"]:
            faults.append(f"{name}: {r['mismatches']:,} mismatches; the first: {r['first']}")
        if r["compared"] < COMPARED_MIN:
            faults.append(
                f"{name}: {r['compared']:,} values compared; must be {COMPARED_MIN:,} or more"
            )
        if r["ties"] == 0:
            faults.append(f"{name}: no compared value sits on a tie, which proves nothing")
    reasons = {}
    for r in rows:
        for reason, count in r["left_out"].items():
            key = (r["runtime"], reason)
            reasons[key] = reasons.get(key, 0) + count
    print("\nLeft out (docs/numerics.md, section 11):")
    for (runtime, reason), count in reasons.items():
        print(f"  {runtime}: {reason}: {count:,}")
    if not reasons:
        print("  nothing")
    print(
        f"\n{len(rows)} rows, {sum(r['compared'] for r in rows):,} values, "
        f"{sum(r['mismatches'] for r in rows):,} mismatches"
    )
    for fault in faults:
        print(fault, file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
