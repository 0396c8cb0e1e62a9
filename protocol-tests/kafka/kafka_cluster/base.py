"""What every part needs: versions, listeners, how to fail, processes."""
import fcntl
import os
import re
import signal
import sys
import time
from contextlib import contextmanager
from pathlib import Path

HERE = Path(__file__).resolve().parent.parent
SELF = HERE / "kafka-cluster"
DEFAULT_VERSION = "4.3.1"
TESTED = {"4.4.0": "KRaft", "4.3.1": "KRaft", "4.2.1": "KRaft", "4.1.2": "KRaft", "4.0.2": "KRaft",
          "3.9.2": "KRaft, ZooKeeper", "3.7.2": "KRaft, ZooKeeper", "2.8.2": "ZooKeeper",
          "2.4.1": "ZooKeeper", "2.1.1": "ZooKeeper", "1.1.1": "ZooKeeper", "0.11.0.3": "ZooKeeper", "0.10.2.2": "ZooKeeper"}
# The newest version published whole. Lends its command line tools to a
# broker version whose own are not published.
LENDER = "4.3.1"
PASSWORD = "changeit"
USERS = ["admin", "alice", "bob"]
ADMIN = "admin"
PLAIN, S256, S512, OAUTH = "PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"
# client listeners: security protocol, SASL mechanisms
LISTENERS = {
    "plaintext": ("PLAINTEXT", []),
    "ssl": ("SSL", []),
    "mtls": ("SSL", []),
    "sasl_plain": ("SASL_PLAINTEXT", [PLAIN]),
    "sasl_scram": ("SASL_PLAINTEXT", [S256, S512]),
    "sasl_oauth": ("SASL_PLAINTEXT", [OAUTH]),
    "sasl_jwt": ("SASL_PLAINTEXT", [OAUTH]),
    "sasl_ssl": ("SASL_SSL", [PLAIN, S256, S512]),
}
INTERNAL, CONTROLLER = "internal", "controller"


class Failure(Exception):
    """An error that is told to the user without a trace."""


def say(*words):
    print("kafka-cluster:", *words, file=sys.stderr, flush=True)


def vtuple(version):
    numbers = re.match(r"\d+(\.\d+)*", version)
    if not numbers:
        raise Failure(f"not a Kafka version: {version}")
    return tuple(int(n) for n in numbers.group().split("."))


def boot_id():
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def start_ticks(pid):
    """When a process started; None when it is gone or a zombie."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return None
    fields = stat[stat.rindex(")") + 2:].split()
    return None if fields[0] in "ZX" else int(fields[19])


def handle(pid):
    return {"pid": pid, "ticks": start_ticks(pid), "boot": boot_id()}


def alive(proc):
    return bool(proc) and proc["boot"] == boot_id() and proc["ticks"] is not None \
        and start_ticks(proc["pid"]) == proc["ticks"]


def send(proc, number):
    if alive(proc):
        try:
            os.kill(proc["pid"], number)
        except ProcessLookupError:
            pass


def await_exit(procs, seconds):
    end = time.monotonic() + seconds
    while any(alive(p) for p in procs):
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def kill_all(procs):
    procs = [p for p in procs if p]
    for p in procs:
        send(p, signal.SIGKILL)
    return await_exit(procs, 20)


@contextmanager
def locked(path):
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(path, "a") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield
