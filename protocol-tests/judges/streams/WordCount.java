// Kafka Streams on any cluster, with the group protocol of KIP-1071: a word count with a repartition topic and a state store.
//
//     java -cp 'libs/*' WordCount.java count -bootstrap-servers A -application NAME [-guarantee G] [-standbys N] [-replicas N]
//
// Two instances share the work; the first leaves, and the second goes on with what the first had counted. Prints each word
// with its count in the end; whatever else is to hold is seen here.

import java.time.Duration;
import java.util.*;
import java.util.function.BooleanSupplier;
import org.apache.kafka.clients.admin.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.serialization.*;
import org.apache.kafka.streams.*;
import org.apache.kafka.streams.CloseOptions;
import org.apache.kafka.streams.kstream.*;
import org.apache.kafka.streams.state.BuiltInDslStoreSuppliers;

public class WordCount {
    static final int PARTITIONS = 3;
    static final Map<String, String> args = new HashMap<>();

    public static void main(String[] given) throws Exception {
        for (int i = 1; i + 1 < given.length; i += 2) args.put(given[i].substring(1), given[i + 1]);
        Thread.setDefaultUncaughtExceptionHandler((thread, e) -> {
            e.printStackTrace();
            System.exit(1);
        });
        String application = args.get("application"), input = application + "-in", output = application + "-out";
        short replicas = Short.parseShort(args.getOrDefault("replicas", "1"));
        Map<String, Object> common = Map.of("bootstrap.servers", args.get("bootstrap-servers"));
        try (Admin admin = Admin.create(common)) {
            admin.createTopics(List.of(new NewTopic(input, PARTITIONS, replicas), new NewTopic(output, PARTITIONS, replicas)))
                .all().get();
            configure(admin, application, "streams.initial.rebalance.delay.ms", "0");
            configure(admin, application, "streams.num.standby.replicas", args.getOrDefault("standbys", "0"));
            Map<String, Long> expected = new TreeMap<>();
            KafkaStreams first = start(application, input, output, "first", replicas);
            until("the first has all tasks", () -> tasks(first) == 2 * PARTITIONS);
            say(common, input, expected, "one fish two fish");
            until("the first has counted", () -> counts(common, output).equals(expected));
            KafkaStreams second = start(application, input, output, "second", replicas);
            until("both have half of the tasks", () -> tasks(first) == PARTITIONS && tasks(second) == PARTITIONS);
            say(common, input, expected, "red fish blue fish");
            until("both have counted", () -> counts(common, output).equals(expected));
            var described = admin.describeStreamsGroups(List.of(application)).all().get().get(application);
            check(described.members().size() == 2, "two members");
            check(described.subtopologies().size() == 2, "two subtopologies");
            check(described.groupState().toString().equals("Stable"), "a stable group");
            first.close(leaving());
            until("the second has all tasks", () -> tasks(second) == 2 * PARTITIONS);
            say(common, input, expected, "black fish blue fish old fish new fish");
            until("the second has counted on", () -> counts(common, output).equals(expected));
            second.close(leaving());
            until("nobody is left", () -> state(admin, application).equals("Empty"));
            admin.deleteStreamsGroups(List.of(application)).all().get();
            expected.forEach((word, count) -> System.out.println(word + " " + count));
        }
        System.exit(0);
    }

    static KafkaStreams start(String application, String input, String output, String name, short replicas) {
        StreamsBuilder builder = new StreamsBuilder();
        builder.stream(input, Consumed.with(Serdes.String(), Serdes.String()))
            .flatMapValues(line -> List.of(line.split(" ")))
            .groupBy((key, word) -> word, Grouped.with(Serdes.String(), Serdes.String()))
            .count(Materialized.as("counts"))
            .toStream()
            .to(output, Produced.with(Serdes.String(), Serdes.Long()));
        Properties settings = new Properties();
        settings.put("bootstrap.servers", args.get("bootstrap-servers"));
        settings.put("application.id", application);
        settings.put("client.id", application + "-" + name);
        settings.put("group.protocol", "streams");
        settings.put("processing.guarantee", args.getOrDefault("guarantee", "at_least_once"));
        settings.put("replication.factor", (int) replicas);
        settings.put("commit.interval.ms", 100);
        settings.put("statestore.cache.max.bytes", 0);
        settings.put("auto.offset.reset", "earliest");
        settings.put("dsl.store.suppliers.class", BuiltInDslStoreSuppliers.InMemoryDslStoreSuppliers.class);
        settings.put("default.key.serde", Serdes.StringSerde.class);
        settings.put("state.dir", System.getProperty("java.io.tmpdir") + "/" + application + "-" + name);
        KafkaStreams streams = new KafkaStreams(builder.build(), settings);
        streams.setUncaughtExceptionHandler(e -> {
            e.printStackTrace();
            System.exit(2);
            return null;
        });
        streams.start();
        return streams;
    }

    static CloseOptions leaving() {
        return CloseOptions.groupMembershipOperation(CloseOptions.GroupMembershipOperation.LEAVE_GROUP)
            .withTimeout(Duration.ofSeconds(30));
    }

    static int tasks(KafkaStreams streams) {
        return streams.metadataForLocalThreads().stream().mapToInt(thread -> thread.activeTasks().size()).sum();
    }

    static void configure(Admin admin, String group, String name, String value) throws Exception {
        var resource = new ConfigResource(ConfigResource.Type.GROUP, group);
        var op = new AlterConfigOp(new ConfigEntry(name, value), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(op))).all().get();
    }

    static String state(Admin admin, String group) {
        try {
            return admin.describeStreamsGroups(List.of(group)).all().get().get(group).groupState().toString();
        } catch (Exception e) {
            throw new RuntimeException(e);
        }
    }

    /** Writes a line to each partition. */
    static void say(Map<String, Object> common, String topic, Map<String, Long> expected, String line) {
        try (var producer = new KafkaProducer<>(common, new StringSerializer(), new StringSerializer())) {
            for (int partition = 0; partition < PARTITIONS; partition++) {
                producer.send(new ProducerRecord<>(topic, partition, null, line));
                for (String word : line.split(" ")) expected.merge(word, 1L, Long::sum);
            }
        }
    }

    /** The last count of each word, as a reader sees it whom open transactions do not concern. */
    static Map<String, Long> counts(Map<String, Object> common, String topic) {
        Map<String, Object> settings = new HashMap<>(common);
        settings.put("isolation.level", "read_committed");
        Map<String, Long> counts = new TreeMap<>();
        try (var consumer = new KafkaConsumer<>(settings, new StringDeserializer(), new LongDeserializer())) {
            List<TopicPartition> partitions = new ArrayList<>();
            for (int partition = 0; partition < PARTITIONS; partition++) partitions.add(new TopicPartition(topic, partition));
            consumer.assign(partitions);
            consumer.seekToBeginning(partitions);
            var ends = consumer.endOffsets(partitions);
            while (partitions.stream().anyMatch(one -> consumer.position(one) < ends.get(one)))
                consumer.poll(Duration.ofMillis(100)).forEach(record -> counts.put(record.key(), record.value()));
        }
        return counts;
    }

    static void until(String what, BooleanSupplier holds) throws InterruptedException {
        long deadline = System.nanoTime() + Duration.ofSeconds(90).toNanos();
        while (!holds.getAsBoolean()) {
            check(System.nanoTime() < deadline, "never: " + what);
            Thread.sleep(100);
        }
    }

    static void check(boolean holds, String what) {
        if (holds) return;
        System.err.println(what);
        System.exit(1);
    }
}
