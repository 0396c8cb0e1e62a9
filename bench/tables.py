"""Tables of medians from the runs' JSON lines."""

import statistics

from workloads import WORKLOADS

# Share of a core that something else may use during a run for the run to count as quiet.
NOISE_MAX = 0.15
# A client whose rate is compared with all others'.
REFERENCE = "librdkafka"


def print_tables(rows, peers, scale):
    """One table a workload. Medians are over the quiet runs, or the two least disturbed; beside them the spread of all
    runs: noise only ever lowers rates, and mostly raises CPU."""
    for name in dict.fromkeys(r["workload"] for r in rows):
        w = WORKLOADS[name].scaled(scale)
        runs = {p: [r for r in rows if r["workload"] == name and r["peer"] == p and not r.get("failed")] for p in peers}
        runs = {p: rs for p, rs in runs.items() if rs}
        if not runs:
            continue
        reference = REFERENCE if REFERENCE in runs else next(iter(runs))
        print(f"\n**{name}**: {w.settings()}\n")
        columns = ["client", "quiet/all runs", "rec/s", "least to most", f"ratio to {reference}", "CPU s/M", "least to most", "ratio", "cores",
                   "broker CPU s/M", "RSS MiB"] + (["p50 ms", "p99 ms", "p99.9 ms"] if w.op in ("produce", "latency") else [])
        print("| " + " | ".join(columns) + " |")
        print("|---" * len(columns) + "|")
        rate_of, cpu_of = median(runs[reference], rate), median(runs[reference], cpu)
        for peer, rs in runs.items():
            row = [peer, f"{sum(noise(r) < NOISE_MAX for r in rs)}/{len(rs)}",
                   f"{median(rs, rate):,.0f}", f"{min(map(rate, rs)):,.0f} to {max(map(rate, rs)):,.0f}", f"{median(rs, rate) / rate_of:.2f}",
                   f"{median(rs, cpu):.3f}", f"{min(map(cpu, rs)):.3f} to {max(map(cpu, rs)):.3f}", f"{median(rs, cpu) / cpu_of:.2f}",
                   f"{median(rs, lambda r: r['cpu_s'] / r['wall_s']):.2f}",
                   f"{median(rs, lambda r: r['broker_cpu_s'] / r['records'] * 1e6):.3f}", f"{median(rs, lambda r: r['rss_mib']):.0f}"]
            if w.op in ("produce", "latency"):
                row += [f"{median(rs, lambda r, k=k: r.get(k) or 0):.2f}" for k in ("p50_ms", "p99_ms", "p999_ms")]
            print("| " + " | ".join(row) + " |")


def rate(r):
    return r["records_per_s"]


def cpu(r):
    """Client CPU seconds per million records, start and end of the process included."""
    return r["cpu_s"] / r["records"] * 1e6


def noise(r):
    return r["other_cpu_s"] / r["wall_s"]


def median(rs, value):
    quiet = [r for r in rs if noise(r) < NOISE_MAX] or sorted(rs, key=noise)[:2]
    return statistics.median(map(value, quiet))
