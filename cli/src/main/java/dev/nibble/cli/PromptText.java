package dev.nibble.cli;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import java.io.IOException;
import java.io.InputStream;
import java.nio.ByteBuffer;
import java.nio.CharBuffer;
import java.nio.charset.CoderResult;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;

/** A prompt that is not on the command line. */
final class PromptText {
    private static final int MOST = 1 << 24; // bytes; no window is that long

    private PromptText() {}

    /**
     * {@return the text of a file, or of standard input, to the last line end}
     *
     * @param source path of the file; {@code -} for standard input
     * @throws NibbleException if it cannot be read, or is too long
     * @throws FormatException if it is not UTF-8
     */
    static String read(String source) {
        String name = source.equals("-") ? "standard input" : source;
        try (InputStream stream = source.equals("-") ? System.in : Files.newInputStream(Path.of(source))) {
            byte[] bytes = stream.readNBytes(MOST + 1);
            if (bytes.length > MOST) {
                throw new NibbleException(
                        "%s has more than %d bytes, but must be a prompt, which the model sees at once"
                                .formatted(name, MOST));
            }
            return decode(name, bytes);
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(name, IoReason.of(e)), e);
        }
    }

    private static String decode(String name, byte[] bytes) {
        ByteBuffer in = ByteBuffer.wrap(bytes);
        CharBuffer out = CharBuffer.allocate(bytes.length); // a character has at least one byte
        CoderResult result = StandardCharsets.UTF_8.newDecoder().decode(in, out, true);
        if (result.isError()) {
            throw new FormatException("%s: byte %d is not UTF-8, but a prompt must be".formatted(name, in.position()));
        }
        return out.flip().toString();
    }
}
