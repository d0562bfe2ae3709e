package dev.nibble.models.safetensors;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonTree;
import dev.nibble.spi.Names;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Collections;
import java.util.List;
import java.util.SequencedMap;
import java.util.SortedMap;

/**
 * A file of tensors, open for reading. The header is checked when it is opened; elements are read when they are asked for,
 * in pieces: a tensor costs the array that it is returned in. It is not mapped into memory, because a file that becomes
 * shorter under a mapping ends the process.
 *
 * <p>Layout: the length of the header, 8 bytes, little-endian; the header, a JSON object in UTF-8, maybe with spaces behind
 * it; the elements of all tensors, one after the other. Source: the description of the format by its authors,
 * github.com/huggingface/safetensors.
 */
public final class SafetensorsFile implements AutoCloseable {
    /** How the names of such files end. */
    public static final String SUFFIX = ".safetensors";

    /** Largest header that is read, as in the authors' own library; bytes. */
    static final long LARGEST_HEADER = 100_000_000;

    private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8;
    private static final int MOST_SHOWN = 100; // names of tensors in a message
    private static final int CHUNK = 1 << 18; // bytes read at once, a multiple of every element size

    private final Path file;
    private final FileChannel channel;
    private final Header header;
    private final long dataStart;

    private SafetensorsFile(Path file, FileChannel channel, Header header, long dataStart) {
        this.file = file;
        this.channel = channel;
        this.header = header;
        this.dataStart = dataStart;
    }

    /**
     * {@return a file, open}
     *
     * @throws FormatException if it is damaged: naming the file, the tensor and what is wrong
     * @throws NibbleException if it cannot be read
     */
    public static SafetensorsFile open(Path file) {
        if (!Files.exists(file)) {
            throw new NibbleException(file + " does not exist");
        }
        if (!Files.isRegularFile(file)) {
            throw new FormatException(file + " is not a file");
        }
        try {
            FileChannel channel = FileChannel.open(file);
            try {
                return open(file, channel);
            } catch (IOException | RuntimeException | OutOfMemoryError e) {
                channel.close();
                throw e;
            }
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static SafetensorsFile open(Path file, FileChannel channel) throws IOException {
        long size = channel.size();
        if (size < Long.BYTES) {
            throw new FormatException(
                    "%s is truncated: it has %d bytes, but a safetensors file begins with %d for the length of its header"
                            .formatted(file, size, Long.BYTES));
        }
        long length = read(file, channel, 0, Long.BYTES).getLong();
        if (length < 0 || length > LARGEST_HEADER) {
            throw new FormatException(
                    "%s claims a header of %s bytes, but at most %d are read; it is damaged, or no safetensors file"
                            .formatted(file, Long.toUnsignedString(length), LARGEST_HEADER));
        }
        long dataStart = Long.BYTES + length;
        if (dataStart > size) {
            throw new FormatException("%s is truncated: its header needs %d bytes, but %d follow"
                    .formatted(file, length, size - Long.BYTES));
        }
        byte[] json = read(file, channel, Long.BYTES, (int) length).array();
        Header header = Header.parse(file.toString(), json, size - dataStart);
        return new SafetensorsFile(file, channel, header, dataStart);
    }

    /** {@return where the file is} */
    public Path path() {
        return file;
    }

    /** {@return where the tensors are, by name, in the order of their bytes} */
    public SequencedMap<String, TensorEntry> tensors() {
        return Collections.unmodifiableSequencedMap(header.tensors());
    }

    /** {@return the free texts of the header, by name} */
    public SortedMap<String, String> metadata() {
        return Collections.unmodifiableSortedMap(header.metadata());
    }

    /**
     * {@return where a tensor is}
     *
     * @throws IllegalArgumentException if there is none with this name; naming the nearest
     */
    public TensorEntry tensor(String name) {
        TensorEntry entry = header.tensors().get(name);
        if (entry == null) {
            throw new IllegalArgumentException(
                    "%s holds no tensor %s; %s".formatted(file, JsonTree.quoted(name), known(name)));
        }
        return entry;
    }

    /**
     * {@return the names that there are, for a message, and the one that is nearest to another name}
     *
     * @param name what was asked for; may be empty
     */
    public String known(String name) {
        List<String> shown = header.tensors().keySet().stream()
                .limit(MOST_SHOWN)
                .map(JsonTree::line)
                .toList();
        int more = header.tensors().size() - shown.size();
        if (more == 0 && !name.isEmpty()) {
            return Names.suggest(name, shown);
        }
        String names = shown.isEmpty() ? "there are none" : "known: " + String.join(", ", shown);
        return more > 0 ? names + " and " + more + " more" : names;
    }

    /**
     * {@return the elements of a tensor of a real type, exactly}
     *
     * @throws IllegalArgumentException if there is none with this name
     * @throws FormatException if it is of another type, or too large for an array
     * @throws NibbleException if it cannot be read
     */
    public float[] floats(String name) {
        TensorEntry entry = tensor(name);
        if (!entry.type().isReal()) {
            throw new FormatException("%s: tensor %s holds elements of type %s, but one of %s is needed"
                    .formatted(file, JsonTree.quoted(name), entry.type(), ElementType.reals()));
        }
        float[] values = new float[elements(entry)]; // [elements]
        forEachChunk(entry, (buffer, from, count) -> {
            if (entry.type() == ElementType.F32) {
                buffer.asFloatBuffer().get(values, from, count);
                return;
            }
            for (int i = 0; i < count; i++) {
                values[from + i] = entry.type().nextFloat(buffer);
            }
        });
        return values;
    }

    /**
     * {@return the elements of a tensor of a whole type}
     *
     * @throws IllegalArgumentException if there is none with this name
     * @throws FormatException if it is of another type, or too large for an array
     * @throws NibbleException if it cannot be read
     */
    public long[] wholes(String name) {
        TensorEntry entry = tensor(name);
        if (!entry.type().isWhole()) {
            throw new FormatException("%s: tensor %s holds elements of type %s, but whole numbers are needed"
                    .formatted(file, JsonTree.quoted(name), entry.type()));
        }
        long[] values = new long[elements(entry)]; // [elements]
        forEachChunk(entry, (buffer, from, count) -> {
            for (int i = 0; i < count; i++) {
                values[from + i] = entry.type().nextWhole(buffer);
            }
        });
        return values;
    }

    private int elements(TensorEntry entry) {
        long elements = entry.shape().elements();
        if (elements > LARGEST_ARRAY) {
            throw new FormatException("%s: tensor %s has %d elements, but at most %d can be read"
                    .formatted(file, JsonTree.quoted(entry.name()), elements, LARGEST_ARRAY));
        }
        return (int) elements;
    }

    /** What is done with some elements of a tensor. */
    private interface Chunk {
        void take(ByteBuffer buffer, int from, int count);
    }

    private void forEachChunk(TensorEntry entry, Chunk chunk) {
        int most = CHUNK / entry.type().byteSize();
        int elements = (int) entry.shape().elements();
        try {
            for (int from = 0; from < elements; from += most) {
                int count = Math.min(most, elements - from);
                long at = dataStart + entry.begin() + (long) from * entry.type().byteSize();
                chunk.take(read(file, channel, at, count * entry.type().byteSize()), from, count);
            }
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static ByteBuffer read(Path file, FileChannel channel, long at, int count) throws IOException {
        ByteBuffer buffer = ByteBuffer.allocate(count).order(ByteOrder.LITTLE_ENDIAN);
        while (buffer.hasRemaining()) {
            if (channel.read(buffer, at + buffer.position()) < 0) {
                throw new FormatException(file + " became shorter while it was read");
            }
        }
        return buffer.flip();
    }

    private static NibbleException unreadable(Path file, IOException e) {
        return new NibbleException(file + " cannot be read: " + IoReason.of(e), e);
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }
}
