package dev.nibble.cli;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Term;
import dev.nibble.models.layers.InitialWeights;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;

/** One square product of stored codes, packing included, quantizing not. */
final class BenchProduct implements Runnable, AutoCloseable {
    private static final Site SITE = new Site("bench", 0);
    private static final Granularity BLOCK = new Granularity.PerBlock(128, 128);
    private static final Granularity TENSOR = new Granularity.PerTensor();
    private static final double WITHOUT_FALLBACK = 0.8; // share of the blocks

    private final Backend backend;
    private final StepScope scope;
    private final GemmSpec spec;
    private final Operand a;
    private final Operand b;
    private final Tensor d; // [size, size]

    /** What is multiplied. */
    enum Format {
        /** The base line. */
        FP32("fp32"),
        /** 16 bits. */
        BF16("bf16"),
        /** One scale a row. */
        INT8_ROW("int8-row"),
        /** One scale a block. */
        INT8_BLOCK("int8-block"),
        /** With a second plane in every fifth block of A. */
        INT8_FALLBACK("int8-fallback, 20 % of blocks"),
        /** 4-bit codes, one scale a tensor. */
        INT4("int4"),
        /** Powers of two by 4-bit codes. */
        LUQ("luq gradient"),
        /** Two 4-bit digits by 4-bit codes. */
        INT4_DIGITS("int4 gradient, two planes"),
        /** 8-bit floats. */
        FP8("fp8");

        private final String label;

        Format(String label) {
            this.label = label;
        }

        String label() {
            return label;
        }

        private List<PlaneSpec> left() {
            PlaneSpec block = int8(BLOCK);
            return switch (this) {
                case INT8_FALLBACK ->
                    List.of(block, PlaneSpec.residual(block, new Threshold.ExactQuantile(WITHOUT_FALLBACK)));
                case INT4_DIGITS -> PlaneSpec.digits(SplitMode.UNBIASED);
                case LUQ ->
                    List.of(PlaneSpec.value(
                            DType.E3M0, TENSOR, new ScaleRule.AmaxOverPower(6, false), Rounding.STOCHASTIC));
                default -> List.of(right());
            };
        }

        private PlaneSpec right() {
            return switch (this) {
                case FP32 -> PlaneSpec.unscaled(DType.FP32);
                case BF16 -> PlaneSpec.unscaled(DType.BF16);
                case INT8_ROW -> int8(new Granularity.PerRow());
                case INT8_BLOCK, INT8_FALLBACK -> int8(BLOCK);
                case INT4, INT4_DIGITS, LUQ ->
                    PlaneSpec.value(DType.INT4, TENSOR, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
                case FP8 ->
                    PlaneSpec.value(DType.E4M3, TENSOR, new ScaleRule.TopOverAmax(false), Rounding.NEAREST_EVEN);
            };
        }

        private static PlaneSpec int8(Granularity granularity) {
            return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        }
    }

    BenchProduct(Backend backend, Format format, int size) {
        this.backend = backend;
        scope = backend.beginStep(StepContext.train(0, 0));
        List<PlaneSpec> left = format.left();
        spec = new GemmSpec(
                Product.OUTPUT,
                left.size() == 1 ? List.of(new Term(0, 0)) : List.of(new Term(0, 0), new Term(1, 0)),
                Epilogue.STORE);
        a = operand(Role.INPUT, left, size, 11);
        b = operand(Role.WEIGHT, List.of(format.right()), size, 13);
        d = scope.allocate("d", DType.FP32, Shape.of(size, size));
    }

    private Operand operand(Role role, List<PlaneSpec> planes, int size, long seed) {
        try (Tensor x = normal(backend, Shape.of(size, size), seed)) {
            OperandSpec operand = new OperandSpec(Contraction.COLUMNS, planes);
            return backend.quantization()
                    .quantize(scope, new QuantizeSpec(role, List.of(operand)), SITE, x, new DeviceState(Map.of()))
                    .operand(Contraction.COLUMNS);
        }
    }

    /** {@return a tensor of normal numbers, owned by the caller} */
    static Tensor normal(Backend backend, Shape shape, long seed) {
        Tensor x = backend.allocate("bench", DType.FP32, shape, MemoryTag.SCRATCH);
        backend.write(x, InitialWeights.normal(seed, 0, shape, 1));
        return x;
    }

    @Override
    public void run() {
        backend.gemm().multiply(scope, spec, SITE, a, b, d);
    }

    /** {@return the kernel that ran last} */
    String kernel() {
        return backend.log().rows().getLast().kernel();
    }

    @Override
    public void close() {
        scope.close();
    }
}
