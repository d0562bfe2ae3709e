package dev.nibble.backend.cpu;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
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
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.TensorCodec;
import dev.nibble.quant.Threshold;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.reference.ReferenceGemm;
import dev.nibble.reference.ReferenceGradientNorm;
import dev.nibble.reference.ReferenceNeural;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Small tasks for what the native library does with floats: codes, products, and what lies between them. */
final class NativeFloatCheck {
    private static final Site SITE = new Site("check", 0);
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final Granularity BLOCK = new Granularity.PerBlock(16, 48);
    private static final int ROWS = 17;
    private static final int COLUMNS = 101; // no multiple of a vector

    private final NativeKernels kernels;
    private final HostRuntime runtime = new HostRuntime(0, false);
    private final StepScope scope = new Scope(runtime);

    private NativeFloatCheck(NativeKernels kernels) {
        this.kernels = kernels;
    }

    /** A step without a backend. */
    private record Scope(HostRuntime runtime) implements StepScope {
        @Override
        public StepContext context() {
            return StepContext.train(3, 0);
        }

        @Override
        public Tensor allocate(String label, DType dtype, Shape shape) {
            return runtime.memory().allocate(label, dtype, shape, MemoryTag.SCRATCH);
        }

        @Override
        public void save(Tensor tensor) {} // nothing outlives the check

        @Override
        public void save(Operand operand) {}

        @Override
        public void close() {}
    }

    /** {@return whether codes, scales and statistics have the bits that they must have} */
    static boolean rounds(NativeKernels kernels) {
        var check = new NativeFloatCheck(kernels);
        return List.of(
                        int8(new Granularity.PerRow(), Rounding.STOCHASTIC),
                        residual(),
                        List.of(fp8(DType.E4M3, Rounding.NEAREST_EVEN)),
                        List.of(fp8(DType.E5M2, Rounding.STOCHASTIC)),
                        List.of(PlaneSpec.value(
                                DType.E3M0, TENSOR, new ScaleRule.AmaxOverPower(6, false), Rounding.STOCHASTIC)),
                        PlaneSpec.digits(SplitMode.UNBIASED),
                        List.of(PlaneSpec.unscaled(DType.FP32)))
                .stream()
                .allMatch(check::roundsTo);
    }

    private static List<PlaneSpec> int8(Granularity granularity, Rounding rounding) {
        return List.of(PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding));
    }

    private static List<PlaneSpec> residual() {
        PlaneSpec block = int8(BLOCK, Rounding.NEAREST_EVEN).getFirst();
        return List.of(block, PlaneSpec.residual(block, new Threshold.ExactQuantile(0.5)));
    }

    private static PlaneSpec fp8(DType format, Rounding rounding) {
        return PlaneSpec.value(format, TENSOR, new ScaleRule.TopOverAmax(false), rounding);
    }

    private boolean roundsTo(List<PlaneSpec> planes) {
        try (Workers workers = new Workers(1)) {
            Quantized expected = quantized(new ReferenceQuantize(runtime), planes);
            Quantized actual = quantized(new CpuQuantize(runtime, workers, Optional.of(kernels)), planes);
            if (!same(HostTensor.of(expected.statistics()), HostTensor.of(actual.statistics()))) {
                return false;
            }
            for (int i = 0; i < planes.size(); i++) {
                HostPlane plane = columns(expected).planes().get(i);
                HostPlane other = columns(actual).planes().get(i);
                if (!same(plane.codes(), other.codes())
                        || !same(plane.scales(), other.scales())
                        || !same(plane.mask(), other.mask())) {
                    return false;
                }
            }
            return true;
        }
    }

    private Quantized quantized(QuantizeOps ops, List<PlaneSpec> planes) {
        OperandSpec operand = new OperandSpec(Contraction.COLUMNS, planes);
        QuantizeSpec spec = new QuantizeSpec(Role.INPUT, List.of(operand));
        return ops.quantize(scope, spec, SITE, values(ROWS, COLUMNS), new DeviceState(Map.of()));
    }

    private static HostOperand columns(Quantized quantized) {
        return HostOperand.of(quantized.operand(Contraction.COLUMNS));
    }

    private static boolean same(HostTensor expected, HostTensor actual) {
        return expected.dtype() == DType.FP32
                ? Arrays.equals(HostTensor.floats(expected), HostTensor.floats(actual))
                : Arrays.equals(expected.bytes(), actual.bytes());
    }

    /** {@return numbers of many magnitudes, one much larger than the rest} */
    private HostTensor values(int... extents) {
        HostTensor tensor = HostTensor.of(scope.allocate(
                "check",
                DType.FP32,
                Shape.of(Arrays.stream(extents).asLongStream().toArray())));
        float[] x = HostTensor.floats(tensor);
        int bits = 12345;
        for (int i = 0; i < x.length; i++) {
            bits = bits * 1_664_525 + 1_013_904_223;
            x[i] = Math.scalb((bits >> 8) * 0x1p-23f, -(i % 7));
        }
        x[x.length / 2] = 9;
        return tensor;
    }

    /** {@return whether sums of FP32 and of 8-bit floats have the bits that they must have} */
    static boolean multiplies(NativeKernels kernels) {
        var check = new NativeFloatCheck(kernels);
        return check.multiplies(PlaneSpec.unscaled(DType.FP32))
                && check.multiplies(fp8(DType.E4M3, Rounding.NEAREST_EVEN))
                && check.multiplies(fp8(DType.E5M2, Rounding.NEAREST_EVEN));
    }

    private boolean multiplies(PlaneSpec plane) {
        HostOperand operand = columns(quantized(new ReferenceQuantize(runtime), List.of(plane)));
        GemmSpec spec = new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0)), Epilogue.STORE);
        Tensor expected = scope.allocate("check", DType.FP32, Shape.of(ROWS, ROWS));
        new ReferenceGemm(runtime).multiply(scope, spec, SITE, operand, operand, expected);
        float[] actual = new float[ROWS * ROWS]; // [ROWS, ROWS]
        List<PlaneUse> uses = List.of(PlaneUse.of(operand.planes().getFirst(), ROWS, 1));
        try (Workers workers = new Workers(1);
                NativeProduct product = new NativeProduct(kernels, runtime, workers, 1 << 20)) {
            product.multiply(uses, uses, SumOrder.of(spec, operand, operand), actual, Epilogue.STORE, false);
        }
        return Arrays.equals(HostTensor.floats(expected), actual);
    }

    /** {@return whether attention, SwiGLU, their gradients, packed tensors and sums of squares are as they must be} */
    static boolean passesOver(NativeKernels kernels) {
        var check = new NativeFloatCheck(kernels);
        float[] x = HostTensor.floats(check.values(ROWS, COLUMNS));
        if (kernels.neural().squares(x, 1, x.length) != ReferenceGradientNorm.sumOfSquares(x, 1, x.length)) {
            return false;
        }
        try (Workers workers = new Workers(1);
                CpuNeural ops = new CpuNeural(check.runtime, workers, Optional.of(kernels))) {
            List<Tensor> expected = check.betweenProducts(new ReferenceNeural(check.runtime), new ReferenceCodec());
            List<Tensor> actual = check.betweenProducts(ops, new NativeCodec(kernels, workers));
            for (int i = 0; i < expected.size(); i++) {
                if (!same(HostTensor.of(expected.get(i)), HostTensor.of(actual.get(i)))) {
                    return false;
                }
            }
            return true;
        }
    }

    private List<Tensor> betweenProducts(NeuralOps ops, CodecOps codec) {
        AttentionShape shape = new AttentionShape(1, ROWS, 1, 6);
        Tensor qkv = values(ROWS, 18);
        Saved forward = ops.attention(scope, qkv, shape);
        Tensor gateUp = values(3, 74);
        Tensor kept = values(3, TensorCodec.GROUP);
        EncodedTensor ten = codec.encode(scope, new TensorCodec(10), kept);
        EncodedTensor half = codec.encode(scope, TensorCodec.BF16, kept);
        return List.of(
                forward.output(),
                forward.saved(),
                ops.attentionBackward(scope, values(ROWS, 6), qkv, forward, shape),
                ops.swiGlu(scope, gateUp),
                ops.swiGluBackward(scope, values(3, 37), gateUp),
                ten.codes(),
                ten.scales(),
                codec.decode(scope, ten),
                half.codes(),
                codec.decode(scope, half));
    }
}
