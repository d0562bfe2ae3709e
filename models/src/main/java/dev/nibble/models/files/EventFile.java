package dev.nibble.models.files;

import dev.nibble.error.NibbleException;
import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SequencedMap;
import java.util.zip.CRC32C;

/**
 * Writes numbers over steps as TensorBoard reads them, readable at any time: a file of TFRecords, each an {@code Event} of protocol
 * buffers.
 *
 * <p>A record is the length of its data (8 bytes, little-endian), the masked CRC of these bytes (4), the data, and its masked CRC (4);
 * {@code masked = rotateRight(crc32c, 15) + 0xa282ead8}. Of an event the fields {@code wall_time = 1} (double), {@code step = 2} (int64),
 * {@code file_version = 3} and {@code summary = 5} are written, of a summary {@code value = 1}, of a value {@code tag = 1} and {@code
 * simple_value = 2} (float).
 */
public final class EventFile implements AutoCloseable {
    private static final String VERSION = "brain.Event:2";
    private static final int CRC_MASK = 0xa282ead8;
    private static final int VARINT = 0; // wire types
    private static final int FIXED_64 = 1;
    private static final int BYTES = 2;
    private static final int FIXED_32 = 5;

    private final Path file;
    private final OutputStream stream;

    /**
     * Starts the file anew.
     *
     * @param seconds when, since 1970
     * @throws NibbleException if it cannot be written
     */
    public EventFile(Path file, double seconds) {
        this.file = file;
        try {
            this.stream = Files.newOutputStream(file);
        } catch (IOException e) {
            throw failure(e);
        }
        Message event = new Message();
        event.fixed64(1, Double.doubleToRawLongBits(seconds));
        event.bytes(3, VERSION.getBytes(StandardCharsets.UTF_8));
        record(event.content());
    }

    /**
     * Adds numbers of one step. They are in the file when this returns.
     *
     * @param seconds when, since 1970
     * @param step the step
     * @param values numbers by tag, as in {@code loss/train}; one that is not finite is written as it is
     * @throws NibbleException if the file cannot be written
     */
    public void write(double seconds, long step, SequencedMap<String, Double> values) {
        Message summary = new Message();
        values.forEach((tag, number) -> {
            Message value = new Message();
            value.bytes(1, tag.getBytes(StandardCharsets.UTF_8));
            value.fixed32(2, Float.floatToRawIntBits(number.floatValue()));
            summary.bytes(1, value.content());
        });
        Message event = new Message();
        event.fixed64(1, Double.doubleToRawLongBits(seconds));
        event.varint(2, step);
        event.bytes(5, summary.content());
        record(event.content());
    }

    private void record(byte[] data) {
        byte[] length = ByteBuffer.allocate(Long.BYTES)
                .order(ByteOrder.LITTLE_ENDIAN)
                .putLong(data.length)
                .array();
        ByteBuffer record = ByteBuffer.allocate(Long.BYTES + 2 * Integer.BYTES + data.length)
                .order(ByteOrder.LITTLE_ENDIAN)
                .put(length)
                .putInt(maskedCrc(length))
                .put(data)
                .putInt(maskedCrc(data));
        try {
            stream.write(record.array());
        } catch (IOException e) {
            throw failure(e);
        }
    }

    private static int maskedCrc(byte[] bytes) {
        CRC32C crc = new CRC32C();
        crc.update(bytes);
        return Integer.rotateRight((int) crc.getValue(), 15) + CRC_MASK;
    }

    private NibbleException failure(IOException e) {
        return new NibbleException(file + " cannot be written: " + IoReason.of(e), e);
    }

    @Override
    public void close() {
        try {
            stream.close();
        } catch (IOException e) {
            throw failure(e);
        }
    }

    /** The fields of a message of protocol buffers, one after the other. */
    private static final class Message {
        private final ByteArrayOutputStream out = new ByteArrayOutputStream();

        byte[] content() {
            return out.toByteArray();
        }

        void varint(int field, long value) {
            key(field, VARINT);
            unsigned(value);
        }

        void fixed64(int field, long bits) {
            key(field, FIXED_64);
            littleEndian(bits, Long.BYTES);
        }

        void fixed32(int field, int bits) {
            key(field, FIXED_32);
            littleEndian(bits, Integer.BYTES);
        }

        void bytes(int field, byte[] value) {
            key(field, BYTES);
            unsigned(value.length);
            out.writeBytes(value);
        }

        private void key(int field, int wireType) {
            unsigned((long) field << 3 | wireType);
        }

        private void littleEndian(long bits, int count) {
            for (int i = 0; i < count; i++) {
                out.write((int) (bits >>> (8 * i)) & 0xff);
            }
        }

        /** Seven bits a byte, the lowest first; all but the last byte have the top bit. */
        private void unsigned(long value) {
            long rest = value;
            while ((rest & ~0x7fL) != 0) {
                out.write((int) (rest & 0x7f) | 0x80);
                rest >>>= 7;
            }
            out.write((int) rest);
        }
    }
}
