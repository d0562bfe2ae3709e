package dev.nibble.models.data;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.io.InputStream;
import java.nio.file.AccessDeniedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;

/** A text as bytes, each a token of 0..255. The first nine tenths are for training, the rest for validation. */
public final class ByteText {
    /** Tokens that there are. */
    public static final int VOCABULARY = 256;

    private static final String BUNDLED = "moby-dick.txt";

    private final String name;
    private final byte[] bytes;
    private final int trainLength;

    private ByteText(String name, byte[] bytes) {
        this.name = name;
        this.bytes = bytes;
        this.trainLength = (int) (bytes.length * 9L / 10);
    }

    /** {@return a text with this name, for messages, and these bytes} */
    public static ByteText of(String name, byte[] bytes) {
        return new ByteText(name, bytes.clone());
    }

    /** {@return the text that is part of this module: Moby-Dick, by Herman Melville} */
    public static ByteText bundled() {
        try (InputStream in = ByteText.class.getResourceAsStream(BUNDLED)) {
            if (in == null) {
                throw new NibbleException("the bundled text " + BUNDLED
                        + " is missing from module dev.nibble.models; build it again or give data.path");
            }
            return new ByteText(BUNDLED, in.readAllBytes());
        } catch (IOException e) {
            throw new NibbleException("the bundled text " + BUNDLED + " cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * {@return a file as it is}
     *
     * @throws NibbleException if it is missing, not a file, or cannot be read
     */
    public static ByteText read(Path path) {
        if (Files.isDirectory(path)) {
            throw new NibbleException("text " + path + " is a folder, but must be a file");
        }
        try {
            return new ByteText(path.toString(), Files.readAllBytes(path));
        } catch (NoSuchFileException e) {
            throw new NibbleException("text " + path + " does not exist; check data.path", e);
        } catch (AccessDeniedException e) {
            throw new NibbleException("text " + path + " may not be read by this user", e);
        } catch (IOException e) {
            throw new NibbleException("text " + path + " cannot be read: " + e.getMessage(), e);
        }
    }

    /**
     * Checks that both parts hold at least one window.
     *
     * @param window bytes of a window: one more than a sequence
     * @throws NibbleException if the text is too short
     */
    public ByteText requireWindows(int window) {
        if (validationLength() < window || trainLength < window) {
            throw new NibbleException(
                    "text %s has %d bytes, but needs at least %d: a tenth is held out, and must hold a"
                                    .formatted(name, bytes.length, 10L * window)
                            + " sequence of " + (window - 1) + " and the byte after it; lower data.sequence");
        }
        return this;
    }

    /** {@return name of the file, for messages} */
    public String name() {
        return name;
    }

    /** {@return bytes to train on: the first ones} */
    public int trainLength() {
        return trainLength;
    }

    /** {@return bytes held out: those after the training bytes} */
    public int validationLength() {
        return bytes.length - trainLength;
    }

    /** {@return SHA-256 of all bytes} */
    public String hash() {
        return Sha256.of(bytes);
    }

    /** {@return the byte at an index, as a number of 0..255} */
    int token(int index) {
        return bytes[index] & 0xFF;
    }
}
