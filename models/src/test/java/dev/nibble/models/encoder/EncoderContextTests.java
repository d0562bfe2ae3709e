package dev.nibble.models.encoder;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import org.junit.jupiter.api.Test;

/** What an encoder keeps if its attention's context is packed, and what its gradient loses by it. */
class EncoderContextTests {
    private static final int WIDTH = 16;
    private static final EncoderShape SHAPE = new EncoderShape(7, 6, 2, WIDTH, 2, 20, 2, 3);
    private static final int[] LENGTHS = {3, 2, 6};
    private static final int ROWS = 16; // five belong to no sequence

    private record Pass(float[] logits, Map<String, float[]> gradients, long contextBytes) {}

    /** FP32 whose context is packed. */
    private record Packing(LinearQuantizer fp32) implements LinearQuantizer {
        @Override
        public LinearPlan plan(PlanRequest request) {
            return fp32.plan(request);
        }

        @Override
        public Optional<TensorCodec> context() {
            return Optional.of(new TensorCodec(10));
        }
    }

    private static LinearQuantizer quantizer(LinearLayer layer, boolean packed) {
        QuantizerProvider provider = Plugins.quantizers().get("fp32");
        LinearQuantizer fp32 = provider.create(OptionValues.of("fp32", provider.options(), Map.of()))
                .linear(layer);
        return packed && layer.site().name().endsWith("attn.out") ? new Packing(fp32) : fp32;
    }

    private static Tensor ints(Backend backend, int... values) {
        Tensor tensor = backend.allocate("test", DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    private static Pass pass(boolean packed) {
        FirstValues values = FirstValues.drawn(1);
        try (Backend backend = Plugins.openBackend("auto", BackendOptions.withSeed(1));
                Encoder encoder = new Encoder(
                        backend,
                        SHAPE,
                        (name, ordinal, shape) -> {
                            float[] drawn = values.of(name, ordinal, shape);
                            for (int i = 0; i < drawn.length; i++) {
                                drawn[i] *= shape.rank() == 2 ? 20 : 1; // so that attention sees differences
                            }
                            return drawn;
                        },
                        layer -> quantizer(layer, packed));
                Sentences batch = new Sentences(
                        ints(backend, 1, 4, 2, 1, 2, 1, 6, 5, 3, 0, 2, 0, 0, 0, 0, 0),
                        ints(backend, 0, 1, 2, 0, 1, 0, 1, 2, 3, 4, 5, 0, 0, 0, 0, 0),
                        ints(backend, new int[ROWS]),
                        ints(backend, 1, 3, 6, 7, 9), // several of a sequence
                        LENGTHS);
                Tensor targets = ints(backend, 0, 2, 1, 1, 0);
                Tensor loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
                Tensor copy = backend.allocate("logits", DType.FP32, Shape.of(5, 3), MemoryTag.STATE)) {
            backend.write(loss, new float[1]);
            long context;
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0.1f));
                    Tensor logits = encoder.forward(scope, batch)) {
                context = backend.memory().live(MemoryTag.CONTEXT);
                backend.neural().zero(scope, copy);
                backend.neural().addInPlace(scope, copy, logits);
                backend.neural().crossEntropy(scope, logits, targets, loss, 1, true);
                encoder.backward(scope, batch, logits);
            }
            encoder.linears().forEach(QuantizedLayer::releaseWeight);
            Map<String, float[]> gradients = new LinkedHashMap<>();
            for (Parameter parameter : encoder.parameters()) {
                gradients.put(parameter.name(), backend.readFloats(parameter.gradient()));
            }
            assertEquals(0, backend.memory().live(MemoryTag.CONTEXT));
            return new Pass(backend.readFloats(copy), gradients, context);
        }
    }

    /**
     * The forward pass reads nothing packed: the same bits. What is kept of q, k, v and the output has a relative error of 2^-8, so each
     * score is off by at most 2^-7 of its products' magnitudes; here these are below 4, so that no gradient is off by more than some 2^-4 of
     * the largest: see AttentionContextTests for the bound of each element.
     */
    @Test
    void gradientIsCloseAndForwardPassTheSame() {
        Pass exact = pass(false);
        Pass packed = pass(true);
        assertArrayEquals(exact.logits(), packed.logits());
        double worst = 0;
        for (String name : exact.gradients().keySet()) {
            float[] a = exact.gradients().get(name);
            float[] b = packed.gradients().get(name);
            double largest = 0;
            double error = 0;
            for (int i = 0; i < a.length; i++) {
                largest = Math.max(largest, Math.abs(a[i]));
                error = Math.max(error, Math.abs((double) a[i] - b[i]));
            }
            boolean keyBias = name.endsWith("qkv.bias"); // that of k has no effect: all of it is error
            assertTrue(error <= largest / 16 || keyBias, name + " is off by " + error + " of " + largest);
            worst = Math.max(worst, error / largest);
        }
        assertTrue(worst > 0x1p-12, "the backward pass reads what was rounded; worst " + worst);
    }

    @Test
    void queriesKeysAndValuesTakeHalfTheBytes() {
        // in each block; the output in FP32 costs nothing, because the FP32 layer that reads it keeps the same tensor
        long saved = (long) ROWS * WIDTH * (3 * (Float.BYTES - Short.BYTES) - Short.BYTES);
        assertEquals(
                SHAPE.layers() * saved, pass(false).contextBytes() - pass(true).contextBytes());
    }
}
