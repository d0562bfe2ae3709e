package dev.nibble.models.text;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.HostileFile;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class TaggedFileTests {
    private static final String CONLL = "-DOCSTART- -X- O O\n\nU.N. NNP I-NP B-ORG\nofficial NN I-NP O\n\n\n"
            + "Ekeus NNP I-NP B-PER\r\nheads VBZ I-VP O\r\n\r\n-DOCSTART- -X- -X- O\nPeter NNP I-NP B-PER";
    private static final String LINES =
            "{\"tokens\":[\"U.N.\",\"official\"],\"tags\":[\"B-ORG\",\"O\"]}\n\n{\"id\":1,\"tags\":[\"O\"],\"tokens\":[\"a b\"]}";

    private static List<List<TaggedWord>> parse(String name, String content, TaggedFile.Layout layout) {
        return TaggedFile.parse(name, content.getBytes(StandardCharsets.UTF_8), layout);
    }

    private static List<List<TaggedWord>> parse(String name, String content) {
        return parse(name, content, TaggedFile.Layout.USUAL);
    }

    private static String refusal(String name, String content) {
        return assertThrows(FormatException.class, () -> parse(name, content)).getMessage();
    }

    @Test
    void emptyLinesAndDocumentsEndSentences() {
        assertEquals(
                List.of(
                        List.of(new TaggedWord("U.N.", "B-ORG", 3), new TaggedWord("official", "O", 4)),
                        List.of(new TaggedWord("Ekeus", "B-PER", 7), new TaggedWord("heads", "O", 8)),
                        List.of(new TaggedWord("Peter", "B-PER", 11))),
                parse("d.conll", CONLL));
        assertEquals(
                "NN",
                parse("d.conll", CONLL, new TaggedFile.Layout(1, 2, "", ""))
                        .getFirst()
                        .get(1)
                        .tag());
        assertEquals(
                List.of(List.of(new TaggedWord("New York", "B-LOC", 1), new TaggedWord("#", "O", 2))),
                parse("d.tsv", "1\tB-LOC\tNew York\n2\tO\t#\n", new TaggedFile.Layout(3, 2, "", "")));
    }

    @Test
    void jsonLinesHaveTwoLists() {
        assertEquals(
                List.of(
                        List.of(new TaggedWord("U.N.", "B-ORG", 1), new TaggedWord("official", "O", 1)),
                        List.of(new TaggedWord("a b", "O", 3))),
                parse("d.jsonl", LINES));
    }

    @Test
    void messagesNameFileAndLine() {
        assertTrue(
                refusal("d.conll", "a O\nb\n").startsWith("d.conll, line 2 has 1 columns, but the first word has 2"));
        assertTrue(refusal("d.conll", "\na\nb\n").startsWith("d.conll, line 2 has 1 columns, but needs at least 2"));
        assertTrue(refusal("d.conll", "a\tO\n\tO\n").startsWith("d.conll, line 2 has an empty word"));
        assertTrue(refusal("d.conll", "a\t \n").startsWith("d.conll, line 1 has an empty tag"));
        assertEquals("d.conll holds no sentences", refusal("d.conll", "-DOCSTART- -X- O O\n\n"));
        assertTrue(refusal("d.jsonl", LINES + "\n{\"tokens\":[\"a\"],\"tag\":[]}")
                .startsWith("d.jsonl, line 4: no field is named 'tags'; known: tokens, tag"));
        assertTrue(refusal("d.jsonl", "{\"tokens\":[\"a\"],\"tags\":[]}").contains("line 1 has 1 words and 0 tags"));
        assertTrue(refusal("d.jsonl", "{\"tokens\":[\"a\"],\"tags\":[3]}")
                .contains("line 1, field tags is no list of texts"));
        assertTrue(
                refusal("d.jsonl", "{\"tokens\":\"a\",\"tags\":[\"O\"]}").contains("field tokens is no list of texts"));
        assertTrue(assertThrows(IllegalArgumentException.class, () -> TaggedFile.requireKnown(Path.of("d.csv")))
                .getMessage()
                .contains(".conll"));
    }

    @Test
    void oneSentenceOfFiveIsHeldOutAndUnknownTagsAreRefused(@TempDir Path folder) throws IOException {
        StringBuilder text = new StringBuilder();
        for (int i = 0; i < 11; i++) {
            text.append("w").append(i).append(i % 2 == 0 ? " O\n\n" : " B-X\n\n");
        }
        Path file = Files.writeString(folder.resolve("d.conll"), text);
        TagData data = TagData.read(file, Optional.empty(), TaggedFile.Layout.USUAL);
        assertEquals(List.of("B-X", "O"), data.tags());
        List<String> heldOut = new ArrayList<>();
        data.test().forEach(sentence -> heldOut.add(sentence.getFirst().word()));
        assertEquals(List.of("w4", "w9"), heldOut);
        Path other = Files.writeString(folder.resolve("v.conll"), "a O\nb B-Y\n");
        assertTrue(assertThrows(
                        FormatException.class, () -> TagData.read(file, Optional.of(other), TaggedFile.Layout.USUAL))
                .getMessage()
                .contains("v.conll, line 2: no tag is named 'B-Y' in"));
    }

    private static int refusals(Path folder, String name, int times) throws IOException {
        boolean json = name.endsWith(".jsonl");
        byte[] good = (json ? LINES : CONLL).getBytes(StandardCharsets.UTF_8);
        List<String> words =
                json ? HostileFile.JSON : List.of("\n\n", "\t", " ", "-DOCSTART-", "\r", "B-", "\u00a0", "\u2028");
        return new HostileFile(
                        folder.resolve(name), good, words, path -> TaggedFile.read(path, TaggedFile.Layout.USUAL))
                .refusals(times, 5);
    }

    @ParameterizedTest
    @ValueSource(strings = {"d.conll", "d.jsonl"})
    void damagedFilesAreReadOrRefused(String name, @TempDir Path folder) throws IOException {
        assertTrue(refusals(folder, name, 1000) > 100);
    }

    @ParameterizedTest
    @ValueSource(strings = {"d.conll", "d.jsonl"})
    @Tag("slow")
    void manyDamagedFilesAreReadOrRefused(String name, @TempDir Path folder) throws IOException {
        assertTrue(refusals(folder, name, 100_000) > 10_000);
    }
}
