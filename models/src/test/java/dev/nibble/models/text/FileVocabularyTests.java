package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class FileVocabularyTests {
    @TempDir
    Path folder;

    @Test
    void textsBecomeTokensAndTextsAgain() throws IOException {
        try (FileVocabulary vocabulary = FileVocabulary.open(ByteLevelTokenizer.write(folder))) {
            assertEquals(ByteLevelTokenizer.SIZE, vocabulary.size());
            // " the" is merged in three steps; nothing is added before or after
            assertArrayEquals(new int[] {'i', 's', 258, 'n'}, vocabulary.encode("is then"));
            assertArrayEquals(new int[0], vocabulary.encode(""));
            for (String text : new String[] {"is then", " a\n\nthé 鯨 🐋", "\u0000\t\r\n"}) {
                assertEquals(
                        text,
                        vocabulary.decode(
                                Arrays.stream(vocabulary.encode(text)).boxed().toList()));
            }
            int[] whale = vocabulary.encode("鯨");
            assertEquals("鯨".getBytes(StandardCharsets.UTF_8).length, whale.length);
            assertEquals("\uFFFD", vocabulary.decode(Arrays.asList(whale[0])));
        }
    }

    @Test
    void anAddedTokenOfAKnownNameEndsATextAndNothingElseDoes() throws IOException {
        Path file = ByteLevelTokenizer.write(folder);
        try (FileVocabulary vocabulary = FileVocabulary.open(file)) {
            assertEquals(OptionalInt.of(ByteLevelTokenizer.SIZE - 1), vocabulary.endOfText());
        }
        Files.writeString(file, Files.readString(file).replace("<|endoftext|>", "<|padding|>"));
        try (FileVocabulary vocabulary = FileVocabulary.open(file)) {
            assertEquals(OptionalInt.empty(), vocabulary.endOfText());
        }
    }

    @Test
    void longTextsAreNotCut() throws IOException {
        try (FileVocabulary vocabulary = FileVocabulary.open(ByteLevelTokenizer.write(folder))) {
            assertEquals(100_000, vocabulary.encode("x".repeat(100_000)).length);
        }
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "{\"model\":{\"vocab\":{\"a\":3,\"b\":7}}}; 8",
                "{\"model\":{\"vocab\":[[\"a\",-1.5],[\"b\",-2],[\"c\",-3]]}}; 3",
                "{\"added_tokens\":[{\"id\":9,\"x\":{\"id\":4}}],\"model\":{\"x\":[{}],\"vocab\":{\"a\":0}}}; 10",
                "{\"truncation\":null,\"model\":{\"vocab\":{\"a\":1048575}}}; 1048576"
            })
    void largestNumberSaysHowManyThereAre(String json, int size) throws IOException {
        assertEquals(size, FileVocabulary.size(Files.writeString(folder.resolve("t.json"), json)));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = ';',
            value = {
                "[1]; it is no JSON object",
                "{\"model\":{}}; it has no tokens in model.vocab",
                "{\"model\":3}; it has no tokens in model.vocab",
                "{\"model\":{\"vocab\":{\"a\":1048576}}}; it has token 1048576, but at most 1048576 tokens fit",
                "{\"model\":{\"vocab\":{\"a\":-1}}}; but at most 1048576 tokens fit",
                "{\"model\":{\"vocab\":{\"a\":99999999999999999999}}}; damaged JSON, line 1, column",
                "{\"model\":{\"vocab\":{\"a\":1; damaged JSON, line 1, column",
                "{\"added_tokens\":[{\"id\":1; damaged JSON, line 1, column"
            })
    void damagedFilesAreNamedWithWhatIsWrong(String json, String problem) throws IOException {
        Path file = Files.writeString(folder.resolve("t.json"), json);
        FormatException e = assertThrows(FormatException.class, () -> FileVocabulary.size(file));
        assertTrue(e.getMessage().startsWith(file + " describes no tokenizer: "), e.getMessage());
        assertTrue(e.getMessage().contains(problem), e.getMessage());
    }

    @Test
    void deepNestingIsRefused() throws IOException {
        Path file = Files.writeString(folder.resolve("t.json"), "{\"x\":" + "[".repeat(100_000));
        assertThrows(FormatException.class, () -> FileVocabulary.size(file));
    }

    @Test
    void missingFileIsNamed() {
        Path missing = folder.resolve("none.json");
        NibbleException e = assertThrows(NibbleException.class, () -> FileVocabulary.open(missing));
        assertTrue(e.getMessage().startsWith(missing + " does not exist"), e.getMessage());
    }
}
