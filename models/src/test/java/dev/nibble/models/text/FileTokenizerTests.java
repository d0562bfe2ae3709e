package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.MethodSource;

class FileTokenizerTests {
    private static final int MOST = 16; // tokens

    private static final String GOOD = """
            {"version": "1.0", "truncation": null, "padding": null,
             "added_tokens": [{"id": 0, "content": "[CLS]", "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": false, "special": true}],
             "normalizer": {"type": "Lowercase"},
             "pre_tokenizer": {"type": "Whitespace"},
             "post_processor": {"type": "TemplateProcessing",
               "single": [{"SpecialToken": {"id": "[CLS]", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
               "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
               "special_tokens": {"[CLS]": {"id": "[CLS]", "ids": [0], "tokens": ["[CLS]"]}}},
             "decoder": null,
             "model": {"type": "WordPiece", "unk_token": "[UNK]", "continuing_subword_prefix": "##",
               "max_input_chars_per_word": 100, "vocab": {"[CLS]": 0, "[UNK]": 1, "a": 2, "bc": 3, "##d": 4}}}
            """;

    private static final String PAIRS = """
            {"version": "1.0",
             "truncation": {"direction": "Right", "max_length": 5, "strategy": "LongestFirst", "stride": 1},
             "padding": null,
             "added_tokens": [{"id": 5, "content": "<s>", "single_word": false, "lstrip": false, "rstrip": false,
               "normalized": true, "special": true}],
             "normalizer": null,
             "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true},
             "post_processor": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": false, "use_regex": true},
             "decoder": {"type": "ByteLevel", "add_prefix_space": true, "trim_offsets": true, "use_regex": true},
             "model": {"type": "BPE", "dropout": null, "unk_token": null, "continuing_subword_prefix": "",
               "end_of_word_suffix": "", "fuse_unk": false,
               "vocab": {"!": 0, "a": 1, "b": 2, "ab": 3, "abb": 4, "<s>": 5}, "merges": ["a b", "ab b"]}}
            """;

    /** A chain of all that a normalizer may be, and tokens that look for spaces. */
    private static final String CHAIN = """
            {"version": "1.0", "truncation": {"direction": "Left", "max_length": 5, "strategy": "OnlyFirst", "stride": 4},
             "added_tokens": [{"id": 4, "content": "<s>", "single_word": true, "lstrip": true, "rstrip": true,
               "normalized": true, "special": true}],
             "normalizer": {"type": "Sequence", "normalizers": [
               {"type": "Precompiled", "precompiled_charsmap": "MAP"}, {"type": "NFD"}, {"type": "StripAccents"},
               {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": " "},
               {"type": "Replace", "pattern": {"String": "."}, "content": ""},
               {"type": "Strip", "strip_left": true, "strip_right": true}, {"type": "Prepend", "prepend": "_"},
               {"type": "BertNormalizer", "clean_text": true, "handle_chinese_chars": true, "lowercase": true}]},
             "pre_tokenizer": {"type": "Sequence", "pretokenizers": [{"type": "Metaspace", "replacement": "_",
               "prepend_scheme": "first", "split": true}, {"type": "FixedLength", "length": 3}]},
             "decoder": {"type": "Sequence", "decoders": [{"type": "Fuse"},
               {"type": "Strip", "content": " ", "start": 1, "stop": 0}]},
             "model": {"type": "Unigram", "unk_id": 0, "byte_fallback": false,
               "vocab": [["<unk>", 0.0], ["_", -1.0], ["e", -2.0], ["_b", -2.5]]}}
            """.replace("MAP", CharacterMapTests.whole());

    @TempDir
    private Path folder;

    private static void use(Path file) {
        try (FileTokenizer tokenizer = FileTokenizer.open(file, MOST)) {
            tokenizer.encode("a bcd A, e abb", MOST);
        }
    }

    private int refusals(String good, int times, long seed) throws IOException {
        List<String> words = new ArrayList<>(HostileFile.JSON);
        words.addAll(List.of("\"BPE\"", "\"ByteLevel\"", "\"Unigram\"", "\"vocab\": {}", "[^]", "4294967296"));
        byte[] bytes = good.getBytes(StandardCharsets.UTF_8);
        return new HostileFile(folder.resolve("tokenizer.json"), bytes, words, FileTokenizerTests::use)
                .refusals(times, seed);
    }

    private static List<String> wholeFiles() {
        return List.of(GOOD, PAIRS, CHAIN);
    }

    private void assertRefused(String good, String right, String wrong, String problem) throws IOException {
        assertTrue(good.contains(right), right);
        Path file = Files.writeString(folder.resolve("tokenizer.json"), good.replace(right, wrong));
        String message = assertThrows(FormatException.class, () -> FileTokenizer.open(file, MOST))
                .getMessage();
        assertTrue(message.startsWith(file + ": ") && message.contains(problem), message);
    }

    @Test
    void textsBecomeTokens() throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), GOOD);
        try (FileTokenizer tokenizer = FileTokenizer.open(file, MOST)) {
            assertArrayEquals(
                    new int[] {0, 2, 3, 4, 1}, tokenizer.encode("A bcd x", MOST).tokens());
        }
    }

    /** A is e with an accent, which goes; the spaces are one, and the dot goes; what is longer than three is cut. */
    @Test
    void chainsOfNormalizersAreRun() throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), CHAIN);
        try (FileTokenizer tokenizer = FileTokenizer.open(file, MOST)) {
            assertArrayEquals(
                    new int[] {1, 2, 3}, tokenizer.encode(" A  b.", MOST).tokens());
        }
    }

    /** Each would end the process, some only when a text is met that has what they look for. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "`\"precompiled_charsmap\": \"` | `\"precompiled_charsmap\": \"AAAAAA\", \"x\": \"` | 'precompiled_charsmap' is no Base64",
                "` {2,}` | `a*` | 'pattern' finds the empty text",
                "` {2,}` | `(?=b)` | 'pattern' finds the empty text",
                "`\"String\": \".\"` | `\"String\": \"\"` | 'pattern' finds the empty text",
                "`\"length\": 3` | `\"length\": 0` | 'length' is 0",
                "`\"stop\": 0` | `\"stop\": 1` | 'stop' is 1, but must be 0",
                "`\"content\": \"<s>\"` | `\"content\": \" \\u0301\"` | is normalized, and nothing may be left of it",
                "`\"content\": \"<s>\"` | `\"content\": \"..\"` | is normalized, and nothing may be left of it",
                "`\"content\": \"<s>\"` | `\"content\": \" x\"` | and one that begins with a space"
            })
    void stepsThatFailInTheLibraryAreRefused(String right, String wrong, String problem) throws IOException {
        assertRefused(CHAIN, right, wrong, problem);
    }

    @ParameterizedTest(name = "{index}")
    @MethodSource("wholeFiles")
    void damagedFilesAreReadOrRefused(String good) throws IOException {
        int refused = refusals(good, 1_000, 1);
        assertTrue(refused > 500, refused + " of 1000 were refused");
    }

    @ParameterizedTest(name = "{index}")
    @MethodSource("wholeFiles")
    @Tag("slow")
    void damagedFilesAreReadOrRefusedAHundredThousandTimes(String good) throws IOException {
        int refused = refusals(good, 100_000, 2);
        assertTrue(refused > 50_000, refused + " of 100000 were refused");
    }

    /** Each would end the process if the library saw it. */
    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            quoteCharacter = '`',
            value = {
                "`\"special_tokens\": {\"[CLS]\"` | `\"special_tokens\": {\"[CLT]\"` | is token '[CLS]', but 'special_tokens' has",
                "`{\"Sequence\": {\"id\": \"A\"` | `{\"Sequence\": {\"id\": \"B\"` | is sequence 'B', but must be 'A'",
                "`\"ids\": [0]` | `\"ids\": [0, 1]` | '[CLS]' has 2 ids, but 1 tokens"
            })
    void contradictionsAreRefused(String right, String wrong, String problem) throws IOException {
        assertRefused(GOOD, right, wrong, problem);
    }

    @Test
    void mergeWithoutThePrefixIsRefused() throws IOException {
        String wrong = PAIRS.replace("\"continuing_subword_prefix\": \"\"", "\"continuing_subword_prefix\": \"##\"");
        Path file = Files.writeString(folder.resolve("tokenizer.json"), wrong);
        assertEquals(
                file + ": 'model': merge 0 ends with 'b', which does not begin with the prefix '##'",
                assertThrows(FormatException.class, () -> FileTokenizer.open(file, MOST))
                        .getMessage());
    }

    @Test
    void whatIsWrongIsSaidWithItsPlace() throws IOException {
        Path file = Files.writeString(folder.resolve("tokenizer.json"), GOOD.replace("\"version\":", "\"version\""));
        String message = assertThrows(FormatException.class, () -> FileTokenizer.open(file, MOST))
                .getMessage();
        assertTrue(message.startsWith(file + " "), message);
        assertTrue(message.contains("at character 11"), message);
        Path missing = folder.resolve("none.json");
        assertEquals(
                missing + " does not exist, but must be the tokenizer.json of the weights",
                assertThrows(NibbleException.class, () -> FileTokenizer.open(missing, MOST))
                        .getMessage());
    }
}
