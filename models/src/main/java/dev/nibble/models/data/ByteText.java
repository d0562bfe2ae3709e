package dev.nibble.models.data;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.io.InputStream;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** A text as bytes, whatever they mean, each a token of 0..255. The files of a folder follow each other, with nothing between them. */
public final class ByteText implements TokenText {
    /** Tokens that there are. */
    public static final int VOCABULARY = 256;

    private static final String BUNDLED = "moby-dick.txt";

    private final TextFiles files;
    private final long[] starts; // [files]: where each begins
    private final long length;
    private Optional<String> hash = Optional.empty();

    private ByteText(TextFiles files) {
        this.files = files;
        this.starts = new long[files.files().size()];
        long at = 0;
        for (int i = 0; i < starts.length; i++) {
            starts[i] = at;
            at += files.files().get(i).bytes().byteSize();
        }
        this.length = at;
    }

    /** {@return a text with this name, for messages, and these bytes} */
    public static ByteText of(String name, byte[] bytes) {
        TextFiles.TextFile file = new TextFiles.TextFile(name, MemorySegment.ofArray(bytes.clone()));
        return new ByteText(new TextFiles(name, List.of(file)));
    }

    /** {@return the text that is part of this module: Moby-Dick, by Herman Melville} */
    public static ByteText bundled() {
        return new ByteText(bundledFiles());
    }

    /** {@return the files of the text that is part of this module} */
    static TextFiles bundledFiles() {
        try (InputStream in = ByteText.class.getResourceAsStream(BUNDLED)) {
            if (in == null) {
                throw new NibbleException("the bundled text " + BUNDLED
                        + " is missing from module dev.nibble.models; build it again or give data.path");
            }
            MemorySegment bytes = MemorySegment.ofArray(in.readAllBytes());
            return new TextFiles(BUNDLED, List.of(new TextFiles.TextFile(BUNDLED, bytes)));
        } catch (IOException e) {
            throw new NibbleException("the bundled text " + BUNDLED + " cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * {@return a file as it is, or all files below a folder} See {@link TextFiles}.
     *
     * @throws NibbleException if there is none, or one cannot be read
     */
    public static ByteText read(Path path) {
        return new ByteText(TextFiles.open(path));
    }

    @Override
    public String name() {
        return files.name();
    }

    @Override
    public String unit() {
        return "bytes";
    }

    @Override
    public int vocabulary() {
        return VOCABULARY;
    }

    @Override
    public long length() {
        return length;
    }

    @Override
    public double bytesPerToken() {
        return 1;
    }

    @Override
    public Optional<Path> tokenizer() {
        return Optional.empty();
    }

    @Override
    public String hash() {
        String known = hash.orElseGet(files::hash);
        hash = Optional.of(known);
        return known;
    }

    @Override
    public int token(long index) {
        int found = Arrays.binarySearch(starts, index);
        int file = found >= 0 ? lastAt(found, index) : -found - 2;
        return files.files().get(file).bytes().get(ValueLayout.JAVA_BYTE, index - starts[file]) & 0xFF;
    }

    /** Empty files begin where the next one does. */
    private int lastAt(int file, long start) {
        int last = file;
        while (last + 1 < starts.length && starts[last + 1] == start) {
            last++;
        }
        return last;
    }
}
