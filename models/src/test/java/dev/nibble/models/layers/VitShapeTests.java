package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.LinearLayer;
import java.util.List;
import java.util.OptionalInt;
import org.junit.jupiter.api.Test;

class VitShapeTests {
    private static VitShape shape(MlpKind mlp) {
        return new VitShape(7, 10, 128, 4, 256, 2, mlp);
    }

    @Test
    void layersHaveTheirNamesAndSizes() {
        List<LinearLayer> layers = shape(MlpKind.SWIGLU).linears();
        assertEquals(
                List.of(
                        "patch",
                        "blocks.0.attn.qkv",
                        "blocks.0.attn.out",
                        "blocks.0.mlp.gateUp",
                        "blocks.0.mlp.down",
                        "blocks.1.attn.qkv",
                        "blocks.1.attn.out",
                        "blocks.1.mlp.gateUp",
                        "blocks.1.mlp.down",
                        "head"),
                layers.stream().map(layer -> layer.site().name()).toList());
        assertEquals(
                List.of(49L, 128L, 128L, 128L, 256L, 128L, 128L, 128L, 256L, 128L),
                layers.stream().map(LinearLayer::in).toList());
        assertEquals(
                List.of(128L, 384L, 128L, 512L, 128L, 384L, 128L, 512L, 128L, 10L),
                layers.stream().map(LinearLayer::out).toList());
        assertEquals(
                layers.size(),
                layers.stream().map(layer -> layer.site().ordinal()).distinct().count());
        assertEquals(0, layers.stream().filter(LinearLayer::nonNegativeInput).count());
    }

    @Test
    void reluHasOneFirstLayerAndANonNegativeInput() {
        List<LinearLayer> layers = shape(MlpKind.RELU).linears();
        assertEquals("blocks.1.mlp.up", layers.get(7).site().name());
        assertEquals(256, layers.get(7).out());
        for (LinearLayer layer : layers) {
            assertEquals(layer.site().name().endsWith("mlp.down"), layer.nonNegativeInput(), layer.toString());
        }
    }

    @Test
    void parametersAreCounted() {
        long block = 128 * (384 + 128 + 512) + 256 * 128 + 2 * 128;
        assertEquals(
                49 * 128 + 16 * 128 + 2 * block + 128 + 1280,
                shape(MlpKind.SWIGLU).parameters(16));
        assertEquals(
                "vision transformer, 16 patches of 7x7, 2 layers, width 128, 4 heads, SwiGLU hidden 256, 10 classes,"
                        + " 337920 parameters",
                shape(MlpKind.SWIGLU).summary(16));
    }

    @Test
    void everySizeThatDoesNotFitIsNamed() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> new VitShape(0, 257, 126, 4, 0, 1, MlpKind.RELU));
        assertEquals(
                "model: patch is 0, but must be in 1..1024; classes is 257, but must be in 1..256;"
                        + " hidden is 0, but must be in 1..1048576",
                e.getMessage());
        IllegalArgumentException heads =
                assertThrows(IllegalArgumentException.class, () -> new VitShape(7, 10, 126, 4, 8, 1, MlpKind.RELU));
        assertEquals(
                "model: width is 126, but must be a multiple of 2 x heads = 8, so that each head has an even size",
                heads.getMessage());
    }

    @Test
    void deitHasBiasesAndGelu() {
        VitShape shape = new VitShape(7, 10, 128, 2, 512, 6, MlpKind.GELU, VitStyle.DEIT, OptionalInt.empty());
        long block = 4L * 128 * 128 + 2L * 128 * 512 + (3 + 1 + 1) * 128 + 512 + 4 * 128;
        assertEquals(6 * block + (49 + 1) * 128 + 16 * 128 + 2 * 128 + 129 * 10, shape.parameters(16));
        assertTrue(shape.summary(16).startsWith("DeiT-style vision transformer, 16 patches"), shape.summary(16));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> new VitShape(7, 10, 128, 4, 256, 2, MlpKind.SWIGLU, VitStyle.DEIT, OptionalInt.empty()));
        assertEquals(
                "model: style is deit, whose feed-forward layers have GELU, but mlp is swiglu; set model.mlp=gelu",
                e.getMessage());
    }
}
