package dev.nibble.spi;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class OptionValuesTests {
    private static final List<OptionSpec> SPECS = List.of(
            OptionSpec.flag("pow2", false, "round scales to powers of two"),
            OptionSpec.choice("scaling", List.of("tensor", "row"), "what shares a scale"),
            OptionSpec.text("block", "128x128", List.of("32x32"), "extents of a block"),
            new OptionSpec("samples", OptionSpec.Type.INTEGER, "1", List.of(), "draws"),
            new OptionSpec("alpha", OptionSpec.Type.NUMBER, "1.3", List.of(), "factor"));

    @Test
    void defaultsFillWhatIsNotGiven() {
        OptionValues values = OptionValues.of("fp8", SPECS, Map.of("scaling", "row", "samples", "-4"));
        assertEquals("row", values.text("scaling"));
        assertEquals(-4, values.integer("samples"));
        assertEquals(1.3, values.number("alpha"));
        assertFalse(values.flag("pow2"));
        assertEquals(SPECS.size(), values.asMap().size());
        assertTrue(OptionValues.of("fp8", SPECS, Map.of("pow2", "true")).flag("pow2"));
    }

    @Test
    void everyProblemIsReported() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> OptionValues.of(
                        "fp8", SPECS, Map.of("pow2", "yes", "scaling", "rows", "alpha", "NaN", "sample", "2")));
        String message = e.getMessage();
        assertTrue(message.startsWith("quantizer fp8: "), message);
        assertTrue(message.contains("option pow2 is 'yes', but must be one of [true, false]"), message);
        assertTrue(message.contains("option scaling is 'rows', but must be one of [tensor, row]"), message);
        assertTrue(message.contains("option alpha is 'NaN', but must be a number"), message);
        assertTrue(message.contains("'sample' is not an option; "), message);
        assertTrue(message.contains("Did you mean 'samples'?"), message);
    }

    @Test
    void numbersThatDoNotFitAreRejected() {
        for (Map<String, String> given : List.of(
                Map.of("samples", "1.5"),
                Map.of("samples", ""),
                Map.of("samples", "99999999999"),
                Map.of("alpha", "Infinity"),
                Map.of("alpha", "one"))) {
            assertThrows(IllegalArgumentException.class, () -> OptionValues.of("q", SPECS, given), given.toString());
        }
    }

    @Test
    void unknownNameIsAMistakeOfTheQuantizer() {
        OptionValues values = OptionValues.of("q", SPECS, Map.of());
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> values.text("blocks"));
        assertEquals("no option is named 'blocks'; there are [alpha, block, pow2, samples, scaling]", e.getMessage());
    }
}
