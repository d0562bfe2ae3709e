package dev.nibble.models.data;

import java.nio.charset.StandardCharsets;
import java.util.List;

/** Each byte of the UTF-8 form of a text is a token. */
public final class ByteVocabulary implements Vocabulary {
    /** Makes the vocabulary. */
    public ByteVocabulary() {}

    @Override
    public int size() {
        return ByteText.VOCABULARY;
    }

    @Override
    public int[] encode(String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        int[] tokens = new int[bytes.length]; // [bytes]
        for (int i = 0; i < tokens.length; i++) {
            tokens[i] = bytes[i] & 0xFF;
        }
        return tokens;
    }

    @Override
    public String decode(List<Integer> tokens) {
        byte[] bytes = new byte[tokens.size()]; // [tokens]
        for (int i = 0; i < bytes.length; i++) {
            bytes[i] = tokens.get(i).byteValue();
        }
        return new String(bytes, StandardCharsets.UTF_8);
    }

    @Override
    public void close() {}
}
