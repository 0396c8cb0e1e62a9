"""Free ports, and the few requests that say whether brokers are ready."""
import random
import socket
import struct
from pathlib import Path

from .base import Failure





class Ports:
    """Free loopback ports, below the range that outgoing connections use.

    A port stays reserved by a bound socket until close(): another run of this
    tool cannot pick it, while SO_REUSEADDR set after the bind lets the broker
    bind it.
    """

    def __init__(self, host, base=None):
        self.host, self.base, self.held = host, base, []
        try:
            low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
        except OSError:
            low = 32768
        self.low, self.high = 10000, low if low > 15000 else 32768

    def take(self):
        for _ in range(2000):
            if self.base:
                port, self.base = self.base, self.base + 1
            else:
                port = random.randrange(self.low, self.high)
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
            try:
                s.bind((self.host, port))
            except OSError:
                s.close()
                if self.base:
                    raise Failure(f"port {port} is in use") from None
                continue
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            self.held.append(s)
            return port
        raise Failure("no free port found")

    def close(self):
        for s in self.held:
            s.close()
        self.held = []


def _string(text):
    raw = text.encode()
    return struct.pack(">h", len(raw)) + raw


class Wire:
    """Just enough of the protocol to ask a broker who is there."""

    def __init__(self, address, sasl=None, timeout=2.0):
        host, port = address.rsplit(":", 1)
        self.s = socket.create_connection((host, int(port)), timeout=timeout)
        self.s.settimeout(timeout)
        try:
            if sasl:
                self.ask(17, 1, _string("PLAIN"))
                token = f"\0{sasl[0]}\0{sasl[1]}".encode()
                answer = self.ask(36, 0, struct.pack(">i", len(token)) + token)
                if struct.unpack_from(">h", answer)[0]:
                    raise OSError("authentication failed")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.s.close()

    def _read(self, n):
        got = b""
        while len(got) < n:
            part = self.s.recv(n - len(got))
            if not part:
                raise OSError("closed")
            got += part
        return got

    def ask(self, key, version, body, flexible=False):
        request = struct.pack(">hhi", key, version, 1) + _string("kafka-cluster") + (b"\0" if flexible else b"") + body
        self.s.sendall(struct.pack(">i", len(request)) + request)
        size = struct.unpack(">i", self._read(4))[0]
        return self._read(size)[5 if flexible else 4:]

    def metadata(self):
        """The ids of the live brokers, and the controller's as this broker tells it."""
        b, at = self.ask(3, 1, struct.pack(">i", 0)), 4
        ids = []
        for _ in range(struct.unpack_from(">i", b)[0]):
            ids.append(struct.unpack_from(">i", b, at)[0])
            at += 4
            at += 2 + struct.unpack_from(">h", b, at)[0] + 4
            at += 2 + max(0, struct.unpack_from(">h", b, at)[0])
        return sorted(ids), struct.unpack_from(">i", b, at)[0]

    def quorum_leader(self):
        name = b"__cluster_metadata"
        body = b"\x02" + bytes([len(name) + 1]) + name + b"\x02" + struct.pack(">i", 0) + b"\0\0\0"
        b = self.ask(55, 0, body, flexible=True)
        at = 2 + 1
        at += b[at] + 1
        error, leader = struct.unpack_from(">hi", b, at + 4)
        if error:
            raise OSError(f"error {error}")
        return leader
