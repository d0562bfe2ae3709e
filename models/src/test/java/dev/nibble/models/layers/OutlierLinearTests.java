package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Statistic;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

class OutlierLinearTests {
    private static final int TOKENS = 64;
    private static final int IN = 48;
    private static final int OUT = 32;
    private static final float SIZE = 256;
    private static final OutlierSpec SPEC = new OutlierSpec(3.0 / (TOKENS * IN), SIZE);

    private final LayerFixture fixture = new LayerFixture(41);
    private final Parameter weight = fixture.weight("w", OUT, IN);
    private final float[] x = fixture.uniform((long) TOKENS * IN, 1);
    private final float[] dy = fixture.uniform((long) TOKENS * OUT, 1);

    @AfterEach
    void close() {
        fixture.close();
    }

    private record Pass(float[] y, float[] dx, float[] dw) {}

    private Pass pass(Linear layer, StepContext context) {
        fixture.backend.write(weight.gradient(), new float[OUT * IN]);
        Tensor y;
        Tensor dx;
        try (Tensor input = fixture.tensor(Shape.of(TOKENS, IN), x);
                Tensor gradOutput = fixture.tensor(Shape.of(TOKENS, OUT), dy);
                StepScope scope = fixture.backend.beginStep(context)) {
            y = layer.forward(scope, input).share();
            dx = layer.backward(scope, gradOutput, LayerFixture.NEVER).share();
        }
        assertEquals(0, fixture.backend.memory().live(MemoryTag.CONTEXT));
        try (y;
                dx) {
            return new Pass(fixture.backend.readFloats(y), fixture.backend.readFloats(dx), fixture.gradient(weight));
        }
    }

    private OutlierLinear wrap(QuantizedLinear layer, OutlierSpec spec) {
        return new OutlierLinear(fixture.backend, layer, weight, spec, 7);
    }

    private static double distance(float[] a, float[] b) {
        double squares = 0;
        double norm = 0;
        for (int i = 0; i < a.length; i++) {
            squares += Math.pow((double) a[i] - b[i], 2);
            norm += Math.pow(a[i], 2);
        }
        return Math.sqrt(squares / norm);
    }

    @Test
    void outliersCancelInFp32AndAreSeenByTheQuantizer() {
        try (QuantizedLinear plain = fixture.linear("plain", weight);
                OutlierLinear outliers = wrap(fixture.linear("layer", weight, "int8-fallback"), SPEC);
                OutlierLinear exact = wrap(fixture.linear("exact", weight), SPEC)) {
            Pass expected = pass(plain, StepContext.train(0, 0.1f));
            Pass actual = pass(exact, StepContext.train(0, 0.1f));
            // A sum in which an outlier comes and goes has an error of at most (IN + 2) or (TOKENS + 2) roundings
            // of SIZE · 1.
            double bound = (TOKENS + 2) * 0x1p-23 * SIZE;
            for (int i = 0; i < expected.y.length; i++) {
                assertEquals(expected.y[i], actual.y[i], bound);
            }
            for (int i = 0; i < expected.dw.length; i++) {
                assertEquals(expected.dw[i], actual.dw[i], bound);
            }
            assertArrayEquals(expected.dx, actual.dx, "dX = dY · W, whatever X is");
            assertFalse(Arrays.equals(expected.y, actual.y), "but they were there");
            outliers.quantized().observe(true);
            pass(outliers, StepContext.train(0, 0.1f));
            float[] statistics = fixture.backend.readFloats(outliers.quantized().statistics());
            assertEquals(SIZE, statistics[Statistic.AMAX.ordinal()], 1, "x is within 1");
        }
    }

    @Test
    void blockQuantizationLosesWhatFallbackKeeps() {
        try (QuantizedLinear plain = fixture.linear("plain", weight);
                OutlierLinear block = wrap(fixture.linear("block", weight, "int8-block"), SPEC);
                OutlierLinear row = wrap(fixture.linear("row", weight, "int8-row"), SPEC)) {
            float[] expected = pass(plain, StepContext.train(0, 0.1f)).y;
            // one block of 128 holds all: its scale is 2, so every x within 1 rounds to 0
            assertEquals(1, distance(expected, pass(block, StepContext.train(0, 0.1f)).y), 0.2);
            // three rows of 64 are lost, and W's rounding times an outlier
            assertTrue(distance(expected, pass(row, StepContext.train(0, 0.1f)).y) < 0.5);
        }
    }

    @Test
    void placesChangeWithStepAndMicroBatchAndAreTheSameAgain() {
        try (OutlierLinear layer = wrap(fixture.linear("layer", weight, "int8-row"), SPEC)) {
            StepContext first = new StepContext(3, 1, StepContext.Mode.TRAIN, 0.1f);
            float[] y = pass(layer, first).y;
            assertArrayEquals(y, pass(layer, first).y);
            assertArrayEquals(y, pass(layer, new StepContext(3, 1, StepContext.Mode.RECOMPUTE, 0.1f)).y);
            assertFalse(Arrays.equals(y, pass(layer, new StepContext(3, 0, StepContext.Mode.TRAIN, 0.1f)).y));
            assertFalse(Arrays.equals(y, pass(layer, new StepContext(4, 1, StepContext.Mode.TRAIN, 0.1f)).y));
        }
    }

    @ParameterizedTest
    @CsvSource({
        "-0.1, 256, 'outlierRate is -0.1, but must be in [0, 1]'",
        "NaN, 256, 'outlierRate is NaN, but must be in [0, 1]'",
        "1.5, 256, 'outlierRate is 1.5, but must be in [0, 1]'",
        "0.1, 0, 'outlierSize is 0.0, but must be a finite number above 0'",
        "0.1, 1e39, 'outlierSize is 1.0E39, but must be a finite number above 0'"
    })
    void otherOutliersAreRefused(double rate, double size, String message) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> new OutlierSpec(rate, size));
        assertEquals(message, e.getMessage());
    }
}
