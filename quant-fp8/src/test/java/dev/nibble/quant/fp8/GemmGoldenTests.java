package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.spi.Operand;
import dev.nibble.tensor.Role;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;

/** Errors of Y = A · Bᵀ, both [64, 1024], made apart from this code with decoded codes summed in FP64. */
class GemmGoldenTests {
    private static final int ROWS = 64;
    private static final int K = 1024;

    private static double[] product(float[] a, float[] b) {
        double[] y = new double[ROWS * ROWS]; // [ROWS, ROWS]
        for (int i = 0; i < y.length; i++) {
            for (int k = 0; k < K; k++) {
                y[i] += (double) a[i / ROWS * K + k] * b[i % ROWS * K + k];
            }
        }
        return y;
    }

    private static double norm(double[] y) {
        double sum = 0;
        for (double value : y) {
            sum += value * value;
        }
        return Math.sqrt(sum);
    }

    private static double distance(double[] y, double[] exact) {
        double[] difference = new double[y.length]; // [ROWS, ROWS]
        for (int i = 0; i < y.length; i++) {
            difference[i] = y[i] - exact[i];
        }
        return norm(difference);
    }

    /** {@return 1 - 2·Σxy / Σ(x² + y²)} */
    private static double cosineLoss(double[] x, double[] y) {
        double dot = 0;
        for (int i = 0; i < x.length; i++) {
            dot += x[i] * y[i];
        }
        return 1 - 2 * dot / (norm(x) * norm(x) + norm(y) * norm(y));
    }

    @ParameterizedTest(name = "{0} {1}")
    @CsvSource({
        "'', INPUT, .037195, 6.92e-4, -51.770923152",
        "pow2=true, INPUT, .037859, 7.17e-4, -48.483533859",
        "'', GRAD_OUTPUT, .059570, 1.777e-3, -48.192734309",
        "scaling=row, INPUT, .037284, 6.95e-4, -49.530564494",
        "scaling=1x128, INPUT, .035859, 6.43e-4, -47.175382717",
        "scaling=1x128 pow2=true, INPUT, .037859, 7.17e-4, -48.483533859",
    })
    void productHasItsGoldenError(String options, Role right, double error, double loss, double first) {
        float[] a = Golden.generate(12345, ROWS * K); // [ROWS, K]
        float[] b = Golden.generate(54321, ROWS * K); // [ROWS, K]
        double[] exact = product(a, b);
        assertEquals(-48.601789554, exact[0], 5e-10);
        assertEquals(-0.355376450, exact[ROWS * ROWS - 1], 5e-10);
        try (Step step = new Step(RecipeGoldenTests.options(options))) {
            Operand left = step.quantize(Role.INPUT, a, ROWS, K).operand(Contraction.COLUMNS);
            Operand other = step.quantize(right, b, ROWS, K).operand(Contraction.COLUMNS);
            double[] decoded = product(step.dequantize(left), step.dequantize(other));
            // A decoded value is code · scale rounded to FP32, where the golden sum may have kept the product: 2^-24 of
            // each factor, at most 2 · 2^-24 · K · 3.4² in Y, and 5e-10 of the printed digits.
            assertEquals(first, decoded[0], 2 * 0x1p-24 * K * 3.4 * 3.4 + 5e-10);
            assertEquals(error, distance(decoded, exact) / norm(exact), 5e-7 + 2 * 0x1p-24);
            assertEquals(loss, cosineLoss(decoded, exact), loss * 1e-2); // three digits
            float[] y = step.multiply(Product.OUTPUT, left, other); // [ROWS, ROWS]
            double[] summed = new double[y.length]; // [ROWS, ROWS]
            for (int i = 0; i < y.length; i++) {
                summed[i] = y[i];
            }
            // FP32 sums cost about 5.6e-7 of the norm; fast accumulation with 14 bits would cost 1e-4 or more.
            assertTrue(distance(summed, decoded) < 1e-6 * norm(exact), "fold: " + distance(summed, decoded));
        }
    }
}
