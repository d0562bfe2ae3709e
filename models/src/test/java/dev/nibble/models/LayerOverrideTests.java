package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class LayerOverrideTests {
    @ParameterizedTest
    @CsvSource({
        "blocks.*.mlp.down, blocks.0.mlp.down, true",
        "blocks.*.mlp.down, blocks.12.mlp.down, true",
        "blocks.*.mlp.down, blocks.0.mlp.gateUp, false",
        "blocks.1*, blocks.1.attn.qkv, true",
        "blocks.1.*, blocks.11.attn.qkv, false",
        "*, head, true",
        "head, head, true",
        "hea, head, false",
        "h.ad, head, false",
        "*.down, blocks.3.mlp.down, true",
    })
    void starStandsForAnyCharactersAndNothingElseIsSpecial(String pattern, String layer, boolean matches) {
        assertEquals(matches, new LayerOverride(pattern, QuantizerChoice.of("fp32")).matches(layer));
    }

    @Test
    void emptyPatternIsRefused() {
        assertThrows(IllegalArgumentException.class, () -> new LayerOverride(" ", QuantizerChoice.of("fp32")));
    }
}
