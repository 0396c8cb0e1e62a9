#!/usr/bin/env python3
"""Measures milena and its peers on the same broker, arms interleaved (A B C, B C A, ...), and prints tables of medians.

  run.py build                the drivers, the discard broker and Kafka, under $WORK
  run.py all                  everything: real and discard broker, then the tables
  run.py real | discard       one of the two
  run.py table                the tables again from $WORK/*.jsonl

  run.py consumer             all that reads, on both; then the tables

Options: --rounds 3  --only W1,N1  --peers milena,franz-go  --scale 0.1  --wait SECONDS (for a quiet machine)
Environment: WORK (default: target/ beside this file) holds all that is built; DATA (default: $WORK/broker-data, better a
tmpfs) the real broker's log. Sending is counted on the broker: a run whose records are not all there is thrown away.
"""

import argparse
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from dataclasses import replace

import kafka_admin
from tables import print_tables
from workloads import BUFFER_MEMORY, CONSUMER, DISCARD, READS, REAL, WORKLOADS, payload_file

HERE = os.path.dirname(os.path.abspath(__file__))
WORK = os.environ.get("WORK", os.path.join(HERE, "target"))
DATA = os.environ.get("DATA", os.path.join(WORK, "broker-data"))
LIBS = os.path.join(WORK, "kafka", "libs")
PORT, CONTROLLER_PORT, DISCARD_PORT = 29092, 29093, 19092
HZ = os.sysconf("SC_CLK_TCK")
BIN = {
    "milena": f"{WORK}/target-milena/release/milena-driver",
    "librdkafka": f"{WORK}/target-rdkafka/release/rdkafka-driver",
    "franz-go": f"{WORK}/franz-driver",
    "krafka": f"{WORK}/target/release/krafka-driver",
    "confluent": f"{WORK}/target/release/confluent-driver",
}
PEERS = ["milena", "librdkafka", "java", "franz-go", "krafka", "confluent"]
JAVA = ["java", "-Xmx512m", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
        "-XX:InitiatingHeapOccupancyPercent=35", "-XX:+ExplicitGCInvokesConcurrent",
        "-cp", f"{LIBS}/*:{WORK}/java"]
RUN_SECONDS_MAX = 120


def build():
    def sh(command, folder, **env):
        print("+", " ".join(command), flush=True)
        subprocess.run(["nice", "-n", "19", *command], cwd=f"{HERE}/{folder}", check=True, env={**os.environ, **env})

    os.makedirs(f"{WORK}/kafka", exist_ok=True)
    targets = {"milena-driver": "target-milena", "rdkafka-driver": "target-rdkafka", "krafka-driver": "target",
               "confluent-driver": "target", "discard-broker": "target-null"}
    for folder, target in targets.items():
        sh(["cargo", "build", "--release"], folder, CARGO_TARGET_DIR=f"{WORK}/{target}")
    sh(["go", "build", "-o", f"{WORK}/franz-driver", "."], "go-driver")
    sh(["mvn", "-q", "-B", "dependency:copy-dependencies", f"-DoutputDirectory={LIBS}"], "java-driver")
    sh(["javac", "-cp", f"{LIBS}/*", "-d", f"{WORK}/java", "Consume.java", "Latency.java", "Share.java"], "java-driver")


def versions():
    """What is compared, from the lock files."""
    def locked(driver, package):
        lock = open(f"{HERE}/{driver}-driver/Cargo.lock").read()
        return re.search(rf'name = "{package}"\nversion = "([^"]+)"', lock)[1]

    go = re.search(r"franz-go v(\S+)", open(f"{HERE}/go-driver/go.mod").read())[1]
    java = re.search(r"<version>(\d+\.\d+\.\d+)<", open(f"{HERE}/java-driver/pom.xml").read())[1]
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=HERE, capture_output=True, text=True).stdout.strip()
    return (f"milena {locked('milena', 'milena')} ({commit}), librdkafka {locked('rdkafka', 'rdkafka-sys').split('+')[-1]} (rdkafka "
            f"{locked('rdkafka', 'rdkafka')}), Kafka and its Java client {java}, franz-go {go}, krafka {locked('krafka', 'krafka')}, "
            f"confluent-kafka {locked('confluent', 'confluent-kafka')}")


def payload(w):
    return payload_file(os.path.join(WORK, "payload"), w.payload, w.size)


def wait_port(port, process, seconds=60):
    for _ in range(seconds * 10):
        if process.poll() is not None:
            sys.exit(f"broker exited {process.returncode}")
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            time.sleep(0.1)
    sys.exit(f"nothing on port {port}")


def start_kafka():
    shutil.rmtree(DATA, ignore_errors=True)
    os.makedirs(DATA)
    properties = f"{WORK}/kafka/server.properties"
    with open(properties, "w") as f:
        f.write(f"""process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{CONTROLLER_PORT}
listeners=PLAINTEXT://127.0.0.1:{PORT},CONTROLLER://127.0.0.1:{CONTROLLER_PORT}
advertised.listeners=PLAINTEXT://127.0.0.1:{PORT}
controller.listener.names=CONTROLLER
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={DATA}/log
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=1
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
share.coordinator.state.topic.num.partitions=1
group.initial.rebalance.delay.ms=0
log.segment.delete.delay.ms=1000
file.delete.delay.ms=1000
log.retention.check.interval.ms=300000
""")
    java = ["java", "-Xmx1g", "-Xms1g", "-server", "-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20",
            "-XX:InitiatingHeapOccupancyPercent=35", "-cp", f"{LIBS}/*"]
    subprocess.run(java + ["kafka.tools.StorageTool", "format", "-t", "MkU3OEVBNTcwNTJENDM2Qg", "-c", properties],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    log = open(f"{WORK}/kafka/server.log", "w")
    process = subprocess.Popen(java + ["kafka.Kafka", properties], stdout=log, stderr=log)
    wait_port(PORT, process)
    time.sleep(3)
    return process


def start_discard(w):
    # What it serves to consumers: batches of about 1 MB of letters or 256 KiB of JSON.
    batch_records = 9000 if w.size == 100 else 256
    process = subprocess.Popen([f"{WORK}/target-null/release/discard-broker", "--port", str(DISCARD_PORT), "--partitions", str(w.partitions),
                                "--record-size", str(w.size), "--batch-records", str(batch_records), "--compression", w.compression,
                                "--payload-file", payload(w)],
                               stdout=subprocess.DEVNULL, stderr=open(f"{WORK}/discard-broker.log", "a"))
    wait_port(DISCARD_PORT, process)
    return process


def begin_at_the_start(group):
    """A share group begins at the end of its topics, unless it is told."""
    subprocess.run(["java", "-cp", f"{LIBS}/*", "kafka.admin.ConfigCommand", "--bootstrap-server", f"127.0.0.1:{PORT}", "--alter", "--entity-type",
                    "groups", "--entity-name", group, "--add-config", "share.auto.offset.reset=earliest"], capture_output=True, check=True)


def stop(process):
    if process and process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def cpu_of(pid):
    fields = open(f"/proc/{pid}/stat").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / HZ


def cpu_busy():
    """CPU seconds that the whole machine has worked."""
    f = [int(x) for x in open("/proc/stat").readline().split()[1:9]]
    return (f[0] + f[1] + f[2] + f[5] + f[6]) / HZ


def wait_quiet(seconds):
    """Waits until nothing else runs for six seconds, or gives up and says so."""
    start, quiet = time.time(), 0
    while time.time() - start < seconds:
        before = cpu_busy()
        time.sleep(2)
        quiet = quiet + 1 if (cpu_busy() - before) / 2 < 0.15 else 0
        if quiet >= 3:
            return f"quiet after {time.time() - start:.0f} s"
    return f"not quiet after {seconds} s (load {os.getloadavg()[0]:.2f})"


def command(peer, w, topic, port, is_discard, group=None):
    bootstrap = f"127.0.0.1:{port}"
    if peer == "java":
        if w.op == "produce":
            properties = ["acks=all", "enable.idempotence=true", f"linger.ms={w.linger_ms}", f"batch.size={w.batch_size}",
                          f"compression.type={w.compression}", "max.in.flight.requests.per.connection=5", f"buffer.memory={BUFFER_MEMORY}"]
            return JAVA + ["org.apache.kafka.tools.ProducerPerformance", "--bootstrap-server", bootstrap, "--topic", topic,
                           "--num-records", str(w.records), "--throughput", str(w.rate or -1), "--warmup-records", str(w.records // 10),
                           "--payload-file", payload(w), "--command-property", *properties]
        if w.op in ("latency", "share"):
            return JAVA + [w.op.capitalize(), "--bootstrap", bootstrap, "--topic", topic, "--num-records", str(w.records), "--throughput",
                           str(w.rate), "--group", str(group)]
        if is_discard:
            return JAVA + ["Consume", "--bootstrap", bootstrap, "--topic", topic, "--num-records", str(w.records)]
        return JAVA + ["org.apache.kafka.tools.ConsumerPerformance", "--bootstrap-server", bootstrap, "--topic", topic,
                       "--num-records", str(w.records), "--hide-header"]
    c = [BIN[peer], w.op, "--bootstrap", bootstrap, "--topic", topic, "--num-records", str(w.records), "--record-size", str(w.size),
         "--partitions", str(w.partitions)]
    if w.op in ("produce", "latency"):
        c += ["--acks", "all", "--compression", w.compression, "--linger-ms", str(w.linger_ms), "--batch-size", str(w.batch_size),
              "--idempotence", "true", "--throughput", str(w.rate), "--payload-file", payload(w), "--key-bytes", str(w.key_bytes),
              "--buffer-memory", str(BUFFER_MEMORY)]
    if w.op == "share":
        c += ["--group", group]
    if w.slow_us:
        c += ["--slow-us", str(w.slow_us)]
    return c + (["--tasks", str(w.tasks)] if w.tasks > 1 else []) + (["--form", w.form] if w.form != "one" else [])


def can_run(peer, w):
    # Nobody else has two ways to read.
    if w.tasks > 1 or w.form != "one":
        return peer == "milena"
    if w.op == "share":
        return peer in ("milena", "java")
    if w.op == "latency" and peer == "java":
        return True
    if w.slow_us or w.op in ("latency", "idle"):
        return peer in ("milena", "franz-go", "librdkafka")
    # ProducerPerformance of this version knows no keys.
    return peer != "java" or not w.key_bytes


def parse(w, out):
    """The driver's JSON line, or the last lines of Kafka's own tools."""
    steady = None
    for line in reversed(out.splitlines()):
        if line.startswith("{"):
            return json.loads(line)
        m = re.match(r"(\d+)( steady state)? records sent, ([\d.]+) records/sec .*?, ([\d.]+) ms avg latency, ([\d.]+) ms max latency, (\d+) ms 50th, "
                     r"(\d+) ms 95th, (\d+) ms 99th, (\d+) ms 99.9th", line)
        if m:
            rate = float(m[3])
            r = {"records": int(m[1]), "records_per_s": rate, "elapsed_s": int(m[1]) / rate, "errors": 0,
                 "p50_ms": float(m[6]), "p99_ms": float(m[8]), "p999_ms": float(m[9]), "max_ms": float(m[5])}
            if m[2]:  # without the first tenth; printed after the whole run's line
                steady = r
                continue
            if steady and w.rate:  # throttled: the latency of a warm client
                r.update({k: v for k, v in steady.items() if k.endswith("_ms")})
            return {**r, "steady_records_per_s": steady and steady["records_per_s"]}
        f = line.split(",")
        if len(f) == 10:  # ConsumerPerformance; fetch time leaves the group join out
            got, seconds = int(f[4].strip()), int(f[7].strip()) / 1e3
            return {"records": got, "elapsed_s": seconds, "records_per_s": got / seconds, "errors": 0}
    return None


def run_one(peer, name, w, topic, port, broker, is_discard, log, group=None):
    broker_before, all_before, start = cpu_of(broker.pid), cpu_busy(), time.time()
    p = subprocess.Popen(command(peer, w, topic, port, is_discard, group), stdout=subprocess.PIPE, stderr=open(f"{WORK}/stderr.log", "a"), text=True)
    killer = threading.Timer(RUN_SECONDS_MAX, p.kill)
    killer.start()
    out = p.stdout.read()
    _, status, usage = os.wait4(p.pid, 0)
    p.returncode = os.waitstatus_to_exitcode(status)
    killer.cancel()
    wall, cpu = time.time() - start, usage.ru_utime + usage.ru_stime
    broker_cpu = cpu_of(broker.pid) - broker_before
    other_cpu = max(0.0, cpu_busy() - all_before - cpu - broker_cpu)
    r = parse(w, out) or {"records": 0}
    problem = None
    if r["records"] < w.records or r.get("errors"):
        problem = f"rc {p.returncode}, {r}, {out[-300:]!r}"
    elif w.op == "produce":
        # Every driver but Java's tool sends one record before the clock starts.
        expected = w.records + (peer != "java")
        r["stored"] = kafka_admin.end_offsets(port, topic, w.partitions)
        if r["stored"] != expected:
            problem = f"the broker has {r['stored']:,} records instead of {expected:,}"
    r.update(workload=name, peer=peer, wall_s=wall, cpu_s=cpu, rss_mib=usage.ru_maxrss / 1024, broker_cpu_s=broker_cpu, other_cpu_s=other_cpu)
    if problem:
        r["failed"] = problem
        print(f"  {name} {peer}: FAILED: {problem}", flush=True)
    else:
        print(f"  {name:4} {peer:11} {r['records_per_s']:>11,.0f} rec/s  {cpu / r['records'] * 1e6:7.3f} CPU s/M  broker {broker_cpu:6.2f} s  others "
              f"{other_cpu / wall:4.2f} cores  rss {r['rss_mib']:6.1f}  p50 {r.get('p50_ms', 0):8.3f}  p99 {r.get('p99_ms', 0):8.3f}", flush=True)
    log.write(json.dumps(r) + "\n")
    log.flush()


def chosen(names, a):
    return {n: WORKLOADS[n].scaled(a.scale) for n in names if not a.only or n in a.only}


def turned(peers, number):
    """Each round another begins: the first finds a broker that is cold to what it asks."""
    at = number % len(peers)
    return peers[at:] + peers[:at]


def real(a, log):
    workloads = chosen(REAL, a)
    if not workloads:
        return
    broker, sequence = start_kafka(), 0
    try:
        for name in READS.keys() & workloads.keys():
            kafka_admin.create_topic(PORT, f"read-{name}", 6)
            written = replace(WORKLOADS[READS[name]], records=workloads[name].records)
            subprocess.run(command("java", written, f"read-{name}", PORT, False), capture_output=True, check=True)
        for number in range(a.rounds):
            for name, w in workloads.items():
                print(f"round {number + 1} {name}; {wait_quiet(min(a.wait, 20) if sequence else a.wait)}", flush=True)
                for peer in turned(a.peers, number):
                    if not can_run(peer, w):
                        continue
                    sequence += 1
                    topic = f"read-{name}"
                    is_read = name in READS
                    if not is_read:
                        topic = f"t-{sequence}"
                        kafka_admin.create_topic(PORT, topic, w.partitions)
                        time.sleep(0.5 + w.partitions / 100)
                    group = None
                    if w.op == "share":
                        group = f"share-{sequence}"
                        begin_at_the_start(group)
                    run_one(peer, name, w, topic, PORT, broker, False, log, group)
                    if not is_read:
                        kafka_admin.delete_topic(PORT, topic)
                        time.sleep(1.0)
    finally:
        stop(broker)
        shutil.rmtree(DATA, ignore_errors=True)


def discard(a, log):
    for number in range(a.rounds):
        for name, w in chosen(DISCARD, a).items():
            broker = start_discard(w)
            try:
                print(f"round {number + 1} {name}; {wait_quiet(min(a.wait, 8) if number else a.wait)}", flush=True)
                for peer in turned(a.peers, number):
                    if can_run(peer, w):
                        run_one(peer, name, w, f"{name}-{peer}", DISCARD_PORT, broker, True, log)
                        time.sleep(0.3)
            finally:
                stop(broker)


def main():
    ap = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ap.add_argument("what", choices=["build", "all", "real", "discard", "consumer", "table"])
    ap.add_argument("--rounds", type=int, default=3)
    ap.add_argument("--only", type=lambda s: s.split(","))
    ap.add_argument("--peers", type=lambda s: s.split(","), default=PEERS)
    ap.add_argument("--wait", type=int, default=60)
    ap.add_argument("--scale", type=float, default=1.0)
    ap.add_argument("--json", nargs="*")
    a = ap.parse_args()
    if a.what == "build":
        return build()
    files = a.json or [f"{WORK}/results.jsonl"]
    if a.what != "table":
        os.makedirs(WORK, exist_ok=True)
        with open(files[0], "a") as log:
            if a.what == "consumer":
                a.only = [name for name in CONSUMER if not a.only or name in a.only]
            if a.what in ("all", "real", "consumer"):
                real(a, log)
            if a.what in ("all", "discard", "consumer"):
                discard(a, log)
    print(f"\n{versions()}\n")
    print_tables([json.loads(line) for file in files for line in open(file)], PEERS, a.scale)


main()
