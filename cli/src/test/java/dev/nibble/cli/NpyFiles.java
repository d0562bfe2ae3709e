package dev.nibble.cli;

import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;

/** Makes .npy files byte by byte, right and wrong ones. */
final class NpyFiles {
    private NpyFiles() {}

    /** {@return a float32 file} */
    static Path floats(Path folder, String name, Shape shape, float... values) {
        Path file = folder.resolve(name);
        NpyWriter.writeFloats(file, shape, values);
        return file;
    }

    /** {@return bytes of a file of version 1.0 with this dictionary and these data bytes} */
    static byte[] bytes(String dictionary, byte[] data) {
        return bytes(1, dictionary, data);
    }

    /** {@return bytes of a file of this major version} Version 1 has a shorter length of the header. */
    static byte[] bytes(int version, String dictionary, byte[] data) {
        byte[] header = (dictionary + "\n").getBytes(StandardCharsets.UTF_8);
        ByteBuffer file = ByteBuffer.allocate(12 + header.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        file.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', (byte) version, 0});
        if (version == 1) {
            file.putShort((short) header.length);
        } else {
            file.putInt(header.length);
        }
        file.put(header).put(data);
        return Arrays.copyOf(file.array(), file.position());
    }

    /** {@return the usual dictionary} */
    static String dictionary(String descr, String shape) {
        return dictionary(descr, false, shape);
    }

    /** {@return the dictionary of an array in C or Fortran order} */
    static String dictionary(String descr, boolean fortran, String shape) {
        return "{'descr': '%s', 'fortran_order': %s, 'shape': %s, }"
                .formatted(descr, fortran ? "True" : "False", shape);
    }

    /** {@return the file, written} */
    static Path write(Path folder, String name, byte[] bytes) {
        try {
            return Files.write(folder.resolve(name), bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }
}
