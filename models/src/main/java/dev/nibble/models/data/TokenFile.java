package dev.nibble.models.data;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.Sha256;
import java.io.BufferedOutputStream;
import java.io.IOException;
import java.io.OutputStream;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.CharBuffer;
import java.nio.channels.FileChannel;
import java.nio.charset.CharsetDecoder;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.nio.file.StandardOpenOption;
import java.security.MessageDigest;
import java.util.Arrays;
import java.util.HexFormat;
import java.util.Optional;
import java.util.function.Function;

/**
 * A text as the tokens of a tokenizer, in a file that is mapped and not read. All numbers are little-endian:
 *
 * <pre>
 *   0   8  NIBTOKEN
 *   8   4  version, 1
 *  12   4  bytes of a token: 2, or 4 if the vocabulary is larger than 65536
 *  16   8  tokens
 *  24   8  bytes of the text
 *  32   4  vocabulary: tokens are below it
 *  36   4  0
 *  40  32  SHA-256 of the tokenizer's file
 *  72  32  SHA-256 of the text's files, each with its length
 * 104      the tokens
 * </pre>
 */
public final class TokenFile implements TokenText {
    private static final byte[] MAGIC = "NIBTOKEN".getBytes(StandardCharsets.US_ASCII);
    private static final int VERSION = 1;
    private static final int HEADER = 104; // bytes
    private static final int HASH = Sha256.DIGITS / 2; // bytes
    private static final int TOKENIZER_AT = 40;
    private static final int SMALL_VOCABULARY = 1 << 16;
    private static final int LARGEST_VOCABULARY = 1 << 20;
    private static final int PIECE = 1 << 18; // bytes that the tokenizer sees at once

    private static final ValueLayout.OfShort U16 = ValueLayout.JAVA_SHORT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfInt U32 = ValueLayout.JAVA_INT_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);
    private static final ValueLayout.OfLong U64 = ValueLayout.JAVA_LONG_UNALIGNED.withOrder(ByteOrder.LITTLE_ENDIAN);

    private final String name;
    private final Path tokenizer;
    private final MemorySegment file;
    private final int tokenBytes;
    private final long length;
    private final int vocabulary;
    private final String hash;

    private TokenFile(Path path, Path tokenizer, MemorySegment file) {
        this.name = path.toString();
        this.tokenizer = tokenizer.toAbsolutePath().normalize();
        this.file = file;
        requireHeader();
        this.tokenBytes = file.get(U32, 12);
        this.length = file.get(U64, 16);
        this.vocabulary = file.get(U32, 32);
        requireTokens();
        MessageDigest digest = Sha256.digest();
        TextFiles.update(digest, file);
        this.hash = Sha256.hex(digest);
    }

    /**
     * {@return the tokens of a text; made and kept if the file does not exist}
     *
     * @param text a file or folder; empty for the bundled text
     * @param tokenizer file of the tokenizer
     * @param vocabulary what it describes
     * @param where names the file of tokens, given a name that belongs to text and tokenizer
     * @throws FormatException if a text is not UTF-8, or if the file of tokens is damaged
     * @throws NibbleException if a file cannot be read or written, or if the file of tokens is one of another text or tokenizer
     */
    public static TokenFile of(Path text, Path tokenizer, Vocabulary vocabulary, Function<String, Path> where) {
        TextFiles sources = text.toString().isEmpty() ? ByteText.bundledFiles() : TextFiles.open(text);
        byte[] header = header(sources, tokenizer, vocabulary.size());
        byte[] hashes = Arrays.copyOfRange(header, TOKENIZER_AT, HEADER);
        Path path = where.apply(Sha256.of(hashes).substring(0, HASH));
        if (!Files.exists(path)) {
            write(path, header, sources, vocabulary);
        }
        TokenFile tokens = open(path, tokenizer);
        byte[] there = tokens.file.asSlice(TOKENIZER_AT, HEADER - TOKENIZER_AT).toArray(ValueLayout.JAVA_BYTE);
        if (!Arrays.equals(hashes, there)) {
            boolean other = !Arrays.equals(hashes, 0, HASH, there, 0, HASH);
            throw new NibbleException(
                    "%s holds tokens of another %s, but those of %s are needed; delete it, or name another file in data.tokens"
                            .formatted(path, other ? "tokenizer" : "text", other ? tokenizer : sources.name()));
        }
        return tokens;
    }

    /**
     * {@return the tokens in a file}
     *
     * @param tokenizer file of the tokenizer that made them
     * @throws FormatException if it is damaged
     * @throws NibbleException if it cannot be read
     */
    static TokenFile open(Path path, Path tokenizer) {
        try (FileChannel channel = FileChannel.open(path, StandardOpenOption.READ)) {
            return new TokenFile(
                    path, tokenizer, channel.map(FileChannel.MapMode.READ_ONLY, 0, channel.size(), Arena.ofAuto()));
        } catch (IOException e) {
            throw new NibbleException("tokens %s cannot be read: %s".formatted(path, IoReason.of(e)), e);
        }
    }

    private static byte[] header(TextFiles sources, Path tokenizer, int vocabulary) {
        ByteBuffer header = ByteBuffer.allocate(HEADER).order(ByteOrder.LITTLE_ENDIAN);
        header.put(MAGIC).putInt(VERSION).putInt(vocabulary <= SMALL_VOCABULARY ? Short.BYTES : Integer.BYTES);
        header.putLong(0).putLong(sources.length()).putInt(vocabulary).putInt(0);
        try {
            header.put(HexFormat.of().parseHex(Sha256.of(tokenizer)));
        } catch (IOException e) {
            throw new NibbleException("tokenizer %s cannot be read: %s".formatted(tokenizer, IoReason.of(e)), e);
        }
        return header.put(sources.hashOfEach()).array();
    }

    /** The number of tokens stands before them and is known after them, so they go to a file of their own first. */
    private static void write(Path path, byte[] header, TextFiles sources, Vocabulary vocabulary) {
        AtomicFile.requireWritable(path);
        Path folder = path.toAbsolutePath().getParent();
        try {
            Path scratch = Files.createTempFile(folder, ".tokens", ".tmp");
            try {
                int tokenBytes =
                        ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN).getInt(12);
                long count;
                try (OutputStream stream = new BufferedOutputStream(Files.newOutputStream(scratch), PIECE)) {
                    count = writeTokens(stream, sources, vocabulary, tokenBytes);
                }
                ByteBuffer.wrap(header).order(ByteOrder.LITTLE_ENDIAN).putLong(16, count);
                AtomicFile.write(path, stream -> {
                    stream.write(header);
                    Files.copy(scratch, stream);
                });
            } finally {
                Files.deleteIfExists(scratch);
            }
        } catch (IOException e) {
            throw new NibbleException("tokens %s cannot be written: %s".formatted(path, IoReason.of(e)), e);
        }
    }

    private static long writeTokens(OutputStream stream, TextFiles sources, Vocabulary vocabulary, int tokenBytes)
            throws IOException {
        long count = 0;
        for (TextFiles.TextFile source : sources.files()) {
            long from = 0;
            while (from < source.bytes().byteSize()) {
                long to = endOfPiece(source.bytes(), from);
                int[] tokens = vocabulary.encode(decode(source, from, to));
                ByteBuffer bytes =
                        ByteBuffer.allocate(tokens.length * tokenBytes).order(ByteOrder.LITTLE_ENDIAN);
                for (int token : tokens) {
                    if (tokenBytes == Short.BYTES) {
                        bytes.putShort((short) token);
                    } else {
                        bytes.putInt(token);
                    }
                }
                stream.write(bytes.array());
                count += tokens.length;
                from = to;
            }
        }
        return count;
    }

    /** {@return where the tokenizer's next piece ends: behind the last line end of {@link #PIECE} bytes, or where a character begins} */
    private static long endOfPiece(MemorySegment bytes, long from) {
        long most = Math.min(bytes.byteSize(), from + PIECE);
        if (most == bytes.byteSize()) {
            return most;
        }
        for (long to = most; to > from; to--) {
            if (bytes.get(ValueLayout.JAVA_BYTE, to - 1) == '\n') {
                return to;
            }
        }
        long to = most;
        while (to > from + 1 && (bytes.get(ValueLayout.JAVA_BYTE, to) & 0xC0) == 0x80) {
            to--;
        }
        return to;
    }

    private static String decode(TextFiles.TextFile source, long from, long to) {
        CharsetDecoder decoder = StandardCharsets.UTF_8.newDecoder();
        ByteBuffer in = source.bytes().asSlice(from, to - from).asByteBuffer();
        CharBuffer out = CharBuffer.allocate(in.remaining()); // a character has at least one byte
        CoderResult result = decoder.decode(in, out, true);
        if (result.isError()) {
            long at = from + in.position();
            long line = 1;
            for (long i = 0; i < at; i++) {
                line += source.bytes().get(ValueLayout.JAVA_BYTE, i) == '\n' ? 1 : 0;
            }
            throw new FormatException(
                    "%s, line %d: byte %d is not UTF-8; save the file in UTF-8, or train without model.tokenizer"
                            .formatted(source.name(), line, at));
        }
        return out.flip().toString();
    }

    private FormatException damaged(String problem) {
        return new FormatException(
                "tokens %s are damaged: %s; delete the file, and it is made again".formatted(name, problem));
    }

    private void requireHeader() {
        long size = file.byteSize();
        if (size < HEADER) {
            throw damaged("there are %d bytes, but the header alone has %d".formatted(size, HEADER));
        }
        if (!Arrays.equals(file.asSlice(0, MAGIC.length).toArray(ValueLayout.JAVA_BYTE), MAGIC)) {
            throw damaged("they do not begin with NIBTOKEN");
        }
        if (file.get(U32, 8) != VERSION) {
            throw damaged("byte 8: the version is %s, but must be %d"
                    .formatted(Integer.toUnsignedString(file.get(U32, 8)), VERSION));
        }
        int width = file.get(U32, 12);
        if (width != Short.BYTES && width != Integer.BYTES) {
            throw damaged(
                    "byte 12: a token has %s bytes, but must have 2 or 4".formatted(Integer.toUnsignedString(width)));
        }
        long count = file.get(U64, 16);
        if ((size - HEADER) % width != 0 || (size - HEADER) / width != count) {
            throw damaged("byte 16: there are to be %s tokens of %d bytes, but %d bytes follow the header"
                    .formatted(Long.toUnsignedString(count), width, size - HEADER));
        }
        if (file.get(U64, 24) < 0) {
            throw damaged("byte 24: the text has %s bytes".formatted(Long.toUnsignedString(file.get(U64, 24))));
        }
        int most = file.get(U32, 32);
        if (most < 1 || most > (width == Short.BYTES ? SMALL_VOCABULARY : LARGEST_VOCABULARY)) {
            throw damaged("byte 32: the vocabulary is %s, which does not fit tokens of %d bytes"
                    .formatted(Integer.toUnsignedString(most), width));
        }
    }

    private void requireTokens() {
        for (long i = 0; i < length; i++) {
            int token = token(i);
            if (token < 0 || token >= vocabulary) {
                throw damaged("byte %d: token %d is %s, but the vocabulary is %d"
                        .formatted(HEADER + i * tokenBytes, i, Integer.toUnsignedString(token), vocabulary));
            }
        }
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String unit() {
        return "tokens";
    }

    @Override
    public int vocabulary() {
        return vocabulary;
    }

    @Override
    public long length() {
        return length;
    }

    @Override
    public double bytesPerToken() {
        return (double) file.get(U64, 24) / length;
    }

    @Override
    public Optional<Path> tokenizer() {
        return Optional.of(tokenizer);
    }

    @Override
    public String hash() {
        return hash;
    }

    @Override
    public int token(long index) {
        long at = HEADER + index * tokenBytes;
        return tokenBytes == Short.BYTES ? Short.toUnsignedInt(file.get(U16, at)) : file.get(U32, at);
    }
}
