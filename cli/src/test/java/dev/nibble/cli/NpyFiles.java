package dev.nibble.cli;

import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

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
        byte[] header = (dictionary + "\n").getBytes(StandardCharsets.ISO_8859_1);
        ByteBuffer file = ByteBuffer.allocate(10 + header.length + data.length).order(ByteOrder.LITTLE_ENDIAN);
        file.put(new byte[] {(byte) 0x93, 'N', 'U', 'M', 'P', 'Y', 1, 0});
        file.putShort((short) header.length).put(header).put(data);
        return file.array();
    }

    /** {@return the usual dictionary} */
    static String dictionary(String descr, String shape) {
        return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
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
