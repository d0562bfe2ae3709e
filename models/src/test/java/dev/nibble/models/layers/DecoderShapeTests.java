package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.LinearLayer;
import java.util.List;
import org.junit.jupiter.api.Test;

class DecoderShapeTests {
    private static DecoderShape shape(int layers, boolean tied) {
        return new DecoderShape(256, 64, 4, 96, layers, tied);
    }

    @Test
    void layersHaveTheNamesOfTheCommandLine() {
        List<String> names = shape(2, false).linears().stream()
                .map(layer -> layer.site().name())
                .toList();
        assertEquals(
                List.of(
                        "blocks.0.attn.qkv",
                        "blocks.0.attn.out",
                        "blocks.0.mlp.gateUp",
                        "blocks.0.mlp.down",
                        "blocks.1.attn.qkv",
                        "blocks.1.attn.out",
                        "blocks.1.mlp.gateUp",
                        "blocks.1.mlp.down",
                        "head"),
                names);
    }

    @Test
    void ordinalsAreDistinctAndDoNotDependOnDepth() {
        List<LinearLayer> deep = shape(3, false).linears();
        assertEquals(
                deep.size(),
                deep.stream().map(l -> l.site().ordinal()).distinct().count());
        for (LinearLayer layer : shape(1, true).linears()) {
            assertTrue(deep.contains(layer), layer.toString());
        }
    }

    @Test
    void parametersAreCountedOnceIfTheHeadIsTied() {
        // 4 · 64² of attention, 3 · 64 · 96 of the feed-forward layer, 2 norms, the last norm, one table
        long block = 4L * 64 * 64 + 3L * 64 * 96 + 2 * 64;
        assertEquals(block + 64 + 256 * 64, shape(1, true).parameters());
        assertEquals(2 * block + 64 + 2 * 256 * 64, shape(2, false).parameters());
    }

    @Test
    void everyUnfitSizeIsNamed() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> new DecoderShape(256, 0, 4, -1, 1, false));
        assertTrue(e.getMessage().contains("width is 0"), e.getMessage());
        assertTrue(e.getMessage().contains("hidden is -1"), e.getMessage());
        IllegalArgumentException odd =
                assertThrows(IllegalArgumentException.class, () -> new DecoderShape(256, 60, 4, 8, 1, false));
        assertTrue(odd.getMessage().contains("width is 60, but must be a multiple of 2 x heads = 8"), odd.getMessage());
    }
}
