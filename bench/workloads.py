"""What is measured, with which settings, and the payloads: the same bytes for every client."""

import json
import os
import random
import uuid
from dataclasses import dataclass, replace


@dataclass(frozen=True)
class Workload:
    """One row of the matrix; settings hold for every client alike."""

    op: str
    records: int
    size: int = 100
    payload: str = "random"
    compression: str = "none"
    batch_size: int = 1_000_000
    linger_ms: int = 5
    rate: int = 0
    key_bytes: int = 0
    partitions: int = 6
    tasks: int = 1
    # one: a call for each record; all: milena's enqueue_all, 500 records a call. Reading: batch or stream, one by one.
    form: str = "one"
    # Microseconds of "work" after each poll: a slow user.
    slow_us: int = 0

    def scaled(self, factor):
        # A throttled run has its length for the sake of its percentiles.
        return self if self.rate or self.op == "idle" else replace(self, records=max(1000, int(self.records * factor)))

    def settings(self):
        s = f"{self.op}, {self.records:,} records of {self.size} B ({self.payload})"
        if self.op == "produce":
            s += (f", {self.key_bytes or 'no'} key bytes, {self.compression}, batch.size {self.batch_size:,}, linger.ms {self.linger_ms}, "
                  f"acks all, idempotent, 5 in flight, buffer.memory {BUFFER_MEMORY:,}")
        if self.op == "consume":
            s += f", {self.compression}"
        return s + f", {self.partitions} partitions" + (f", {self.rate:,} records/s" if self.rate else "") + (f", {self.tasks} tasks" if self.tasks > 1 else "") + ({"all": ", 500 records a call", "stream": ", one by one"}.get(self.form, "")) + (f", {self.slow_us} us of work after each poll" if self.slow_us else "")


BUFFER_MEMORY = 64 << 20
JSON = dict(size=1024, payload="json")

# W on a real broker and N on the discard broker are the same thing.
PRODUCE = {
    "1": Workload("produce", 5_000_000),
    "1s": Workload("produce", 5_000_000, batch_size=16_384),
    "1k": Workload("produce", 3_000_000, batch_size=16_384, key_bytes=36),
    "2": Workload("produce", 1_000_000, compression="lz4", **JSON),
    "3": Workload("produce", 500_000, compression="zstd", **JSON),
    "4": Workload("produce", 250_000, compression="gzip", **JSON),
    "5": Workload("produce", 1_000_000, compression="snappy", **JSON),
}
# C on a real broker and F on the discard broker.
CONSUME = {
    "1": Workload("consume", 5_000_000),
    "1st": Workload("consume", 5_000_000, form="stream"),
    "2": Workload("consume", 1_000_000, compression="lz4", **JSON),
    "2st": Workload("consume", 1_000_000, compression="lz4", form="stream", **JSON),
    "3": Workload("consume", 1_000_000, compression="zstd", **JSON),
    "4": Workload("consume", 500_000, compression="gzip", **JSON),
    "5": Workload("consume", 1_000_000, compression="snappy", **JSON),
}
WORKLOADS = {
    **{"W" + name: w for name, w in PRODUCE.items()},
    **{"N" + name: w for name, w in PRODUCE.items()},
    "LAT": Workload("produce", 15_000, batch_size=16_384, linger_ms=0, rate=1000),
    "NLAT": Workload("produce", 15_000, batch_size=16_384, linger_ms=0, rate=1000),
    **{"C" + name: w for name, w in CONSUME.items()},
    **{"F" + name: w for name, w in CONSUME.items()},
    # What one record takes from before its send to its reader's hand: both ends are the client's.
    "CLAT": Workload("latency", 15_000, linger_ms=0, rate=1000, partitions=1),
    # A slow user: what the client holds meanwhile is to be seen in its memory.
    "F1slow": Workload("consume", 300_000, slow_us=10_000),
    "F2slow": Workload("consume", 300_000, compression="lz4", slow_us=10_000, **JSON),
    # A share group of one: each record locked, handed out and accepted.
    "SH1": Workload("share", 500_000),
    # Nothing to read: 1,000 partitions for ten seconds; the CPU is the process's, start included.
    "CIDLE": Workload("idle", 10, partitions=1000),
    "N1a": Workload("produce", 10_000_000, form="all"),
    # Only milena has the options --form and --tasks; of these the first is what the second is held against.
    "T6": Workload("produce", 4_000_000, batch_size=16_384, tasks=8),
    "T10k": Workload("produce", 4_000_000, batch_size=16_384, tasks=8, partitions=10_000),
    "T10kr": Workload("produce", 5_000_000, batch_size=16_384, tasks=8, partitions=10_000, rate=1_000_000, form="apart"),
}
REAL = [name for name in WORKLOADS if name[0] in "WCLS"]
DISCARD = [name for name in WORKLOADS if name not in REAL]
# Where a broker's topic for a consumer comes from.
READS = {"C1": "W1", "C1st": "W1", "C2": "W2", "C2st": "W2", "C3": "W3", "C4": "W4", "C5": "W5", "SH1": "W1s"}
# Rows that a consumer alone runs, in the order of the table.
CONSUMER = [name for name in WORKLOADS if WORKLOADS[name].op != "produce"]

WORDS = ("gift wrap please leave at the side door call before delivery fragile handle with care repeat "
         "customer loyalty tier silver promised date confirmed by phone stock checked in north hub").split()


def payload_file(folder, kind, size):
    """10,000 payloads of exactly `size` bytes, one a line, the same on every run."""
    path = os.path.join(folder, f"{kind}-{size}.txt")
    if os.path.exists(path):
        return path
    os.makedirs(folder, exist_ok=True)
    r = random.Random(20240501)
    with open(path, "wb") as f:
        for _ in range(10_000):
            if kind == "random":  # what kafka-producer-perf-test makes: letters A..Z
                f.write(bytes(65 + r.randrange(26) for _ in range(size)) + b"\n")
            else:
                f.write(order_event(r, size) + b"\n")
    return path


def order_event(r, size):
    items = [{"sku": f"SKU-{r.randrange(100000):06d}", "name": " ".join(r.choice(WORDS) for _ in range(3)),
              "qty": r.randrange(1, 9), "unit_price": round(r.random() * 300, 2)} for _ in range(r.randrange(2, 5))]
    event = {"event_id": str(uuid.UUID(int=r.getrandbits(128))), "event_type": r.choice(["order.created", "order.paid", "order.shipped"]),
             "occurred_at": f"2024-05-{r.randrange(1, 31):02d}T{r.randrange(24):02d}:{r.randrange(60):02d}:{r.randrange(60):02d}.{r.randrange(1000):03d}Z",
             "order": {"order_id": r.randrange(10**9), "customer": {"id": r.randrange(10**7), "email": f"user{r.randrange(10**6)}@example.com",
                       "city": r.choice(["Oslo", "Lyon", "Turin", "Porto", "Graz"])}, "items": items,
                       "total": round(sum(x["qty"] * x["unit_price"] for x in items), 2), "currency": r.choice(["EUR", "USD", "NOK"])},
             "trace_id": f"{r.getrandbits(128):032x}", "note": ""}
    room = size - len(json.dumps(event, separators=(",", ":")))
    note = ""
    while len(note) < room:
        note += r.choice(WORDS) + " "
    event["note"] = note[:room]
    line = json.dumps(event, separators=(",", ":")).encode()
    assert len(line) == size, len(line)
    return line
