package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Reads event files by the formats' definitions alone: a CRC bit by bit, and protocol buffers of any fields. */
public final class EventRecords {
    /**
     * An event.
     *
     * @param seconds when
     * @param step the step; 0 if it is not written
     * @param version of the file, in the first event
     * @param values numbers by tag
     */
    public record Event(double seconds, long step, String version, Map<String, Float> values) {}

    private EventRecords() {}

    /** {@return the events of a file, each checked} */
    public static List<Event> read(Path file) throws IOException {
        ByteBuffer bytes = ByteBuffer.wrap(Files.readAllBytes(file)).order(ByteOrder.LITTLE_ENDIAN);
        List<Event> events = new ArrayList<>();
        while (bytes.hasRemaining()) {
            byte[] length = new byte[8];
            bytes.get(length);
            assertEquals(masked(crc(length)), bytes.getInt(), "CRC of the length of record " + events.size());
            byte[] data = new byte
                    [Math.toIntExact(ByteBuffer.wrap(length)
                            .order(ByteOrder.LITTLE_ENDIAN)
                            .getLong())];
            bytes.get(data);
            assertEquals(masked(crc(data)), bytes.getInt(), "CRC of the data of record " + events.size());
            events.add(event(data));
        }
        return events;
    }

    private static int masked(int crc) {
        return ((crc >>> 15) | (crc << 17)) + 0xa282ead8;
    }

    /** CRC-32C: polynomial 0x1EDC6F41, reflected 0x82F63B78. */
    static int crc(byte[] bytes) {
        int crc = -1;
        for (byte b : bytes) {
            crc ^= b & 0xff;
            for (int bit = 0; bit < 8; bit++) {
                crc = (crc & 1) != 0 ? crc >>> 1 ^ 0x82F63B78 : crc >>> 1;
            }
        }
        return ~crc;
    }

    private static Event event(byte[] data) {
        double seconds = Double.NaN;
        long step = 0;
        String version = "";
        Map<String, Float> values = new TreeMap<>();
        for (Field field : fields(data)) {
            switch (field.number()) {
                case 1 -> seconds = Double.longBitsToDouble(field.bits());
                case 2 -> step = field.bits();
                case 3 -> version = new String(field.bytes(), StandardCharsets.UTF_8);
                case 5 -> fields(field.bytes()).forEach(value -> value(value.bytes(), values));
                default -> throw new AssertionError("field " + field.number() + " of an event");
            }
        }
        return new Event(seconds, step, version, values);
    }

    private static void value(byte[] data, Map<String, Float> values) {
        List<Field> fields = fields(data);
        assertEquals(List.of(1, 2), fields.stream().map(Field::number).toList(), "tag and simple_value");
        String tag = new String(fields.getFirst().bytes(), StandardCharsets.UTF_8);
        assertTrue(values.put(tag, Float.intBitsToFloat((int) fields.getLast().bits())) == null, tag);
    }

    private record Field(int number, long bits, byte[] bytes) {}

    private static List<Field> fields(byte[] data) {
        ByteBuffer in = ByteBuffer.wrap(data).order(ByteOrder.LITTLE_ENDIAN);
        List<Field> fields = new ArrayList<>();
        while (in.hasRemaining()) {
            long key = varint(in);
            int number = (int) (key >>> 3);
            switch ((int) (key & 7)) {
                case 0 -> fields.add(new Field(number, varint(in), new byte[0]));
                case 1 -> fields.add(new Field(number, in.getLong(), new byte[0]));
                case 2 -> {
                    byte[] bytes = new byte[(int) varint(in)];
                    in.get(bytes);
                    fields.add(new Field(number, 0, bytes));
                }
                case 5 -> fields.add(new Field(number, in.getInt(), new byte[0]));
                default -> throw new AssertionError("wire type " + (key & 7));
            }
        }
        return fields;
    }

    private static long varint(ByteBuffer in) {
        long value = 0;
        for (int shift = 0; ; shift += 7) {
            byte b = in.get();
            value |= (long) (b & 0x7f) << shift;
            if (b >= 0) {
                return value;
            }
        }
    }
}
