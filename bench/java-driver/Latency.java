import java.nio.ByteBuffer;
import java.time.Duration;
import java.util.*;
import java.util.concurrent.locks.LockSupport;
import org.apache.kafka.clients.consumer.*;
import org.apache.kafka.clients.producer.*;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.serialization.*;

/** One thread sends at a rate, each record alone, another reads them: what lies between is the record's latency. */
public class Latency {
    public static void main(String[] a) throws Exception {
        Map<String, String> o = new HashMap<>();
        for (int i = 0; i + 1 < a.length; i += 2) o.put(a[i].substring(2), a[i + 1]);
        int n = Integer.parseInt(o.get("num-records")), rate = Integer.parseInt(o.get("throughput"));
        // As its producer's tool has them: not counted, for the JIT.
        int warm = n / 10;
        String topic = o.get("topic");
        Properties p = new Properties();
        p.put("bootstrap.servers", o.get("bootstrap"));
        p.put("acks", "all");
        p.put("linger.ms", "0");
        p.put("auto.offset.reset", "earliest");
        p.put("enable.auto.commit", "false");
        KafkaProducer<byte[], byte[]> producer = new KafkaProducer<>(p, new ByteArraySerializer(), new ByteArraySerializer());
        KafkaConsumer<byte[], byte[]> consumer = new KafkaConsumer<>(p, new ByteArrayDeserializer(), new ByteArrayDeserializer());
        TopicPartition tp = new TopicPartition(topic, 0);
        consumer.assign(List.of(tp));
        consumer.seekToBeginning(List.of(tp));
        producer.send(new ProducerRecord<>(topic, 0, null, new byte[100])).get();
        while (consumer.poll(Duration.ofSeconds(10)).isEmpty()) {}
        long t0 = System.nanoTime();
        Thread sender = new Thread(() -> {
            for (int i = 0; i < n + warm; i++) {
                long due = t0 + i * 1_000_000_000L / rate, wait;
                while ((wait = due - System.nanoTime()) > 0) LockSupport.parkNanos(wait);
                byte[] value = new byte[100];
                ByteBuffer.wrap(value).putLong(System.nanoTime());
                producer.send(new ProducerRecord<>(topic, 0, null, value));
            }
        });
        sender.start();
        long[] took = new long[n + warm];
        int got = 0, errors = 0;
        while (got < took.length) {
            for (ConsumerRecord<byte[], byte[]> r : consumer.poll(Duration.ofSeconds(10))) {
                // The one before has offset 0. Any other than the next came twice, or too early.
                if (r.offset() != got + 1) errors++;
                took[got++] = System.nanoTime() - ByteBuffer.wrap(r.value()).getLong();
            }
        }
        double s = (System.nanoTime() - t0) / 1e9;
        long[] counted = Arrays.copyOfRange(took, warm, took.length);
        Arrays.sort(counted);
        System.out.printf("{\"client\":\"java\",\"op\":\"latency\",\"records\":%d,\"bytes\":%d,\"errors\":%d,\"elapsed_s\":%.4f,\"records_per_s\":%.0f,"
            + "\"p50_ms\":%.3f,\"p99_ms\":%.3f,\"p999_ms\":%.3f,\"max_ms\":%.3f}%n", got, got * 100L, errors, s, got / s,
            at(counted, 0.5), at(counted, 0.99), at(counted, 0.999), at(counted, 1));
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    /** Milliseconds at a quantile. */
    static double at(long[] sorted, double quantile) {
        return sorted[Math.max(0, (int) Math.ceil(sorted.length * quantile) - 1)] / 1e6;
    }
}
