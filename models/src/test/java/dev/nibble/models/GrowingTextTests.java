package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.TextGenerator.Continuation;
import dev.nibble.models.TextGenerator.End;
import dev.nibble.models.data.ByteVocabulary;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

class GrowingTextTests {
    private static final int NEWLINE = '\n';

    private static GrowingText text(OptionalInt endOfText, String... stops) {
        return new GrowingText(new ByteVocabulary(), endOfText, List.of(stops), List.of((int) 'a', (int) 'b'));
    }

    /** Adds bytes until it ends; each part that is told. */
    private static List<String> parts(GrowingText text, String bytes) {
        List<String> parts = new ArrayList<>();
        for (byte b : bytes.getBytes(StandardCharsets.UTF_8)) {
            if (!text.ended()) {
                parts.add(text.add(b & 0xFF));
            }
        }
        parts.add(text.rest());
        return parts;
    }

    @Test
    void aCharacterIsToldWhenItIsWhole() {
        GrowingText text = text(OptionalInt.empty());
        assertEquals(List.of("x", "", "é", "y", ""), parts(text, "xéy"));
        Continuation all = text.continuation(End.LENGTH);
        assertEquals("xéy", all.text());
        assertEquals(List.of((int) 'a', (int) 'b'), all.prompt());
        assertEquals(4, all.tokens().size());
        assertEquals(End.LENGTH, all.end());
    }

    @Test
    void halfACharacterAtTheEndIsToldAsSuch() {
        GrowingText text = text(OptionalInt.empty());
        assertEquals("", text.add(0xC3));
        assertEquals("\uFFFD", text.rest());
    }

    @Test
    void whatMayBecomeAStopWaits() {
        GrowingText text = text(OptionalInt.empty(), "END", "\n\n");
        assertEquals(List.of("x", "", "", "ENx", "", "\ny", ""), parts(text, "xENx\ny"));
        assertFalse(text.ended());
    }

    @Test
    void theFirstStopEndsItAndIsNotTold() {
        GrowingText text = text(OptionalInt.empty(), "END", "ND");
        assertEquals(List.of("x", "", "", "", ""), parts(text, "xENDyz"));
        assertTrue(text.ended());
        Continuation all = text.continuation(End.LENGTH);
        assertEquals("x", all.text());
        assertEquals(End.STOP, all.end());
        assertEquals(4, all.tokens().size());
    }

    @Test
    void whatWaitedIsToldAtTheEnd() {
        GrowingText text = text(OptionalInt.empty(), "END");
        assertEquals(List.of("x", "", "", "EN"), parts(text, "xEN"));
    }

    @Test
    void theEndOfTextIsNoText() {
        GrowingText text = text(OptionalInt.of(NEWLINE));
        assertEquals(List.of("x", "y", "", ""), parts(text, "xy\nz"));
        Continuation all = text.continuation(End.LENGTH);
        assertEquals("xy", all.text());
        assertEquals(End.END_OF_TEXT, all.end());
        assertEquals(List.of((int) 'x', (int) 'y', NEWLINE), all.tokens());
        int before = text.seen().size();
        text.keepUp();
        assertEquals(before + 1, text.seen().size());
        assertEquals(3, text.continuation(End.LENGTH).tokens().size());
    }
}
