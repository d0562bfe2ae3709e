package dev.nibble.models.safetensors;

import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.io.OutputStream;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * Writes files of tensors. Wider elements come first, else the order is kept, so that every tensor begins at a multiple of
 * its element size: the header is filled up with spaces to a multiple of 8 bytes.
 */
public final class SafetensorsWriter {
    private SafetensorsWriter() {}

    /**
     * Writes a file in one move: see {@link AtomicFile}.
     *
     * @param metadata free texts by name, may be empty
     * @param tensors each name once
     * @throws IllegalArgumentException if a name is there twice, or values do not fill a shape
     * @throws dev.nibble.error.NibbleException if the file cannot be written
     */
    public static void write(Path file, Map<String, String> metadata, List<TensorContent> tensors) {
        AtomicFile.write(file, stream -> write(stream, metadata, tensors));
    }

    /**
     * Writes what a file holds.
     *
     * @param stream not closed
     * @param metadata free texts by name, may be empty
     * @param tensors each name once
     * @throws IllegalArgumentException if a name is there twice, or values do not fill a shape
     * @throws IOException if the stream refuses it
     */
    public static void write(OutputStream stream, Map<String, String> metadata, List<TensorContent> tensors)
            throws IOException {
        List<TensorContent> ordered = new ArrayList<>(tensors);
        ordered.sort(
                Comparator.comparingInt((TensorContent tensor) -> -tensor.type().byteSize()));
        stream.write(header(metadata, ordered));
        for (TensorContent tensor : ordered) {
            tensor.writeTo(stream);
        }
    }

    private static byte[] header(Map<String, String> metadata, List<TensorContent> tensors) {
        Map<String, Object> header = new LinkedHashMap<>();
        if (!metadata.isEmpty()) {
            header.put(Header.METADATA, new TreeMap<>(metadata));
        }
        long begin = 0;
        for (TensorContent tensor : tensors) {
            long end = Math.addExact(begin, tensor.byteSize());
            Map<String, Object> entry = new LinkedHashMap<>();
            entry.put("dtype", tensor.type().name());
            entry.put("shape", tensor.shape().dims());
            entry.put("data_offsets", List.of(begin, end));
            if (header.put(tensor.name(), entry) != null) {
                throw new IllegalArgumentException("two tensors are named '" + tensor.name() + "'");
            }
            begin = end;
        }
        byte[] json = JsonTree.compact(header).getBytes(StandardCharsets.UTF_8);
        int length = Math.ceilDiv(json.length, Long.BYTES) * Long.BYTES;
        ByteBuffer buffer = ByteBuffer.allocate(Long.BYTES + length).order(ByteOrder.LITTLE_ENDIAN);
        buffer.putLong(length).put(json);
        while (buffer.hasRemaining()) {
            buffer.put((byte) ' ');
        }
        return buffer.array();
    }
}
