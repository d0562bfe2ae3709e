package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.Differences.U;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class ReferenceAttentionTests {
    private static final int CHECKED = 120; // elements whose gradient is compared

    private final TestScope scope = TestScope.create();
    private final ReferenceNeural ops = new ReferenceNeural(scope.runtime());

    /** {@return the token after the last one that a token sees} */
    private static int seen(AttentionShape shape, int token) {
        return shape.causal() ? token + 1 : (token / shape.sequence() + 1) * shape.sequence();
    }

    /** Attention in FP64 by its definition; returns [tokens, width]. */
    private static double[] attention(double[] qkv, AttentionShape shape) {
        int width = shape.width();
        int size = shape.headSize();
        double[] out = new double[(int) shape.tokens() * width]; // [tokens, width]
        for (int token = 0; token < shape.tokens(); token++) {
            int first = token / shape.sequence() * shape.sequence();
            for (int head = 0; head < shape.heads(); head++) {
                double denominator = 0;
                for (int key = first; key < seen(shape, token); key++) {
                    double s = 0;
                    for (int d = head * size; d < (head + 1) * size; d++) {
                        s += qkv[token * 3 * width + d] * qkv[key * 3 * width + width + d];
                    }
                    double p = Math.exp(s / Math.sqrt(size));
                    denominator += p;
                    for (int d = head * size; d < (head + 1) * size; d++) {
                        out[token * width + d] += p * qkv[key * 3 * width + 2 * width + d];
                    }
                }
                for (int d = head * size; d < (head + 1) * size; d++) {
                    out[token * width + d] /= denominator;
                }
            }
        }
        return out;
    }

    private static double loss(double[] qkv, AttentionShape shape, float[] c) {
        double[] out = attention(qkv, shape); // [tokens, width]
        double sum = 0;
        for (int i = 0; i < out.length; i++) {
            sum += c[i] * out[i];
        }
        return sum;
    }

    /**
     * Adds bounds of the FP32 error for query {@code i} of a head to those of the output and the packed gradient.
     * With n = sequence, d = headSize, all magnitudes sums of absolute values, u = 2^-24:
     *
     * <ul>
     *   <li>A score is a chain of d terms, scaled: it errs by (d + 2)·u·A, A the largest magnitude in the row. The
     *       log errs by as much, by the sum's (n/16 + 6)·u and by its own rounding, (A + log n)·u; the difference of
     *       both is rounded, (2A + log n)·u; exp adds 2u. So a probability errs by the share E = ((2d + 8)·A + n/16 +
     *       12 + 2·log n)·u.
     *   <li>The output is a chain of n terms p·v, times the reciprocal of the sum: (E + (n + 2)·u)·Σ p·|v|.
     *   <li>dP, magnitude P', errs by d·u·P'; D, magnitude D', by (E + (n + d + 4)·u)·D'. dS = p·(dP - D)·scale, so
     *       it errs by p·(P' + D')·scale·(2E + (n + d + 8)·u); sums over tokens add n·u of their magnitude.
     * </ul>
     */
    private static void addBounds(float[] x, float[] c, AttentionShape shape, int i, double[] out, double[] grad) {
        int n = shape.sequence();
        int size = shape.headSize();
        int width = shape.width();
        int pitch = 3 * width;
        double scale = 1 / Math.sqrt(size);
        for (int head = 0; head < width; head += size) {
            int first = i / n * n;
            double[] p = new double[n]; // [keys]
            double[] gradP = new double[n]; // [keys], magnitudes
            double[] gradOut = new double[size]; // [features], Σ p · |v|
            double sum = 0;
            double largest = 0;
            for (int j = first; j < seen(shape, i); j++) {
                double score = 0;
                double magnitude = 0;
                for (int d = head; d < head + size; d++) {
                    score += (double) x[i * pitch + d] * x[j * pitch + width + d] * scale;
                    magnitude += Math.abs((double) x[i * pitch + d] * x[j * pitch + width + d] * scale);
                    gradP[j - first] += Math.abs((double) c[i * width + d] * x[j * pitch + 2 * width + d]);
                }
                largest = Math.max(largest, magnitude);
                p[j - first] = Math.exp(score);
                sum += p[j - first];
            }
            double share = ((2 * size + 8) * largest + n / 16.0 + 12 + 2 * Math.log(n)) * U;
            double rowDot = 0;
            for (int d = 0; d < size; d++) {
                for (int j = first; j < seen(shape, i); j++) {
                    gradOut[d] += p[j - first] / sum * Math.abs(x[j * pitch + 2 * width + head + d]);
                }
                rowDot += Math.abs(c[i * width + head + d]) * gradOut[d];
                out[i * width + head + d] = gradOut[d] * (share + (n + 2) * U);
            }
            for (int j = first; j < seen(shape, i); j++) {
                double probability = p[j - first] / sum;
                double gradS = probability * (gradP[j - first] + rowDot) * scale * (2 * share + (2 * n + size + 8) * U);
                for (int d = head; d < head + size; d++) {
                    grad[i * pitch + d] += gradS * Math.abs(x[j * pitch + width + d]);
                    grad[j * pitch + width + d] += gradS * Math.abs(x[i * pitch + d]);
                    grad[j * pitch + 2 * width + d] += probability * Math.abs(c[i * width + d]) * (share + n * U);
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({
        "1, 1, 1, 2, true",
        "2, 13, 3, 2, true",
        "1, 13, 1, 16, true",
        "1, 33, 3, 16, true",
        "1, 129, 1, 64, true",
        "2, 1, 1, 2, false",
        "2, 13, 3, 2, false",
        "1, 33, 3, 16, false",
        "1, 129, 1, 64, false"
    })
    void outputAndGradientsAreThoseOfTheDefinition(int batch, int sequence, int heads, int headSize, boolean causal) {
        AttentionShape shape = new AttentionShape(batch, sequence, heads, headSize, causal);
        int tokens = batch * sequence;
        int width = shape.width();
        SplittableRandom random = new SplittableRandom(sequence + headSize);
        float[] x = Differences.normal(random, tokens * 3 * width, 1); // [tokens, 3 · width]
        float[] c = Differences.normal(random, tokens * width, 1); // [tokens, width]
        Tensor qkv = scope.floats("qkv", x, tokens, 3L * width);
        Saved forward = ops.attention(scope, qkv, shape);
        Tensor dy = scope.floats("gradOutput", c, tokens, width);
        float[] grad = floats(ops.attentionBackward(scope, dy, qkv, forward, shape)); // [tokens, 3 · width]

        double[] outBounds = new double[tokens * width]; // [tokens, width]
        double[] gradBounds = new double[x.length]; // [tokens, 3 · width]
        for (int i = 0; i < tokens; i++) {
            addBounds(x, c, shape, i, outBounds, gradBounds);
        }
        double[] exact = Differences.widen(x); // [tokens, 3 · width]
        double[] out = attention(exact, shape); // [tokens, width]
        for (int i = 0; i < out.length; i++) {
            assertEquals(out[i], floats(forward.output())[i], outBounds[i]);
        }
        double gradients = 0;
        double bounds = 0;
        for (int tried = 0; tried < CHECKED; tried++) {
            int i = x.length <= CHECKED ? tried % x.length : random.nextInt(x.length);
            double expected = Differences.derivative(v -> loss(v, shape, c), exact, i);
            assertEquals(expected, grad[i], gradBounds[i] + 1e-8);
            gradients += Math.abs(expected);
            bounds += gradBounds[i];
        }
        assertTrue(bounds < gradients / 20, "bounds add up to " + bounds + ", gradients to " + gradients);
    }

    @Test
    void hiddenTokensDoNotReachTheOutputEvenAsNan() {
        AttentionShape shape = new AttentionShape(1, 13, 1, 2);
        float[] x = Differences.normal(new SplittableRandom(3), 13 * 6, 1); // [13, 6]
        float[] clean = floats(
                ops.attention(scope, scope.floats("qkv", x, 13, 6), shape).output());
        Arrays.fill(x, 7 * 6, 8 * 6, Float.NaN); // token 7
        float[] out = floats(
                ops.attention(scope, scope.floats("qkv", x, 13, 6), shape).output());
        for (int i = 0; i < 13 * 2; i++) {
            assertEquals(i < 7 * 2 ? clean[i] : Float.NaN, out[i]);
        }
    }

    @Test
    void withoutAMaskEveryTokenSeesTheLast() {
        AttentionShape shape = new AttentionShape(2, 13, 1, 2, false);
        float[] x = Differences.normal(new SplittableRandom(5), 26 * 6, 1); // [26, 6]
        float[] before = floats(
                ops.attention(scope, scope.floats("qkv", x, 26, 6), shape).output());
        x[12 * 6 + 4] += 1f; // v of the last token of the first sequence
        float[] after = floats(
                ops.attention(scope, scope.floats("qkv", x, 26, 6), shape).output());
        for (int token = 0; token < 26; token++) {
            assertEquals(token < 13, before[token * 2] != after[token * 2], "token " + token);
        }
    }

    @ParameterizedTest
    @ValueSource(booleans = {false, true})
    void sequencesAndHeadsAreIndependent(boolean causal) {
        AttentionShape shape = new AttentionShape(2, 5, 3, 4, causal);
        float[] x = Differences.normal(new SplittableRandom(4), 10 * 36, 1); // [10, 36]
        float[] before = floats(
                ops.attention(scope, scope.floats("qkv", x, 10, 36), shape).output());
        x[6 * 36 + 12 + 5] += 1f; // k of token 1 in sequence 1, head 1
        float[] after = floats(
                ops.attention(scope, scope.floats("qkv", x, 10, 36), shape).output());
        for (int i = 0; i < before.length; i++) {
            boolean mayChange = i / 12 >= (causal ? 6 : 5) && i % 12 / 4 == 1;
            assertEquals(mayChange, before[i] != after[i], "element " + i);
        }
    }

    @Test
    void largeScoresDoNotOverflow() {
        AttentionShape shape = new AttentionShape(1, 2, 1, 2);
        float[] x = {100, 100, 100, 100, 1, 2, 100, 100, -100, -100, 3, 4}; // [2, 6]
        Saved result = ops.attention(scope, scope.floats("qkv", x, 2, 6), shape);
        assertEquals(1f, floats(result.output())[2]);
        assertEquals(2f, floats(result.output())[3]);
        // s = 20000 / sqrt(2), the sum is 1, so the log is s: one product and two roundings of scale and result.
        assertEquals(20000 / Math.sqrt(2), floats(result.saved())[1], 3 * U * 20000);
    }

    @Test
    void packedTensorOfAnotherShapeIsRefused() {
        Tensor qkv = scope.floats("qkv", new float[12], 2, 6);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> ops.attention(scope, qkv, new AttentionShape(1, 2, 2, 2)));
        assertEquals("qkv is [2, 6], but must be [2, 12]", e.getMessage());
    }
}
