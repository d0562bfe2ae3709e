package dev.nibble.models.text;

import java.nio.charset.StandardCharsets;

/** Each byte of the UTF-8 form of a text is a token: byte b is token b + 3. Token 0 fills, 1 begins a text, 2 ends it. */
public final class ByteTokenizer implements TextTokenizer {
    /** Tokens that there are. */
    public static final int VOCABULARY = 259;

    private static final int BEGIN = 1;
    private static final int END = 2;
    private static final int FIRST_BYTE = 3;

    /** Makes the tokenizer. */
    public ByteTokenizer() {}

    @Override
    public int[] encode(String text, int most) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int kept = Math.min(bytes.length, most - 2);
        int[] tokens = new int[kept + 2]; // [kept bytes and two more]
        tokens[0] = BEGIN;
        for (int i = 0; i < kept; i++) {
            tokens[i + 1] = FIRST_BYTE + (bytes[i] & 0xFF);
        }
        tokens[kept + 1] = END;
        return tokens;
    }

    @Override
    public void close() {}
}
