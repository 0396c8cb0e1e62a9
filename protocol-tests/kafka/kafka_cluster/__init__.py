"""The parts of kafka-cluster, lowest first: base, jvm, ports, certificates, cluster, commands, tools."""
