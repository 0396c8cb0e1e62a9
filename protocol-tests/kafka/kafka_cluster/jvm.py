"""The jars of a Kafka version, and the Java that runs them."""
import base64
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import uuid
import zipfile
from pathlib import Path

from .base import Failure, HERE, LENDER, await_exit, locked, say, send, vtuple


def cache_root(args):
    if getattr(args, "cache", None):
        return Path(args.cache).resolve()
    if os.environ.get("KAFKA_CLUSTER_CACHE"):
        return Path(os.environ["KAFKA_CLUSTER_CACHE"]).resolve()
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "kafka-cluster"


_javas = {}


def _java_facts(path):
    """(major version, a name for this very build), or None when it does not run."""
    if path not in _javas:
        told = subprocess.run([path, "-version"], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True)
        major = re.search(r'version "(?:1\.)?(\d+)', told.stdout)
        _javas[path] = None if told.returncode or not major else \
            (int(major.group(1)), hashlib.sha1(told.stdout.encode()).hexdigest()[:12])
    return _javas[path]


def java(least=8, most=99, variable="KAFKA_CLUSTER_JAVA"):
    """A java of these versions: the one asked for, else JAVA_HOME's, PATH's, or one installed beside them.

    Returns its path, major version and build name.
    """
    own, home, usual = os.environ.get(variable), os.environ.get("JAVA_HOME"), shutil.which("java")
    tried = [own] if own else [home and str(Path(home) / "bin" / "java"), usual]
    if not own and usual:
        tried += sorted(map(str, Path(usual).resolve().parents[2].glob("*/bin/java")))
    for path in tried:
        if path and shutil.which(path):
            facts = _java_facts(path)
            if facts and (own or least <= facts[0] <= most):
                return path, *facts
    wanted = f"Java {least} or later" if most == 99 else f"Java {least} to {most}"
    raise Failure(f"no {wanted} found: set {variable}, JAVA_HOME or PATH")


class Install:
    """One Kafka version's jars in the cache."""

    def __init__(self, root, version):
        self.root, self.version, self.v = root, version, vtuple(version)
        self.home = root / version
        self.libs = self.home / "libs"
        self.log4j2 = self.v >= (4,)

    @property
    def ready(self):
        return (self.home / "install.json").exists()

    @property
    def tools_version(self):
        return json.loads((self.home / "install.json").read_text())["tools"]

    def fetch(self):
        if self.ready:
            return
        with locked(self.root / f".lock-{self.version}"):
            if self.ready:
                return
            shutil.rmtree(self.home, ignore_errors=True)
            said = ""
            for tools in dict.fromkeys([self.version, LENDER]):
                ok, said = self._copy(tools)
                if ok:
                    return
                # Only go on to borrowed tools when it is the tools that are missing.
                if not re.search(r"kafka-tools(-api)?:\w+:" + re.escape(self.version), said):
                    break
                say(f"no command line tools of Kafka {self.version} are published: using those of {LENDER}")
            raise Failure(f"could not get Kafka {self.version} through Maven:\n{said}")

    def _copy(self, tools):
        if not shutil.which("mvn"):
            raise Failure("mvn is not on PATH; it is needed to fetch a version that is not cached")
        scala = "2.13" if self.v >= (2, 4) else "2.12" if self.v >= (0, 10, 2) else "2.11"
        profiles = [name for name, wanted in (
            ("tools", tools == self.version), ("log4j2", self.log4j2), ("zk34", self.v < (2, 4)),
            ("zk35", (2, 4) <= self.v < (2, 5)), ("jaxb", self.v < (1, 0))) if wanted]
        tmp = Path(tempfile.mkdtemp(prefix=f".{self.version}-", dir=self.root))
        try:
            command = ["mvn", "-q", "-B", "-f", str(HERE / "pom.xml"), "dependency:copy-dependencies",
                       "-DincludeScope=runtime", f"-DoutputDirectory={tmp / 'libs'}",
                       f"-Dkafka.version={self.version}", f"-Dtools.version={tools}",
                       f"-Dscala.version={scala}"] + (["-P" + ",".join(profiles)] if profiles else [])
            say(f"fetching Kafka {self.version}" + ("" if tools == self.version else f" (tools {tools})"))
            for attempt in range(3):
                run = subprocess.run(command + (["-U"] if attempt else []), stdin=subprocess.DEVNULL,
                                     stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                if run.returncode == 0:
                    break
                if "Could not find artifact" in run.stdout:
                    return False, run.stdout[-2000:]
                time.sleep(2 * (attempt + 1))
            else:
                return False, run.stdout[-2000:]
            if not (tmp / "libs" / f"kafka_{scala}-{self.version}.jar").exists():
                return False, f"no kafka_{scala}-{self.version}.jar came\n{run.stdout[-2000:]}"
            (tmp / "install.json").write_text(json.dumps({"version": self.version, "tools": tools}))
            tmp.chmod(0o755)
            tmp.rename(self.home)
            return True, ""
        finally:
            shutil.rmtree(tmp, ignore_errors=True)

    def classpath(self):
        return os.pathsep.join(str(p) for p in sorted(self.libs.glob("*.jar")))

    def java(self):
        # Before 3.9.1, SASL needs the security manager, which Java 24 dropped.
        return java(17) if self.v >= (4,) else java(8, 99 if self.v >= (3, 9, 1) else 23)

    def env(self):
        env = {k: v for k, v in os.environ.items() if k not in ("JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS")}
        env["CLASSPATH"] = self.classpath()
        return env

    def archive(self):
        """Where this JDK's class-data archive of this version lies, when it can have one."""
        _, major, key = self.java()
        return self.home / "cds" / f"{key}.jsa" if major >= 13 else None

    def command(self, main, args=(), heap="256m", jvm="quick", log="INFO", to_err=False, extra=(), archive=True):
        cds = self.archive() if archive else None
        out = [self.java()[0], "-server", "-Djava.awt.headless=true", f"-Xmx{heap}", "-XX:+ExitOnOutOfMemoryError"]
        if cds and cds.exists() and cds.stat().st_size:
            out += [f"-XX:SharedArchiveFile={cds}", "-Xshare:auto", "-Xlog:cds=off", "-Xlog:cds+dynamic=off"]
        if jvm == "quick":
            out += ["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"]
        else:
            out += ["-XX:+UseG1GC", "-XX:MaxGCPauseMillis=20", "-XX:InitiatingHeapOccupancyPercent=35",
                    "-XX:+ExplicitGCInvokesConcurrent"]
        if self.log4j2:
            out += [f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}",
                    f"-Dkafka.cluster.log.target={'SYSTEM_ERR' if to_err else 'SYSTEM_OUT'}"]
        else:
            out += [f"-Dlog4j.configuration=file:{HERE / 'log4j.properties'}",
                    f"-Dkafka.cluster.log.target={'System.err' if to_err else 'System.out'}"]
        return out + [f"-Dkafka.cluster.log.level={log}", *extra, main, *args]

    def main_class(self, names):
        jars = sorted(self.libs.glob("kafka*.jar"))
        for jar in jars:
            with zipfile.ZipFile(jar) as z:
                held = set(z.namelist())
            for name in names:
                if name.replace(".", "/") + ".class" in held:
                    return name
        raise Failure(f"Kafka {self.version} has none of: {', '.join(names)}")

    def format_template(self, arguments, kraft_config):
        """Format once for these arguments; later clusters copy the result."""
        key = hashlib.sha1(json.dumps([arguments, kraft_config]).encode()).hexdigest()[:16]
        place = self.home / "format" / key
        if not (place / "meta.properties").exists():
            with locked(self.home / ".lock-format"):
                if not (place / "meta.properties").exists():
                    tmp = Path(tempfile.mkdtemp(prefix="format-", dir=self.home))
                    try:
                        config = tmp / "server.properties"
                        config.write_text(properties({**kraft_config, "log.dirs": tmp / "data"}))
                        main = self.main_class(["org.apache.kafka.tools.StorageTool", "kafka.tools.StorageTool"])
                        run = subprocess.run(
                            self.command(main, ["format", "-t", new_id(), "-c", str(config), *arguments], log="WARN"),
                            env=self.env(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                            stderr=subprocess.STDOUT, text=True)
                        if run.returncode:
                            raise Failure(f"formatting the storage failed:\n{run.stdout[-3000:]}")
                        place.parent.mkdir(exist_ok=True)
                        shutil.rmtree(place, ignore_errors=True)
                        (tmp / "data").rename(place)
                    finally:
                        shutil.rmtree(tmp, ignore_errors=True)
        return place

    def train(self):
        """Make the class-data archive: start one broker, use it, stop it. Halves later starts."""
        # The archive holds what a whole cluster loads, and a cluster needs the jars: a circle, at run time only.
        from .cluster import Cluster, Options
        from .commands import watch

        cds = self.archive()
        if cds is None or cds.exists():
            return
        with locked(self.home / ".lock-cds"):
            if cds.exists():
                return
            say(f"making the class-data archive of Kafka {self.version} (once)")
            cds.parent.mkdir(exist_ok=True)
            tmp = Path(tempfile.mkdtemp(prefix="train-", dir=self.home))
            made = tmp / "archive.jsa"
            try:
                cluster = Cluster.create(self, tmp / "cluster", Options(listeners=["plaintext"]))
                watch(cluster, 300, None)
                try:
                    cluster.up(jvm_extra=[f"-XX:ArchiveClassesAtExit={made}", "-Xlog:cds=off", "-Xlog:cds+dynamic=off",
                                          "-Xlog:class+load=off"], archive=False)
                    node = cluster.state["nodes"]["1"]
                    send(node["proc"], signal.SIGTERM)
                    await_exit([node["proc"]], 90)
                finally:
                    cluster.down()
                if made.exists():
                    made.rename(cds)
                else:
                    say("no archive was made; starts will be slower")
                    cds.write_bytes(b"")  # do not try again; an empty archive is not used
            except Failure as failure:
                say(f"no archive was made; starts will be slower ({failure})")
            finally:
                shutil.rmtree(tmp, ignore_errors=True)


def properties(pairs):
    return "".join(f"{k}={str(v)}\n" for k, v in pairs.items())


def new_id():
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
        if not text.startswith("-"):
            return text
