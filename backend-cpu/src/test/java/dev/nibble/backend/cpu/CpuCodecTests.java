package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.TensorCodec;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.CsvSource;
import org.junit.jupiter.params.provider.ValueSource;

/** Codes, scales and decoded values are the reference's, for any number of threads. */
class CpuCodecTests {
    private static final float[] SPECIAL = {
        0f,
        -0f,
        Float.MIN_VALUE,
        -Float.MIN_NORMAL,
        0x1p-119f,
        -0x1p-113f,
        Float.MAX_VALUE,
        -Float.MAX_VALUE,
        Float.POSITIVE_INFINITY,
        Float.NEGATIVE_INFINITY,
        Float.NaN,
        511.5f,
        -2.5f
    };

    private static void assertSameAsReference(int bits, float[] x, int rows, int cols) {
        assertSameAsReference(new TensorCodec(bits), x, rows, cols);
    }

    private static void assertSameAsReference(TensorCodec codec, float[] x, int rows, int cols) {
        TestScope scope = TestScope.create();
        Tensor tensor = scope.floats(x, rows, cols);
        ReferenceCodec plain = new ReferenceCodec();
        EncodedTensor expected = plain.encode(scope, codec, tensor);
        float[] decoded = HostTensor.floats(plain.decode(scope, expected));
        for (int threads = 1; threads <= 3; threads++) {
            try (Workers workers = new Workers(threads)) {
                List<CodecOps> paths = new ArrayList<>(List.of(new ReferenceCodec(workers::forEach, new CpuCodec())));
                NativeLibrary.outcome()
                        .kernels()
                        .filter(NativeKernels::quantizes)
                        .ifPresent(kernels -> paths.add(new NativeCodec(kernels, workers)));
                for (CodecOps fast : paths) {
                    EncodedTensor actual = fast.encode(scope, codec, tensor);
                    String what = "%s, %d x %d on %d threads, %s"
                            .formatted(
                                    codec, rows, cols, threads, fast.getClass().getSimpleName());
                    assertArrayEquals(
                            HostTensor.of(expected.codes()).bytes(),
                            HostTensor.of(actual.codes()).bytes(),
                            what);
                    assertEquals(expected.shape(), actual.shape(), what);
                    Fixture.assertSameBits(
                            HostTensor.floats(expected.scales()), HostTensor.floats(actual.scales()), what + " scales");
                    Fixture.assertSameBits(decoded, HostTensor.floats(fast.decode(scope, actual)), what + " decoded");
                }
            }
        }
    }

    @ParameterizedTest
    @CsvSource({"1, 1", "3, 13", "65, 127", "200, 128", "64, 129", "7, 512", "1, 1408"})
    void normalValues(int rows, int cols) {
        for (int bits : new int[] {8, 10, 12, 16}) {
            assertSameAsReference(bits, Fixture.normal(rows * cols, cols), rows, cols);
        }
    }

    /** Every upper half of an FP32, and what lies just below, at and above half way to the next. */
    @Test
    void everyBf16AndEveryTie() {
        float[] x = new float[(1 << 16) * 4]; // [2048, 128]
        int[] lower = {0, 0x7FFF, 0x8000, 0x8001};
        for (int i = 0; i < x.length; i++) {
            x[i] = Float.intBitsToFloat(i >> 2 << 16 | lower[i & 3]);
        }
        assertSameAsReference(TensorCodec.BF16, x, x.length / 128, 128);
        for (int cols : new int[] {1, 13, 127, 129}) {
            assertSameAsReference(TensorCodec.BF16, Fixture.normal(5 * cols, cols), 5, cols);
        }
    }

    @ParameterizedTest
    @ValueSource(ints = {8, 10, 12, 16})
    void specialValues(int bits) {
        int cols = 128;
        float[] x = Fixture.normal(SPECIAL.length * cols, 1); // [special values, cols]
        for (int row = 0; row < SPECIAL.length; row++) {
            x[row * cols + row * 9] = SPECIAL[row];
        }
        assertSameAsReference(bits, x, SPECIAL.length, cols);
        for (float value : SPECIAL) { // and alone in its group
            float[] alone = new float[cols]; // [1, cols]
            alone[77] = value;
            assertSameAsReference(bits, alone, 1, cols);
        }
    }

    /** amax is top: each integer is its own code, and each half a tie. */
    @ParameterizedTest
    @ValueSource(ints = {8, 10, 12, 16})
    void allCodesAndTies(int bits) {
        int top = new TensorCodec(bits).top();
        int rows = Math.ceilDiv(4 * top + 1, 127);
        float[] x = new float[rows * 128]; // [rows, 128]
        for (int i = 0; i < rows * 127; i++) {
            x[i / 127 * 128 + i % 127 + 1] = Math.min(i / 2f - top, top);
        }
        for (int row = 0; row < rows; row++) {
            x[row * 128] = row % 2 == 0 ? top : -top;
        }
        assertSameAsReference(bits, x, rows, 128);
    }

    /** A kernel whose vectors stay on the heap would be slower than the plain loops, not several times faster. */
    @Test
    void vectorsAreFasterThanPlainLoops() {
        TestScope scope = TestScope.create();
        Tensor x = scope.floats(Fixture.normal(64 * 1408, 1), 64, 1408);
        ReferenceCodec plain = new ReferenceCodec();
        try (Workers workers = new Workers(1)) {
            ReferenceCodec fast = new ReferenceCodec(workers::forEach, new CpuCodec());
            for (TensorCodec codec : List.of(
                    new TensorCodec(8),
                    new TensorCodec(10),
                    new TensorCodec(12),
                    new TensorCodec(16),
                    TensorCodec.BF16)) {
                double fastest = Double.POSITIVE_INFINITY;
                double slowest = Double.POSITIVE_INFINITY;
                long end = System.nanoTime() + 5_000_000_000L; // for a loaded machine that compiles late
                for (int round = 0; round < 30 || (System.nanoTime() < end && fastest > slowest); round++) {
                    fastest = Math.min(fastest, seconds(fast, scope, codec, x));
                    slowest = Math.min(slowest, seconds(plain, scope, codec, x));
                }
                assertTrue(fastest < slowest, "%s: %.2g s, plain %.2g s".formatted(codec, fastest, slowest));
            }
        }
    }

    private static double seconds(ReferenceCodec ops, TestScope scope, TensorCodec codec, Tensor x) {
        long start = System.nanoTime();
        try (EncodedTensor encoded = ops.encode(scope, codec, x)) {
            ops.decode(scope, encoded).close();
        }
        return (System.nanoTime() - start) * 1e-9;
    }
}
