package dev.nibble.cli;

import dev.nibble.models.files.AtomicFile;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.stream.Collectors;

/** Writes NumPy .npy files of version 1.0, little-endian, C order. */
final class NpyWriter {
    private static final int ALIGNMENT = 64; // of the first element, as the format asks for
    private static final int PREAMBLE = 10;
    private static final int CHUNK = 1 << 14; // elements written at once

    private NpyWriter() {}

    /** Writes float32 values. */
    static void writeFloats(Path file, Shape shape, float[] values) {
        requireLength(shape, values.length);
        AtomicFile.write(file, stream -> {
            stream.write(header("<f4", shape));
            ByteBuffer buffer = ByteBuffer.allocate(CHUNK * Float.BYTES).order(ByteOrder.LITTLE_ENDIAN);
            for (int from = 0; from < values.length; from += CHUNK) {
                buffer.clear();
                for (int i = from; i < Math.min(values.length, from + CHUNK); i++) {
                    buffer.putFloat(values[i]);
                }
                stream.write(buffer.array(), 0, buffer.position());
            }
        });
    }

    /**
     * Writes codes.
     *
     * @param planes bytes of each plane, as many as the shape has elements in all
     * @param signed int8 if true, else uint8
     */
    static void writeBytes(Path file, Shape shape, Iterable<byte[]> planes, boolean signed) {
        long bytes = 0;
        for (byte[] plane : planes) {
            bytes += plane.length;
        }
        requireLength(shape, bytes);
        AtomicFile.write(file, stream -> {
            stream.write(header(signed ? "|i1" : "|u1", shape));
            writeAll(stream, planes);
        });
    }

    private static void writeAll(OutputStream stream, Iterable<byte[]> planes) throws IOException {
        for (byte[] plane : planes) {
            stream.write(plane);
        }
    }

    private static void requireLength(Shape shape, long length) {
        if (shape.elements() != length) {
            throw new IllegalArgumentException(
                    "shape " + shape + " needs " + shape.elements() + " elements, but there are " + length);
        }
    }

    private static byte[] header(String descr, Shape shape) {
        String extents = shape.dims().stream().map(String::valueOf).collect(Collectors.joining(", "));
        String tuple = shape.rank() == 1 ? "(" + extents + ",)" : "(" + extents + ")";
        String dictionary = "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + tuple + ", }";
        int length = Math.ceilDiv(PREAMBLE + dictionary.length() + 1, ALIGNMENT) * ALIGNMENT - PREAMBLE;
        String padded = dictionary + " ".repeat(length - dictionary.length() - 1) + "\n";
        ByteBuffer header = ByteBuffer.allocate(PREAMBLE + length).order(ByteOrder.LITTLE_ENDIAN);
        header.put((byte) 0x93).put("NUMPY".getBytes(StandardCharsets.US_ASCII));
        header.put((byte) 1).put((byte) 0).putShort((short) length);
        header.put(padded.getBytes(StandardCharsets.US_ASCII));
        return header.array();
    }
}
