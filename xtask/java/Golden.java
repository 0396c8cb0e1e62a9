import com.fasterxml.jackson.databind.JsonNode;

import java.io.PrintWriter;
import java.lang.reflect.Method;
import java.lang.reflect.ParameterizedType;
import java.lang.reflect.Type;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collection;
import java.util.HexFormat;
import java.util.List;

import org.apache.kafka.common.Uuid;
import org.apache.kafka.common.compress.Compression;
import org.apache.kafka.common.errors.UnsupportedVersionException;
import org.apache.kafka.common.message.ApiMessageType;
import org.apache.kafka.common.message.RequestHeaderData;
import org.apache.kafka.common.message.ResponseHeaderData;
import org.apache.kafka.common.protocol.Message;
import org.apache.kafka.common.protocol.MessageUtil;
import org.apache.kafka.common.protocol.types.BoundField;
import org.apache.kafka.common.protocol.types.Field;
import org.apache.kafka.common.protocol.types.RawTaggedField;
import org.apache.kafka.common.protocol.types.Schema;
import org.apache.kafka.common.protocol.types.TaggedFields;
import org.apache.kafka.common.record.internal.BaseRecords;
import org.apache.kafka.common.record.internal.MemoryRecords;
import org.apache.kafka.common.record.internal.SimpleRecord;

/**
 * Writes, for each message and version, samples as Kafka's own classes serialise them.
 *
 * Arguments: the folder to write to, then names of messages. One file a message, one line a sample:
 * version, sample, the frame in hex without its length, and what Kafka says the message holds, as JSON.
 * Samples: "full" has every field of the version set to something that is not its default, "null" has nulls where
 * they may be, "default" is the message as it is made. "tags" is "full" with fields of tags that nobody knows in the
 * header and in each structure; only flexible versions have it, and its JSON is that of "full".
 */
public final class Golden {
    private enum Sample { FULL, NULL, DEFAULT, TAGS }

    private final short version;
    private final Sample sample;
    private int count;
    private boolean longText;

    private Golden(short version, Sample sample) {
        this.version = version;
        this.sample = sample;
    }

    public static void main(String[] args) throws Exception {
        Path folder = Path.of(args[0]);
        Files.createDirectories(folder);
        for (int i = 1; i < args.length; i++) {
            String name = args[i];
            Class<?> type = Class.forName("org.apache.kafka.common.message." + data(name));
            try (PrintWriter out = new PrintWriter(Files.newBufferedWriter(folder.resolve(name + ".txt")))) {
                short low = type.getField("LOWEST_SUPPORTED_VERSION").getShort(null);
                short high = type.getField("HIGHEST_SUPPORTED_VERSION").getShort(null);
                for (short version = low; version <= high; version++) {
                    for (Sample sample : Sample.values()) {
                        Message message = (Message) type.getDeclaredConstructor().newInstance();
                        Golden golden = new Golden(version, sample);
                        golden.fill(message);
                        String frame;
                        try {
                            frame = golden.header(name) + hex(message, version);
                        } catch (UnsupportedVersionException e) {
                            if (sample != Sample.TAGS) {
                                throw e;
                            }
                            continue;
                        }
                        Object json = sample == Sample.TAGS ? "{}" : json(type, message, version);
                        out.printf("%d %s %s %s\n", version, sample.name().toLowerCase(), frame, json);
                    }
                }
            }
        }
    }

    private static String data(String name) {
        boolean api = name.endsWith("Request") || name.endsWith("Response");
        return api ? name + "Data" : name;
    }

    private static String hex(Message message, short version) {
        ByteBuffer buffer = MessageUtil.toByteBufferAccessor(message, version).buffer();
        byte[] bytes = new byte[buffer.remaining()];
        buffer.get(bytes);
        return HexFormat.of().formatHex(bytes);
    }

    private String header(String name) {
        String api = name.replaceAll("(Request|Response)$", "");
        for (ApiMessageType type : ApiMessageType.values()) {
            if (!type.name.equals(api)) {
                continue;
            }
            boolean request = name.endsWith("Request");
            short headerVersion = request ? type.requestHeaderVersion(version) : type.responseHeaderVersion(version);
            Message header = request
                ? new RequestHeaderData().setRequestApiKey(type.apiKey()).setRequestApiVersion(version)
                    .setCorrelationId(0x01020304).setClientId("cliënt")
                : new ResponseHeaderData().setCorrelationId(0x01020304);
            if (headerVersion >= (request ? 2 : 1)) {
                addTags(header);
            }
            return hex(header, headerVersion);
        }
        return "";
    }

    private void addTags(Message message) {
        if (sample == Sample.TAGS) {
            message.unknownTaggedFields().add(new RawTaggedField(77, new byte[] {1, 2, 3}));
            message.unknownTaggedFields().add(new RawTaggedField(16384, new byte[0]));
        }
    }

    private static JsonNode json(Class<?> type, Message message, short version) throws Exception {
        Method write = Class.forName(type.getName() + "JsonConverter").getMethod("write", type, short.class);
        return (JsonNode) write.invoke(null, message, version);
    }

    /** Sets the fields that the version has; others keep their defaults, as a version without them demands. */
    private void fill(Message message) throws Exception {
        if (sample == Sample.DEFAULT) {
            return;
        }
        addTags(message);
        Schema[] schemas = (Schema[]) message.getClass().getField("SCHEMAS").get(null);
        List<Field> fields = new ArrayList<>();
        for (BoundField bound : schemas[version].fields()) {
            if (bound.def.type instanceof TaggedFields) {
                fields.addAll(((TaggedFields) bound.def.type).fields().values());
            } else {
                fields.add(bound.def);
            }
        }
        for (Field field : fields) {
            String name = field.name.replace("_", "");
            Method getter = method(message, name, 0);
            Method setter = method(message, "set" + name, 1);
            boolean nullable = field.type.isNullable();
            if (sample == Sample.NULL && nullable) {
                setter.invoke(message, (Object) null);
            } else {
                Object before = getter.invoke(message);
                setter.invoke(message, value(setter.getParameterTypes()[0], getter.getGenericReturnType(), before));
            }
        }
    }

    private static Method method(Message message, String name, int parameters) {
        for (Method method : message.getClass().getDeclaredMethods()) {
            if (method.getName().equalsIgnoreCase(name) && method.getParameterCount() == parameters
                    && !method.isBridge() && !method.isSynthetic()) {
                return method;
            }
        }
        throw new IllegalStateException(message.getClass() + " has no " + name);
    }

    private Object value(Class<?> type, Type generic, Object before) throws Exception {
        count++;
        if (type == boolean.class || type == Boolean.class) {
            return !Boolean.TRUE.equals(before);
        } else if (type == byte.class || type == Byte.class) {
            return (byte) (count % 100 + 20);
        } else if (type == short.class || type == Short.class) {
            return (short) (1000 + count);
        } else if (type == int.class || type == Integer.class) {
            // Some are unsigned shorts, which this fits as well.
            return 50000 + count;
        } else if (type == long.class || type == Long.class) {
            return 0x0102030405060700L + count;
        } else if (type == double.class) {
            return 0.5 + count;
        } else if (type == Uuid.class) {
            return new Uuid(0x1112131415161718L, 0x2122232425262700L + count);
        } else if (type == String.class) {
            if (sample != Sample.NULL && !longText) {
                longText = true;
                // Long enough for a length of two bytes in its compact form.
                return "é".repeat(70) + count;
            }
            return "text-" + count;
        } else if (type == byte[].class) {
            return new byte[] {(byte) count, 0, -1};
        } else if (type == ByteBuffer.class) {
            return ByteBuffer.wrap(new byte[] {(byte) count, 0, -1});
        } else if (BaseRecords.class.isAssignableFrom(type)) {
            return MemoryRecords.withRecords(Compression.NONE,
                new SimpleRecord(1700000000000L + count, "key".getBytes(), ("value-" + count).getBytes()));
        } else if (Message.class.isAssignableFrom(type)) {
            return filled(type);
        } else if (Collection.class.isAssignableFrom(type)) {
            @SuppressWarnings("unchecked")
            Collection<Object> elements = type == List.class
                ? new ArrayList<>() : (Collection<Object>) type.getDeclaredConstructor().newInstance();
            Type element = ((ParameterizedType) (generic instanceof ParameterizedType
                ? generic : type.getGenericSuperclass())).getActualTypeArguments()[0];
            for (int i = 0; i < (sample == Sample.NULL ? 1 : 2); i++) {
                Class<?> elementType = (Class<?>) element;
                elements.add(Message.class.isAssignableFrom(elementType)
                    ? filled(elementType) : value(elementType, elementType, null));
            }
            return elements;
        }
        throw new IllegalStateException("no value for " + type);
    }

    private Message filled(Class<?> type) throws Exception {
        Message message = (Message) type.getDeclaredConstructor().newInstance();
        fill(message);
        return message;
    }
}
