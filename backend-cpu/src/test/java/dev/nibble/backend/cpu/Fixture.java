package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.host.HostBackend;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Threshold;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.reference.ReferenceConvolution;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.reference.ReferenceOptimizer;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SplittableRandom;

/** One host memory with the plain operations and the fast ones side by side, and a step that is open. */
final class Fixture implements AutoCloseable {
    static final Site SITE = new Site("blocks.1.mlp.down", 7);
    static final DeviceState NO_STATE = new DeviceState(Map.of());
    static final long SEED = 0x1234_5678_9ABC_DEF0L;

    final HostRuntime runtime = new HostRuntime(SEED, false);
    final QuantizeOps plainQuantize = new ReferenceQuantize(runtime);
    final GemmBackend plainGemm = new ReferenceGemm(runtime);
    /** Without the native library. */
    final QuantizeOps quantize;
    /** Each path, by its name. */
    final Map<String, QuantizeOps> quantizers = new LinkedHashMap<>();
    /** The portable path alone. */
    final CpuGemm portable;
    /** All paths, which must agree. */
    final GemmBackend gemm;

    final HostBackend backend;
    final StepScope scope;
    private final Workers workers;

    Fixture(int threads) {
        workers = new Workers(threads);
        quantize = new CpuQuantize(runtime, workers, Optional.empty());
        quantizers.put("portable", quantize);
        NativeLibrary.outcome()
                .kernels()
                .ifPresent(
                        kernels -> quantizers.put("native", new CpuQuantize(runtime, workers, Optional.of(kernels))));
        portable = new CpuGemm(runtime, workers, Optional.empty());
        gemm = new AllPaths(portable, AllPaths.natives(kernels -> new CpuGemm(runtime, workers, Optional.of(kernels))));
        backend = new HostBackend(
                "fixture",
                "",
                runtime,
                new HostBackend.Operations(
                        quantize,
                        gemm,
                        new ReferenceNeural(runtime),
                        new ReferenceConvolution(runtime, workers::forEach),
                        new ReferenceCodec(),
                        new ReferenceOptimizer(runtime),
                        workers::close));
        scope = backend.beginStep(new StepContext(5, 3, StepContext.Mode.TRAIN, 0f));
    }

    /** A product that packs few elements at a time, as it would do with a large operand. */
    GemmBackend gemmWithPackLimit(int elements) {
        return new AllPaths(
                new CpuGemm(runtime, workers, Optional.empty(), elements),
                AllPaths.natives(kernels -> new CpuGemm(runtime, workers, Optional.of(kernels), elements)));
    }

    Tensor tensor(long rows, long cols, float[] values) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(rows, cols), MemoryTag.SCRATCH);
        backend.write(tensor, values);
        return tensor;
    }

    Tensor zeros(long rows, long cols) {
        return backend.allocate("d", DType.FP32, Shape.of(rows, cols), MemoryTag.SCRATCH);
    }

    /** An operand made by the plain code. */
    HostOperand operand(Role role, OperandSpec spec, Tensor x) {
        QuantizeSpec quantizeSpec = new QuantizeSpec(role, List.of(spec));
        return HostOperand.of(
                plainQuantize.quantize(scope, quantizeSpec, SITE, x, NO_STATE).operand(spec.contraction()));
    }

    @Override
    public void close() {
        scope.close();
        backend.close();
    }

    static float[] normal(int count, long seed) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = (float) random.nextGaussian();
        }
        return values;
    }

    static PlaneSpec int8(Granularity granularity) {
        return int8(granularity, Rounding.NEAREST_EVEN);
    }

    static PlaneSpec int8(Granularity granularity, Rounding rounding) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding);
    }

    static PlaneSpec fp8(DType format, Granularity granularity) {
        return PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(false), Rounding.NEAREST_EVEN);
    }

    static OperandSpec spec(Contraction contraction, PlaneSpec... planes) {
        return new OperandSpec(contraction, List.of(planes));
    }

    /** A first plane with a residual in the quarter of its blocks that have the largest amax. */
    static OperandSpec withResidual(Contraction contraction, PlaneSpec first) {
        return spec(contraction, first, PlaneSpec.residual(first, new Threshold.ExactQuantile(0.75)));
    }

    static void assertSameBits(float[] expected, float[] actual, String what) {
        assertEquals(expected.length, actual.length, what);
        int different = 0;
        int first = -1;
        for (int i = 0; i < expected.length; i++) {
            // All NaN are equal: which one arises is the processor's choice.
            if (Float.floatToIntBits(expected[i]) != Float.floatToIntBits(actual[i])) {
                first = different == 0 ? i : first;
                different++;
            }
        }
        if (different > 0) {
            fail("%s: %d of %d differ, first [%d]: expected %s, got %s"
                    .formatted(what, different, expected.length, first, expected[first], actual[first]));
        }
    }

    static void assertSameOperand(HostOperand expected, HostOperand actual, String what) {
        assertEquals(expected.spec(), actual.spec(), what);
        assertEquals(expected.rows(), actual.rows(), what);
        assertEquals(expected.k(), actual.k(), what);
        assertEquals(expected.planes().size(), actual.planes().size(), what);
        for (int i = 0; i < expected.planes().size(); i++) {
            HostPlane plane = expected.planes().get(i);
            HostPlane other = actual.planes().get(i);
            String name = what + " plane " + i;
            assertEquals(plane.transposed(), other.transposed(), name);
            assertEquals(plane.codes().shape(), other.codes().shape(), name);
            assertEquals(plane.scales().shape(), other.scales().shape(), name);
            assertEquals(plane.mask().shape(), other.mask().shape(), name);
            assertSameBits(values(plane.codes()), values(other.codes()), name + " codes");
            assertSameBits(HostTensor.floats(plane.scales()), HostTensor.floats(other.scales()), name + " scales");
            assertSameBits(values(plane.mask()), values(other.mask()), name + " mask");
        }
    }

    /** The stored bits as numbers. */
    private static float[] values(HostTensor codes) {
        int count = (int)
                (codes.dtype().packed()
                        ? codes.dtype().bytes(codes.shape())
                        : codes.shape().elements());
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            values[i] = switch (codes.dtype().bits()) {
                case 4, 8 -> codes.bytes()[i];
                case 16 -> codes.shorts()[i];
                default -> HostTensor.floats(codes)[i];
            };
        }
        return values;
    }
}
