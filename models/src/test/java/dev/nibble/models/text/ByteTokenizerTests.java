package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class ByteTokenizerTests {
    private static final List<String> TEXTS = List.of(
            "",
            "a",
            "two  words\tand a\nline",
            "caf\u00e9 \u6771\u4eac \uD83D\uDE00",
            "\u0001\u007f\u00a0\u00ad\u0100",
            "a text that is cut because it is longer");

    private static void assertSame(Pieces expected, Pieces actual) {
        assertArrayEquals(expected.tokens(), actual.tokens());
        assertEquals(expected.cut(), actual.cut());
    }

    @Test
    void itsFileMakesTheSameTokensOfTexts(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), ByteTokenizer.json(false));
        try (ByteTokenizer own = new ByteTokenizer();
                FileTokenizer read = FileTokenizer.open(file, 24)) {
            for (String text : TEXTS) {
                assertSame(own.encode(text, 24), read.encode(text, 24));
            }
        }
    }

    @Test
    void itsFileMakesTheSameTokensOfWords(@TempDir Path folder) throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), ByteTokenizer.json(true));
        try (ByteTokenizer own = new ByteTokenizer();
                FileTokenizer read = FileTokenizer.open(file, 24)) {
            for (List<String> words : List.of(List.of("a"), TEXTS.subList(1, 5), List.of("ab", "c", " d", "\u00e9"))) {
                Pieces expected = own.encode(words, 24);
                Pieces actual = read.encode(words, 24);
                assertSame(expected, actual);
                assertArrayEquals(expected.words(), actual.words());
            }
        }
    }
}
