"""What start, run, stop and the faults do."""
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from .base import DEFAULT_VERSION, Failure, SELF, TESTED, USERS, alive, await_exit, handle, kill_all, say, send
from .certificates import make_token
from .cluster import Cluster, Options, tail
from .jvm import Install, cache_root, properties
from .tools import listener_of


def shell(variables):
    return "".join(f"export {k}={shlex.quote(v)}\n" for k, v in variables.items())


def fetched(args, version):
    root = cache_root(args)
    root.mkdir(parents=True, exist_ok=True)
    install = Install(root, version)
    install.fetch()
    return install


def cmd_fetch(args):
    install = fetched(args, args.version)
    if install.tools_version != install.version:
        fetched(args, install.tools_version)
    if not args.no_cds:
        install.train()
    print(install.libs)


def options(args):
    def pair(text, what):
        name, sep, value = text.partition("=")
        if not sep:
            raise Failure(f"{what} wants NAME=VALUE, not {text}")
        return name, value

    config = dict(pair(c, "--config") for c in args.config)
    node_config = {}
    for item in args.node_config:
        node_id, sep, rest = item.partition(":")
        if not sep:
            raise Failure(f"--node-config wants ID:NAME=VALUE, not {item}")
        name, value = pair(rest, "--node-config")
        node_config.setdefault(node_id, {})[name] = value
    users = {u: f"{u}-secret" for u in USERS}
    for item in args.user:
        name, sep, word = item.partition(":")
        if not sep or '"' in item or "," in item:
            raise Failure(f"--user wants NAME:PASSWORD without quotes or commas, not {item}")
        users[name] = word
    return Options(brokers=args.brokers, controllers=args.controllers, dedicated=args.dedicated_controllers,
                   listeners=[n for n in re.split(r"[,\s]+", args.listeners) if n], config=config,
                   node_config=node_config, heap=args.heap, jvm=args.jvm, jvm_arg=args.jvm_arg, acl=args.acl,
                   racks=args.racks, preview=args.preview, users=users, feature=args.feature,
                   metadata_version=args.metadata_version, mode=args.mode, advertise=args.advertise,
                   base_port=args.base_port, log_level=args.log_level, timeout=args.timeout)


def begin(args, directory, owner=None, keep_failed=True):
    o = options(args)
    if not o.listeners:
        raise Failure("give at least one listener")
    install = fetched(args, args.version)
    if not args.no_cds:
        install.train()
    directory = Path(directory)
    if (directory / "cluster.json").exists():
        old = Cluster.open(directory)
        if any(alive(p) for p in old.procs()):
            if not args.replace:
                raise Failure(f"a cluster runs in {directory}: stop it, or start with --replace")
        with old.lock():
            old.down()
    elif directory.exists() and any(directory.iterdir()):
        raise Failure(f"{directory} is not empty and holds no cluster of this tool")
    try:
        cluster = Cluster.create(install, directory, o)
    except BaseException:
        shutil.rmtree(directory, ignore_errors=True)
        raise
    try:
        watch(cluster, args.ttl, owner)
        cluster.up(args.timeout)
        cluster.started()
    except BaseException:
        cluster.down(keep=keep_failed)
        if keep_failed:
            say(f"the cluster did not start; its files are left in {cluster.dir}")
        raise
    return cluster


def watch(cluster, ttl, owner):
    """A small process that takes the cluster down when its time, its owner or its folder is gone.

    Until started() it goes down with this process too.
    """
    cluster.state["starter"] = handle(os.getpid())
    cluster.save()
    command = [sys.executable, "-S", "-E", str(SELF), "_watch", str(cluster.dir), cluster.state["run"], str(ttl),
               json.dumps(owner)]
    subprocess.Popen(command, cwd="/", stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                     stderr=subprocess.DEVNULL, start_new_session=True)


def cmd_watch(args):
    end = time.monotonic() + args.ttl if args.ttl > 0 else None
    owner = json.loads(args.owner)
    cluster, procs = Cluster(args.directory), []

    def current():
        cluster.load()
        return cluster.state["run"] == args.run  # else another cluster has taken the place

    def doomed():
        starter = cluster.state.get("starter")
        return end and time.monotonic() > end or owner and not alive(owner) or starter and not alive(starter)

    while True:
        try:
            if not current():
                return
            procs = cluster.procs()
        except (OSError, ValueError, KeyError):
            time.sleep(0.2)
            if not cluster.file.exists():  # stopped, or its folder was deleted
                kill_all(procs)
                return
        else:
            if doomed():
                with cluster.lock():
                    if current() and doomed():
                        cluster.down()
                return
        time.sleep(1)


def owner_of(args):
    if args.owner_pid is None:
        return None
    proc = handle(args.owner_pid)
    if not alive(proc):
        raise Failure(f"--owner-pid {args.owner_pid}: no such process")
    return proc


def cmd_start(args):
    if not args.dir:
        raise Failure("where? give --dir DIR or set KAFKA_CLUSTER_DIR")
    t = time.monotonic()
    cluster = begin(args, args.dir, owner_of(args))
    say(f"Kafka {args.version}, {len(cluster.brokers())} broker(s), ready in {time.monotonic() - t:.1f} s")
    show(cluster, args.json)


def show(cluster, as_json):
    print(json.dumps(cluster.describe(), indent=1) if as_json else shell(cluster.variables()), end="\n" if as_json else "")


def cmd_run(args):
    if not args.command:
        raise Failure("run wants a command after --")
    directory = args.dir or tempfile.mkdtemp(prefix="kafka-cluster-")
    child = cluster = None
    try:
        cluster = begin(args, directory, handle(os.getpid()), keep_failed=False)
        child = subprocess.Popen(args.command, env={**os.environ, **cluster.variables()})
        while True:
            try:
                code = child.wait()
                break
            except KeyboardInterrupt:
                pass  # the child got it too
        return code if code >= 0 else 128 - code
    finally:
        if child and child.poll() is None:
            child.terminate()
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
        if cluster is None:
            if not args.dir:
                shutil.rmtree(directory, ignore_errors=True)
        else:
            try:
                cluster.load()
            except (OSError, ValueError):
                pass
            if args.keep_logs:
                logs = Path(args.keep_logs)
                logs.mkdir(parents=True, exist_ok=True)
                for log in cluster.dir.glob("*/log"):
                    shutil.copy(log, logs / f"{log.parent.name}.log")
            cluster.down()


def cmd_stop(args):
    if not args.dir:
        raise Failure("which cluster? give --dir DIR or set KAFKA_CLUSTER_DIR")
    if not (Path(args.dir) / "cluster.json").exists():
        say(f"no cluster in {args.dir}")
        return
    cluster = Cluster.open(args.dir)
    with cluster.lock():
        cluster.load()
        cluster.down(args.graceful, args.keep)


def cmd_env(args):
    show(Cluster.open(args.dir), args.json)


def cmd_status(args):
    cluster = Cluster.open(args.dir)
    told = cluster.describe()
    if args.json:
        print(json.dumps(told, indent=1))
        return
    print(f"Kafka {told['version']} ({told['mode']}), cluster id {told['cluster_id']}, {told['dir']}")
    for i, n in told["nodes"].items():
        rss = ""
        if n["pid"] and n["state"] != "stopped":
            kib = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{n['pid']}/status").read_text())
            rss = f", {int(kib.group(1)) // 1024} MiB" if kib else ""
        print(f"node {i} ({'+'.join(n['roles'])}): {n['state']}, pid {n['pid']}{rss}")
        for name, address in n["listeners"].items():
            print(f"  {name:<12}{address}")


def cmd_kill_broker(args):
    cluster = Cluster.open(args.dir)
    with cluster.lock():
        cluster.load()
        for i in args.id:
            node = cluster.node(i)
            if args.graceful:
                send(node["proc"], signal.SIGCONT)
                send(node["proc"], signal.SIGTERM)
                if node["proc"] and not await_exit([node["proc"]], 30):
                    say(f"node {i} did not end by itself in 30 s: killed")
            kill_all([node["proc"]])
            node["proc"], node["paused"] = None, False
        cluster.save()


def cmd_start_broker(args):
    cluster = Cluster.open(args.dir)
    with cluster.lock():
        cluster.load()
        end = time.monotonic() + args.timeout
        for i in args.id:
            node = cluster.node(i)
            if alive(node["proc"]):
                continue
            if args.wipe:
                if cluster.state["mode"] == "kraft":
                    cluster.format(i)
                else:
                    shutil.rmtree(cluster.dir / f"node-{i}" / "data")
            cluster.spawn_node(i)
        if args.no_wait:
            return
        while True:
            try:
                cluster.await_ready(end, [i for i in args.id if "broker" in cluster.node(i)["roles"]])
                return
            except Failure:
                # In ZooKeeper mode the killed broker's old session may still be there.
                if cluster.state["mode"] == "kraft" or time.monotonic() > end:
                    raise
                time.sleep(1)
                for i in args.id:
                    if not alive(cluster.node(i)["proc"]):
                        cluster.spawn_node(i)


def cmd_pause(args):
    cluster = Cluster.open(args.dir)
    stop = args.which == "pause"
    with cluster.lock():
        cluster.load()
        for i in args.id:
            node = cluster.node(i)
            if not alive(node["proc"]):
                raise Failure(f"node {i} does not run")
            send(node["proc"], signal.SIGSTOP if stop else signal.SIGCONT)
            node["paused"] = stop
        cluster.save()


def cmd_wait(args):
    cluster = Cluster.open(args.dir)
    cluster.await_ready(time.monotonic() + args.timeout)


def cmd_controller(args):
    print(Cluster.open(args.dir).controller())


def cmd_logs(args):
    cluster = Cluster.open(args.dir)
    cluster.node(args.id)
    path = cluster.dir / f"node-{args.id}" / "log"
    print(path if args.path else tail(path, args.lines))


def cmd_token(args):
    if not args.signed:
        print(make_token(args.user, args.seconds, scope=args.scope))
        return
    key = Cluster.open(args.dir).dir / "oauth" / "jwt.key"
    if not key.exists():
        raise Failure("signed tokens need the listener sasl_jwt")
    print(make_token(args.user, args.seconds, key, args.audience, args.issuer, args.scope))


def cmd_client_config(args):
    cluster = Cluster.open(args.dir)
    print(properties(cluster.client_config(listener_of(cluster, args), args.user, args.mechanism, args.certificate)), end="")


def cmd_versions(args):
    root = cache_root(args)
    for version, modes in TESTED.items():
        print(f"{version:<10}{'cached' if Install(root, version).ready else '':<8}{modes}"
              + ("  (default)" if version == DEFAULT_VERSION else ""))
