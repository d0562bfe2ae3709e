package dev.nibble.models.files;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import java.nio.charset.StandardCharsets;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class JsonTreeTests {
    private static Map<String, Object> parse(String text) {
        return JsonTree.parse("a.json", text.getBytes(StandardCharsets.UTF_8), 4);
    }

    @Test
    void whatIsWrittenIsReadBack() {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("z", "text \" \\ \n ä \uD83D\uDE00");
        tree.put("a", List.of(1L, -2.5, true, List.of()));
        tree.put("small", Double.MIN_VALUE);
        tree.put("large", Long.MIN_VALUE);
        tree.put("object", Map.of("k", "v"));
        assertEquals(tree, parse(JsonTree.text(tree)));
        assertEquals(tree, parse(JsonTree.compact(tree)));
        assertEquals(
                List.copyOf(tree.keySet()),
                List.copyOf(parse(JsonTree.text(tree)).keySet()));
    }

    @Test
    void numbersAreReadBackBitForBit() {
        for (double value : new double[] {0.1, -0.0, Double.MAX_VALUE, Double.MIN_NORMAL, 0.1f, Double.NaN, -1 / 0.0}) {
            JsonFields fields =
                    new JsonFields("a.json", parse(JsonTree.compact(Map.of("x", JsonFields.numberOrText(value)))));
            assertEquals(Double.doubleToLongBits(value), Double.doubleToLongBits(fields.number("x")));
        }
        assertEquals("{\"x\":null}", JsonTree.compact(Map.of("x", Double.NaN)));
    }

    @ParameterizedTest
    @CsvSource(
            delimiter = '|',
            value = {
                "{'a':1,'a':2}|a.json has 'a' twice in one object",
                "{'a':{'b':1,'b':1}}|a.json has 'b' twice in one object",
                "{'a':[[[[1]]]]}|nested deeper than 4 levels",
                "{'a':null}|has a value that is nothing",
                "{'a':1}x|is damaged JSON",
                "{'a':1}{}|goes on after its JSON object, at character 7",
                "[1]|is no JSON object",
                "{'a':}|is damaged JSON",
                "{'a':NaN}|is damaged JSON",
                "{'a':1,'b' 2}|, at character 11",
                "{'a':'\\ud800'}|half of a character, at character 5",
                "{'\\udc00x':1}|Unexpected low surrogate"
            })
    void whatIsNotStrictIsRefused(String text, String message) {
        FormatException e = assertThrows(FormatException.class, () -> parse(text.replace('\'', '"')));
        assertTrue(e.getMessage().contains(message), e.getMessage());
        assertTrue(e.getMessage().startsWith("a.json"), e.getMessage());
    }

    @Test
    void fieldsThatAreNullCanBeLeftOut() {
        byte[] text = "{\"a\":null,\"b\":{\"c\":null,\"d\":1}}".getBytes(StandardCharsets.UTF_8);
        assertEquals(Map.of("b", Map.of("d", 1L)), JsonTree.parseWithoutNulls("a.json", text, 4));
        byte[] list = "{\"a\":[null]}".getBytes(StandardCharsets.UTF_8);
        assertThrows(FormatException.class, () -> JsonTree.parseWithoutNulls("a.json", list, 4));
    }

    @Test
    void fieldsSayWhereTheyAreAndWhatTheyMustBe() {
        JsonFields fields = new JsonFields("a.json", parse("{\"n\":7,\"t\":\"x\",\"o\":{\"i\":1.5},\"l\":[1]}"));
        assertEquals(7, fields.whole("n", 0, 7));
        assertEquals(7.0, fields.number("n"));
        assertEquals("x", fields.text("t"));
        assertEquals(List.of(1L), fields.list("l"));
        assertEquals("a.json: 'n' is 7, but must be in 0..6", problem(() -> fields.whole("n", 0, 6)));
        assertEquals("a.json has no 'm'", problem(() -> fields.text("m")));
        assertEquals("a.json: 't' is the text 'x', but must be a whole number", problem(() -> fields.whole("t", 0, 1)));
        assertEquals(
                "a.json: 'o': 'i' is 1.5, but must be a text",
                problem(() -> fields.object("o").text("i")));
        assertEquals("a.json: 'l' is a list, but must be an object", problem(() -> fields.object("l")));
        assertEquals("a.json has the text 'x' where a number must be", problem(() -> fields.number("t")));
    }

    private static String problem(Runnable check) {
        return assertThrows(FormatException.class, check::run).getMessage();
    }
}
