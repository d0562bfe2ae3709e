package dev.nibble.models.layers;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Optional;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** What attention's gradient loses if q, k, v and the output are kept in BF16. */
class AttentionContextTests {
    private static final int SEQUENCE = 37;
    private static final int HEADS = 2;
    private static final int SIZE = 14; // of a head
    private static final int WIDTH = HEADS * SIZE;
    private static final double U = 0x1p-8; // largest relative error of a BF16

    private final LayerFixture fixture = new LayerFixture(17);

    @AfterEach
    void close() {
        fixture.close();
    }

    /** What the passes gave, and the bytes that attention kept itself. */
    private record Passes(float[] output, float[] gradient, long contextBytes) {}

    private Passes passes(AttentionShape shape, float[] qkv, float[] gradOutput, Optional<TensorCodec> codec) {
        try (FloatAttention attention = new FloatAttention(fixture.backend)) {
            return passes(attention, shape, qkv, gradOutput, codec, codec);
        }
    }

    private Passes passes(
            Attention attention,
            AttentionShape shape,
            float[] qkv,
            float[] gradOutput,
            Optional<TensorCodec> codec,
            Optional<TensorCodec> inner) {
        Tensor output;
        Tensor gradient;
        long context;
        try (Tensor packed = fixture.tensor(Shape.of(SEQUENCE, 3 * WIDTH), qkv);
                Tensor dy = fixture.tensor(Shape.of(SEQUENCE, WIDTH), gradOutput);
                StepScope scope = fixture.backend.beginStep(StepContext.train(0, 0.1f))) {
            output = attention.forward(scope, packed, shape, inner).share();
            context = fixture.backend.memory().live(MemoryTag.CONTEXT);
            try (Kept keptQkv = Kept.of(fixture.backend, scope, codec, packed);
                    Kept keptOutput = Kept.of(fixture.backend, scope, codec, output);
                    Tensor forQkv = keptQkv.tensor(scope);
                    Tensor forOutput = keptOutput.tensor(scope)) {
                gradient =
                        attention.backward(scope, dy, forQkv, forOutput, shape).share();
            }
        }
        try (output;
                gradient) {
            return new Passes(fixture.backend.readFloats(output), fixture.backend.readFloats(gradient), context);
        }
    }

    /**
     * Each element within a bound of its own. A kept x is x · (1 + e), |e| at most U; the logarithm of the denominator is the
     * forward pass's. With |.| taken element by element and the sums over the head's features:
     * <pre>{@code
     *   |ds| <= (2U + U²) · |q|·|k| / sqrt(size)    so P is off by at most P · r, r = exp(|ds|) - 1
     *   |d(dP - D)| <= U · (|dO|·|v| + |dO|·|o|) =: e
     *   |d(dS)| <= P · (r · (|dP - D| + e) + e)
     *   |d(dV)| <= Σ P · r · |dO|
     *   |d(dQ)| <= Σ (|d(dS)| · (1 + U) + |dS| · U) · |k| / sqrt(size), and dK likewise
     * }</pre>
     */
    @ParameterizedTest
    @ValueSource(doubles = {0.1, 1, 4})
    void gradientIsWithinTheBoundOfEachElement(double spread) {
        for (boolean causal : new boolean[] {true, false}) {
            AttentionShape shape = new AttentionShape(1, SEQUENCE, HEADS, SIZE, causal);
            float[] qkv = fixture.uniform((long) SEQUENCE * 3 * WIDTH, (float) spread); // [SEQUENCE, 3 · WIDTH]
            float[] dy = fixture.uniform((long) SEQUENCE * WIDTH, 1); // [SEQUENCE, WIDTH]
            Passes exact = passes(shape, qkv, dy, Optional.empty());
            Passes kept = passes(shape, qkv, dy, Optional.of(TensorCodec.BF16));
            assertArrayEquals(exact.output(), kept.output(), "the forward pass reads what was not rounded");
            double[] bound = bound(qkv, dy, exact.output(), causal); // like qkv
            double largest = 0;
            for (int i = 0; i < bound.length; i++) {
                double error = Math.abs((double) kept.gradient()[i] - exact.gradient()[i]);
                assertTrue(error <= bound[i], "element " + i + ": " + error + ", bound " + bound[i]);
                largest = Math.max(largest, error / bound[i]);
            }
            // a bound for each sum's worst signs; a hundredth of it would not hold
            assertTrue(largest > 0.01, "largest share of the bound: " + largest);
        }
    }

    /**
     * Of quantized products the weights P are kept, too. With P alone rounded, D = Σ P · dP: |d(dS)| ≤ U · P · |dP - D| + (1 + U) · P ·
     * U · Σ P · |dP|, over sqrt(size); |d(dQ)| ≤ Σ |d(dS)| · |k|, dK likewise; dV is made of the operand of P, which is not rounded.
     */
    @Test
    void weightsOfQuantizedAttentionAreKeptInBf16() {
        AttentionShape shape = new AttentionShape(1, SEQUENCE, HEADS, SIZE, true);
        float[] qkv = fixture.uniform((long) SEQUENCE * 3 * WIDTH, 1); // [SEQUENCE, 3 · WIDTH]
        float[] dy = fixture.uniform((long) SEQUENCE * WIDTH, 1); // [SEQUENCE, WIDTH]
        Passes exact = planned("fp32", shape, qkv, dy, Optional.empty());
        Passes kept = planned("fp32", shape, qkv, dy, Optional.of(TensorCodec.BF16));
        assertArrayEquals(exact.output(), kept.output());
        double[] bound = boundOfWeights(qkv, dy);
        double largest = 0;
        for (int i = 0; i < bound.length; i++) {
            double error = Math.abs((double) kept.gradient()[i] - exact.gradient()[i]);
            assertTrue(error <= bound[i], "element " + i + ": " + error + ", bound " + bound[i]);
            largest = Math.max(largest, bound[i] == 0 ? 0 : error / bound[i]);
        }
        assertTrue(largest > 0.01, "largest share of the bound: " + largest);
        long weights = (long) HEADS * SEQUENCE * SEQUENCE;
        assertEquals(
                2 * weights,
                planned("int8-row", shape, qkv, dy, Optional.empty()).contextBytes()
                        - planned("int8-row", shape, qkv, dy, Optional.of(TensorCodec.BF16))
                                .contextBytes());
    }

    private Passes planned(
            String quantizer, AttentionShape shape, float[] qkv, float[] dy, Optional<TensorCodec> weights) {
        try (Attention attention = fixture.plannedAttention(quantizer, shape)) {
            return passes(attention, shape, qkv, dy, Optional.empty(), weights);
        }
    }

    private static double[] boundOfWeights(float[] qkv, float[] dy) {
        double[] bound = new double[qkv.length]; // [SEQUENCE, 3 · WIDTH]; 0 for v
        double root = Math.sqrt(SIZE);
        for (int head = 0; head < HEADS; head++) {
            for (int i = 0; i < SEQUENCE; i++) {
                double[] p = new double[i + 1]; // [keys]
                double[] dp = new double[i + 1]; // [keys]
                double sum = 0;
                for (int j = 0; j <= i; j++) {
                    p[j] = Math.exp(
                            dot(qkv, at(i, 0, head), qkv, at(j, 1, head)).value() / root);
                    dp[j] = dot(dy, outputAt(i, head), qkv, at(j, 2, head)).value();
                    sum += p[j];
                }
                double d = 0;
                double magnitudes = 0;
                for (int j = 0; j <= i; j++) {
                    p[j] /= sum;
                    d += p[j] * dp[j];
                    magnitudes += p[j] * Math.abs(dp[j]);
                }
                for (int j = 0; j <= i; j++) {
                    // FP32: both passes round each of some 100 operations on these magnitudes
                    double gradScore = p[j]
                            * (U * Math.abs(dp[j] - d)
                                    + (1 + U) * U * magnitudes
                                    + 200 * 0x1p-24 * (Math.abs(dp[j]) + magnitudes))
                            / root;
                    for (int c = 0; c < SIZE; c++) {
                        bound[at(i, 0, head) + c] += gradScore * Math.abs(qkv[at(j, 1, head) + c]);
                        bound[at(j, 1, head) + c] += gradScore * Math.abs(qkv[at(i, 0, head) + c]);
                    }
                }
            }
        }
        return bound;
    }

    private static double[] bound(float[] qkv, float[] dy, float[] output, boolean causal) {
        double[] bound = new double[qkv.length]; // [SEQUENCE, 3 · WIDTH]
        double root = Math.sqrt(SIZE);
        for (int head = 0; head < HEADS; head++) {
            for (int i = 0; i < SEQUENCE; i++) {
                int keys = causal ? i + 1 : SEQUENCE;
                double sum = 0;
                for (int j = 0; j < keys; j++) {
                    sum += Math.exp(
                            dot(qkv, at(i, 0, head), qkv, at(j, 1, head)).value() / root);
                }
                Dot d = dot(dy, outputAt(i, head), output, outputAt(i, head));
                for (int j = 0; j < keys; j++) {
                    Dot s = dot(qkv, at(i, 0, head), qkv, at(j, 1, head));
                    Dot dp = dot(dy, outputAt(i, head), qkv, at(j, 2, head));
                    double p = Math.exp(s.value() / root) / sum;
                    double r = Math.expm1((2 * U + U * U) * s.magnitudes() / root);
                    double e = U * (dp.magnitudes() + d.magnitudes());
                    double difference = Math.abs(dp.value() - d.value());
                    double gradScore = p * (r * (difference + e) + e) * (1 + U) + p * difference * U;
                    // FP32: both passes round each of some 100 operations on these magnitudes
                    double fp32 = 200 * 0x1p-24 * p * (dp.magnitudes() + d.magnitudes()) * (1 + s.magnitudes());
                    for (int c = 0; c < SIZE; c++) {
                        bound[at(i, 0, head) + c] += (gradScore + fp32) * Math.abs(qkv[at(j, 1, head) + c]) / root;
                        bound[at(j, 1, head) + c] += (gradScore + fp32) * Math.abs(qkv[at(i, 0, head) + c]) / root;
                        bound[at(j, 2, head) + c] +=
                                p * (r + 200 * 0x1p-24 * (1 + s.magnitudes())) * Math.abs(dy[outputAt(i, head) + c]);
                    }
                }
            }
        }
        return bound;
    }

    /** A sum of products, and that of their magnitudes. */
    private record Dot(double value, double magnitudes) {}

    private static Dot dot(float[] a, int fromA, float[] b, int fromB) {
        double value = 0;
        double magnitudes = 0;
        for (int c = 0; c < SIZE; c++) {
            double product = (double) a[fromA + c] * b[fromB + c];
            value += product;
            magnitudes += Math.abs(product);
        }
        return new Dot(value, magnitudes);
    }

    /** {@return where a part (q, k, v) of a token and head begins} */
    private static int at(int token, int part, int head) {
        return token * 3 * WIDTH + part * WIDTH + head * SIZE;
    }

    private static int outputAt(int token, int head) {
        return token * WIDTH + head * SIZE;
    }
}
