import java.time.Duration;
import java.util.*;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.common.serialization.ByteArrayDeserializer;

/** Java's share consumer, alone in its group: what a poll hands out is accepted by the next. */
public class Share {
    public static void main(String[] a) {
        Map<String, String> o = new HashMap<>();
        for (int i = 0; i + 1 < a.length; i += 2) o.put(a[i].substring(2), a[i + 1]);
        long n = Long.parseLong(o.get("num-records"));
        Properties p = new Properties();
        p.put("bootstrap.servers", o.get("bootstrap"));
        p.put("group.id", o.get("group"));
        KafkaShareConsumer<byte[], byte[]> c = new KafkaShareConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        // A bit for each offset of each partition: records come in any order.
        Map<Integer, BitSet> seen = new HashMap<>();
        long t0 = System.nanoTime(), got = 0, bytes = 0, errors = 0;
        c.subscribe(List.of(o.get("topic")));
        while (got < n) {
            for (ConsumerRecord<byte[], byte[]> r : c.poll(Duration.ofSeconds(10))) {
                got++;
                BitSet those = seen.computeIfAbsent(r.partition(), any -> new BitSet());
                if (those.get((int) r.offset())) errors++;
                those.set((int) r.offset());
                bytes += (r.key() == null ? 0 : r.key().length) + (r.value() == null ? 0 : r.value().length);
            }
        }
        double s = (System.nanoTime() - t0) / 1e9;
        System.out.printf("{\"client\":\"java\",\"op\":\"share\",\"records\":%d,\"bytes\":%d,\"errors\":%d,\"elapsed_s\":%.4f,\"records_per_s\":%.0f,\"mb_per_s\":%.2f}%n",
            got, bytes, errors, s, got / s, bytes / 1e6 / s);
        System.out.flush();
        c.close();
        Runtime.getRuntime().halt(0);
    }
}
