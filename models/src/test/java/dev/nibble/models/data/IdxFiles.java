package dev.nibble.models.data;

import java.io.ByteArrayOutputStream;
import java.io.IOException;
import java.io.UncheckedIOException;
import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.SplittableRandom;
import java.util.zip.GZIPOutputStream;

/** Small IDX files, right and wrong. */
public final class IdxFiles {
    private IdxFiles() {}

    /** {@return a file of unsigned bytes: header of these extents, then the elements} */
    static byte[] idx(byte[] elements, int... dims) {
        ByteBuffer file = ByteBuffer.allocate(4 + 4 * dims.length + elements.length);
        file.putInt(0x0800 | dims.length);
        for (int dim : dims) {
            file.putInt(dim);
        }
        return file.put(elements).array();
    }

    static byte[] gzip(byte[] bytes) {
        ByteArrayOutputStream compressed = new ByteArrayOutputStream();
        try (GZIPOutputStream gzip = new GZIPOutputStream(compressed)) {
            gzip.write(bytes);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
        return compressed.toByteArray();
    }

    /** Bytes 0, 1, 2, … */
    static byte[] counting(int length) {
        byte[] bytes = new byte[length];
        for (int i = 0; i < length; i++) {
            bytes[i] = (byte) i;
        }
        return bytes;
    }

    /**
     * Writes the four files of an easy task: noisy images of 8x8 with one of four patterns, by their labels: none,
     * horizontal stripes, vertical stripes, squares.
     */
    public static void writePatterns(Path folder, int train, int test) throws IOException {
        write(folder, "train", train, 1);
        write(folder, "t10k", test, 2);
    }

    private static void write(Path folder, String part, int count, long seed) throws IOException {
        SplittableRandom random = new SplittableRandom(seed);
        byte[] pixels = new byte[count * 64]; // [count, 8, 8]
        byte[] labels = new byte[count]; // [count]
        for (int image = 0; image < count; image++) {
            labels[image] = (byte) random.nextInt(4);
            for (int i = 0; i < 64; i++) {
                boolean bright = (i / 8 & labels[image] & 1) + (i % 8 & labels[image] >> 1) == 1;
                pixels[image * 64 + i] = (byte) (random.nextInt(128) + (bright ? 127 : 0));
            }
        }
        Files.write(folder.resolve(part + "-images-idx3-ubyte"), idx(pixels, count, 8, 8));
        Files.write(folder.resolve(part + "-labels.idx1-ubyte.gz"), gzip(idx(labels, count)));
    }
}
