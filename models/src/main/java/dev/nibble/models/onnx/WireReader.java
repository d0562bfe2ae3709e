package dev.nibble.models.onnx;

import dev.nibble.error.FormatException;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.charset.CharacterCodingException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;

/**
 * Reads protocol buffers from a file, field by field, in the wire format of protobuf.dev/programming-guides/encoding. Nothing is
 * skipped or allocated on the word of a length that the enclosing message cannot hold, and nothing nests here: a message is a range of
 * bytes, which the caller enters if it knows its fields.
 */
final class WireReader {
    private static final int CHUNK = 1 << 16; // bytes read at once
    private static final int LONGEST_TEXT = 1 << 16; // bytes
    private static final int MOST_VARINT_BITS = 63; // of the last of ten bytes' shift
    private static final int NUMBER_BITS = 3; // of a key, below the field's number

    private final Path file;
    private final FileChannel channel;
    private final ByteBuffer window = ByteBuffer.allocate(CHUNK).order(ByteOrder.LITTLE_ENDIAN);
    private long windowStart;

    /**
     * A field of a message.
     *
     * @param number its number
     * @param wire how it is written: 0 varint, 1 eight bytes, 2 counted bytes, 5 four bytes
     * @param value of a varint; else 0
     * @param bytes of its contents; empty for a varint
     */
    record Field(int number, int wire, long value, Range bytes) {}

    /**
     * Some bytes of the file.
     *
     * @param from the first
     * @param to the first one after them
     */
    record Range(long from, long to) {
        long length() {
            return to - from;
        }
    }

    /** What is done with each field of a message. */
    @FunctionalInterface
    interface Visitor {
        void field(Field field) throws IOException;
    }

    WireReader(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
        window.limit(0);
    }

    /** Gives each field of a message, in the order of the file. */
    void fields(Range message, String what, Visitor visitor) throws IOException {
        long at = message.from();
        while (at < message.to()) {
            Field key = varint(at, message.to(), what);
            at = key.bytes().to();
            long number = key.value() >>> NUMBER_BITS;
            int wire = (int) (key.value() & ((1 << NUMBER_BITS) - 1));
            if (number < 1 || number >= 1 << 29) {
                throw damaged(at, what, "a field has number " + number);
            }
            Field field = switch (wire) {
                case 0 -> {
                    Field value = varint(at, message.to(), what);
                    yield new Field((int) number, wire, value.value(), value.bytes());
                }
                case 1 -> sized((int) number, wire, at, Long.BYTES, message, what);
                case 2 -> {
                    Field length = varint(at, message.to(), what);
                    yield sized((int) number, wire, length.bytes().to(), length.value(), message, what);
                }
                case 5 -> sized((int) number, wire, at, Integer.BYTES, message, what);
                default -> throw damaged(at, what, "a field has wire type " + wire);
            };
            visitor.field(field);
            at = field.bytes().to();
        }
    }

    private Field sized(int number, int wire, long from, long length, Range message, String what) {
        if (length < 0 || length > message.to() - from) {
            throw damaged(
                    from,
                    what,
                    "field %d claims %s bytes, but %d are left"
                            .formatted(number, Long.toUnsignedString(length), message.to() - from));
        }
        return new Field(number, wire, 0, new Range(from, from + length));
    }

    /** {@return a number in base 128, least digit first; its bytes are where it ends} */
    Field varint(long from, long to, String what) throws IOException {
        long value = 0;
        int shift = 0;
        for (long at = from; at < to; at++) {
            byte digit = get(at);
            if (shift > MOST_VARINT_BITS) {
                throw damaged(from, what, "a number has more than ten bytes");
            }
            value |= (long) (digit & 0x7F) << shift;
            shift += 7;
            if (digit >= 0) {
                return new Field(0, 0, value, new Range(from, at + 1));
            }
        }
        throw damaged(from, what, "a number is cut off");
    }

    private byte get(long at) throws IOException {
        if (at < windowStart || at >= windowStart + window.limit()) {
            window.clear();
            windowStart = at;
            read(window, at);
            window.flip();
        }
        return window.get((int) (at - windowStart));
    }

    /** Reads at least one byte, and as many as there are. */
    private void read(ByteBuffer target, long from) throws IOException {
        long at = from;
        do {
            int count = channel.read(target, at);
            if (count < 0) {
                if (at == from) {
                    throw new FormatException(
                            "%s became shorter while it was read: byte %d is gone".formatted(file, at));
                }
                return;
            }
            at += count;
        } while (target.hasRemaining());
    }

    /** {@return a text of a field} */
    String text(Field field, String what) throws IOException {
        byte[] bytes = bytes(field, LONGEST_TEXT, what);
        try {
            return StandardCharsets.UTF_8
                    .newDecoder()
                    .decode(ByteBuffer.wrap(bytes))
                    .toString();
        } catch (CharacterCodingException e) {
            FormatException damaged = damaged(field.bytes().from(), what, "a text is not UTF-8");
            damaged.initCause(e);
            throw damaged;
        }
    }

    private byte[] bytes(Field field, int most, String what) throws IOException {
        if (field.wire() != 2 || field.bytes().length() > most) {
            throw damaged(
                    field.bytes().from(),
                    what,
                    "field %d of wire type %d and %d bytes is no text of at most %d"
                            .formatted(
                                    field.number(), field.wire(), field.bytes().length(), most));
        }
        ByteBuffer bytes = ByteBuffer.allocate((int) field.bytes().length());
        while (bytes.hasRemaining()) {
            bytes.put(get(field.bytes().from() + bytes.position()));
        }
        return bytes.array();
    }

    /** {@return the numbers of a range, FP32, little-endian} */
    float[] floats(Range range) throws IOException {
        float[] values = new float[Math.toIntExact(range.length() / Float.BYTES)]; // the range is within the file
        ByteBuffer chunk = ByteBuffer.allocate(CHUNK).order(ByteOrder.LITTLE_ENDIAN);
        int done = 0;
        while (done < values.length) {
            chunk.clear().limit(Math.min(CHUNK, (values.length - done) * Float.BYTES));
            read(chunk, range.from() + (long) done * Float.BYTES);
            if (chunk.hasRemaining()) {
                throw new FormatException(file + " became shorter while it was read");
            }
            chunk.flip();
            int count = chunk.remaining() / Float.BYTES;
            chunk.asFloatBuffer().get(values, done, count);
            done += count;
        }
        return values;
    }

    FormatException damaged(long at, String what, String problem) {
        return new FormatException(
                "%s is damaged, or no ONNX file: in its %s, at byte %d, %s".formatted(file, what, at, problem));
    }
}
