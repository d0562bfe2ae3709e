package dev.nibble.gemm;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.quant.Granularity;
import dev.nibble.tensor.DType;
import org.junit.jupiter.api.Test;

class SegmentsTests {
    private static final Granularity TENSOR = new Granularity.PerTensor();

    @Test
    void cutsAtTheBlocksOfBothSides() {
        long[] bounds = Segments.bounds(
                DType.INT8, new Granularity.PerBlock(1, 6), DType.INT8, new Granularity.PerBlock(4, 4), 14, 0, 14);
        assertArrayEquals(new long[] {0, 4, 6, 8, 12, 14}, bounds);
    }

    @Test
    void partStartsWithinABlock() {
        long[] bounds =
                Segments.bounds(DType.INT8, new Granularity.PerBlock(1, 128), DType.INT8, TENSOR, 1000, 200, 300);
        assertArrayEquals(new long[] {200, 256, 300}, bounds);
    }

    @Test
    void integerSumsStayWithin32Bits() {
        long[] bounds = Segments.bounds(DType.INT8, TENSOR, DType.INT8, TENSOR, 300_000, 0, 300_000);
        assertArrayEquals(new long[] {0, 131072, 262144, 300_000}, bounds);
        assertEquals(2_114_060_288, Math.multiplyExact(Segments.INTEGER_LIMIT, 127 * 127)); // does not overflow
    }

    @Test
    void fp8ChainsHaveAtMost128Products() {
        long[] bounds = Segments.bounds(DType.E4M3, TENSOR, DType.E5M2, TENSOR, 300, 0, 300);
        assertArrayEquals(new long[] {0, 128, 256, 300}, bounds);
    }

    @Test
    void floatsAreNotCut() {
        long[] bounds = Segments.bounds(DType.FP32, TENSOR, DType.BF16, TENSOR, 1_000_000, 0, 1_000_000);
        assertArrayEquals(new long[] {0, 1_000_000}, bounds);
    }

    @Test
    void manySegmentsFit() {
        Granularity one = new Granularity.PerBlock(1, 1);
        long[] bounds = Segments.bounds(DType.INT8, one, DType.INT8, one, 1000, 0, 1000);
        assertEquals(1001, bounds.length);
        assertEquals(1000, bounds[1000]);
    }

    @Test
    void differentFamiliesAreCutLikeFp8() {
        assertArrayEquals(
                new long[] {0, 128, 256, 300}, Segments.bounds(DType.INT4, TENSOR, DType.FP32, TENSOR, 300, 0, 300));
    }

    @Test
    void aSumOfExponentCodesCannotOverflow() {
        // 256 · 127 · 2^16 < 2^31 < 256 · 127 · 2^17; 64 · 15 · 131072 is far below.
        assertEquals(3, Segments.bounds(DType.E4M0, TENSOR, DType.INT8, TENSOR, 1 << 17, 0, 1 << 17).length);
        assertEquals(2, Segments.bounds(DType.E3M0, TENSOR, DType.UINT4, TENSOR, 1 << 17, 0, 1 << 17).length);
    }

    @Test
    void indicesAreNoOperand() {
        assertThrows(
                IllegalArgumentException.class,
                () -> Segments.bounds(DType.INT8, TENSOR, DType.INT32, TENSOR, 8, 0, 8));
    }
}
