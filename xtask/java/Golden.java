import com.fasterxml.jackson.databind.JsonNode;
import java.io.PrintStream;
import java.lang.reflect.*;
import java.nio.ByteBuffer;
import java.nio.charset.StandardCharsets;
import java.nio.file.*;
import java.util.*;
import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.protocol.*;
import org.apache.kafka.common.protocol.types.*;
import org.apache.kafka.common.record.internal.*;

/**
 * Writes, for each message and version, the bytes that Kafka's own class makes of a message filled with values that
 * are not the defaults, and what Kafka's own JSON converter says it holds: a line "version, hex, JSON" each, one file
 * a message. Run by `cargo xtask golden`.
 */
public class Golden {
    private static int number;

    public static void main(String[] args) throws Exception {
        Path folder = Paths.get(args[0]);
        for (String name : Arrays.copyOfRange(args, 1, args.length)) {
            String data = name.startsWith("ConsumerProtocol") ? name : name + "Data";
            Class<?> type = Class.forName("org.apache.kafka.common.message." + data);
            write(folder, name, type);
        }
    }

    private static void write(Path folder, String name, Class<?> type) throws Exception {
        Schema[] schemas = (Schema[]) type.getField("SCHEMAS").get(null);
        Method json = Class.forName(type.getName() + "JsonConverter").getMethod("write", type, short.class);
        StringBuilder text = new StringBuilder();
        for (short version = 0; version < schemas.length; version++) {
            if (schemas[version] == null) continue;
            number = 0;
            Message message = (Message) type.getConstructor().newInstance();
            fill(message, schemas[version], 0);
            ObjectSerializationCache cache = new ObjectSerializationCache();
            ByteBuffer bytes = ByteBuffer.allocate(message.size(cache, version));
            message.write(new ByteBufferAccessor(bytes), cache, version);
            text.append(version).append('\t').append(hex(bytes.array())).append('\t');
            text.append(json.invoke(null, message, version)).append('\n');
        }
        Files.write(folder.resolve(name + ".txt"), text.toString().getBytes(StandardCharsets.UTF_8));
    }

    /** Fills the fields that the schema of a version has. */
    private static void fill(Object message, Schema schema, int depth) throws Exception {
        for (BoundField bound : schema.fields()) {
            if (bound.def.type instanceof TaggedFields) {
                for (org.apache.kafka.common.protocol.types.Field tagged : ((TaggedFields) bound.def.type).fields().values())
                    set(message, tagged, depth);
            } else {
                set(message, bound.def, depth);
            }
        }
    }

    private static void set(Object message, org.apache.kafka.common.protocol.types.Field def, int depth) throws Exception {
        String wanted = def.name.replace("_", "");
        for (java.lang.reflect.Field field : message.getClass().getDeclaredFields()) {
            if (Modifier.isStatic(field.getModifiers()) || !field.getName().equalsIgnoreCase(wanted)) continue;
            field.setAccessible(true);
            field.set(message, value(field.getGenericType(), def.type, depth));
            return;
        }
        throw new IllegalStateException(message.getClass() + " has no field " + def.name);
    }

    private static Object value(java.lang.reflect.Type type, org.apache.kafka.common.protocol.types.Type wire, int depth) throws Exception {
        number++;
        if (type == boolean.class || type == Boolean.class) return Boolean.TRUE;
        if (type == byte.class || type == Byte.class) return (byte) (number % 100 + 1);
        if (type == short.class || type == Short.class) return (short) (number + 200);
        if (type == int.class || type == Integer.class) return number + 300;
        if (type == long.class || type == Long.class) return number + 5_000_000_000L;
        if (type == double.class) return number + 0.25;
        if (type == String.class) return "text-" + number;
        if (type == byte[].class) return ("bytes-" + number).getBytes(StandardCharsets.UTF_8);
        if (type == ByteBuffer.class) return ByteBuffer.wrap(("bytes-" + number).getBytes(StandardCharsets.UTF_8));
        if (type == Uuid.class) return new Uuid(0x1122334455667788L, number);
        if (type == BaseRecords.class) return MemoryRecords.withRecords(org.apache.kafka.common.compress.Compression.NONE,
                new SimpleRecord(1_000L + number, "key".getBytes(), ("value-" + number).getBytes()));
        if (type instanceof ParameterizedType) {
            List<Object> list = new ArrayList<>();
            java.lang.reflect.Type element = ((ParameterizedType) type).getActualTypeArguments()[0];
            for (int i = 0; i < 2; i++) list.add(value(element, element(wire), depth + 1));
            return list;
        }
        Class<?> plain = (Class<?>) type;
        if (ImplicitLinkedHashCollectionElement(plain) != null) {
            AbstractCollection<Object> all = cast(plain.getConstructor().newInstance());
            for (int i = 0; i < 2; i++) all.add(value(ImplicitLinkedHashCollectionElement(plain), element(wire), depth + 1));
            return all;
        }
        Object struct = plain.getConstructor().newInstance();
        fill(struct, schema(wire), depth + 1);
        return struct;
    }

    private static java.lang.reflect.Type ImplicitLinkedHashCollectionElement(Class<?> type) {
        if (!AbstractCollection.class.isAssignableFrom(type)) return null;
        return ((ParameterizedType) type.getGenericSuperclass()).getActualTypeArguments()[0];
    }

    @SuppressWarnings("unchecked")
    private static AbstractCollection<Object> cast(Object collection) {
        return (AbstractCollection<Object>) collection;
    }

    private static org.apache.kafka.common.protocol.types.Type element(org.apache.kafka.common.protocol.types.Type wire) {
        return wire.arrayElementType().orElseThrow(() -> new IllegalStateException("no array: " + wire));
    }

    private static Schema schema(org.apache.kafka.common.protocol.types.Type wire) throws Exception {
        if (wire instanceof Schema) return (Schema) wire;
        java.lang.reflect.Field inner = wire.getClass().getDeclaredField("schema");
        inner.setAccessible(true);
        return (Schema) inner.get(wire);
    }

    private static String hex(byte[] bytes) {
        StringBuilder text = new StringBuilder();
        for (byte b : bytes) text.append(String.format("%02x", b));
        return text.toString();
    }
}
