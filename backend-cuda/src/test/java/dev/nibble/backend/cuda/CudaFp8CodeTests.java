package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.backend.cuda.FloatWays.Way;
import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.tensor.DType;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Products of single codes of 8-bit floats, decoded to BF16 and as such. */
class CudaFp8CodeTests {
    private static final List<DType> FP8 = List.of(DType.E4M3, DType.E5M2);

    private FloatWays ways;

    @BeforeEach
    void open() {
        ways = new FloatWays();
    }

    @AfterEach
    void close() {
        if (ways != null) {
            ways.close();
        }
    }

    /** An operand of a tensor scale whose codes are others. */
    private static HostOperand operand(Way way, boolean left, DType format, int rows, int k) {
        QuantizeSpec spec = QuantizeSpec.both(
                left ? Product.OUTPUT.roleA() : Product.OUTPUT.roleB(),
                List.of(SpecTable.fp8(format, new Granularity.PerTensor())));
        Matrix x = Matrix.normal(left ? 1 : 2, rows, k, 1);
        return way.duel().operand(spec, x, Product.OUTPUT, left);
    }

    private static void set(HostOperand operand, int row, int k, int code) {
        HostPlane plane = operand.planes().getFirst();
        int at = plane.transposed() ? k * plane.pitch() + row : row * plane.pitch() + k;
        plane.codes().bytes()[at] = (byte) code;
    }

    /** A sum of one product and zeros has no order: bits, and NaN where the plain code has it. */
    @Test
    void everyPairOfCodesIsMultipliedExactly() {
        for (Way way : ways.ofEightBits()) {
            for (DType a : FP8) {
                for (DType b : FP8) {
                    for (int at : new int[] {0, 7, 30, 63, 64, 101, 127, 128}) {
                        assertPairsAreExact(way, a, b, at);
                    }
                }
            }
        }
    }

    private static void assertPairsAreExact(Way way, DType formatA, DType formatB, int at) {
        int codes = 256;
        int k = 129;
        try (HostOperand a = operand(way, true, formatA, codes, k);
                HostOperand b = operand(way, false, formatB, codes, k)) {
            for (int code = 0; code < codes; code++) {
                for (int i = 0; i < k; i++) {
                    set(a, code, i, i == at ? code : 0);
                    set(b, code, i, i == at ? code : 0);
                }
            }
            GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
            ProductDuel.Outcome outcome = way.duel().multiply(way.gemm(), gemm, a, b);
            assertTrue(way.lastRow().kernel().endsWith("-mma"), way.lastRow().toString());
            assertSameNumbers(way.lastRow().kernel() + " at " + at, outcome);
        }
    }

    /** Fails unless both are the same number, or both NaN. */
    private static void assertSameNumbers(String what, ProductDuel.Outcome outcome) {
        List<String> wrong = new ArrayList<>();
        for (int i = 0; i < outcome.expected().length; i++) {
            // which compares bits, all NaN being one
            if (Float.floatToIntBits(outcome.expected()[i]) != Float.floatToIntBits(outcome.actual()[i])) {
                wrong.add("element " + i + " is " + outcome.actual()[i] + ", but must be " + outcome.expected()[i]);
            }
        }
        assertEquals(List.of(), wrong.subList(0, Math.min(wrong.size(), 10)), what + ": " + wrong.size() + " wrong");
    }

    /** NaN and infinities as the only such code, in first, last and tail lanes: what is not finite is so in the plain code. */
    @Test
    void whatIsNotFiniteIsSoInThePlainCode() {
        for (Way way : ways.ofEightBits()) {
            for (int at : new int[] {0, 15, 64, 127, 640, 699}) {
                for (int code : List.of(0x7F, 0xFF)) {
                    assertRowIsNotFinite(way, DType.E4M3, code, at);
                }
                for (int code : List.of(0x7C, 0xFC, 0x7D, 0xFE)) {
                    assertRowIsNotFinite(way, DType.E5M2, code, at);
                }
            }
        }
    }

    private static void assertRowIsNotFinite(Way way, DType format, int code, int at) {
        int m = 140;
        int n = 130;
        int k = 700;
        try (HostOperand a = operand(way, true, format, m, k);
                HostOperand b = operand(way, false, DType.E4M3, n, k)) {
            int row = at % m;
            set(a, row, at, code);
            set(b, 3, at, 0); // infinity times 0
            ProductDuel.Outcome outcome =
                    way.duel().multiply(way.gemm(), GemmSpec.of(Product.OUTPUT, Epilogue.STORE), a, b);
            way.assertRan();
            for (int i = 0; i < m * n; i++) {
                String what = "%s %02x at [%d, %d]: element %d".formatted(format, code, row, at, i);
                assertEquals(i / n == row, !Float.isFinite(outcome.actual()[i]), what);
                if (i / n == row) {
                    assertEquals(outcome.expected()[i], outcome.actual()[i], what);
                }
            }
        }
    }

    /** The bound is narrow: one wrong code anywhere is beyond it. */
    @Test
    void oneWrongCodeIsBeyondTheBound() {
        int m = 129;
        int n = 130;
        int k = 700;
        Way way = ways.decoding();
        GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
        for (int at : new int[] {0, 15, 64, 127, 640, 699}) {
            try (HostOperand a = operand(way, true, DType.E4M3, m, k);
                    HostOperand wrong = operand(way, true, DType.E4M3, m, k);
                    HostOperand b = operand(way, false, DType.E4M3, n, k)) {
                int row = at % m;
                set(a, row, at, 0x68); // 64, of at most 448
                set(wrong, row, at, 0x69); // 72
                float[] magnitudes = magnitudes(way, gemm, a, b);
                double bound = way.bound(Math.ceilDiv(k, 128), 1);
                assertTrue(FloatWays.different(way.duel().multiply(way.gemm(), gemm, a, b), magnitudes, bound) > 0);
                assertEquals(
                        -1,
                        FloatWays.different(way.duel().multiply(way.gemm(), gemm, a, b, wrong), magnitudes, bound),
                        "at " + at);
            }
        }
    }

    /** {@return Σ|a·b|, [M, N]; clears the signs of copies} */
    private static float[] magnitudes(Way way, GemmSpec gemm, HostOperand a, HostOperand b) {
        try (HostOperand absA = operand(way, true, DType.E4M3, (int) a.rows(), (int) a.k());
                HostOperand absB = operand(way, false, DType.E4M3, (int) b.rows(), (int) b.k())) {
            clearSigns(a, absA);
            clearSigns(b, absB);
            return way.duel().multiply(way.gemm(), gemm, absA, absB).expected();
        }
    }

    private static void clearSigns(HostOperand from, HostOperand to) {
        byte[] codes = from.planes().getFirst().codes().bytes();
        byte[] cleared = to.planes().getFirst().codes().bytes();
        for (int i = 0; i < codes.length; i++) {
            cleared[i] = (byte) (codes[i] & 0x7F);
        }
    }
}
