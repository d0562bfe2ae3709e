package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Transform;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/** A factor a column of X, measured before a step, and taken out of W: it must cancel in all three products. */
class ColumnScaleTests {
    private static final int TOKENS = 13;
    private static final int IN = 17;
    private static final int OUT = 5;
    private static final String D = "d";

    private final LayerFixture fixture = new LayerFixture(3);
    private final Parameter weight = fixture.weight("w", OUT, IN);
    private final Parameter plainWeight =
            Parameter.create(fixture.backend, "p", Shape.of(OUT, IN), true, fixture.backend.readFloats(weight.value()));
    private final float[] xValues = withOutlier(fixture.uniform((long) TOKENS * IN, 1));
    private final float[] gradValues = fixture.uniform((long) TOKENS * OUT, 1);

    @AfterEach
    void close() {
        fixture.close();
    }

    private static float[] withOutlier(float[] x) {
        for (int i = 3; i < x.length; i += IN) {
            x[i] *= 1000;
        }
        return x;
    }

    /** FP32, with d[k] = the largest power of two not above 1 / max|x[:, k]|. */
    private record Scaled(int in) implements LinearQuantizer {
        @Override
        public LinearPlan plan(PlanRequest request) {
            List<PlaneSpec> fp32 = List.of(PlaneSpec.unscaled(DType.FP32));
            StateProgram.Builder b = StateProgram.builder();
            Value largest = b.columnAmax(StateInput.INPUT, in);
            b.set(D, b.powerOfTwo(b.divide(b.constant(1), largest)));
            return new LinearPlan(
                            QuantizeSpec.both(Role.INPUT, fp32).with(new Transform.ColumnScale(D, false)),
                            QuantizeSpec.both(Role.WEIGHT, fp32).with(new Transform.ColumnScale(D, true)),
                            QuantizeSpec.both(Role.GRAD_OUTPUT, fp32),
                            GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                            GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                            GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                            StateProgram.EMPTY,
                            StateProgram.EMPTY)
                    .withBeforeForward(b.build());
        }

        @Override
        public List<StateVector> state() {
            return List.of(new StateVector(D, Collections.nCopies(in, 1f)));
        }
    }

    /** What one pass gave: Y [TOKENS, OUT], dX [TOKENS, IN]. */
    private record Pass(float[] output, float[] gradInput) {}

    private QuantizedLinear layer(LinearQuantizer quantizer, Parameter parameter) {
        return new QuantizedLinear(
                fixture.backend, new LinearLayer(new Site("blocks.0.mlp.down", 2), IN, OUT), quantizer, parameter);
    }

    private static LinearQuantizer quantizer(String name, Map<String, String> options) {
        QuantizerProvider provider = Plugins.quantizers().get(name);
        return provider.create(OptionValues.of(name, provider.options(), options))
                .linear(new LinearLayer(new Site("blocks.0.mlp.down", 2), IN, OUT));
    }

    private Pass pass(QuantizedLinear layer, StepContext context, float[] x) {
        Tensor output;
        Tensor gradInput;
        try (Tensor input = fixture.tensor(Shape.of(TOKENS, IN), x);
                Tensor gradOutput = fixture.tensor(Shape.of(TOKENS, OUT), gradValues);
                StepScope scope = fixture.backend.beginStep(context)) {
            output = layer.forward(scope, input).share();
            gradInput = context.training() ? layer.backward(scope, gradOutput).share() : output.share();
        }
        try (output;
                gradInput) {
            return new Pass(fixture.backend.readFloats(output), fixture.backend.readFloats(gradInput));
        }
    }

    private static StepContext microBatch(int number) {
        return new StepContext(0, number, StepContext.Mode.TRAIN, 0.1f);
    }

    private float[] factors(QuantizedLinear layer) {
        return fixture.backend.readFloats(layer.state().get(D));
    }

    /** Powers of two change no mantissa, so even the order of roundings is the same. */
    @Test
    void factorsCancelInTheOutputAndInBothGradients() {
        try (QuantizedLinear scaled = layer(new Scaled(IN), weight);
                QuantizedLinear plain = layer(quantizer("fp32", Map.of()), plainWeight)) {
            for (int number = 0; number < 2; number++) { // gradients of micro-batches add up
                Pass ofScaled = pass(scaled, microBatch(number), xValues);
                Pass ofPlain = pass(plain, microBatch(number), xValues);
                assertArrayEquals(ofPlain.output(), ofScaled.output());
                assertArrayEquals(ofPlain.gradInput(), ofScaled.gradInput());
                assertArrayEquals(fixture.gradient(plainWeight), fixture.gradient(weight));
            }
            assertTrue(factors(scaled)[3] < 0x1p-8f, "there was something to cancel");
            scaled.releaseWeight();
            plain.releaseWeight();
        }
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        assertEquals(0, fixture.backend.memory().live(MemoryTag.SCRATCH));
    }

    @Test
    void factorsAreMeasuredOnceAStepBeforeTheWeightIsQuantized() {
        float[] twice = xValues.clone(); // [TOKENS, IN]
        for (int i = 0; i < twice.length; i++) {
            twice[i] *= 2;
        }
        try (QuantizedLinear layer = layer(new Scaled(IN), weight)) {
            pass(layer, StepContext.eval(0), xValues);
            float[] ones = new float[IN]; // [IN]
            Arrays.fill(ones, 1);
            assertArrayEquals(ones, factors(layer), "evaluation before any step");
            pass(layer, microBatch(0), xValues);
            float[] first = factors(layer); // [IN]
            pass(layer, microBatch(1), twice);
            assertArrayEquals(first, factors(layer), "another micro-batch");
            pass(layer, microBatch(0), twice);
            assertArrayEquals(first, factors(layer), "the weight is still that of the first pass");
            layer.releaseWeight();
            pass(layer, StepContext.eval(0), twice);
            assertArrayEquals(first, factors(layer), "evaluation");
            pass(layer, new StepContext(1, 0, StepContext.Mode.TRAIN, 0.1f), twice);
            for (int k = 0; k < IN; k++) {
                assertEquals(first[k] / 2, factors(layer)[k]);
            }
            layer.releaseWeight();
        }
    }

    /**
     * {@return the largest of |value - exact| over its bound}
     *
     * @param bounds of the elements of {@code exact}, positive
     */
    private static double largestExcess(float[] values, float[] exact, double[] bounds) {
        double largest = 0;
        for (int i = 0; i < exact.length; i++) {
            largest = Math.max(largest, Math.abs((double) values[i] - exact[i]) / bounds[i]);
        }
        return largest;
    }

    /**
     * Half an ulp is 2^-3 of a normal E5M2 and 2^-4 of a normal E4M3 code: (1 + 2^-3)(1 + 2^-4) - 1 &lt; 0.1954 of each product.
     * A subnormal E4M3 code is off by at most 2^-10 / 448 of the tensor's amax; a smoothed column reaches half of 1, and the
     * folded W is at most 1024 times W: 2^-8 of the largest W, and far less of a column of X. FP32 sums vanish beside that.
     */
    @Test
    void smoothedFp8HasTheGradientsOfThePlainLayer() {
        float[] w = fixture.backend.readFloats(weight.value()); // [OUT, IN]
        double[] ofInput = new double[TOKENS * IN]; // [TOKENS, IN]
        double[] ofWeight = new double[OUT * IN]; // [OUT, IN]
        double largestWeight = Math.sqrt(3.0 / IN);
        for (int token = 0; token < TOKENS; token++) {
            for (int out = 0; out < OUT; out++) {
                for (int k = 0; k < IN; k++) {
                    double dy = Math.abs(gradValues[token * OUT + out]);
                    double x = Math.abs(xValues[token * IN + k]);
                    double columnMax = k == 3 ? 1000 : 1;
                    ofInput[token * IN + k] += dy * (0.1954 * Math.abs(w[out * IN + k]) + 0x1p-8 * largestWeight);
                    ofWeight[out * IN + k] += dy * (0.1954 * x + 0x1p-8 * columnMax);
                }
            }
        }
        try (QuantizedLinear smoothed = layer(quantizer("fp8", Map.of("smooth", "channel")), weight);
                QuantizedLinear plain = layer(quantizer("fp32", Map.of()), plainWeight)) {
            Pass ofSmoothed = pass(smoothed, microBatch(0), xValues);
            Pass ofPlain = pass(plain, microBatch(0), xValues);
            assertTrue(largestExcess(ofSmoothed.gradInput(), ofPlain.gradInput(), ofInput) <= 1);
            assertTrue(largestExcess(fixture.gradient(weight), fixture.gradient(plainWeight), ofWeight) <= 1);
            smoothed.releaseWeight();
            plain.releaseWeight();
        }
    }
}
