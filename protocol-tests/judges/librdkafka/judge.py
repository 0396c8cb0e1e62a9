"""librdkafka as a judge: `alone` produces, reads in a group, uses transactions and administers by itself; `member` is
one member of a group that others are in too, and prints what it reads. Takes the arguments of the judge of franz-go."""

import argparse
import sys
import time

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic

PARTITIONS = 4
RECORDS = 1000
PATIENCE = 120


def consumer(args, group, **settings):
    return Consumer({"bootstrap.servers": args.bootstrap_servers, "group.id": group,
                     "auto.offset.reset": "earliest", "enable.auto.commit": False,
                     "partition.assignment.strategy": args.strategy, "heartbeat.interval.ms": 300, **settings})


def messages(reader, count):
    """The next records; fails when they do not come."""
    read, deadline = 0, time.monotonic() + PATIENCE
    while read < count:
        if time.monotonic() > deadline:
            raise TimeoutError(f"{read} of {count} records, then nothing")
        message = reader.poll(1.0)
        if message is None:
            continue
        if message.error():
            raise KafkaException(message.error())
        read += 1
        yield message


def create(args):
    admin = AdminClient({"bootstrap.servers": args.bootstrap_servers})
    topic = NewTopic(args.topic, PARTITIONS, args.replicas, config={"segment.ms": "60000"})
    admin.create_topics([topic])[args.topic].result(PATIENCE)
    try:
        admin.create_topics([topic])[args.topic].result(PATIENCE)
        raise AssertionError("the topic was made twice")
    except KafkaException as error:
        assert error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS, error
    resource = ConfigResource(ConfigResource.Type.TOPIC, args.topic)
    told = admin.describe_configs([resource])[resource].result(PATIENCE)
    assert told["segment.ms"].value == "60000", told["segment.ms"]


def produce(args):
    producer = Producer({"bootstrap.servers": args.bootstrap_servers, "enable.idempotence": True,
                         "compression.type": "zstd"})
    failures = []
    for number in range(RECORDS):
        producer.produce(args.topic, key=str(number), value=str(number),
                         on_delivery=lambda error, _: error and failures.append(error))
    assert producer.flush(PATIENCE) == 0 and not failures, failures


def consume(args):
    reader = consumer(args, args.group)
    reader.subscribe([args.topic])
    keys = [int(message.key()) for message in messages(reader, RECORDS)]
    assert sorted(keys) == list(range(RECORDS)), "lost or doubled"
    reader.commit(asynchronous=False)
    partitions = [TopicPartition(args.topic, index) for index in range(PARTITIONS)]
    assert sum(one.offset for one in reader.committed(partitions, PATIENCE) if one.offset > 0) == RECORDS
    reader.close()


def transactions(args):
    """Commits one and aborts one; who reads committed records sees the first only."""
    producer = Producer({"bootstrap.servers": args.bootstrap_servers, "transactional.id": args.group + "-writer"})
    producer.init_transactions(PATIENCE)
    for end in (producer.abort_transaction, producer.commit_transaction):
        producer.begin_transaction()
        for number in range(20):
            producer.produce(args.topic, key=str(number), value=f"{end.__name__}-{number}")
        assert producer.flush(PATIENCE) == 0
        end(PATIENCE)
    reader = consumer(args, args.group + "-committed", **{"isolation.level": "read_committed"})
    reader.subscribe([args.topic])
    for message in messages(reader, RECORDS + 20):
        assert not message.value().startswith(b"abort"), message.value()
    reader.close()


def remove(args):
    admin = AdminClient({"bootstrap.servers": args.bootstrap_servers})
    groups = [args.group, args.group + "-committed"]
    for deleted in admin.delete_consumer_groups(groups).values():
        deleted.result(PATIENCE)
    admin.delete_topics([args.topic])[args.topic].result(PATIENCE)


def alone(args):
    for step in (create, produce, consume, transactions, remove):
        step(args)
        print("done:", step.__name__, flush=True)


def member(args):
    reader = consumer(args, args.group)
    reader.subscribe([args.topic])
    for message in messages(reader, args.count):
        print(message.value().decode(), flush=True)
    reader.commit(asynchronous=False)
    reader.close()


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("verb", choices=["alone", "member"])
    parser.add_argument("-bootstrap-servers", required=True)
    parser.add_argument("-topic", required=True)
    parser.add_argument("-group", required=True)
    parser.add_argument("-replicas", type=int, default=1)
    parser.add_argument("-strategy", default="cooperative-sticky")
    parser.add_argument("-count", type=int, default=0)
    args = parser.parse_args()
    {"alone": alone, "member": member}[args.verb](args)


if __name__ == "__main__":
    sys.exit(main())
