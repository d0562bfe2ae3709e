package dev.nibble.models.text;

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
import java.util.Optional;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class LabelledFileTests {
    private static List<LabelledText> parse(String name, String content) {
        return LabelledFile.parse(name, content.getBytes(StandardCharsets.UTF_8), "text", "label");
    }

    private static String refusal(String name, String content) {
        return assertThrows(FormatException.class, () -> parse(name, content)).getMessage();
    }

    @Test
    void csvHasQuotesNewlinesAndOtherColumns() {
        assertEquals(
                List.of(
                        new LabelledText("He said \"no\", twice", "a", 2),
                        new LabelledText("two\nlines", "b", 3),
                        new LabelledText("caf\u00e9", "a", 6)),
                parse(
                        "d.csv",
                        "\uFEFFid,label,text\n1,a,\"He said \"\"no\"\", twice\"\n2,b,\"two\nlines\"\n\n3,a,caf\u00e9\r\n"));
    }

    @Test
    void tsvHasNoQuotes() {
        assertEquals(
                List.of(new LabelledText("\"open, closed", "x y", 2)),
                parse("d.tsv", "label\ttext\nx y\t\"open, closed\n"));
    }

    @Test
    void jsonLinesHaveFieldsInAnyOrder() {
        assertEquals(
                List.of(new LabelledText("a\tb", "1", 1), new LabelledText("c", "true", 3)),
                parse("d.jsonl", "{\"text\":\"a\\tb\",\"label\":1}\n\n{\"more\":[{}],\"label\":true,\"text\":\"c\"}"));
    }

    @Test
    void messagesNameFileLineAndColumn() {
        assertTrue(refusal("d.csv", "txt,label\na,b\n").startsWith("d.csv, line 1: no column is named 'text'"));
        assertTrue(refusal("d.csv", "text,label\na,b\nc\n").contains("d.csv, line 3 has 1 columns"));
        assertTrue(refusal("d.csv", "text,label\na,b\nc,\n").contains("d.csv, line 3, column label is empty"));
        assertTrue(refusal("d.csv", "text,label\na,b\n\"open,c\n").contains("d.csv, line "));
        assertTrue(refusal("d.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":2}")
                .contains("d.jsonl, line 2: no field is named 'label'"));
        assertTrue(
                refusal("d.jsonl", "{\"text\":\"a\",\"label\":1}\n{\"text\":").contains("d.jsonl, line 2"));
        assertTrue(refusal("d.jsonl", "{\"text\":[],\"label\":1}").contains("field text is no text"));
        assertTrue(refusal("d.csv", "text,label\n").contains("d.csv holds no texts"));
        assertTrue(refusal("d.csv", "").contains("d.csv holds no texts"));
        byte[] latin = "text,label\nok,a\ncaf\u00e9,b\n".getBytes(StandardCharsets.ISO_8859_1);
        assertTrue(assertThrows(FormatException.class, () -> LabelledFile.parse("d.csv", latin, "text", "label"))
                .getMessage()
                .contains("d.csv, line 3: byte 19 is not UTF-8"));
    }

    @ParameterizedTest
    @ValueSource(strings = {"d.txt", "d", "d.csv.gz"})
    void unknownEndingsAreRefusedBeforeAnythingIsRead(String name) {
        assertTrue(assertThrows(IllegalArgumentException.class, () -> LabelledFile.read(Path.of(name), "text", "label"))
                .getMessage()
                .contains(".jsonl"));
    }

    @Test
    void oneTextOfFiveIsHeldOutAndLabelsAreSorted(@TempDir Path folder) throws IOException {
        Path file = folder.resolve("d.csv");
        StringBuilder csv = new StringBuilder("text,label\n");
        for (int i = 0; i < 11; i++) {
            csv.append("t").append(i).append(i % 2 == 0 ? ",zebra\n" : ",ant\n");
        }
        Files.writeString(file, csv);
        TextData data = TextData.read(file, Optional.empty(), "text", "label");
        assertEquals(List.of("ant", "zebra"), data.classes());
        assertEquals(
                List.of("t4", "t9"),
                data.test().stream().map(LabelledText::text).toList());
        assertEquals(9, data.train().size());
        Path other = Files.writeString(folder.resolve("v.csv"), "text,label\na,ant\nb,bee\n");
        assertTrue(assertThrows(FormatException.class, () -> TextData.read(file, Optional.of(other), "text", "label"))
                .getMessage()
                .contains("v.csv, line 3, column label is 'bee'"));
        assertThrows(NibbleException.class, () -> LabelledFile.read(folder.resolve("no.csv"), "text", "label"));
    }

    @Test
    void theBundledMailsAreBalanced() {
        TextData data = TextData.bundled();
        assertEquals(List.of("ham", "spam"), data.classes());
        long spam = data.test().stream().filter(t -> t.label().equals("spam")).count();
        assertEquals(256, data.test().size());
        assertTrue(spam > 100 && spam < 156, spam + " of 256 texts to test with are spam");
    }

    private static int refusals(Path folder, String name, int times) throws IOException {
        String content = switch (name) {
            case "d.jsonl" -> "{\"text\":\"a b\",\"label\":1}\n{\"text\":\"c\",\"label\":\"x\"}\n";
            case "d.tsv" -> "text\tlabel\na, \"b\tx\nc\ty\n";
            default -> "text,label\n\"a, b\",x\nc,y\n";
        };
        byte[] good = content.getBytes(StandardCharsets.UTF_8);
        List<String> words = new ArrayList<>(HostileFile.JSON);
        words.addAll(List.of("\"\"\"", "\t\t", "\r", "\n\n", ",,,", "\"text\":\"b\","));
        return new HostileFile(folder.resolve(name), good, words, file -> LabelledFile.read(file, "text", "label"))
                .refusals(times, 2);
    }

    @ParameterizedTest
    @ValueSource(strings = {"d.csv", "d.tsv", "d.jsonl"})
    void damagedFilesAreReadOrRefused(String name, @TempDir Path folder) throws IOException {
        int refused = refusals(folder, name, 1_000);
        assertTrue(refused > 300, refused + " of 1000 were refused");
    }

    @ParameterizedTest
    @ValueSource(strings = {"d.csv", "d.tsv", "d.jsonl"})
    @Tag("slow")
    void damagedFilesAreReadOrRefusedAHundredThousandTimes(String name, @TempDir Path folder) throws IOException {
        int refused = refusals(folder, name, 100_000);
        assertTrue(refused > 30_000, refused + " of 100000 were refused");
    }
}
