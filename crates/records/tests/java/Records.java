import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.TreeMap;
import java.util.stream.Stream;

import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.header.internals.RecordHeader;
import org.apache.kafka.common.record.TimestampType;
import org.apache.kafka.common.record.internal.ControlRecordType;
import org.apache.kafka.common.record.internal.EndTransactionMarker;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.MemoryRecordsBuilder;
import org.apache.kafka.common.record.internal.MutableRecordBatch;
import org.apache.kafka.common.record.internal.Record;
import org.apache.kafka.common.record.internal.RecordBatch;

/**
 * Writes record sets with Kafka's own classes, and reads those of others.
 *
 *   java -cp 'LIBS/*' Records.java write FOLDER [large]    record sets, and manifest.txt with what they hold
 *   java -cp 'LIBS/*' Records.java read FOLDER             the same lines for the .bin files of FOLDER
 *
 * A line of the manifest is: file, records, digest of their contents (see Digest).
 */
public class Records {
    public static void main(String[] args) throws IOException {
        Path folder = Path.of(args[1]);
        switch (args[0]) {
            case "write" -> write(folder, args.length > 2 && args[2].equals("large"));
            case "read" -> read(folder).values().forEach(System.out::println);
            default -> throw new IllegalArgumentException(args[0]);
        }
    }

    static void write(Path folder, boolean large) throws IOException {
        Files.createDirectories(folder);
        TreeMap<String, Compression> codecs = new TreeMap<>();
        codecs.put("none", Compression.NONE);
        codecs.put("snappy", Compression.snappy().build());
        for (int level : new int[] {-1, 1, 6, 9}) codecs.put("gzip" + level, Compression.gzip().level(level).build());
        for (int level : new int[] {1, 5, 9, 12, 17}) codecs.put("lz4_" + level, Compression.lz4().level(level).build());
        for (int level : new int[] {-131072, -5, 1, 3, 9, 22}) codecs.put("zstd" + level, Compression.zstd().level(level).build());
        int[] sizes = large ? new int[] {1, 16 << 10, 1 << 20} : new int[] {1, 16 << 10};
        for (var codec : codecs.entrySet()) {
            for (int size : sizes) {
                save(folder, "v2-" + codec.getKey() + "-" + size, batch((byte) 2, codec.getValue(), size, TimestampType.CREATE_TIME));
            }
        }
        for (String codec : new String[] {"none", "gzip-1", "snappy", "lz4_9"}) {
            for (byte magic : new byte[] {0, 1}) {
                var type = magic == 0 ? TimestampType.NO_TIMESTAMP_TYPE : TimestampType.CREATE_TIME;
                for (int size : new int[] {1, 4 << 10}) {
                    save(folder, "v" + magic + "-" + codec + "-" + size, batch(magic, codecs.get(codec), size, type));
                }
            }
        }
        save(folder, "v2-append_time", batch((byte) 2, codecs.get("gzip-1"), 2000, TimestampType.LOG_APPEND_TIME));
        save(folder, "v1-append_time", batch((byte) 1, codecs.get("gzip-1"), 2000, TimestampType.LOG_APPEND_TIME));
        save(folder, "mixed", concat(
            batch((byte) 0, Compression.NONE, 300, TimestampType.NO_TIMESTAMP_TYPE),
            batch((byte) 1, codecs.get("snappy"), 300, TimestampType.CREATE_TIME),
            batch((byte) 2, codecs.get("lz4_9"), 300, TimestampType.CREATE_TIME)));
        for (var type : new ControlRecordType[] {ControlRecordType.ABORT, ControlRecordType.COMMIT}) {
            var marker = new EndTransactionMarker(type, 7);
            var records = MemoryRecords.withEndTransactionMarker(100, 1_700_000_000_123L, 5, 4242, (short) 3, marker);
            save(folder, "marker-" + type.name().toLowerCase(), records.buffer());
        }
        StringBuilder manifest = new StringBuilder();
        read(folder).values().forEach(line -> manifest.append(line).append('\n'));
        Files.writeString(folder.resolve("manifest.txt"), manifest);
    }

    static ByteBuffer batch(byte magic, Compression compression, int size, TimestampType type) {
        ByteBuffer buffer = ByteBuffer.allocate(Math.max(1024, 2 * size));
        long base = 1000;
        MemoryRecordsBuilder builder = magic == 2
            ? new MemoryRecordsBuilder(buffer, magic, compression, type, base, 1_700_000_999_999L, 4242, (short) 3, 17, true, false, 9, Integer.MAX_VALUE)
            : MemoryRecords.builder(buffer, magic, compression, type, base, magic == 0 ? -1 : 1_700_000_999_999L);
        long random = size;
        int written = 0;
        for (int i = 0; written < size; i++) {
            random = random * 6364136223846793005L + 1442695040888963407L;
            int pick = (int) (random >>> 40);
            byte[] key = i % 3 == 1 ? null : i % 7 == 3 ? new byte[0] : ("user-" + pick % 500).getBytes(StandardCharsets.UTF_8);
            byte[] value = i % 11 == 5 ? null : ("{\"event\":" + i + ",\"type\":\"" + WORDS[pick % WORDS.length]
                + "\",\"session\":\"" + Long.toHexString(random >>> 24) + "\",\"price\":" + pick % 10000 / 100.0 + "}").getBytes(StandardCharsets.UTF_8);
            Header[] headers = new Header[0];
            if (magic == 2 && i % 5 == 2) {
                headers = new Header[] {
                    new RecordHeader("trace", Long.toHexString(random).getBytes(StandardCharsets.UTF_8)),
                    new RecordHeader("trace", (byte[]) null),
                    new RecordHeader("p\u0159\u00edli\u0161", new byte[0])};
            }
            long timestamp = magic == 0 ? RecordBatch.NO_TIMESTAMP : 1_700_000_000_000L + 7L * i - 20L * (i % 3);
            builder.appendWithOffset(base + i, timestamp, key, value, headers);
            written += 8 + (key == null ? 0 : key.length) + (value == null ? 0 : value.length);
        }
        return builder.build().buffer();
    }

    static final String[] WORDS = {"view", "click", "scroll", "cart", "search", "purchase", "login", "logout"};

    static ByteBuffer concat(ByteBuffer... parts) {
        ByteBuffer all = ByteBuffer.allocate(1 << 20);
        for (ByteBuffer part : parts) all.put(part.duplicate());
        return all.flip();
    }

    static void save(Path folder, String name, ByteBuffer buffer) throws IOException {
        byte[] bytes = new byte[buffer.remaining()];
        buffer.duplicate().get(bytes);
        Files.write(folder.resolve(name + ".bin"), bytes);
    }

    static TreeMap<String, String> read(Path folder) throws IOException {
        TreeMap<String, String> lines = new TreeMap<>();
        List<Path> files = new ArrayList<>();
        try (Stream<Path> all = Files.list(folder)) {
            all.filter(file -> file.toString().endsWith(".bin")).forEach(files::add);
        }
        for (Path file : files) {
            Digest digest = new Digest();
            int count = 0;
            MemoryRecords records = MemoryRecords.readableRecords(ByteBuffer.wrap(Files.readAllBytes(file)));
            for (MutableRecordBatch batch : records.batches()) {
                batch.ensureValid();
                for (Record record : batch) {
                    digest.add(record);
                    count++;
                }
            }
            String name = file.getFileName().toString();
            lines.put(name, name + " " + count + " " + digest);
        }
        return lines;
    }

    /** FNV-1a, 64 bits, over each record's offset, timestamp, key, value and headers; numbers big-endian, null as -1. */
    static class Digest {
        long hash = 0xcbf29ce484222325L;

        void add(Record record) {
            number(record.offset(), 8);
            number(record.timestamp(), 8);
            bytes(record.hasKey() ? record.key() : null);
            bytes(record.hasValue() ? record.value() : null);
            number(record.headers().length, 4);
            for (Header header : record.headers()) {
                bytes(ByteBuffer.wrap(header.key().getBytes(StandardCharsets.UTF_8)));
                bytes(header.value() == null ? null : ByteBuffer.wrap(header.value()));
            }
        }

        void bytes(ByteBuffer bytes) {
            number(bytes == null ? -1 : bytes.remaining(), 4);
            while (bytes != null && bytes.hasRemaining()) one(bytes.get());
        }

        void number(long number, int width) {
            for (int shift = 8 * (width - 1); shift >= 0; shift -= 8) one((byte) (number >> shift));
        }

        void one(byte value) {
            hash = (hash ^ (value & 0xff)) * 0x100000001b3L;
        }

        public String toString() {
            return String.format("%016x", hash);
        }
    }
}
