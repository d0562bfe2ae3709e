package dev.nibble.models.data;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import java.io.BufferedInputStream;
import java.io.DataInputStream;
import java.io.EOFException;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HexFormat;
import java.util.List;
import java.util.zip.GZIPInputStream;
import java.util.zip.ZipException;

/**
 * An array of unsigned bytes as in the files of MNIST (LeCun et al. 1998): two zero bytes, the type (8), the rank, each
 * extent as a big-endian INT32, the elements in row-major order. May be compressed by gzip, whatever the name says.
 *
 * @param path where it was read
 * @param dims extents, each at least 1
 * @param bytes the elements, [dims]; owned by this, never modified
 */
record IdxFile(Path path, List<Integer> dims, byte[] bytes) {
    private static final int MAGIC_BYTES = 4;
    private static final int UNSIGNED_BYTE = 0x08;
    private static final long MAX_ELEMENTS = 1L << 30; // MNIST has 47 million, the largest EMNIST 550 million
    private static final int GZIP_BUFFER = 1 << 16; // bytes
    private static final int GZIP_FIRST = 0x1F;
    private static final int GZIP_SECOND = 0x8B;

    /** What is read from a file. */
    private interface Content<T> {
        T readFrom(DataInputStream in) throws IOException;
    }

    /**
     * {@return the array in a file}
     *
     * @param what what it should hold, for messages: {@code images [count, rows, cols]}
     * @param rank number of its extents
     * @throws FormatException if it is damaged, or holds something else
     * @throws NibbleException if it cannot be read
     */
    static IdxFile read(Path path, String what, int rank) {
        return read(path, what, in -> {
            List<Integer> dims = dims(path, what, rank, in);
            return new IdxFile(path, dims, bytes(path, dims, in));
        });
    }

    /**
     * {@return the extents of the array in a file, without its elements}
     *
     * @param what what it should hold, for messages
     * @param rank number of its extents
     * @throws FormatException if the header is damaged, or of something else
     * @throws NibbleException if it cannot be read
     */
    static List<Integer> readDims(Path path, String what, int rank) {
        return read(path, what, in -> dims(path, what, rank, in));
    }

    private static <T> T read(Path path, String what, Content<T> content) {
        try (DataInputStream in = open(path)) {
            return content.readFrom(in);
        } catch (EOFException _) {
            throw new FormatException(path + " ends too early to hold " + what + "; is the copy complete?");
        } catch (ZipException e) {
            throw new FormatException(path + " is a damaged gzip file: " + e.getMessage() + "; copy it again");
        } catch (IOException e) {
            throw new NibbleException(path + " cannot be read: " + IoReason.of(e), e);
        }
    }

    private static List<Integer> dims(Path path, String what, int rank, DataInputStream in) throws IOException {
        checkMagic(path, what, rank, in.readNBytes(MAGIC_BYTES));
        List<Integer> dims = new ArrayList<>();
        long elements = 1;
        for (int i = 0; i < rank; i++) {
            long extent = in.readInt() & 0xFFFFFFFFL;
            elements *= extent; // below 2^62: extents are below 2^32, and the product before is at most 2^30
            if (elements < 1 || elements > MAX_ELEMENTS) {
                throw new FormatException("%s has extent %d after %s, %d elements, but must have 1..%d"
                        .formatted(path, extent, dims, elements, MAX_ELEMENTS));
            }
            dims.add((int) extent);
        }
        return List.copyOf(dims);
    }

    private static byte[] bytes(Path path, List<Integer> dims, DataInputStream in) throws IOException {
        int elements = dims.stream().reduce(1, Math::multiplyExact);
        // as much as there is, in pieces: a header that promises more than the file holds takes no memory
        byte[] bytes = in.readNBytes(elements); // [dims]
        if (bytes.length < elements) {
            throw new FormatException("%s has %d bytes after its header, but shape %s needs %d; is the copy complete?"
                    .formatted(path, bytes.length, dims, elements));
        }
        if (in.read() >= 0) { // also lets gzip check its sum
            throw new FormatException("%s has more than %d bytes after its header, but shape %s needs no more"
                    .formatted(path, elements, dims));
        }
        return bytes;
    }

    private static DataInputStream open(Path path) throws IOException {
        if (Files.isDirectory(path)) {
            throw new NibbleException(path + " is a folder, but must be an IDX file");
        }
        InputStream file = new BufferedInputStream(Files.newInputStream(path));
        try {
            file.mark(2);
            boolean gzip = file.read() == GZIP_FIRST && file.read() == GZIP_SECOND;
            file.reset();
            return new DataInputStream(gzip ? new GZIPInputStream(file, GZIP_BUFFER) : file);
        } catch (IOException e) {
            file.close();
            throw e;
        }
    }

    private static void checkMagic(Path path, String what, int rank, byte[] magic) throws EOFException {
        if (magic.length < MAGIC_BYTES) {
            throw new EOFException();
        }
        if (magic[0] != 0 || magic[1] != 0) {
            throw new FormatException("%s begins with %s, but an IDX file begins with 0000"
                    .formatted(path, HexFormat.of().formatHex(magic, 0, 2)));
        }
        if (magic[2] != UNSIGNED_BYTE) {
            throw new FormatException("%s has elements of type 0x%02x, but must have unsigned bytes, type 0x08"
                    .formatted(path, magic[2]));
        }
        if (magic[3] != rank) {
            throw new FormatException("%s holds an array of rank %d, but must hold %s, rank %d"
                    .formatted(path, magic[3] & 0xFF, what, rank));
        }
    }
}
