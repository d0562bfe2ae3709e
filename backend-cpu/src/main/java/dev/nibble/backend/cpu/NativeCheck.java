package dev.nibble.backend.cpu;

import dev.nibble.gemm.Epilogue;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/** Small tasks for the native library, against plain loops: what is asked of it before it is trusted. */
final class NativeCheck {
    private static final int ROWS = 37;
    private static final int COLUMNS = 45;
    private static final int LENGTH = 300; // two blocks, of whole and of broken groups

    private NativeCheck() {}

    /** {@return what the library does wrong, in words; empty if all bits are as they must be} */
    static Optional<String> failure(NativeKernels kernels) {
        if (!multiplies(kernels)) {
            return Optional.of("computes wrong sums");
        }
        if (kernels.quantizes() && !NativeFloatCheck.rounds(kernels)) {
            return Optional.of("makes wrong codes");
        }
        if (kernels.quantizes() && !NativeFloatCheck.multiplies(kernels)) {
            return Optional.of("computes wrong sums of floats");
        }
        if (kernels.quantizes() && !NativeFloatCheck.passesOver(kernels)) {
            return Optional.of("computes wrong attention, activations or context");
        }
        return Optional.empty();
    }

    private static boolean multiplies(NativeKernels kernels) {
        HostRuntime runtime = new HostRuntime(0, false);
        float[] d = new float[ROWS * COLUMNS]; // [ROWS, COLUMNS]
        try (Workers workers = new Workers(1);
                HostPlane a = plane(runtime, ROWS, 0x1.8p-3f, 31);
                HostPlane b = plane(runtime, COLUMNS, 0x1.4p-5f, 77);
                var product = new NativeProduct(kernels, runtime, workers, 1 << 20)) {
            product.multiply(
                    List.of(PlaneUse.of(a, ROWS, 1)),
                    List.of(PlaneUse.of(b, COLUMNS, 1)),
                    SumOrder.gathered(new int[] {0, LENGTH}, new int[1]),
                    d,
                    Epilogue.STORE,
                    false);
            return Arrays.equals(expected(a, b), d);
        }
    }

    private static HostPlane plane(HostRuntime runtime, int rows, float scale, int seed) {
        PlaneSpec spec = PlaneSpec.value(
                DType.INT8, new Granularity.PerRow(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        HostTensor codes = tensor(runtime, DType.INT8, Shape.of(rows, LENGTH));
        int bits = seed;
        for (int i = 0; i < rows * LENGTH; i++) {
            bits = bits * 1_664_525 + 1_013_904_223;
            codes.bytes()[i] = (byte) ((bits >>> 16) % 255 - 127); // -127..127
        }
        HostTensor scales = tensor(runtime, DType.FP32, Shape.of(1, rows));
        for (int row = 0; row < rows; row++) {
            HostTensor.floats(scales)[row] = scale * (1 + row);
        }
        return new HostPlane(spec, codes, false, scales, tensor(runtime, DType.INT8, Shape.of(0)));
    }

    private static HostTensor tensor(HostRuntime runtime, DType dtype, Shape shape) {
        return runtime.memory().allocate("check", dtype, shape, MemoryTag.SCRATCH);
    }

    private static float[] expected(HostPlane a, HostPlane b) {
        float[] d = new float[ROWS * COLUMNS]; // [ROWS, COLUMNS]
        for (int row = 0; row < ROWS; row++) {
            for (int col = 0; col < COLUMNS; col++) {
                int sum = 0;
                for (int k = 0; k < LENGTH; k++) {
                    sum += a.codes().bytes()[row * LENGTH + k] * b.codes().bytes()[col * LENGTH + k];
                }
                float scale = HostTensor.floats(a.scales())[row] * HostTensor.floats(b.scales())[col];
                d[row * COLUMNS + col] = Math.fma(scale, (float) sum, 0f);
            }
        }
        return d;
    }
}
