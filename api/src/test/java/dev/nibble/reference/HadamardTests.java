package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Transform;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

class HadamardTests {
    private static final double U = 0x1p-24; // relative error of one rounding
    private static final Transform HADAMARD = new Transform.BlockHadamard("hadamard");

    /** Each level of butterflies turns the vector without changing its length, but for one rounding an element; so do the norm and its product. */
    private static double relativeError(int log2) {
        return 1.01 * (log2 + 2) * U;
    }

    private static double length(float[] x) {
        double sum = 0;
        for (float value : x) {
            sum += (double) value * value;
        }
        return Math.sqrt(sum);
    }

    private static float[] minus(float[] x, double[] y) {
        float[] difference = new float[x.length]; // [length]
        for (int i = 0; i < x.length; i++) {
            difference[i] = (float) (x[i] - y[i]);
        }
        return difference;
    }

    private static float[] transformed(float[] x, int log2) {
        float[] y = x.clone(); // [length]
        Hadamard.transform(y, 0, y.length, log2);
        return y;
    }

    /** Entry [row, col] of Sylvester's matrix: -1 to the number of bits that row and col share. */
    private static int sign(int row, int col) {
        return Integer.bitCount(row & col) % 2 == 0 ? 1 : -1;
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10})
    void squareIsTheIdentity(int log2) {
        int size = 1 << log2;
        for (int i = 0; i < size; i += Math.max(1, size / 16)) {
            float[] unit = new float[size]; // [size]
            unit[i] = 1;
            float[] back = transformed(transformed(unit, log2), log2);
            assertArrayEquals(unit, back, 1e-6f);
        }
        float[] x = Data.normal(log2, 4 * size);
        float[] back = transformed(transformed(x, log2), log2);
        double error = length(minus(back, Differences.widen(x)));
        assertTrue(error <= 2 * relativeError(log2) * length(x), "error " + error);
    }

    @ParameterizedTest
    @ValueSource(ints = {1, 2, 5, 10})
    void unitVectorsBecomeRowsOfSylvestersMatrix(int log2) {
        int size = 1 << log2;
        for (int row = 0; row < size; row += Math.max(1, size / 32)) {
            float[] x = new float[size]; // [size]
            x[row] = 1;
            Hadamard.transform(x, 0, size, log2);
            for (int col = 0; col < size; col++) {
                assertEquals(sign(row, col) * Hadamard.norm(log2), x[col], row + ", " + col);
            }
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 4, 7})
    void isTheProductWithTheMatrixAndKeepsTheLength(int log2) {
        int size = 1 << log2;
        float[] x = Data.normal(7, 3 * size);
        float[] y = transformed(x, log2);
        double[] exact = new double[x.length]; // [3, size]
        for (int i = 0; i < x.length; i++) {
            for (int k = 0; k < size; k++) {
                exact[i] += sign(i % size, k) * (double) x[i / size * size + k];
            }
            exact[i] *= Math.pow(2, -log2 / 2.0);
        }
        assertTrue(length(minus(y, exact)) <= relativeError(log2) * length(x));
        assertEquals(length(x), length(y), relativeError(log2) * length(x));
    }

    @Test
    void normIsRoundedOnce() {
        assertEquals(1f, Hadamard.norm(0));
        assertEquals(0x1p-5f, Hadamard.norm(10));
        assertEquals((float) (1 / Math.sqrt(2)), Hadamard.norm(1));
        assertEquals((float) (1 / Math.sqrt(32)), Hadamard.norm(5));
    }

    @Test
    void sizeOneChangesNoBit() {
        float[] x = {-0f, Float.NaN, Float.MIN_VALUE, Float.MAX_VALUE, Float.NEGATIVE_INFINITY, 3};
        assertArrayEquals(x, transformed(x, 0));
        assertEquals(Float.floatToRawIntBits(-0f), Float.floatToRawIntBits(transformed(x, 0)[0]));
    }

    @Test
    void runsDoNotMix() {
        float[] x = new float[12]; // 3 runs of 4
        x[1] = Float.NaN;
        x[10] = 8;
        float[] y = transformed(x, 2);
        for (int i = 0; i < 4; i++) {
            assertTrue(Float.isNaN(y[i]));
            assertEquals(0, y[4 + i]);
            assertEquals(4, Math.abs(y[8 + i]));
        }
    }

    @Test
    void partOfAnArrayCanBeTransformed() {
        float[] x = {1, 2, 3, 4, 5, 6};
        Hadamard.transform(x, 2, 2, 1);
        float norm = Hadamard.norm(1);
        assertArrayEquals(new float[] {1, 2, 7 * norm, -norm, 5, 6}, x);
    }

    @Test
    void subnormalsAreKept() {
        float[] x = {Float.MIN_VALUE, 3 * Float.MIN_VALUE, 0, 0};
        // sums 4, -2, 4, -2 of the smallest number, halved
        float[] expected = {2 * Float.MIN_VALUE, -Float.MIN_VALUE, 2 * Float.MIN_VALUE, -Float.MIN_VALUE};
        assertArrayEquals(expected, transformed(x, 2));
    }

    private static HostOperand unscaled(Session session, Role role, float[] x, int rows, int cols, float log2) {
        QuantizeSpec spec =
                QuantizeSpec.both(role, List.of(PlaneSpec.unscaled(DType.FP32))).with(HADAMARD);
        return Session.operand(
                session.quantize(spec, x, rows, cols, StateVector.scalar("hadamard", log2)), Contraction.COLUMNS);
    }

    @ParameterizedTest
    @CsvSource({"5, 64, 0", "5, 64, 1", "13, 96, 5", "7, 128, 7", "1, 1024, 10"})
    void transformCancelsInAProduct(int rows, int cols, float log2) {
        float[] x = Data.withOutliers(1, rows * cols, 50);
        float[] w = Data.normal(2, 9 * cols);
        try (Session session = new Session()) {
            HostOperand a = unscaled(session, Role.INPUT, x, rows, cols, log2);
            HostOperand b = unscaled(session, Role.WEIGHT, w, 9, cols, log2);
            float[] y = session.multiply(GemmSpec.of(Product.OUTPUT, Epilogue.STORE), a, b); // [rows, 9]
            for (int i = 0; i < y.length; i++) {
                double exact = 0;
                double squaresX = 0;
                double squaresW = 0;
                for (int k = 0; k < cols; k++) {
                    double left = x[i / 9 * cols + k];
                    double right = w[i % 9 * cols + k];
                    exact += left * right;
                    squaresX += left * left;
                    squaresW += right * right;
                }
                // Each side is off by its length times relativeError; a chain of cols roundings adds cols · u.
                double bound = (2 * relativeError((int) log2) + 1.01 * cols * U) * Math.sqrt(squaresX * squaresW);
                assertEquals(exact, y[i], bound);
                assertTrue(bound <= 1e-4 * Math.sqrt(squaresX * squaresW));
            }
        }
    }

    @Test
    void transformedOperandHasACopyOfItsOwn() {
        float[] x = Data.normal(3, 64);
        try (Session session = new Session()) {
            float[] values = session.dequantize(unscaled(session, Role.INPUT, x, 2, 32, 5));
            assertArrayEquals(transformed(x, 5), values);
            assertFalse(java.util.Arrays.equals(x, values));
        }
    }

    @ParameterizedTest
    @CsvSource({"48, 5", "47, 1", "32, 6", "32, 2.5", "32, -1", "32, NaN", "32, 31"})
    void blockThatDoesNotDivideTheColumnsIsRefused(int cols, float log2) {
        try (Session session = new Session()) {
            IllegalArgumentException refused = assertThrows(
                    IllegalArgumentException.class,
                    () -> unscaled(session, Role.INPUT, new float[2 * cols], 2, cols, log2));
            assertEquals(
                    "log2 of the Hadamard block in state vector 'hadamard' is " + log2
                            + ", but 2 to that must divide the " + cols + " columns",
                    refused.getMessage());
        }
    }
}
