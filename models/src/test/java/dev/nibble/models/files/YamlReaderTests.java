package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertInstanceOf;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.Tag;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.Arguments;
import org.junit.jupiter.params.provider.MethodSource;
import org.junit.jupiter.params.provider.ValueSource;

class YamlReaderTests {
    @TempDir
    Path folder;

    private static YamlNode.Mapping parse(String text) {
        List<YamlProblem> problems = new ArrayList<>();
        Optional<YamlNode.Mapping> mapping = YamlReader.parse(text, problems);
        assertEquals(List.of(), problems);
        return mapping.orElseThrow();
    }

    private static List<YamlProblem> problems(String text) {
        List<YamlProblem> problems = new ArrayList<>();
        YamlReader.parse(text, problems);
        return problems;
    }

    @Test
    void sectionsListsAndScalarsKeepTheirLinesAndOrder() {
        YamlNode.Mapping root = parse("b: 1\n# comment\na:\n  - x\n  - 'y'\nc: {d: true}\n");
        assertEquals(List.of("b", "a", "c"), List.copyOf(root.entries().keySet()));
        assertEquals(3, root.entries().get("a").line());
        YamlNode.Sequence list = (YamlNode.Sequence) root.entries().get("a").value();
        assertEquals(List.of(new YamlNode.Scalar(4, "x", true), new YamlNode.Scalar(5, "y", false)), list.items());
        YamlNode.Mapping inner =
                assertInstanceOf(YamlNode.Mapping.class, root.entries().get("c").value());
        assertEquals(
                new YamlNode.Scalar(6, "true", true), inner.entries().get("d").value());
    }

    static Stream<Arguments> hostile() {
        return Stream.of(
                Arguments.of(1, "is empty", ""),
                Arguments.of(1, "is empty", "# nothing\n"),
                Arguments.of(1, "is a list, but must be a section", "- a\n- b\n"),
                Arguments.of(1, "is 'text', but must be a section", "text"),
                Arguments.of(2, "has the anchor &x, but anchors are not supported", "a: 1\nb: &x [1]\n"),
                Arguments.of(3, "has the alias *x, but aliases are not supported", "a: 1\nb: 2\nc: *x\n"),
                Arguments.of(1, "a text that begins with * or & must stand in quotes", "*.mlp: fp8\n"),
                Arguments.of(2, "has the tag tag:yaml.org,2002:java.net.URL", "a: 1\nb: !!java.net.URL ['http://x']\n"),
                Arguments.of(1, "has the tag tag:yaml.org,2002:int", "a: !!int 3\n"),
                Arguments.of(3, "has 'a' again, which line 1 has already", "a: 1\nb: 2\na: 3\n"),
                Arguments.of(2, "has a list for a name", "a: 1\n? [b]\n: 2\n"),
                Arguments.of(3, "begins a second document", "a: 1\n\n---\nb: 2\n"),
                Arguments.of(2, "is no YAML", "a: 1\n\tb: 2\n"),
                Arguments.of(2, "is no YAML", "a: [1\n"),
                Arguments.of(2, "is no YAML", "a: \"1\n"),
                Arguments.of(2, "is no YAML", "a: 1\n b: 2\n"),
                Arguments.of(2, "U+0000", "a: 1\nb: \u0000\n"),
                Arguments.of(2, "has a text of 5000 characters", "a: 1\nb: " + "x".repeat(5000)),
                Arguments.of(1, "is nested more than 8 levels deep", "a: " + "[".repeat(500_000)),
                Arguments.of(1, "is nested more than 8 levels deep", "{a: ".repeat(100_000)));
    }

    @ParameterizedTest
    @MethodSource("hostile")
    void whatIsDangerousOrWrongIsToldWithItsLine(int line, String message, String text) {
        List<YamlProblem> found = problems(text);
        assertTrue(found.stream().anyMatch(p -> p.line() == line && p.message().contains(message)), found.toString());
    }

    /** Nine lists of nine references each would be 387 million values. */
    @Test
    void aliasesThatMultiplyAreRefusedOneByOne() {
        StringBuilder bomb = new StringBuilder("a0: &a0 [x, x, x, x, x, x, x, x, x]\n");
        for (int i = 1; i < 9; i++) {
            bomb.append("a%d: &a%d [".formatted(i, i));
            bomb.append(String.join(", ", java.util.Collections.nCopies(9, "*a" + (i - 1))))
                    .append("]\n");
        }
        List<YamlProblem> found = problems(bomb.toString());
        assertEquals(
                "has the anchor &a0, but anchors are not supported",
                found.getFirst().message());
        assertEquals(21, found.size());
        assertEquals("has more problems than these 20", found.getLast().message());
    }

    @Test
    void fileThatIsNoTextOrTooLargeIsRefused() throws IOException {
        Path file = folder.resolve("a.yaml");
        List<YamlProblem> found = new ArrayList<>();
        Files.write(file, new byte[] {'a', ':', ' ', '1', '\n', 'b', ':', ' ', (byte) 0xff});
        assertTrue(YamlReader.read(file, found).isEmpty());
        assertEquals(List.of(new YamlProblem(2, "is not UTF-8, but must be")), found);
        found.clear();
        Files.write(file, new byte[(1 << 20) + 1]);
        assertTrue(YamlReader.read(file, found).isEmpty());
        assertEquals(
                "has more than 1048576 bytes, but may have no more",
                found.getFirst().message());
    }

    @Test
    void aByteOrderMarkIsSkipped() throws IOException {
        Path file = folder.resolve("a.yaml");
        Files.writeString(file, "\ufeffa: 1\n");
        List<YamlProblem> found = new ArrayList<>();
        assertEquals(
                "[a]",
                YamlReader.read(file, found).orElseThrow().entries().keySet().toString());
    }

    @Test
    void fileThatIsNotThereIsNoProblemOfItsText() {
        NibbleException missing = assertThrows(
                NibbleException.class, () -> YamlReader.read(folder.resolve("no.yaml"), new ArrayList<>()));
        assertTrue(missing.getMessage().endsWith("no.yaml does not exist"), missing.getMessage());
        assertThrows(NibbleException.class, () -> YamlReader.read(folder, new ArrayList<>()));
    }

    @ParameterizedTest
    @ValueSource(
            strings = {
                "",
                " ",
                "plain",
                "1e-3",
                "-1",
                "- a",
                "a: b",
                "a #b",
                "*x",
                "&x",
                "!x",
                "~",
                "'",
                "\"",
                "\\",
                "a\nb",
                "\t",
                "\u0007",
                "\u0085\u2028",
                "\ufeff",
                "ü€",
                "\ud83d\ude00",
                "C:\\dir\\x.txt",
                "/a b/c",
                "{}",
                "[x",
                "%a",
                "@",
                "`",
                "luq:exponent=4,samplesGradWeight=2",
                "blocks.*.mlp.down",
                "---",
                "...",
                "? a",
                "| x",
                "> x",
                "a,b",
                "#"
            })
    void writtenTextsAreReadBack(String text) {
        YamlNode.Mapping root = parse("a: " + YamlText.scalar(text) + "  # why\n" + YamlText.quoted(text) + ": 1\n");
        assertEquals(text, ((YamlNode.Scalar) root.entries().get("a").value()).text());
        assertTrue(root.entries().containsKey(text));
    }

    private static void mutate(int count, long seed) {
        byte[] sample = """
                # comment
                preset: text
                layers: {"blocks.*.mlp.down": 'fp8', head: "a\\u00e9b"}
                model:
                  width: 256   # features
                  list: [1, 2.5e-3, ~, true]
                text: |
                  two
                  lines
                """.getBytes(StandardCharsets.UTF_8);
        String signs = "{}[]:,-?*&!|>'\"%@`#\n\t \u0000\\~<=.a1";
        SplittableRandom random = new SplittableRandom(seed);
        int refused = 0;
        for (int i = 0; i < count; i++) {
            StringBuilder text = new StringBuilder(new String(sample, StandardCharsets.UTF_8));
            for (int edits = 1 + random.nextInt(6); edits > 0; edits--) {
                int place = random.nextInt(text.length());
                char sign = signs.charAt(random.nextInt(signs.length()));
                switch (random.nextInt(4)) {
                    case 0 -> text.setCharAt(place, sign);
                    case 1 -> text.insert(place, sign);
                    case 2 -> text.delete(place, Math.min(text.length() - 1, place + 1 + random.nextInt(20)));
                    default -> text.insert(place, text.substring(random.nextInt(place + 1), place));
                }
            }
            List<YamlProblem> found = new ArrayList<>();
            Optional<YamlNode.Mapping> mapping = YamlReader.parse(text.toString(), found); // throws nothing
            assertTrue(mapping.isPresent() || !found.isEmpty(), text.toString());
            int lines = 2 + (int) text.chars().filter(c -> c == '\n').count();
            found.forEach(p -> assertTrue(p.line() >= 1 && p.line() <= lines, p + " in\n" + text));
            refused += found.isEmpty() ? 0 : 1;
        }
        assertTrue(refused > count / 10 && refused < count, refused + " of " + count + " were refused");
    }

    @Test
    void damagedTextsGiveAProblemOrAValue() {
        mutate(3000, 1);
    }

    @Test
    @Tag("slow")
    void hundredThousandDamagedTextsGiveAProblemOrAValue() {
        mutate(100_000, 2);
    }
}
