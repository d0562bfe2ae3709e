package dev.nibble.cli;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Optional;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

class FreshLayerTests {
    private static final int ROWS = 16;
    private static final int COLS = 32;

    /** A layer that divides the columns by what it measures, so that a channel of large values is as exact as others. */
    private static LinearQuantizer smoothing(Site site) {
        QuantizerChoice choice = QuantizerChoice.parse("fp8:smooth=channel");
        QuantizerProvider provider = Plugins.quantizers().get(choice.name());
        return provider.create(OptionValues.of(choice.name(), provider.options(), choice.options()))
                .linear(new LinearLayer(site, COLS, COLS));
    }

    private static float[] decode(FreshLayer layer, Backend backend, Tensor x, QuantizeSpec spec, boolean undone) {
        Tensor result;
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0));
                Quantized quantized = layer.quantize(scope, spec, x)) {
            var operand = quantized.operand(Contraction.COLUMNS);
            result = undone
                    ? layer.decode(scope, spec, operand).share()
                    : backend.quantization().dequantize(scope, operand).share();
        }
        try (result) {
            return backend.readFloats(result);
        }
    }

    /**
     * E4M3 has 4 significant bits: x is decoded within |x| · 2^-4 where the code is normal, amax · 2^-6/448 and above. With
     * channel k larger by 2^(k-16), only a factor a channel, measured and undone, brings all channels into that range.
     */
    @Test
    void columnScaleIsMeasuredAndUndone() {
        Site site = new Site("blocks.0.mlp.down", 0);
        LinearQuantizer quantizer = smoothing(site);
        SplittableRandom random = new SplittableRandom(1);
        float[] x = new float[ROWS * COLS];
        for (int i = 0; i < x.length; i++) {
            x[i] = (float) Math.scalb(random.nextDouble(0.5, 1), i % COLS - COLS / 2);
        }
        try (Backend backend = Plugins.openBackend("reference", BackendOptions.withSeed(0));
                FreshLayer layer =
                        new FreshLayer(backend, site, quantizer, quantizer.plan(new PlanRequest(ROWS, true)));
                Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(ROWS, COLS), MemoryTag.SCRATCH)) {
            backend.write(tensor, x);
            QuantizeSpec spec = layer.plan().input();
            float[] before = decode(layer, backend, tensor, spec, true);
            assertEquals(0, before[0], "without a measurement the smallest channel underflows");
            layer.measure(Optional.of(tensor), Optional.empty());
            float[] after = decode(layer, backend, tensor, spec, true);
            for (int i = 0; i < x.length; i++) {
                assertTrue(Math.abs(after[i] - x[i]) <= x[i] * 0x1.001p-4, i + ": " + after[i] + ", " + x[i]);
            }
            float[] transformed = decode(layer, backend, tensor, spec, false);
            assertTrue(transformed[0] >= 0.25f && transformed[0] <= 2, "the codes are of the smoothed matrix");
        }
    }

    @Test
    void layerWithoutTransformDecodesWhatTheCodesMean() {
        Site site = new Site("other", 0); // no layer that is smoothed
        LinearQuantizer quantizer = smoothing(site);
        try (Backend backend = Plugins.openBackend("reference", BackendOptions.withSeed(0));
                FreshLayer layer =
                        new FreshLayer(backend, site, quantizer, quantizer.plan(new PlanRequest(ROWS, true)));
                Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(ROWS, COLS), MemoryTag.SCRATCH)) {
            float[] x = new float[ROWS * COLS];
            x[5] = 3;
            backend.write(tensor, x);
            layer.measure(Optional.of(tensor), Optional.empty());
            QuantizeSpec spec = layer.plan().input();
            assertArrayEquals(decode(layer, backend, tensor, spec, false), decode(layer, backend, tensor, spec, true));
        }
    }
}
