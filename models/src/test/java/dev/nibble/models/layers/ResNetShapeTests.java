package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.spi.LinearLayer;
import java.util.List;
import org.junit.jupiter.api.Test;

class ResNetShapeTests {
    private static final ResNetShape BASIC = new ResNetShape(16, 2, ResNetShape.Kind.BASIC, 10);

    @Test
    void basicBlocksHaveTwoConvolutionsAndAShortcutWhereShapesDiffer() {
        List<LinearLayer> layers = BASIC.planned();
        assertEquals(
                List.of(
                        "stem",
                        "stages.0.blocks.0.conv1",
                        "stages.0.blocks.0.conv2",
                        "stages.0.blocks.1.conv1",
                        "stages.0.blocks.1.conv2",
                        "stages.1.blocks.0.conv1",
                        "stages.1.blocks.0.conv2",
                        "stages.1.blocks.0.shortcut",
                        "stages.1.blocks.1.conv1",
                        "stages.1.blocks.1.conv2",
                        "stages.2.blocks.0.conv1",
                        "stages.2.blocks.0.conv2",
                        "stages.2.blocks.0.shortcut",
                        "stages.2.blocks.1.conv1",
                        "stages.2.blocks.1.conv2",
                        "head"),
                layers.stream().map(layer -> layer.site().name()).toList());
        assertEquals(
                List.of(9L, 144L, 144L, 144L, 144L, 144L, 288L, 16L, 288L, 288L, 288L, 576L, 32L, 576L, 576L, 64L),
                layers.stream().map(LinearLayer::in).toList());
        assertEquals(
                List.of(16L, 16L, 16L, 16L, 16L, 32L, 32L, 32L, 32L, 32L, 64L, 64L, 64L, 64L, 64L, 10L),
                layers.stream().map(LinearLayer::out).toList());
        assertEquals(
                layers.size(),
                layers.stream().map(layer -> layer.site().ordinal()).distinct().count());
        for (LinearLayer layer : layers) { // what ReLU gives, its mean, and zeros around it
            assertEquals(!layer.site().name().equals("stem"), layer.nonNegativeInput(), layer.toString());
        }
    }

    @Test
    void bottlenecksWidenFourfold() {
        List<LinearLayer> layers = new ResNetShape(8, 1, ResNetShape.Kind.BOTTLENECK, 3).planned();
        assertEquals(
                List.of(9L, 8L, 72L, 8L, 8L, 32L, 144L, 16L, 32L, 64L, 288L, 32L, 64L, 128L),
                layers.stream().map(LinearLayer::in).toList());
        assertEquals(
                List.of(8L, 8L, 8L, 32L, 32L, 16L, 16L, 64L, 64L, 32L, 32L, 128L, 128L, 3L),
                layers.stream().map(LinearLayer::out).toList());
        assertEquals("stages.2.blocks.0.shortcut", layers.get(12).site().name());
        assertEquals(
                layers.size(),
                layers.stream().map(layer -> layer.site().ordinal()).distinct().count());
    }

    @Test
    void parametersAreCountedAndTheDepthNamed() {
        long stages = 4 * 144 * 16 + (144 + 3 * 288 + 16) * 32 + (288 + 3 * 576 + 32) * 64;
        long norms = 2 * (16 + 4 * 16 + 5 * 32 + 5 * 64);
        assertEquals(9 * 16 + stages + 64 * 10 + norms, BASIC.parameters(784));
        assertEquals(
                "ResNet-14, 3 stages of 2 basic blocks, width 16, 10 classes, " + BASIC.parameters(1) + " parameters",
                BASIC.summary(784));
    }

    @Test
    void everySizeThatDoesNotFitIsNamed() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> new ResNetShape(0, 65, ResNetShape.Kind.BASIC, 257));
        assertEquals(
                "model: width is 0, but must be in 1..4096; blocks is 65, but must be in 1..64; classes is 257, but must be in"
                        + " 1..256",
                e.getMessage());
    }
}
