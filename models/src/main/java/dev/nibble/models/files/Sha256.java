package dev.nibble.models.files;

import java.io.IOException;
import java.io.InputStream;
import java.nio.file.Files;
import java.nio.file.Path;
import java.security.MessageDigest;
import java.security.NoSuchAlgorithmException;
import java.util.HexFormat;

/** SHA-256 of files and of bytes, as lower-case hexadecimal digits: what {@code sha256sum} prints. */
public final class Sha256 {
    /** Digits of a hash. */
    public static final int DIGITS = 64;

    private static final int CHUNK = 1 << 18; // bytes read at once

    private Sha256() {}

    /** {@return a new digest} */
    public static MessageDigest digest() {
        try {
            return MessageDigest.getInstance("SHA-256");
        } catch (NoSuchAlgorithmException e) {
            throw new IllegalStateException("this Java has no SHA-256, which every Java must have", e);
        }
    }

    /** {@return the digits of a digest that has seen everything} */
    public static String hex(MessageDigest digest) {
        return HexFormat.of().formatHex(digest.digest());
    }

    /** {@return the hash of some bytes, one array after the other} */
    public static String of(byte[]... parts) {
        MessageDigest digest = digest();
        for (byte[] part : parts) {
            digest.update(part);
        }
        return hex(digest);
    }

    /**
     * {@return the hash of a file}
     *
     * @throws IOException if it cannot be read
     */
    public static String of(Path file) throws IOException {
        MessageDigest digest = digest();
        byte[] chunk = new byte[CHUNK];
        try (InputStream stream = Files.newInputStream(file)) {
            int read = stream.read(chunk);
            while (read >= 0) {
                digest.update(chunk, 0, read);
                read = stream.read(chunk);
            }
        }
        return hex(digest);
    }
}
