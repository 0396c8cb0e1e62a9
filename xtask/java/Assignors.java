import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.HashMap;
import java.util.HashSet;
import java.util.HexFormat;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Random;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

import org.apache.kafka.clients.consumer.ConsumerGroupMetadata;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Assignment;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.GroupSubscription;
import org.apache.kafka.clients.consumer.ConsumerPartitionAssignor.Subscription;
import org.apache.kafka.clients.consumer.CooperativeStickyAssignor;
import org.apache.kafka.clients.consumer.RangeAssignor;
import org.apache.kafka.clients.consumer.RoundRobinAssignor;
import org.apache.kafka.clients.consumer.StickyAssignor;
import org.apache.kafka.clients.consumer.internals.ConsumerProtocol;
import org.apache.kafka.common.Cluster;
import org.apache.kafka.common.Node;
import org.apache.kafka.common.PartitionInfo;
import org.apache.kafka.common.TopicPartition;

/**
 * Has Kafka's own assignors share out partitions among random groups over some rounds, in which members come, go, miss
 * a round and change their minds, and topics grow.
 *
 *   java -cp 'LIBS/*' Assignors.java FOLDER     writes assignors.txt and subscriptions.txt
 *
 * assignors.txt:
 *   case STRATEGY
 *   topic NAME RACKS|RACKS|...                  one for each partition, - where it has none
 *   member ID INSTANCE RACK GENERATION TOLD TOPICS OWNED      in order of joining; TOLD: the generation of OWNED
 *   share ID PARTITIONS
 * subscriptions.txt: VERSION STRATEGY RACK GENERATION TOPICS OWNED HEX
 */
public class Assignors {
    static final String[] RACKS = {"a", "b", "c"};
    static final int GROUPS = 60;
    static final int ROUNDS = 4;

    static class Member {
        String id;
        String instance;
        String rack;
        int generation = -1;
        int told = -1;
        TreeSet<String> topics = new TreeSet<>();
        List<TopicPartition> owned = new ArrayList<>();
    }

    static ConsumerPartitionAssignor assignor(String name) {
        return switch (name) {
            case "range" -> new RangeAssignor();
            case "roundrobin" -> new RoundRobinAssignor();
            case "sticky" -> new StickyAssignor();
            default -> new CooperativeStickyAssignor();
        };
    }

    /** What a member of this strategy would send. */
    @SuppressWarnings("removal")
    static Subscription subscription(String strategy, Member member) {
        ConsumerPartitionAssignor own = assignor(strategy);
        if (member.told >= 0) {
            ConsumerGroupMetadata metadata = new ConsumerGroupMetadata("g", member.told, member.id, Optional.empty());
            own.onAssignment(new Assignment(member.owned), metadata);
        }
        boolean keeps = strategy.equals("cooperative-sticky");
        List<TopicPartition> owned = keeps ? member.owned : List.of();
        ByteBuffer data = own.subscriptionUserData(member.topics);
        Subscription subscription = new Subscription(new ArrayList<>(member.topics), data, owned, member.generation,
            Optional.ofNullable(member.rack));
        subscription.setGroupInstanceId(Optional.ofNullable(member.instance));
        return subscription;
    }

    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[0]);
        Files.createDirectories(folder);
        StringBuilder out = new StringBuilder();
        int cases = 0, skipped = 0;
        for (String strategy : List.of("range", "roundrobin", "sticky", "cooperative-sticky")) {
            for (int group = 0; group < GROUPS; group++) {
                Random random = new Random(strategy.hashCode() * 1000L + group);
                int[] counts = run(strategy, random, out);
                cases += counts[0];
                skipped += counts[1];
            }
        }
        Files.writeString(folder.resolve("assignors.txt"), out);
        Files.writeString(folder.resolve("subscriptions.txt"), subscriptions());
        System.out.println(cases + " assignments; left out " + skipped + " that Java itself gets wrong");
    }

    static int[] run(String strategy, Random random, StringBuilder out) {
        boolean near = random.nextInt(5) < 2;
        boolean uniform = random.nextBoolean();
        TreeMap<String, List<Set<String>>> topics = new TreeMap<>();
        int count = 1 + random.nextInt(4);
        boolean alike = random.nextInt(3) == 0;
        int same = 1 + random.nextInt(8);
        for (int t = 0; t < count; t++) {
            List<Set<String>> partitions = new ArrayList<>();
            int size = alike ? same : random.nextInt(9);
            for (int p = 0; p < size; p++) {
                partitions.add(racks(random, near));
            }
            topics.put("t" + t, partitions);
        }
        List<Member> members = new ArrayList<>();
        int first = 1 + random.nextInt(random.nextInt(4) == 0 ? 16 : 6);
        for (int m = 0; m < first; m++) {
            members.add(member(random, topics.keySet(), near, uniform));
        }
        int generation = 0, cases = 0, skipped = 0;
        for (int round = 0; round < ROUNDS; round++) {
            generation++;
            Collections.shuffle(members, random);
            Map<String, Subscription> subscriptions = new HashMap<>();
            for (Member member : members) {
                subscriptions.put(member.id, subscription(strategy, member));
            }
            Map<String, Assignment> result;
            try {
                result = assignor(strategy).assign(cluster(topics), new GroupSubscription(subscriptions)).groupAssignment();
            } catch (RuntimeException e) {
                skipped++;
                break;
            }
            if (!isSound(members, result)) {
                skipped++;
                break;
            }
            cases++;
            write(strategy, topics, members, result, out);
            for (Member member : members) {
                if (random.nextInt(8) == 0) {
                    continue; // It misses the round, and comes to the next with what it had.
                }
                member.owned = new ArrayList<>(result.get(member.id).partitions());
                member.generation = generation;
                member.told = generation;
                if (random.nextInt(16) == 0) {
                    member.generation = -1;
                    if (!strategy.equals("sticky")) {
                        member.told = -1;
                        member.owned.clear();
                    }
                }
            }
            if (random.nextInt(3) == 0 && members.size() > 1) {
                members.remove(random.nextInt(members.size()));
            }
            if (random.nextInt(2) == 0) {
                members.add(member(random, topics.keySet(), near, uniform));
            }
            if (random.nextInt(4) == 0) {
                List<Set<String>> grown = topics.get("t" + random.nextInt(count));
                grown.add(racks(random, near));
            }
            if (!uniform && random.nextInt(3) == 0) {
                Member member = members.get(random.nextInt(members.size()));
                member.topics = wanted(random, topics.keySet(), false);
            }
        }
        return new int[] {cases, skipped};
    }

    static Set<String> racks(Random random, boolean near) {
        Set<String> racks = new TreeSet<>();
        for (int r = 0; near && r < 2; r++) {
            racks.add(RACKS[random.nextInt(RACKS.length)]);
        }
        return racks;
    }

    static TreeSet<String> wanted(Random random, Set<String> topics, boolean all) {
        TreeSet<String> wanted = new TreeSet<>();
        for (String topic : topics) {
            if (all || random.nextBoolean()) {
                wanted.add(topic);
            }
        }
        if (wanted.isEmpty()) {
            wanted.add(topics.iterator().next());
        }
        return wanted;
    }

    static Member member(Random random, Set<String> topics, boolean near, boolean uniform) {
        Member member = new Member();
        member.id = "m-" + Integer.toHexString(random.nextInt());
        member.instance = random.nextInt(4) == 0 ? "i" + random.nextInt(1000) : null;
        member.rack = near && random.nextInt(5) > 0 ? RACKS[random.nextInt(RACKS.length)] : null;
        member.topics = wanted(random, topics, uniform);
        return member;
    }

    static Cluster cluster(Map<String, List<Set<String>>> topics) {
        Map<String, Node> nodes = new HashMap<>();
        for (int r = 0; r < RACKS.length; r++) {
            nodes.put(RACKS[r], new Node(r, "host", 9092, RACKS[r]));
        }
        Node lone = new Node(9, "host", 9092);
        List<PartitionInfo> infos = new ArrayList<>();
        topics.forEach((topic, partitions) -> {
            for (int p = 0; p < partitions.size(); p++) {
                Node[] replicas = partitions.get(p).stream().map(nodes::get).toArray(Node[]::new);
                if (replicas.length == 0) {
                    replicas = new Node[] {lone};
                }
                infos.add(new PartitionInfo(topic, p, replicas[0], replicas, replicas));
            }
        });
        List<Node> all = new ArrayList<>(nodes.values());
        all.add(lone);
        return new Cluster("c", all, infos, Set.of(), Set.of());
    }

    /** No partition has two owners, or one that does not want it. */
    static boolean isSound(List<Member> members, Map<String, Assignment> result) {
        Set<TopicPartition> seen = new HashSet<>();
        for (Member member : members) {
            for (TopicPartition tp : result.get(member.id).partitions()) {
                if (!seen.add(tp) || !member.topics.contains(tp.topic())) {
                    return false;
                }
            }
        }
        return true;
    }

    static void write(String strategy, Map<String, List<Set<String>>> topics, List<Member> members,
                      Map<String, Assignment> result, StringBuilder out) {
        out.append("case ").append(strategy).append('\n');
        topics.forEach((topic, partitions) -> {
            if (!partitions.isEmpty()) {
                List<String> racks = partitions.stream().map(set -> or(String.join(",", set))).toList();
                out.append("topic ").append(topic).append(' ').append(String.join("|", racks)).append('\n');
            }
        });
        for (Member member : members) {
            out.append("member ").append(member.id).append(' ').append(or(member.instance)).append(' ');
            out.append(or(member.rack)).append(' ').append(member.generation).append(' ').append(member.told).append(' ');
            out.append(String.join(",", member.topics)).append(' ').append(show(member.owned)).append('\n');
        }
        for (Member member : members) {
            out.append("share ").append(member.id).append(' ');
            out.append(show(result.get(member.id).partitions())).append('\n');
        }
    }

    static String or(String text) {
        return text == null || text.isEmpty() ? "-" : text;
    }

    static String show(List<TopicPartition> partitions) {
        TreeMap<String, TreeSet<Integer>> topics = new TreeMap<>();
        partitions.forEach(tp -> topics.computeIfAbsent(tp.topic(), t -> new TreeSet<>()).add(tp.partition()));
        List<String> parts = new ArrayList<>();
        topics.forEach((topic, numbers) -> parts.add(topic + ":" + String.join(",", numbers.stream().map(String::valueOf).toList())));
        return or(String.join(";", parts));
    }

    static String subscriptions() {
        StringBuilder out = new StringBuilder();
        Random random = new Random(7);
        for (short version = 0; version <= ConsumerProtocol.deserializeVersion(ByteBuffer.wrap(new byte[] {0, 3})); version++) {
            for (String strategy : List.of("range", "roundrobin", "sticky", "cooperative-sticky")) {
                for (int n = 0; n < 3; n++) {
                    Member member = member(random, Set.of("orders"), true, true);
                    member.topics = new TreeSet<>(List.of("orders", "payments").subList(0, 1 + random.nextInt(2)));
                    if (n > 0) {
                        member.generation = random.nextInt(100);
                        member.told = member.generation;
                        for (String topic : member.topics) {
                            for (int p = 0; p < random.nextInt(4); p++) {
                                member.owned.add(new TopicPartition(topic, p));
                            }
                        }
                    }
                    ByteBuffer bytes = ConsumerProtocol.serializeSubscription(subscription(strategy, member), version);
                    byte[] array = new byte[bytes.remaining()];
                    bytes.get(array);
                    out.append(version).append(' ').append(strategy).append(' ').append(or(member.rack)).append(' ');
                    out.append(member.generation).append(' ').append(String.join(",", member.topics)).append(' ');
                    out.append(show(member.owned)).append(' ').append(HexFormat.of().formatHex(array)).append('\n');
                }
            }
        }
        return out.toString();
    }
}
