package dev.nibble.quant.fp8;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp8;
import java.util.Arrays;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.ValueSource;

/** MXFP8 and DeepGEMM's blocks: figures made apart from this code, on the data sets of {@link RecipeGoldenTests}. */
class MicroscalingTests {
    private static final int ROWS = Golden.ROWS;
    private static final int COLS = Golden.COLS;

    @ParameterizedTest
    @CsvSource({
        "RCEIL, 1, D57A0F12, C11052C2, 6D62A77A, 31.517, 0, ",
        "RCEIL, 2, 60EAC83F, 2BFB9FF8, 42B7B95C, , 2, ",
        "RCEIL, 3, A62A0B82, 72160AF8, F8D8DAEB, , 0, .02255",
        "FLOOR, 1, 55306BAA, 513E5597, 4593E4FB, 30.555, 0, ",
        "FLOOR, 2, FCE00EF2, 15E7453C, 2189452C, , 2, ",
        "FLOOR, 3, 9BBAF993, 12B7A696, 765E7AAA, , 0, .02290"
    })
    void mxfp8HasItsGoldenFigures(
            Mxfp8.Mode mode,
            int number,
            String codes,
            String scales,
            String exponents,
            Double sqnr,
            int zeros,
            Double meanRelative) {
        float[] x = Golden.data(number); // [ROWS, COLS]
        Mxfp8 blocks = Mxfp8.of(x, ROWS, COLS, mode);
        assertEquals(codes, Golden.crc(blocks.codes()));
        assertEquals(scales, Golden.crc(blocks.scales()));
        assertEquals(exponents, Golden.crc(blocks.exponents()));
        assertErrors(x, blocks.dequantize(COLS), sqnr, zeros, meanRelative);
    }

    @ParameterizedTest
    @CsvSource({
        "1, 20FE9446, 289B40B4, 31.733, 0, ",
        "2, F7B13920, CE22B441, , 4, ",
        "3, 7867C372, 9B0E162D, , 234, .02431"
    })
    void deepGemmBlocksHaveTheirGoldenFigures(
            int number, String codes, String scales, Double sqnr, int zeros, Double meanRelative) {
        float[] x = Golden.data(number); // [ROWS, COLS]
        DeepGemmBlocks blocks = DeepGemmBlocks.of(x, ROWS, COLS);
        assertEquals(codes, Golden.crc(blocks.codes()));
        assertEquals(scales, Golden.crc(blocks.scales()));
        assertErrors(x, blocks.dequantize(COLS), sqnr, zeros, meanRelative);
    }

    /** The figures have three decimals, and four digits. */
    private static void assertErrors(float[] x, float[] values, Double sqnr, int zeros, Double meanRelative) {
        assertEquals(zeros, Golden.zeros(x, values));
        if (sqnr != null) {
            assertEquals(sqnr, Golden.sqnr(x, values), 5.00001e-4);
        }
        if (meanRelative != null) {
            assertEquals(meanRelative, Golden.meanRelative(x, values), 5.00001e-6);
        }
    }

    /** A scaled amax may reach 512 by FLOOR, so that the top of a group saturates; 448 by RCEIL. */
    @ParameterizedTest
    @ValueSource(ints = {1, 2, 3})
    void floorSaturatesWhereRceilDoesNot(int number) {
        float[] x = Golden.data(number); // [ROWS, COLS]
        int[] atTop = new int[2]; // [mode]
        for (Mxfp8.Mode mode : Mxfp8.Mode.values()) {
            for (byte code : Mxfp8.of(x, ROWS, COLS, mode).codes()) {
                atTop[mode.ordinal()] += (code & 0x7F) == 0x7E ? 1 : 0;
            }
        }
        // the figures made apart from this code are 7 to 13, rounded
        double ratio = (double) atTop[Mxfp8.Mode.FLOOR.ordinal()] / atTop[Mxfp8.Mode.RCEIL.ordinal()];
        assertTrue(ratio >= 6.5 && ratio < 13.5, "codes at the maximum: " + ratio + " times as many");
    }

    @ParameterizedTest
    @EnumSource
    void degenerateGroupsOfMxfp8AreDefined(Mxfp8.Mode mode) {
        // groups of 32, 32 and 1 elements: zeros, tiny, alone
        float[] x = new float[65]; // [1, 65]
        Arrays.fill(x, 32, 64, Float.MIN_VALUE);
        x[64] = Float.MAX_VALUE;
        Mxfp8 blocks = Mxfp8.of(x, 1, 65, mode);
        assertEquals(3, blocks.exponents().length);
        assertEquals(0, blocks.exponents()[0]);
        assertEquals(0, blocks.codes()[0]);
        assertEquals(0, blocks.exponents()[1]);
        // 2^-149 · 2^127 is below half of the smallest code
        assertEquals(0, blocks.codes()[32]);
        float top = Fp8.decode(DType.E4M3, blocks.codes()[64]);
        // 2^128 / 2^120 = 256 rounded up, or saturated from 511.99 where the scale is half as large
        assertEquals(mode == Mxfp8.Mode.FLOOR ? 448 : 256, top);
        float[] lost = {1, Float.NaN, Float.POSITIVE_INFINITY};
        for (byte code : Mxfp8.of(lost, 1, 3, mode).codes()) {
            assertEquals(0x7F, code, "a group with NaN is NaN");
        }
        float[] infinite =
                Mxfp8.of(new float[] {Float.NEGATIVE_INFINITY}, 1, 1, mode).dequantize(1);
        assertTrue(!Float.isFinite(infinite[0]), mode + ": " + infinite[0]);
    }

    @Test
    void degenerateGroupsOfDeepGemmAreDefined() {
        float[] x = new float[129]; // [1, 129]
        x[128] = 2e-10f;
        DeepGemmBlocks blocks = DeepGemmBlocks.of(x, 1, 129);
        assertEquals(1e-4f / 448, blocks.scales()[0]);
        assertEquals(0, blocks.codes()[0]);
        // 2e-10 · 448 / 1e-4 = 9.0e-4 is below 2^-10
        assertEquals(0, blocks.codes()[128]);
        assertTrue(Float.isNaN(
                DeepGemmBlocks.of(new float[] {1, Float.NaN}, 1, 2).dequantize(2)[0]));
        assertTrue(Float.isNaN(DeepGemmBlocks.of(new float[] {1, Float.POSITIVE_INFINITY}, 1, 2)
                .dequantize(2)[1]));
    }

    @Test
    void columnsNeedNotBeAMultipleOfTheGroup() {
        float[] x = Golden.generate(1, 3 * 33); // [3, 33]
        for (Mxfp8.Mode mode : Mxfp8.Mode.values()) {
            Mxfp8 blocks = Mxfp8.of(x, 3, 33, mode);
            assertEquals(6, blocks.exponents().length);
            for (int row = 0; row < 3; row++) {
                // an element alone in its group loses at most what its mantissa is rounded by, or saturates by
                double bound = Math.abs(x[row * 33 + 32]) * (mode == Mxfp8.Mode.FLOOR ? 0.125 : 0.0625);
                assertEquals(x[row * 33 + 32], blocks.dequantize(33)[row * 33 + 32], bound);
            }
        }
        assertEquals(6, DeepGemmBlocks.of(Golden.generate(1, 3 * 129), 3, 129).scales().length);
    }
}
