"""As much of Kafka's protocol as the runner needs, so that no client under test counts its own records:
create and delete a topic, and sum up its end offsets. Versions before compact encodings, which brokers 2.1 to 4.x have.
"""

import socket
import struct

CREATE_TOPICS, DELETE_TOPICS, LIST_OFFSETS = 19, 20, 2
TOPIC_ALREADY_EXISTS = 36


def ask(port, api, version, body):
    """Sends one request to a broker of this machine and returns the answer's body."""
    frame = struct.pack(">hhih", api, version, 1, -1) + body
    with socket.create_connection(("127.0.0.1", port), 30) as s:
        s.sendall(struct.pack(">i", len(frame)) + frame)
        answer = read(s, struct.unpack(">i", read(s, 4))[0])
    return answer[4:]


def read(s, count):
    out = b""
    while len(out) < count:
        part = s.recv(count - len(out))
        if not part:
            raise ConnectionError("closed by the broker")
        out += part
    return out


def text(s):
    return struct.pack(">h", len(s)) + s.encode()


def create_topic(port, topic, partitions):
    body = struct.pack(">i", 1) + text(topic) + struct.pack(">ihii", partitions, 1, 0, 0) + struct.pack(">ib", 30_000, 0)
    answer = ask(port, CREATE_TOPICS, 2, body)
    code = struct.unpack_from(">h", answer, 4 + 4 + 2 + len(topic))[0]
    if code not in (0, TOPIC_ALREADY_EXISTS):
        raise RuntimeError(f"topic {topic} could not be created: error {code}")


def delete_topic(port, topic):
    ask(port, DELETE_TOPICS, 1, struct.pack(">i", 1) + text(topic) + struct.pack(">i", 30_000))


def end_offsets(port, topic, partitions):
    """The sum of the topic's end offsets: how many records the broker has taken."""
    asked = b"".join(struct.pack(">iq", p, -1) for p in range(partitions))
    body = struct.pack(">ii", -1, 1) + text(topic) + struct.pack(">i", partitions) + asked
    answer = ask(port, LIST_OFFSETS, 1, body)
    at = 4 + 2 + len(topic)
    (count,) = struct.unpack_from(">i", answer, at)
    total = 0
    for i in range(count):
        partition, code, _, offset = struct.unpack_from(">ihqq", answer, at + 4 + i * 22)
        if code:
            raise RuntimeError(f"{topic}-{partition}: error {code}")
        total += offset
    return total
