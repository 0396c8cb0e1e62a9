// Kafka's own producer, consumer and admin client as a judge: `alone` produces, reads in a group, uses transactions and
// administers by itself; `member` is one member of a group that others are in too, and prints what it reads. Takes the
// arguments of the judge of franz-go. `java` compiles it as it starts it, against the clients of any Kafka since 2.5.

import java.time.Duration;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.concurrent.Callable;
import java.util.concurrent.ExecutionException;
import java.util.concurrent.Future;
import java.util.stream.Collectors;
import java.util.stream.IntStream;

import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.admin.RecordsToDelete;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.clients.producer.RecordMetadata;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.RetriableException;
import org.apache.kafka.common.errors.TopicExistsException;
import org.apache.kafka.common.errors.UnknownTopicOrPartitionException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public final class Judge {
    static final int PARTITIONS = 4;
    static final int RECORDS = 1000;
    static final int WRITTEN = 20;
    static final Duration PATIENCE = Duration.ofSeconds(120);

    static final Map<String, String> ARGS = new HashMap<>();
    static String topic, group;

    interface Step {
        void run() throws Exception;
    }

    public static void main(String[] args) throws Exception {
        for (int at = 1; at + 1 < args.length; at += 2) {
            ARGS.put(args[at], args[at + 1]);
        }
        topic = ARGS.get("-topic");
        group = ARGS.get("-group");
        endInTime();
        switch (args[0]) {
            case "alone" -> alone();
            case "member" -> member();
            default -> throw new IllegalArgumentException(args[0] + " is neither alone nor member");
        }
    }

    /** Whatever hangs: whoever started this may be gone. */
    static void endInTime() {
        var watch = new Thread(() -> {
            try {
                Thread.sleep(PATIENCE.toMillis());
            } catch (InterruptedException ended) {
                return;
            }
            System.err.println("not done within " + PATIENCE);
            Runtime.getRuntime().halt(2);
        });
        watch.setDaemon(true);
        watch.start();
    }

    static void must(boolean holds, Object what) {
        if (!holds) {
            throw new IllegalStateException(String.valueOf(what));
        }
    }

    static void alone() throws Exception {
        step("create", Judge::create);
        step("change settings", Judge::changeSettings);
        step("produce", Judge::produce);
        step("consume in a group", Judge::consume);
        step("group as admin", Judge::groupAsAdmin);
        step("transactions", Judge::transactions);
        step("delete records", Judge::deleteRecords);
        step("delete", Judge::remove);
    }

    static void step(String name, Step step) throws Exception {
        step.run();
        System.out.println("done: " + name);
    }

    // What the steps are made of.

    static Map<String, Object> settings(Map<String, Object> more) {
        var settings = new HashMap<>(more);
        settings.put("bootstrap.servers", ARGS.get("-bootstrap-servers"));
        return settings;
    }

    static Admin admin() {
        return Admin.create(settings(Map.of()));
    }

    static KafkaProducer<String, String> producer(Map<String, Object> more) {
        return new KafkaProducer<>(settings(more), new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, Map<String, Object> more) {
        var settings = settings(more);
        settings.put("group.id", group);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", false);
        var strategy = ARGS.getOrDefault("-strategy", "cooperative-sticky");
        if (strategy.equals("consumer")) {
            settings.put("group.protocol", "consumer");
        } else {
            var name = switch (strategy) {
                case "range" -> "Range";
                case "roundrobin" -> "RoundRobin";
                case "sticky" -> "Sticky";
                default -> "CooperativeSticky";
            };
            settings.put("partition.assignment.strategy", "org.apache.kafka.clients.consumer." + name + "Assignor");
            settings.put("heartbeat.interval.ms", 300);
        }
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> reader, int count) {
        var records = new ArrayList<ConsumerRecord<String, String>>();
        while (records.size() < count) {
            reader.poll(Duration.ofSeconds(1)).forEach(records::add);
        }
        return records;
    }

    static Set<TopicPartition> partitions() {
        return IntStream.range(0, PARTITIONS).mapToObj(Judge::partition).collect(Collectors.toSet());
    }

    static TopicPartition partition(int index) {
        return new TopicPartition(topic, index);
    }

    static long sum(Map<TopicPartition, OffsetAndMetadata> offsets) {
        return offsets.values().stream().mapToLong(OffsetAndMetadata::offset).sum();
    }

    static long offsets(Admin admin, OffsetSpec spec) throws Exception {
        var asked = partitions().stream().collect(Collectors.toMap(one -> one, one -> spec));
        return admin.listOffsets(asked).all().get().values().stream().mapToLong(one -> one.offset()).sum();
    }

    /** Brokers hear of changes one by one, and another one may be asked next. */
    static void until(String what, Callable<Boolean> holds) throws Exception {
        Object last = "it never did";
        for (var end = System.nanoTime() + PATIENCE.toNanos() / 4; System.nanoTime() < end; Thread.sleep(20)) {
            try {
                if (holds.call()) {
                    return;
                }
            } catch (ExecutionException failed) {
                if (!(failed.getCause() instanceof RetriableException)) {
                    throw failed;
                }
                last = failed.getCause();
            }
        }
        throw new IllegalStateException(what + ": " + last);
    }

    // The steps.

    static void create() throws Exception {
        var made = new NewTopic(topic, PARTITIONS, Short.parseShort(ARGS.getOrDefault("-replicas", "1")));
        var topics = List.of(made.configs(Map.of("segment.ms", "60000")));
        try (var admin = admin()) {
            admin.createTopics(topics).all().get();
            try {
                admin.createTopics(topics).all().get();
                throw new IllegalStateException("the topic was made twice");
            } catch (ExecutionException refused) {
                must(refused.getCause() instanceof TopicExistsException, refused);
            }
            until("listed", () -> admin.listTopics().names().get().contains(topic));
            until("segment.ms as it was made", () -> setting(admin, "segment.ms").value().equals("60000"));
        }
    }

    static ConfigEntry setting(Admin admin, String name) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        return admin.describeConfigs(List.of(resource)).all().get().get(resource).get(name);
    }

    /** One setting set, a list appended to, one given back to its default. */
    static void changeSettings() throws Exception {
        var changes = List.of(
            new AlterConfigOp(new ConfigEntry("retention.ms", "7200000"), AlterConfigOp.OpType.SET),
            new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.APPEND),
            new AlterConfigOp(new ConfigEntry("segment.ms", ""), AlterConfigOp.OpType.DELETE));
        var resource = new ConfigResource(ConfigResource.Type.TOPIC, topic);
        try (var admin = admin()) {
            admin.incrementalAlterConfigs(Map.of(resource, changes)).all().get();
            until("retention.ms as it was set", () -> setting(admin, "retention.ms").value().equals("7200000"));
            until("cleanup.policy with both", () -> setting(admin, "cleanup.policy").value().equals("delete,compact"));
            until("segment.ms as by default", () -> setting(admin, "segment.ms").isDefault());
            // Back again, so that no record goes.
            var back = new AlterConfigOp(new ConfigEntry("cleanup.policy", "compact"), AlterConfigOp.OpType.SUBTRACT);
            admin.incrementalAlterConfigs(Map.of(resource, List.of(back))).all().get();
            until("cleanup.policy as before", () -> setting(admin, "cleanup.policy").value().equals("delete"));
        }
    }

    static void produce() throws Exception {
        var sent = new ArrayList<Future<RecordMetadata>>();
        try (var producer = producer(Map.of("enable.idempotence", true, "acks", "all", "compression.type", "zstd"))) {
            for (int number = 0; number < RECORDS; number++) {
                var text = Integer.toString(number);
                sent.add(producer.send(new ProducerRecord<>(topic, text, text)));
            }
            producer.flush();
        }
        var places = new HashSet<String>();
        for (var one : sent) {
            must(places.add(one.get().toString()), one.get() + " twice");
        }
    }

    static void consume() throws Exception {
        try (var reader = consumer(group, Map.of()); var admin = admin()) {
            reader.subscribe(List.of(topic));
            var keys = new HashSet<String>();
            for (var record : read(reader, RECORDS)) {
                must(record.key().equals(record.value()) && keys.add(record.key()), record);
            }
            must(reader.assignment().equals(partitions()), reader.assignment());
            reader.commitSync();
            must(sum(reader.committed(partitions())) == RECORDS, reader.committed(partitions()));
            var told = admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get();
            must(told.members().size() == 1, told);
            must(told.members().iterator().next().assignment().topicPartitions().equals(partitions()), told);
        }
    }

    /** What the group has committed is seen, changed and taken away; it is behind by nothing before. */
    static void groupAsAdmin() throws Exception {
        try (var admin = admin()) {
            until("no members", () ->
                admin.describeConsumerGroups(List.of(group)).describedGroups().get(group).get().members().isEmpty());
            must(isListed(admin), "the group is not listed");
            must(sum(committed(admin)) == RECORDS, committed(admin));
            must(offsets(admin, OffsetSpec.latest()) == RECORDS, "the ends make " + offsets(admin, OffsetSpec.latest()));
            must(offsets(admin, OffsetSpec.earliest()) == 0, "the logs begin behind their first records");
            must(offsets(admin, OffsetSpec.forTimestamp(0)) == 0, "the first records are older than all");

            var changed = new OffsetAndMetadata(3, "by an administrator");
            admin.alterConsumerGroupOffsets(group, Map.of(partition(0), changed)).all().get();
            var now = committed(admin).get(partition(0));
            must(now.offset() == 3 && now.metadata().equals("by an administrator"), now);
            admin.deleteConsumerGroupOffsets(group, Set.of(partition(0))).all().get();
            must(committed(admin).get(partition(0)) == null, "the offset is still there");
            must(committed(admin).size() == PARTITIONS - 1, committed(admin));
        }
    }

    // By the name that all of Kafka's releases have.
    @SuppressWarnings("removal")
    static boolean isListed(Admin admin) throws Exception {
        return admin.listConsumerGroups().all().get().stream().anyMatch(one -> one.groupId().equals(group));
    }

    static Map<TopicPartition, OffsetAndMetadata> committed(Admin admin) throws Exception {
        return admin.listConsumerGroupOffsets(group).partitionsToOffsetAndMetadata().get();
    }

    /** Aborts one and commits one, with an offset each; who reads committed records sees the second only. */
    static void transactions() throws Exception {
        try (var producer = producer(Map.of("transactional.id", group + "-writer"));
             var reader = consumer(group, Map.of("isolation.level", "read_committed"))) {
            producer.initTransactions();
            for (var end : List.of("aborted", "committed")) {
                producer.beginTransaction();
                for (int number = 0; number < WRITTEN; number++) {
                    producer.send(new ProducerRecord<>(topic, number % PARTITIONS, null, end + "-" + number));
                }
                var offset = new OffsetAndMetadata(end.equals("aborted") ? 1 : 2);
                producer.sendOffsetsToTransaction(Map.of(partition(0), offset), reader.groupMetadata());
                if (end.equals("aborted")) {
                    producer.flush();
                    producer.abortTransaction();
                } else {
                    producer.commitTransaction();
                }
            }
            // Waits for the markers, where those are written after the answer.
            var offset = reader.committed(Set.of(partition(0))).get(partition(0));
            must(offset != null && offset.offset() == 2, offset);
            reader.assign(partitions());
            reader.seekToBeginning(partitions());
            var written = new HashSet<String>();
            for (var record : read(reader, RECORDS + WRITTEN)) {
                must(!record.value().startsWith("aborted"), record);
                must(written.add(record.value()), record + " twice");
            }
        }
    }

    static void deleteRecords() throws Exception {
        try (var admin = admin(); var reader = consumer(group, Map.of())) {
            var asked = Map.of(partition(1), RecordsToDelete.beforeOffset(5));
            var lowest = admin.deleteRecords(asked).lowWatermarks().get(partition(1)).get().lowWatermark();
            must(lowest == 5, "the log begins at " + lowest);
            must(offsets(admin, OffsetSpec.earliest()) == 5, "the logs begin at " + offsets(admin, OffsetSpec.earliest()));
            reader.assign(Set.of(partition(1)));
            reader.seek(partition(1), 0);
            // The position is none any more, and is reset to the first that is left.
            must(read(reader, 1).get(0).offset() == 5, "a deleted record");
        }
    }

    static void remove() throws Exception {
        try (var admin = admin()) {
            admin.deleteConsumerGroups(List.of(group)).all().get();
            must(!isListed(admin), "the group is still there");
            admin.deleteTopics(List.of(topic)).all().get();
            until("listed no more", () -> !admin.listTopics().names().get().contains(topic));
            try {
                admin.deleteTopics(List.of(topic)).all().get();
                throw new IllegalStateException("the topic was deleted twice");
            } catch (ExecutionException refused) {
                must(refused.getCause() instanceof UnknownTopicOrPartitionException, refused);
            }
        }
    }

    /** Reads until it has its records, commits and leaves. */
    static void member() {
        try (var reader = consumer(group, Map.of())) {
            reader.subscribe(List.of(topic));
            for (int left = Integer.parseInt(ARGS.get("-count")); left > 0;) {
                for (var record : reader.poll(Duration.ofSeconds(1))) {
                    System.out.println(record.value());
                    left--;
                }
            }
            reader.commitSync();
        }
    }
}
