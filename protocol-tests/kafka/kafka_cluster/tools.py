"""Kafka's own programs, with the address and the security settings filled in."""
import os
import re
import signal
import subprocess
import tempfile
from pathlib import Path

from .base import DEFAULT_VERSION, Failure, INTERNAL
from .cluster import Cluster
from .jvm import Install, cache_root, properties

T = "org.apache.kafka.tools."
TOOLS = {  # name: classes, newest first
    "kafka-acls": [T + "AclCommand", "kafka.admin.AclCommand"],
    "kafka-broker-api-versions": [T + "BrokerApiVersionsCommand", "kafka.admin.BrokerApiVersionsCommand"],
    "kafka-client-metrics": [T + "ClientMetricsCommand"],
    "kafka-cluster": [T + "ClusterTool", "kafka.tools.ClusterTool"],
    "kafka-configs": [T + "ConfigCommand", "kafka.admin.ConfigCommand"],
    "kafka-console-consumer": [T + "consumer.ConsoleConsumer", "kafka.tools.ConsoleConsumer"],
    "kafka-console-producer": [T + "ConsoleProducer", "kafka.tools.ConsoleProducer"],
    "kafka-console-share-consumer": [T + "consumer.ConsoleShareConsumer"],
    "kafka-consumer-groups": [T + "consumer.group.ConsumerGroupCommand", "kafka.admin.ConsumerGroupCommand"],
    "kafka-consumer-perf-test": [T + "ConsumerPerformance", "kafka.tools.ConsumerPerformance"],
    "kafka-delegation-tokens": [T + "DelegationTokenCommand", "kafka.admin.DelegationTokenCommand"],
    "kafka-delete-records": [T + "DeleteRecordsCommand", "kafka.admin.DeleteRecordsCommand"],
    "kafka-dump-log": [T + "DumpLogSegments", "kafka.tools.DumpLogSegments"],
    "kafka-features": [T + "FeatureCommand", "kafka.admin.FeatureCommand"],
    "kafka-get-offsets": [T + "GetOffsetShell", "kafka.tools.GetOffsetShell"],
    "kafka-groups": [T + "GroupsCommand"],
    "kafka-leader-election": [T + "LeaderElectionCommand", "kafka.admin.LeaderElectionCommand"],
    "kafka-log-dirs": [T + "LogDirsCommand", "kafka.admin.LogDirsCommand"],
    "kafka-metadata-quorum": [T + "MetadataQuorumCommand", "kafka.admin.MetadataQuorumCommand"],
    "kafka-producer-perf-test": [T + "ProducerPerformance"],
    "kafka-reassign-partitions": [T + "reassign.ReassignPartitionsCommand", "kafka.admin.ReassignPartitionsCommand"],
    "kafka-replica-verification": [T + "ReplicaVerificationTool", "kafka.tools.ReplicaVerificationTool"],
    "kafka-share-consumer-perf-test": [T + "ShareConsumerPerformance"],
    "kafka-share-groups": [T + "consumer.group.ShareGroupCommand"],
    "kafka-storage": [T + "StorageTool", "kafka.tools.StorageTool"],
    "kafka-topics": [T + "TopicCommand", "kafka.admin.TopicCommand"],
    "kafka-transactional-message-copier": [T + "TransactionalMessageCopier"],
    "kafka-transactions": [T + "TransactionsCommand"],
    "kafka-verifiable-consumer": [T + "VerifiableConsumer"],
    "kafka-verifiable-producer": [T + "VerifiableProducer"],
    "kafka-verifiable-share-consumer": [T + "VerifiableShareConsumer"],
}
OFFLINE = {"kafka-storage", "kafka-dump-log"}


def connection_flags(name, v, config, cluster):
    """How a tool is told the broker and the client settings; this differs by tool and version."""
    bootstrap = config["bootstrap.servers"]
    zk = cluster.state.get("zookeeper", {}).get("address")
    server, settings = "--bootstrap-server", "--command-config"
    old = v < (4, 2)
    if name in ("kafka-console-producer",):
        server = server if v >= (2, 5) else "--broker-list"
        settings = "--producer.config" if old else settings
    elif name in ("kafka-console-consumer", "kafka-console-share-consumer", "kafka-consumer-perf-test",
                  "kafka-share-consumer-perf-test"):
        settings = "--consumer.config" if old else settings
        if name == "kafka-consumer-perf-test" and v < (2, 5):
            server = "--broker-list"
    elif name == "kafka-producer-perf-test":
        # bootstrap.servers is in the settings; the tool wants no flag for it
        server, settings = None, "--producer.config" if old else settings
    elif name in ("kafka-verifiable-producer", "kafka-verifiable-consumer", "kafka-verifiable-share-consumer"):
        if v < (2, 5):
            server = "--broker-list"
        if old:
            settings = "--producer.config" if name.endswith("producer") else "--consumer.config"
    elif name == "kafka-transactional-message-copier":
        server, settings = "--broker-list", None
    elif name == "kafka-get-offsets" and v < (3, 0):
        server, settings = "--broker-list", None
    elif name == "kafka-topics" and v < (2, 2) or name == "kafka-configs" and v < (2, 6):
        server, settings, bootstrap = "--zookeeper", None, zk
    elif name == "kafka-acls" and v < (2, 1):
        server, settings, bootstrap = "--authorizer-properties", None, f"zookeeper.connect={zk}"
    elif name == "kafka-cluster":
        settings = "--config"
    elif name == "kafka-replica-verification" and v < (3, 0):
        server, settings = "--broker-list", None
    elif name == "kafka-leader-election":
        settings = "--admin.config"
    return server, settings, bootstrap


def listener_of(cluster, args):
    name = args.listener or INTERNAL
    if name not in cluster.state["bootstrap"]:
        raise Failure(f"the cluster has no listener {name}; it has: {', '.join(cluster.state['listeners'])}")
    return name


def cmd_tool(args):
    rest = args.args
    name = args.tool[:-3] if args.tool.endswith(".sh") else args.tool
    if name not in TOOLS and "." not in name:
        raise Failure(f"unknown tool {name}; give a class name, or one of:\n  " + "\n  ".join(TOOLS))
    cluster = Cluster.open(args.dir) if args.dir else None
    # The cluster's own version, unless another one is asked for.
    version = args.version or (cluster.state["version"] if cluster else DEFAULT_VERSION)
    root = Path(cluster.state["cache"]) if cluster and not args.cache else cache_root(args)
    root.mkdir(parents=True, exist_ok=True)
    install = Install(root, version)
    install.fetch()
    # A program in a source file is no tool: it gets the clients of the very version.
    if install.tools_version != version and name != "kafka-storage" and not name.endswith(".java"):
        install = Install(root, install.tools_version)
        install.fetch()
    main = install.main_class(TOOLS[name]) if name in TOOLS else name
    front, config_file = [], None
    if cluster and name in TOOLS and name not in OFFLINE and "--help" not in rest and "--version" not in rest:
        config = cluster.client_config(listener_of(cluster, args), args.user, args.mechanism, args.certificate)
        server, settings, address = connection_flags(name, install.v, config, cluster)
        named = any(a in ("--bootstrap-server", "--broker-list", "--zookeeper", "--bootstrap-controller") for a in rest)
        if server and not named:
            front += [server, address]
        given = ("--command-config", "--producer.config", "--consumer.config", "--config", "--admin.config")
        if settings and not (set(given) - ({"--config"} if name != "kafka-cluster" else set())) & set(rest) \
                and (len(config) > 1 or server is None):
            fd, config_file = tempfile.mkstemp(prefix="client-", suffix=".properties", dir=cluster.dir)
            with os.fdopen(fd, "w") as f:
                f.write(properties(config))
            front += [settings, config_file]
    # The cluster and config subcommands of ClusterTool come before the flags.
    if name == "kafka-cluster" or name == "kafka-metadata-quorum" and rest[:1] and not rest[0].startswith("-"):
        rest, front = rest[:1] + front + rest[1:] if name == "kafka-cluster" else front + rest, []
    extra = list(args.jvm_arg)
    if config_file and args.listener == "sasl_jwt":
        url = re.search(r"token\.endpoint\.url=(\S+)", Path(config_file).read_text()).group(1)
        extra.append(f"-Dorg.apache.kafka.sasl.oauthbearer.allowed.urls={url}")
    command = install.command(main, front + rest, heap=args.heap, jvm=args.jvm, log=args.log_level, to_err=True,
                              extra=extra)
    if not config_file:
        # Nothing is left to do here, and whoever kills this ends the tool.
        os.execvpe(command[0], command, install.env())
    try:
        child = subprocess.Popen(command, env=install.env())
        for number in (signal.SIGTERM, signal.SIGHUP):
            signal.signal(number, lambda n, _: child.send_signal(n))
        while True:
            try:
                code = child.wait()
                return code if code >= 0 else 128 - code
            except KeyboardInterrupt:
                pass
    finally:
        if config_file:
            Path(config_file).unlink(missing_ok=True)
