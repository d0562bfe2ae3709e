package dev.nibble.models.onnx;

import java.io.ByteArrayOutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;

/** Writes protocol buffers, for files to read. */
public final class OnnxBytes {
    private final ByteArrayOutputStream out = new ByteArrayOutputStream();

    /** Starts an empty message. */
    public OnnxBytes() {}

    private void raw(long value) {
        long rest = value;
        while ((rest & ~0x7FL) != 0) {
            out.write((int) ((rest & 0x7F) | 0x80));
            rest >>>= 7;
        }
        out.write((int) rest);
    }

    /** Adds a number. */
    public OnnxBytes number(int field, long value) {
        raw((long) field << 3);
        raw(value);
        return this;
    }

    /** Adds counted bytes. */
    public OnnxBytes bytes(int field, byte[] value) {
        raw((long) field << 3 | 2);
        raw(value.length);
        out.writeBytes(value);
        return this;
    }

    /** Adds a text. */
    public OnnxBytes text(int field, String value) {
        return bytes(field, value.getBytes(StandardCharsets.UTF_8));
    }

    /** Adds a message. */
    public OnnxBytes message(int field, OnnxBytes value) {
        return bytes(field, value.bytes());
    }

    /** {@return all that was added} */
    public byte[] bytes() {
        return out.toByteArray();
    }

    /** {@return a constant tensor} */
    public static OnnxBytes tensor(String name, float[] values, long... dims) {
        OnnxBytes tensor = new OnnxBytes();
        for (long dim : dims) {
            tensor.number(1, dim);
        }
        ByteBuffer raw = ByteBuffer.allocate(values.length * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
        raw.asFloatBuffer().put(values);
        return tensor.number(2, 1).text(8, name).bytes(9, raw.array());
    }

    /** {@return an operation with two inputs} */
    public static OnnxBytes node(String operation, String a, String b, String y) {
        return new OnnxBytes().text(1, a).text(1, b).text(2, y).text(4, operation);
    }

    /** {@return a model of a graph} */
    public static byte[] model(OnnxBytes graph) {
        return new OnnxBytes().number(1, 6).text(2, "test").message(7, graph).bytes();
    }
}
