"""A cluster in a folder: its settings, its processes, its state."""
import json
import shutil
import signal
import socket
import struct
import subprocess
import time
from pathlib import Path

from .base import (
    ADMIN, CONTROLLER, Failure, INTERNAL, LISTENERS, OAUTH, PASSWORD, PLAIN, S256, S512, USERS, alive,
    await_exit, handle, kill_all, locked, send
)
from .certificates import make_certs, make_jwks, make_token
from .jvm import Install, new_id, properties
from .ports import Ports, Wire


class Options:
    """What a cluster is made from; start's arguments, with defaults for training."""

    def __init__(self, **given):
        self.brokers = 1
        self.controllers = None
        self.dedicated = 0
        self.listeners = ["plaintext"]
        self.config = {}
        self.node_config = {}
        self.heap = "512m"
        self.jvm = "quick"
        self.jvm_arg = []
        self.acl = False
        self.racks = False
        self.preview = False
        self.users = {u: f"{u}-secret" for u in USERS}
        self.feature = []
        self.metadata_version = None
        self.mode = None
        self.host = "127.0.0.1"
        self.advertise = None
        self.base_port = None
        self.log_level = "INFO"
        self.timeout = 120.0
        for k, v in given.items():
            if not hasattr(self, k):
                raise TypeError(k)
            setattr(self, k, v)


def jaas(mechanism, users, who=None):
    p = "org.apache.kafka.common.security."
    if mechanism == PLAIN:
        login = f'username="{who}" password="{users[who]}" ' if who else ""
        known = " ".join(f'user_{u}="{w}"' for u, w in users.items())
        return f"{p}plain.PlainLoginModule required {login}{known};"
    if mechanism == OAUTH:
        return f"{p}oauthbearer.OAuthBearerLoginModule required;"
    return f"{p}scram.ScramLoginModule required;"


class Cluster:
    def __init__(self, directory):
        self.dir = Path(directory).resolve()
        self.file = self.dir / "cluster.json"
        self.state = {}

    # -- state

    @classmethod
    def open(cls, directory):
        if not directory:
            raise Failure("which cluster? give --dir DIR or set KAFKA_CLUSTER_DIR")
        cluster = cls(directory)
        if not cluster.file.exists():
            raise Failure(f"no cluster in {directory}")
        cluster.load()
        return cluster

    def load(self):
        self.state = json.loads(self.file.read_text())

    def save(self):
        tmp = self.file.with_suffix(".tmp")
        tmp.write_text(json.dumps(self.state, indent=1))
        tmp.replace(self.file)

    def lock(self):
        return locked(self.dir / ".lock")

    @property
    def install(self):
        return Install(Path(self.state["cache"]), self.state["version"])

    def node(self, node_id):
        node = self.state["nodes"].get(str(node_id))
        if not node:
            raise Failure(f"no node {node_id}; there are: {', '.join(self.state['nodes'])}")
        return node

    def brokers(self, running=False):
        return [i for i, n in self.state["nodes"].items()
                if "broker" in n["roles"] and (not running or alive(n.get("proc")))]

    def procs(self):
        found = [n.get("proc") for n in self.state.get("nodes", {}).values()]
        return [p for p in found + [self.state.get("zookeeper", {}).get("proc")] if p]

    # -- making

    @classmethod
    def create(cls, install, directory, o):
        self = cls(directory)
        self.dir.mkdir(parents=True, exist_ok=True)
        v = install.v
        mode = o.mode or ("kraft" if v >= (3, 5) else "zk")
        if mode == "kraft" and v < (3, 3):
            raise Failure("KRaft needs Kafka 3.3 or later")
        if mode == "zk" and v >= (4,):
            raise Failure("Kafka 4 has no ZooKeeper mode")
        kraft = mode == "kraft"
        if o.brokers < 1:
            raise Failure("a cluster needs at least one broker")
        needs = {"sasl_oauth": (2, 0), "sasl_jwt": (3, 4), "sasl_plain": (1, 1), "sasl_scram": (1, 1),
                 "sasl_ssl": (1, 1)}
        for name in o.listeners:
            if name not in LISTENERS:
                raise Failure(f"unknown listener {name}; known: {', '.join(LISTENERS)}")
            if v < needs.get(name, (0,)):
                raise Failure(f"listener {name} needs Kafka {'.'.join(map(str, needs[name]))} or later here")
        if o.acl and v < (2, 0):
            raise Failure("--acl needs Kafka 2.0 or later here")
        ids = [str(i) for i in range(1, o.brokers + 1)]
        dedicated = [str(100 + i) for i in range(1, o.dedicated + 1)] if kraft else []
        combined = []
        if kraft and not dedicated:
            count = o.controllers or (3 if o.brokers >= 3 else 1)
            combined = ids[:count]
        ports = Ports(o.host, o.base_port)
        self.ports = ports
        advertise = o.advertise or o.host
        names = list(dict.fromkeys(o.listeners))
        self.state = {
            "run": new_id(), "version": install.version, "cache": str(install.root), "mode": mode,
            "cluster_id": new_id(), "made": time.time(), "heap": o.heap, "jvm": o.jvm, "jvm_arg": o.jvm_arg,
            "log_level": o.log_level, "acl": o.acl, "users": o.users, "listeners": names, "nodes": {},
        }
        # All brokers' ports of one listener after another, so that --base-port gives the first listener's first.
        at = {i: {} for i in ids}
        for name in names + [INTERNAL]:
            for i in ids:
                at[i][name] = ports.take()
        voters = {i: ports.take() for i in combined + dedicated}
        zk_port = None if kraft else ports.take()
        for i in ids + dedicated:
            roles = (["broker"] if i in ids else []) + (["controller"] if i in voters else [])
            node = {"roles": roles, "listeners": {n: f"{advertise}:{p}" for n, p in at.get(i, {}).items()},
                    "proc": None}
            if i in voters:
                node["controller"] = f"{o.host}:{voters[i]}"
            self.state["nodes"][i] = node
        self.state["bootstrap"] = {n: ",".join(f"{advertise}:{at[i][n]}" for i in ids) for n in names + [INTERNAL]}

        protocols = {LISTENERS[n][0] for n in names}
        pem = v >= (3, 5)  # earlier ones want PKCS12, or keys with a password
        self.state["pem"] = pem
        self.state["tls"] = bool(protocols & {"SSL", "SASL_SSL"})
        if self.state["tls"]:
            make_certs(self.dir / "tls", pkcs12=not pem)
        if "sasl_jwt" in names:
            make_jwks(self.dir / "oauth")

        common = self._common_config(install, o, names, len(ids), kraft)
        if kraft:
            common["controller.quorum.voters"] = ",".join(f"{i}@{o.host}:{p}" for i, p in voters.items())
            self.state["format"] = self._format_arguments(install, o, names)
        else:
            common["zookeeper.connect"] = f"{o.host}:{zk_port}"
            zk = self.dir / "zookeeper"
            zk.mkdir()
            (zk / "zookeeper.properties").write_text(properties({
                "dataDir": zk / "data", "clientPort": zk_port, "clientPortAddress": o.host, "tickTime": 1000,
                "minSessionTimeout": 1000, "maxSessionTimeout": 60000, "maxClientCnxns": 0, "admin.enableServer": "false",
                "4lw.commands.whitelist": "*", "forceSync": "no"}))
            self.state["zookeeper"] = {"address": f"{o.host}:{zk_port}", "proc": None}
        for i, node in self.state["nodes"].items():
            config = dict(common)
            own, told = [], []
            for n, port in at.get(i, {}).items():
                own.append(f"{n.upper()}://{o.host}:{port}")
                told.append(f"{n.upper()}://{advertise}:{port}")
            if kraft:
                config["process.roles"] = ",".join(node["roles"])
                config["node.id"] = i
                if i in voters:
                    own.append(f"CONTROLLER://{o.host}:{voters[i]}")
            else:
                config["broker.id"] = i
            config["listeners"] = ",".join(own)
            if told:
                config["advertised.listeners"] = ",".join(told)
            else:
                config.pop("inter.broker.listener.name")
            if o.racks and told:
                config["broker.rack"] = f"rack-{(int(i) - 1) % 3 + 1}"
                if v >= (2, 4):
                    config["replica.selector.class"] = "org.apache.kafka.common.replica.RackAwareReplicaSelector"
            home = self.dir / f"node-{i}"
            (home / "data").mkdir(parents=True)
            config["log.dirs"] = home / "data"
            config.update(o.config)
            config.update(o.node_config.get(i, {}))
            (home / "server.properties").write_text(properties(config))
            if kraft:
                self.format(i)
        self.save()
        return self

    def _common_config(self, install, o, names, brokers, kraft):
        v, factor = install.v, min(brokers, 3)
        isr = min(2, factor)
        c = {
            "num.network.threads": 2, "num.io.threads": 4, "background.threads": 2,
            "default.replication.factor": factor,
            # Leaders move when a scenario moves them.
            "auto.leader.rebalance.enable": "false",
            "offsets.topic.num.partitions": 4, "offsets.topic.replication.factor": factor,
            "group.initial.rebalance.delay.ms": 0, "group.min.session.timeout.ms": 1000,
            "transaction.state.log.num.partitions": 4, "transaction.state.log.replication.factor": factor,
            "transaction.state.log.min.isr": isr,
            "log.cleaner.dedupe.buffer.size": 4 << 20,
            "inter.broker.listener.name": INTERNAL.upper(),
        }
        if v >= (4, 0):
            c.update({"group.consumer.min.session.timeout.ms": 1000,
                      "group.consumer.min.heartbeat.interval.ms": 100})
            c.update({"share.coordinator.state.topic.num.partitions": 4,
                      "share.coordinator.state.topic.replication.factor": factor,
                      "share.coordinator.state.topic.min.isr": isr})
        if o.preview:
            if v >= (4, 2):
                pass
            elif v >= (4, 0):
                c["group.coordinator.rebalance.protocols"] = "classic,consumer,share" + (",streams" if v >= (4, 1) else "")
                c["unstable.api.versions.enable"] = "true"
                if v < (4, 1):
                    c["group.share.enable"] = "true"
            elif v >= (3, 7):
                c["group.coordinator.new.enable"] = "true"
                c["unstable.api.versions.enable"] = "true"
                if v >= (3, 8):
                    c["group.coordinator.rebalance.protocols"] = "classic,consumer"
        if kraft:
            c.update({"controller.listener.names": CONTROLLER.upper(), "broker.heartbeat.interval.ms": 500,
                      "broker.session.timeout.ms": 3000, "controller.quorum.election.timeout.ms": 500,
                      "controller.quorum.election.backoff.max.ms": 250})
        else:
            c.update({"zookeeper.session.timeout.ms": 4000, "zookeeper.connection.timeout.ms": 30000})
        inner = "SASL_PLAINTEXT" if o.acl else "PLAINTEXT"
        protocols = {INTERNAL: inner, **({CONTROLLER: inner} if kraft else {}), **{n: LISTENERS[n][0] for n in names}}
        c["listener.security.protocol.map"] = ",".join(f"{n.upper()}:{p}" for n, p in protocols.items())
        sasl = {n: LISTENERS[n][1] for n in names if LISTENERS[n][1]}
        if o.acl:
            for n in [INTERNAL] + ([CONTROLLER] if kraft else []):
                sasl[n] = [PLAIN]
            c["sasl.mechanism.inter.broker.protocol"] = PLAIN
            if kraft:
                c["sasl.mechanism.controller.protocol"] = PLAIN
            c["authorizer.class.name"] = "org.apache.kafka.metadata.authorizer.StandardAuthorizer" if kraft else \
                "kafka.security.authorizer.AclAuthorizer" if v >= (2, 4) else "kafka.security.auth.SimpleAclAuthorizer"
            c["super.users"] = f"User:{ADMIN}"
        for n, mechanisms in sasl.items():
            p = f"listener.name.{n}"
            c[f"{p}.sasl.enabled.mechanisms"] = ",".join(mechanisms)
            for m in mechanisms:
                who = ADMIN if n in (INTERNAL, CONTROLLER) else None
                c[f"{p}.{m.lower()}.sasl.jaas.config"] = jaas(m, o.users, who)
        if "sasl_oauth" in names:
            # The unsecured module wants its own claims at the broker too, where it logs in as nobody.
            c["listener.name.sasl_oauth.oauthbearer.sasl.jaas.config"] = \
                jaas(OAUTH, o.users).replace(" required;", ' required unsecuredLoginStringClaim_sub="broker";')
        if "sasl_jwt" in names:
            p = "listener.name.sasl_jwt.oauthbearer.sasl"
            c[f"{p}.server.callback.handler.class"] = \
                "org.apache.kafka.common.security.oauthbearer.OAuthBearerValidatorCallbackHandler"
            c[f"{p}.oauthbearer.jwks.endpoint.url"] = (self.dir / "oauth" / "jwks.json").as_uri()
            c[f"{p}.oauthbearer.expected.audience"] = "kafka"
            c[f"{p}.oauthbearer.expected.issuer"] = "kafka-cluster"
        if self.state["tls"]:
            tls, kind = self.dir / "tls", "PEM" if self.state["pem"] else "PKCS12"
            c["ssl.keystore.type"] = c["ssl.truststore.type"] = kind
            if kind == "PEM":
                c["ssl.keystore.location"], c["ssl.truststore.location"] = tls / "broker-keystore.pem", tls / "ca.pem"
            else:
                c["ssl.keystore.location"], c["ssl.truststore.location"] = tls / "broker.p12", tls / "truststore.p12"
                c["ssl.keystore.password"] = c["ssl.truststore.password"] = c["ssl.key.password"] = PASSWORD
        if "mtls" in names:
            c["listener.name.mtls.ssl.client.auth"] = "required"
            if v >= (2, 4):
                c["listener.name.mtls.ssl.principal.mapping.rules"] = "RULE:^CN=([^,]+).*$/$1/,DEFAULT"
        return c

    def _format_arguments(self, install, o, names):
        v, arguments = install.v, []
        features = list(o.feature)
        if o.preview:
            told = {f.split("=")[0] for f in features}
            if (4, 1) <= v < (4, 2) and "share.version" not in told:
                features.append("share.version=1")
        if o.metadata_version:
            arguments += ["--release-version", o.metadata_version]
        for f in features:
            arguments += ["--feature", f]
        if {"sasl_scram", "sasl_ssl"} & set(names):
            if v < (3, 5):
                raise Failure("SCRAM with KRaft needs Kafka 3.5 or later")
            for user, word in o.users.items():
                for m in (S256, S512):
                    arguments += ["--add-scram", f"{m}=[name={user},password={word}]"]
        config = {"process.roles": "broker,controller", "node.id": 1, "controller.quorum.voters": "1@127.0.0.1:9",
                  "listeners": "PLAINTEXT://127.0.0.1:8,CONTROLLER://127.0.0.1:9",
                  "advertised.listeners": "PLAINTEXT://127.0.0.1:8", "controller.listener.names": "CONTROLLER",
                  "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT"}
        return arguments, config

    def format(self, node_id):
        """What kafka-storage format does, from one real run of it that is kept."""
        template, data = self.install.format_template(*self.state["format"]), self.dir / f"node-{node_id}" / "data"
        shutil.rmtree(data, ignore_errors=True)
        # From 4.4 on the first records lie in the controllers' metadata log.
        controller = "controller" in self.state["nodes"][str(node_id)]["roles"]
        shutil.copytree(template, data, ignore=None if controller else shutil.ignore_patterns("__cluster_metadata-*"))
        lines = []
        for line in (template / "meta.properties").read_text().splitlines():
            name = line.split("=")[0]
            value = {"cluster.id": self.state["cluster_id"], "node.id": node_id, "directory.id": new_id()}.get(name)
            lines.append(f"{name}={value}" if value else line)
        (data / "meta.properties").write_text("\n".join(lines) + "\n")

    # -- running

    def spawn(self, home, command, env):
        with open(home / "log", "ab") as log:
            p = subprocess.Popen(command, cwd=home, env=env, stdin=subprocess.DEVNULL, stdout=log,
                                 stderr=subprocess.STDOUT, start_new_session=True)
        return handle(p.pid)

    def spawn_node(self, node_id, jvm_extra=(), archive=True):
        home, s = self.dir / f"node-{node_id}", self.state
        extra = [*s["jvm_arg"], *jvm_extra]
        if "sasl_jwt" in s["listeners"]:
            url = (self.dir / "oauth" / "jwks.json").as_uri()
            extra.append(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}")
        command = self.install.command("kafka.Kafka", [str(home / "server.properties")], heap=s["heap"], jvm=s["jvm"],
                                       log=s["log_level"], extra=extra, archive=archive)
        s["nodes"][str(node_id)]["proc"] = self.spawn(home, command, self.install.env())
        s["nodes"][str(node_id)]["paused"] = False
        self.save()

    def up(self, timeout=120.0, jvm_extra=(), archive=True):
        end = time.monotonic() + timeout
        try:
            if self.state["mode"] == "zk":
                self._zookeeper_up(end)
            for i in self.state["nodes"]:
                self.spawn_node(i, jvm_extra, archive)
            self.await_ready(end)
        finally:
            self.ports.close()

    def _zookeeper_up(self, end):
        home, zk = self.dir / "zookeeper", self.state["zookeeper"]
        command = self.install.command("org.apache.zookeeper.server.ZooKeeperServerMain",
                                       [str(home / "zookeeper.properties")], heap="128m", log="INFO",
                                       extra=["-Dzookeeper.jmx.log4j.disable=true", "-Dzookeeper.forceSync=no",
                                              "-Dzookeeper.4lw.commands.whitelist=*"])
        zk["proc"] = self.spawn(home, command, self.install.env())
        self.save()
        host, port = zk["address"].rsplit(":", 1)
        while True:
            try:
                with socket.create_connection((host, int(port)), timeout=2) as s:
                    s.sendall(b"ruok")
                    if s.recv(8) == b"imok":
                        break
            except OSError:
                pass
            if not alive(zk["proc"]) or time.monotonic() > end:
                raise Failure(f"ZooKeeper did not start:\n{tail(home / 'log')}")
            time.sleep(0.05)
        if {"sasl_scram", "sasl_ssl"} & set(self.state["listeners"]):
            main = self.install.main_class(["kafka.admin.ConfigCommand"])
            for user, word in self.state["users"].items():
                args = ["--zookeeper", zk["address"], "--alter", "--entity-type", "users", "--entity-name", user,
                        "--add-config", f"{S256}=[password={word}],{S512}=[password={word}]"]
                run = subprocess.run(self.install.command(main, args, log="WARN"), env=self.install.env(),
                                     stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if run.returncode:
                    raise Failure(f"could not add the SCRAM user {user}:\n{run.stdout}")

    def ask(self, node_id, timeout=2.0):
        sasl = (ADMIN, self.state["users"][ADMIN]) if self.state["acl"] else None
        return Wire(self.state["nodes"][str(node_id)]["listeners"][INTERNAL], sasl, timeout)

    def await_ready(self, end, expected=None):
        """Until each of the expected brokers says that just these are there."""
        running = expected or self.brokers(running=True)
        expected = sorted(int(i) for i in running)
        waiting = list(running)
        while waiting:
            for i in list(waiting):
                node = self.state["nodes"][i]
                try:
                    with self.ask(i) as wire:
                        if set(expected) <= set(wire.metadata()[0]):
                            waiting.remove(i)
                            continue
                except (OSError, struct.error):
                    pass
                if not alive(node["proc"]):
                    raise Failure(f"node {i} ended while starting:\n{tail(self.dir / f'node-{i}' / 'log')}")
            for i, node in self.state["nodes"].items():
                if "broker" not in node["roles"] and node["proc"] and not alive(node["proc"]):
                    raise Failure(f"node {i} ended:\n{tail(self.dir / f'node-{i}' / 'log')}")
            if waiting and time.monotonic() > end:
                raise Failure(f"not ready in time: {', '.join(waiting)}\n"
                              f"{tail(self.dir / f'node-{waiting[0]}' / 'log')}")
            if waiting:
                time.sleep(0.05)

    def controller(self, timeout=15.0):
        end = time.monotonic() + timeout
        while True:
            for i in self.brokers(running=True):
                try:
                    with self.ask(i, 3.0) as wire:
                        leader = wire.metadata()[1] if self.state["mode"] == "zk" else wire.quorum_leader()
                    if leader >= 0 and alive(self.node(leader)["proc"]):
                        return leader
                except (OSError, struct.error, IndexError, Failure):
                    pass
            if time.monotonic() > end:
                raise Failure("no broker tells an active controller")
            time.sleep(0.1)

    def started(self):
        self.state.pop("starter", None)
        self.save()

    def down(self, graceful=False, keep=False):
        if graceful:
            nodes = self.state.get("nodes", {})
            for n in nodes.values():
                send(n.get("proc"), signal.SIGCONT)
            # Brokers leave while the controllers are still there.
            order = [n["proc"] for n in nodes.values() if n.get("proc") and n["roles"] == ["broker"]]
            rest = [n["proc"] for n in nodes.values() if n.get("proc") and n["roles"] != ["broker"]]
            for group in (order, rest):
                for p in group:
                    send(p, signal.SIGTERM)
                await_exit(group, 15)
        if not kill_all(self.procs()):
            raise Failure("a process would not end")
        if not keep:
            shutil.rmtree(self.dir, ignore_errors=True)
        else:
            self.state["run"] = ""  # so the watching process leaves
            for n in self.state.get("nodes", {}).values():
                n["proc"] = None
            if "zookeeper" in self.state:
                self.state["zookeeper"]["proc"] = None
            self.save()

    # -- telling

    def variables(self):
        s = self.state
        first = s["listeners"][0]
        out = {"KAFKA_CLUSTER_DIR": str(self.dir), "KAFKA_VERSION": s["version"],
               "KAFKA_BOOTSTRAP_SERVERS": s["bootstrap"][first],
               "KAFKA_BROKER_IDS": ",".join(self.brokers())}
        for name in s["listeners"]:
            out[f"KAFKA_BOOTSTRAP_{name.upper()}"] = s["bootstrap"][name]
        if s["tls"]:
            tls = self.dir / "tls"
            out.update(KAFKA_CA_CERT=str(tls / "ca.pem"), KAFKA_CLIENT_CERT=str(tls / "client.pem"),
                       KAFKA_CLIENT_KEY=str(tls / "client.key"))
        if s["acl"] or any(LISTENERS[n][1] for n in s["listeners"]):
            plain = next((u for u in s["users"] if u != ADMIN), ADMIN)
            out.update(KAFKA_USER=plain, KAFKA_PASSWORD=s["users"][plain], KAFKA_ADMIN_USER=ADMIN,
                       KAFKA_ADMIN_PASSWORD=s["users"][ADMIN])
        return out

    def describe(self):
        s = self.state
        nodes = {i: {"roles": n["roles"], "listeners": n["listeners"], "pid": (n["proc"] or {}).get("pid"),
                     "state": "stopped" if not alive(n["proc"]) else "paused" if n.get("paused") else "running",
                     "log": str(self.dir / f"node-{i}" / "log")} for i, n in s["nodes"].items()}
        return {"version": s["version"], "mode": s["mode"], "cluster_id": s["cluster_id"], "dir": str(self.dir),
                "bootstrap": s["bootstrap"], "nodes": nodes, "users": s["users"], "env": self.variables()}

    def client_config(self, listener, who=None, mechanism=None, certificate="client"):
        """Properties for a Java client on one listener."""
        s, users = self.state, self.state["users"]
        c = {"bootstrap.servers": s["bootstrap"][listener]}
        if listener == INTERNAL:
            if s["acl"]:
                c.update({"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": PLAIN,
                          "sasl.jaas.config": client_jaas(PLAIN, ADMIN, users[ADMIN])})
            return c
        protocol, mechanisms = LISTENERS[listener]
        c["security.protocol"] = protocol
        if "SSL" in protocol:
            tls, pem = self.dir / "tls", s["pem"]
            c.update({"ssl.truststore.type": "PEM", "ssl.truststore.location": tls / "ca.pem"} if pem else
                     {"ssl.truststore.type": "PKCS12", "ssl.truststore.location": tls / "truststore.p12",
                      "ssl.truststore.password": PASSWORD})
            if listener == "mtls" and certificate != "none":
                c.update({"ssl.keystore.type": "PEM", "ssl.keystore.location": tls / f"{certificate}-keystore.pem"}
                         if pem else {"ssl.keystore.type": "PKCS12", "ssl.keystore.location": tls / f"{certificate}.p12",
                                      "ssl.keystore.password": PASSWORD, "ssl.key.password": PASSWORD})
        if mechanisms:
            who = who or ADMIN
            name, _, word = who.partition(":")
            m = mechanism or mechanisms[0]
            c["sasl.mechanism"] = m
            c["sasl.jaas.config"] = client_jaas(m, name, word or users.get(name, ""))
            if listener == "sasl_jwt":
                token = self.dir / "oauth" / f"{name}.jwt"
                token.write_text(make_token(name, 3600, self.dir / "oauth" / "jwt.key"))
                c["sasl.jaas.config"] = jaas(OAUTH, users)
                c["sasl.login.callback.handler.class"] = \
                    "org.apache.kafka.common.security.oauthbearer.OAuthBearerLoginCallbackHandler"
                c["sasl.oauthbearer.token.endpoint.url"] = token.as_uri()
        return c


def client_jaas(mechanism, user, word):
    p = "org.apache.kafka.common.security."
    if mechanism == OAUTH:
        return f'{p}oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="{user}";'
    module = "plain.PlainLoginModule" if mechanism == PLAIN else "scram.ScramLoginModule"
    return f'{p}{module} required username="{user}" password="{word}";'


def tail(path, lines=40):
    try:
        return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])
    except OSError:
        return "(no log)"
