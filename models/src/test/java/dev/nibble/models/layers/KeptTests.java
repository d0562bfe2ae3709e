package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.function.Predicate;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;

/** What norms and activations keep between the passes when the layer after them wants it packed. */
class KeptTests {
    private static final int TOKENS = 24;
    private static final int WIDTH = 160; // a whole group and a ragged one
    private static final int HIDDEN = 200;
    private static final Shape INPUT = Shape.of(TOKENS, WIDTH);

    private final LayerFixture fixture = new LayerFixture(31);
    private final float[] x = fixture.uniform(INPUT.elements(), 2);
    private final float[] dy = fixture.uniform(INPUT.elements(), 1);

    @AfterEach
    void close() {
        fixture.close();
    }

    /** FP32 products, so that what is packed is the only difference. */
    private record WithContext(LinearQuantizer products, Optional<TensorCodec> context) implements LinearQuantizer {
        @Override
        public LinearPlan plan(PlanRequest request) {
            return products.plan(request);
        }
    }

    private static Optional<TensorCodec> bits(int bits) {
        return bits == 32 ? Optional.empty() : Optional.of(new TensorCodec(bits));
    }

    /** What the passes of one block gave: its output, all gradients one after the other, and what was kept between. */
    private record Passes(float[] y, List<float[]> gradients, long contextBytes) {
        /** {@return |gradients - exact| / |exact|} */
        double error(Passes exact) {
            double error = 0;
            double norm = 0;
            for (int i = 0; i < gradients.size(); i++) {
                for (int j = 0; j < gradients.get(i).length; j++) {
                    error += Math.pow(
                            (double) gradients.get(i)[j] - exact.gradients.get(i)[j], 2);
                    norm += Math.pow(exact.gradients.get(i)[j], 2);
                }
            }
            return Math.sqrt(error / norm);
        }
    }

    private Passes passes(MlpKind mlp, int bits) {
        return passes(mlp, bits, _ -> true);
    }

    private Passes passes(MlpKind mlp, int bits, Predicate<LinearLayer> packed) {
        boolean biased = mlp == MlpKind.GELU || mlp == MlpKind.GELU_TANH; // as in GPT-2 and DeiT: LayerNorm, too
        BlockShape shape = new BlockShape(
                WIDTH, 2, HIDDEN, SelfAttention.Kind.DECODER, mlp, OutlierSpec.NONE, OptionalInt.empty(), biased);
        LayerFactory factory = new LayerFactory(
                fixture.backend,
                7,
                layer -> new WithContext(
                        LayerFixture.quantizer("fp32", layer), packed.test(layer) ? bits(bits) : Optional.empty()),
                _ -> 1 / Math.sqrt(WIDTH),
                1);
        try (Block block = factory.block(0, shape, shape.linears(0, 2), List.of());
                Tensor gradient = fixture.tensor(INPUT, dy)) {
            Tensor y;
            long context;
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
                Tensor input = scope.allocate("x", DType.FP32, INPUT);
                fixture.backend.write(input, x);
                y = block.forward(scope, input, 2).share();
                context = fixture.backend.memory().live(MemoryTag.CONTEXT);
                block.backward(scope, gradient);
                assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT), "all is freed");
            }
            try (y) {
                List<float[]> gradients = new ArrayList<>(List.of(fixture.backend.readFloats(gradient)));
                factory.parameters().forEach(parameter -> gradients.add(fixture.gradient(parameter)));
                return new Passes(fixture.backend.readFloats(y), gradients, context);
            }
        }
    }

    /** Attention keeps BF16 or FP32, whatever the bits. */
    private static boolean notAttention(LinearLayer layer) {
        return !layer.site().name().endsWith("attn.out");
    }

    /** {@return the error of all gradients with 8, 10, 12 and 16 bits in norms and activations} */
    private double[] errors(MlpKind mlp) {
        Passes exact = passes(mlp, 32);
        int[] widths = {8, 10, 12, 16};
        double[] errors = new double[widths.length]; // [widths]
        for (int i = 0; i < widths.length; i++) {
            Passes packed = passes(mlp, widths[i], KeptTests::notAttention);
            assertArrayEquals(exact.y(), packed.y(), widths[i] + " bits: the forward pass reads nothing packed");
            errors[i] = packed.error(exact);
        }
        return errors;
    }

    @ParameterizedTest
    @EnumSource(mode = EnumSource.Mode.EXCLUDE, names = "RELU")
    void gradientsMoveByTheRoundingOfWhatIsPacked(MlpKind mlp) {
        double[] errors = errors(mlp);
        // Uniform values lose scale / sqrt(12) = amax / (511 · 3.46) of rms amax / 1.73: 0.001 at 10 bits. Three
        // such tensors, each entering a gradient with a weight of the order of 1, stay below 0.01.
        assertTrue(errors[1] > 1e-5 && errors[1] < 0.01, "10 bits: " + errors[1]);
        // Two bits are a factor of 4, four bits one of 16.
        assertEquals(4, errors[0] / errors[1], 1, "8 to 10 bits");
        assertEquals(4, errors[1] / errors[2], 1, "10 to 12 bits");
        assertEquals(16, errors[2] / errors[3], 4, "12 to 16 bits");
    }

    @Test
    void reluLosesTheGradientOfFeaturesThatRoundToZero() {
        // Of the positive features, normal with deviation d, those below amax / (2 · top), amax about 3 d, are
        // lost: at 10 bits 0.8 · 3 / 1022 = 0.0023 of them. Each takes its whole share of the squared gradient of
        // up with it: 0.048, if no gradient comes by another way. Two bits divide their number by 4, the error by
        // 2.
        double[] errors = errors(MlpKind.RELU);
        assertTrue(errors[1] > 0.01 && errors[1] < 0.06, "10 bits: " + errors[1]);
        // A few dozen features are lost at 10 bits, about ten at 12, and one at 16: their numbers have that much
        // spread.
        assertEquals(2, errors[0] / errors[1], 0.6, "8 to 10 bits");
        assertTrue(errors[2] < errors[1] && errors[3] < errors[2], "12 and 16 bits: " + errors[2] + ", " + errors[3]);
    }

    @ParameterizedTest
    @EnumSource(MlpKind.class)
    void savedBytesFallByWhatPackingSaves(MlpKind mlp) {
        long plain = passes(mlp, 32).contextBytes();
        int activation = mlp == MlpKind.SWIGLU ? 2 * HIDDEN : HIDDEN;
        Shape kept = Shape.of(TOKENS, activation);
        for (int bits : new int[] {8, 10, 12, 16}) {
            TensorCodec codec = new TensorCodec(bits);
            // The inputs of two norms; gate and up of SwiGLU, the input of GELU. ReLU's output is an FP32 operand, too,
            // here: its
            // codes come on top, as do those of attention's output. q, k and v take two bytes instead of four.
            long saved = 2 * (4L * TOKENS * WIDTH - codec.bytes(INPUT))
                    + (2L * 3 - 2) * TOKENS * WIDTH
                    + (mlp == MlpKind.RELU ? 0 : 4 * kept.elements())
                    - codec.bytes(kept);
            assertEquals(plain - saved, passes(mlp, bits).contextBytes(), bits + " bits");
        }
    }

    /** A layer whose quantizer may want its input again decides for itself, whatever the others do. */
    @Test
    void eachLayerDecidesAboutItsOwnInput() {
        Passes plain = passes(MlpKind.SWIGLU, 32);
        TensorCodec codec = new TensorCodec(10);
        Passes down = passes(MlpKind.SWIGLU, 10, layer -> layer.site().name().endsWith("mlp.down"));
        Shape both = Shape.of(TOKENS, 2 * HIDDEN);
        assertEquals(plain.contextBytes() - 4 * both.elements() + codec.bytes(both), down.contextBytes());
        Passes qkv = passes(MlpKind.SWIGLU, 10, layer -> layer.site().name().endsWith("attn.qkv"));
        assertEquals(plain.contextBytes() - 4 * INPUT.elements() + codec.bytes(INPUT), qkv.contextBytes());
        assertTrue(qkv.error(plain) > 0);
        // q, k, v in BF16; the output too, beside the FP32 operand of the layer behind it
        Passes out = passes(MlpKind.SWIGLU, 10, layer -> layer.site().name().endsWith("attn.out"));
        assertEquals(plain.contextBytes() - (2L * 3 - 2) * TOKENS * WIDTH, out.contextBytes());
        assertTrue(out.error(plain) > 0);
    }

    @Test
    void normMakesItsOutputAgainFromWhatItKept() {
        Parameter weight = fixture.norm("norm", WIDTH);
        try (RmsNorm exact = new RmsNorm(fixture.backend, weight);
                RmsNorm packed = new RmsNorm(fixture.backend, weight, () -> bits(16));
                Tensor input = fixture.tensor(INPUT, x)) {
            float[] first;
            float[] again;
            float[] unpacked;
            Tensor[] results = new Tensor[3];
            try (StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
                results[0] = exact.forward(scope, input).share();
                packed.forward(scope, input);
                results[1] = exact.recompute(scope).share();
                results[2] = packed.recompute(scope).share();
            }
            first = fixture.backend.readFloats(results[0]);
            again = fixture.backend.readFloats(results[1]);
            unpacked = fixture.backend.readFloats(results[2]);
            assertArrayEquals(first, again);
            for (int i = 0; i < first.length; i++) {
                // y = x · r · weight, r at most sqrt(3) / 2 · 1.3 for uniform x within 2, weight at most 1.5
                assertEquals(first[i], unpacked[i], 2.0 / 32767 * 2);
            }
        }
    }

    @Test
    void evaluationKeepsNothing() {
        Parameter weight = fixture.norm("norm", WIDTH);
        try (RmsNorm packed = new RmsNorm(fixture.backend, weight, () -> bits(10));
                Tensor input = fixture.tensor(INPUT, x);
                StepScope scope = fixture.backend.beginStep(StepContext.eval(0))) {
            packed.forward(scope, input);
            assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        }
    }
}
