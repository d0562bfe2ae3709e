package dev.nibble.models.text;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import java.io.IOException;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import java.util.Locale;

/** A whole file in UTF-8. */
final class TextFile {
    private static final char BYTE_ORDER_MARK = '\uFEFF';

    private TextFile() {}

    /**
     * {@return the ending of a name, in lower case; empty if it is none of these}
     *
     * @param endings in lower case, with their dots
     */
    static String ending(String name, List<String> endings) {
        String lower = name.toLowerCase(Locale.ROOT);
        return endings.stream().filter(lower::endsWith).findFirst().orElse("");
    }

    /**
     * {@return the bytes of a file}
     *
     * @throws NibbleException if it cannot be read
     */
    static byte[] read(Path file) {
        if (Files.isDirectory(file)) {
            throw new NibbleException(file + " is a folder, but must be a file");
        }
        try {
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        } catch (OutOfMemoryError e) {
            throw new NibbleException("%s is too large for the memory of this process".formatted(file), e);
        }
    }

    /**
     * {@return the text of a file, without a byte order mark}
     *
     * @param name of the file, for the message
     * @throws FormatException naming the line that is not UTF-8
     */
    static String decode(String name, byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        CharBuffer out = CharBuffer.allocate(bytes.length); // a character has at least one byte
        CoderResult result = StandardCharsets.UTF_8.newDecoder().decode(in, out, true);
        if (result.isError()) {
            long line = 1;
            for (int i = 0; i < in.position(); i++) {
                line += bytes[i] == '\n' ? 1 : 0;
            }
            throw new FormatException(
                    "%s, line %d: byte %d is not UTF-8; save the file in UTF-8".formatted(name, line, in.position()));
        }
        String text = out.flip().toString();
        return !text.isEmpty() && text.charAt(0) == BYTE_ORDER_MARK ? text.substring(1) : text;
    }
}
