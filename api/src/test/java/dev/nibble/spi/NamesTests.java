package dev.nibble.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;

import java.util.List;
import org.junit.jupiter.api.Test;

class NamesTests {
    private static final List<String> KNOWN = List.of("fp8", "int8-block", "int8-fallback");

    @Test
    void nearestNameIsSuggested() {
        String list = "known: fp8, int8-block, int8-fallback";
        assertEquals(list + ". Did you mean 'int8-block'?", Names.suggest("int8-blok", KNOWN));
        assertEquals(list + ". Did you mean 'int8-fallback'?", Names.suggest("INT8-FALLBACK", KNOWN));
        assertEquals(list + ". Did you mean 'fp8'?", Names.suggest("fp", KNOWN));
    }

    @Test
    void farNameHasNoSuggestion() {
        assertEquals("known: fp8, int8-block, int8-fallback", Names.suggest("quaternary", KNOWN));
    }

    @Test
    void withoutNamesThereIsNothingToSuggest() {
        assertEquals("there are none", Names.suggest("x", List.of()));
    }
}
