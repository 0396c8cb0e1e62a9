// Prints what Java's serializers make of some values: tests/golden/serializers.txt.
// java -cp kafka-clients-4.4.0.jar:slf4j-api.jar Serializers.java > ../golden/serializers.txt

import java.nio.charset.StandardCharsets;
import java.util.HexFormat;
import java.util.UUID;
import org.apache.kafka.common.serialization.*;

public class Serializers {
    static <T> void show(String name, Serializer<T> serializer, T value) {
        byte[] bytes = serializer.serialize("topic", value);
        String hex = bytes == null ? "null" : "0x" + HexFormat.of().formatHex(bytes);
        System.out.println(name + " " + hex);
    }

    public static void main(String[] args) {
        show("string-empty", new StringSerializer(), "");
        show("string", new StringSerializer(), "Größe \u0000 \uD83D\uDE80");
        show("int-42", new IntegerSerializer(), 42);
        show("int-min", new IntegerSerializer(), Integer.MIN_VALUE);
        show("long", new LongSerializer(), 0x0123456789abcdefL);
        show("long--1", new LongSerializer(), -1L);
        show("short", new ShortSerializer(), (short) -2);
        show("float", new FloatSerializer(), 1.5f);
        show("float-nan", new FloatSerializer(), Float.NaN);
        show("float--0", new FloatSerializer(), -0.0f);
        show("double", new DoubleSerializer(), Math.PI);
        show("double-max", new DoubleSerializer(), Double.MAX_VALUE);
        show("double-nan", new DoubleSerializer(), Double.NaN);
        show("boolean-true", new BooleanSerializer(), true);
        show("boolean-false", new BooleanSerializer(), false);
        show("uuid", new UUIDSerializer(), UUID.fromString("0f8fad5b-d9cb-469f-a165-70867728950e"));
        show("bytes", new ByteArraySerializer(), new byte[] {0, (byte) 0xff, 1});
        show("void", new VoidSerializer(), null);
        show("string-null", new StringSerializer(), null);
    }
}
