package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.NeuralOps.Saved;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Function;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.Test;

/**
 * Kernels that copy asynchronously, whose races a checker cannot see: a hundred runs give the same bits. The system property
 * {@code nibble.test.repeats} says how many, for runs under a checker that takes long.
 */
class CudaRepeatTests {
    private static final int REPEATS = Integer.getInteger("nibble.test.repeats", 100);
    private static final StepContext CONTEXT = StepContext.train(1, 0.01f);
    private static final Site SITE = new Site("layer", 3);
    private static final int[] SMALL = {130, 140, 700}; // M, N, K: few tiles
    private static final int[] MANY_TILES = {1500, 2800, 2100
    }; // more tiles than processors, a contraction for wide ones

    private final List<AutoCloseable> opened = new ArrayList<>();
    private final Set<String> launched = new TreeSet<>(); // kernels

    private CudaBackend open(String images) {
        CudaSettings ways = CudaSettings.ofProperties();
        CudaBackend backend = Gpu.open(new CudaSettings(
                ways.arena(), ways.poison(), ways.canaries(), ways.synchronous(), ways.graphs(), images));
        opened.add(backend);
        backend.runtime().stream().watch(Optional.of(launched::add));
        return backend;
    }

    @AfterEach
    void close() throws Exception {
        for (AutoCloseable backend : opened) {
            backend.close();
        }
    }

    private static Tensor tensor(CudaBackend backend, Matrix x) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(x.rows(), x.cols()), MemoryTag.SCRATCH);
        backend.write(tensor, x.values());
        return tensor;
    }

    /** Fails unless what the work makes in a step is the same each time. */
    private static void assertRepeats(CudaBackend backend, String what, Function<StepScope, List<Tensor>> work) {
        List<float[]> first = new ArrayList<>();
        for (int time = 0; time < REPEATS; time++) {
            List<Tensor> made;
            try (StepScope scope = backend.beginStep(CONTEXT)) {
                made = work.apply(scope).stream().map(Tensor::share).toList();
            }
            for (int i = 0; i < made.size(); i++) {
                try (Tensor result = made.get(i)) {
                    float[] values = backend.readFloats(result);
                    if (time == 0) {
                        first.add(values);
                    } else {
                        Bits.assertSame(what + ", run " + time + ", result " + i, first.get(i), values);
                    }
                }
            }
        }
    }

    private static void multiply(CudaBackend backend, PlaneSpec a, PlaneSpec b, int[] size) {
        GemmSpec gemm = GemmSpec.of(Product.OUTPUT, Epilogue.STORE);
        QuantizeSpec specA = QuantizeSpec.both(Product.OUTPUT.roleA(), List.of(a));
        QuantizeSpec specB = QuantizeSpec.both(Product.OUTPUT.roleB(), List.of(b));
        Operand left;
        Operand right;
        try (Tensor x = tensor(backend, Matrix.normal(1, size[0], size[2], 1));
                Tensor w = tensor(backend, Matrix.normal(2, size[1], size[2], 1));
                var stateA = backend.allocateState(SpecTable.state(size[2]));
                var stateB = backend.allocateState(SpecTable.state(size[2]));
                StepScope scope = backend.beginStep(CONTEXT);
                Quantized qa = backend.quantization().quantize(scope, specA, SITE, x, stateA);
                Quantized qb = backend.quantization().quantize(scope, specB, SITE, w, stateB)) {
            left = qa.operand(gemm.product().contractionA()).share();
            right = qb.operand(gemm.product().contractionB()).share();
        }
        try (left;
                right;
                Tensor d = backend.allocate("d", DType.FP32, Shape.of(size[0], size[1]), MemoryTag.SCRATCH)) {
            String what = "%s x %s, %d x %d x %d".formatted(a, b, size[0], size[1], size[2]);
            assertRepeats(backend, what, scope -> {
                backend.gemm().multiply(scope, gemm, SITE, left, right, d);
                return List.of(d);
            });
        }
    }

    private void assertLaunched(CudaBackend backend, String... kernels) {
        if (backend.runtime().kernels().architecture().equals("sm_90a")) {
            assertLaunched(kernels);
        }
    }

    private void assertLaunched(String... kernels) {
        for (String kernel : kernels) {
            assertTrue(launched.contains(kernel), kernel + " is not among " + launched);
        }
    }

    @Test
    void integerProductsRepeat() {
        List<Granularity> granularities = List.of(
                new Granularity.PerTensor(),
                new Granularity.PerRow(),
                new Granularity.PerBlock(128, 128),
                new Granularity.PerBlock(32, 32),
                new Granularity.PerBlock(64, 64));
        for (String images : List.of("auto", "ptx")) {
            CudaBackend backend = open(images);
            for (Granularity granularity : granularities) {
                PlaneSpec plane = SpecTable.int8(granularity, Rounding.NEAREST_EVEN);
                multiply(backend, plane, plane, SMALL);
            }
        }
        CudaBackend backend = open("auto");
        for (Granularity granularity : granularities.subList(1, 3)) {
            PlaneSpec plane = SpecTable.int8(granularity, Rounding.NEAREST_EVEN);
            multiply(backend, plane, plane, MANY_TILES);
        }
        assertLaunched(
                backend,
                "gemm_sm90a.gemm_int8_narrow",
                "gemm_sm90a.gemm_int8_wide",
                "gemm_blocks_sm90a.gemm_int8_blocks");
    }

    @Test
    void productsOfHalvesRepeat() {
        CudaBackend backend = open("auto");
        for (DType format : List.of(DType.BF16, DType.FP16)) {
            PlaneSpec plane = PlaneSpec.unscaled(format);
            multiply(backend, plane, plane, SMALL);
            multiply(backend, plane, plane, MANY_TILES);
            multiply(open("ptx"), plane, plane, SMALL);
        }
        assertLaunched("gemm_half.gemm_mma_bf16", "gemm_half.gemm_mma_fp16");
        assertLaunched(
                backend,
                "gemm_sm90a.gemm_bf16_narrow",
                "gemm_sm90a.gemm_bf16_wide",
                "gemm_sm90a.gemm_fp16_narrow",
                "gemm_sm90a.gemm_fp16_wide");
    }

    @Test
    void productsOfEightBitFloatsRepeat() {
        CudaBackend backend = open("auto");
        CudaBackend decoding = open("ptx");
        List<Granularity> granularities = List.of(new Granularity.PerTensor(), new Granularity.PerBlock(1, 128));
        for (Granularity granularity : granularities) {
            for (DType a : List.of(DType.E4M3, DType.E5M2)) {
                for (DType b : List.of(DType.E4M3, DType.E5M2)) {
                    multiply(backend, SpecTable.fp8(a, granularity), SpecTable.fp8(b, granularity), SMALL);
                    multiply(decoding, SpecTable.fp8(a, granularity), SpecTable.fp8(b, granularity), SMALL);
                }
            }
        }
        assertLaunched("gemm_half.gemm_mma_fp8");
        assertLaunched(
                backend,
                "gemm_fp8_sm90a.gemm_e4m3_e4m3",
                "gemm_fp8_sm90a.gemm_e4m3_e5m2",
                "gemm_fp8_sm90a.gemm_e5m2_e4m3",
                "gemm_fp8_sm90a.gemm_e4m3_e4m3_blocks",
                "gemm_fp8_sm90a.gemm_e4m3_e5m2_blocks",
                "gemm_fp8_sm90a.gemm_e5m2_e4m3_blocks");
    }

    @Test
    void attentionOfHalvesRepeats() {
        CudaBackend backend = open("auto");
        DeviceAttention attention = DeviceAttention.of(backend.runtime(), DType.BF16);
        for (int headSize : List.of(32, 64, 128)) {
            AttentionShape shape = new AttentionShape(2, 300, 2, headSize);
            try (Tensor qkv = tensor(backend, Matrix.normal(3, 600, 3 * shape.width(), 1));
                    Tensor dy = tensor(backend, Matrix.normal(4, 600, shape.width(), 1))) {
                assertRepeats(backend, "attention of heads of " + headSize, scope -> {
                    Saved saved = attention.forward(scope, qkv, shape);
                    return List.of(saved.output(), attention.backward(scope, dy, qkv, saved, shape));
                });
            }
        }
        assertLaunched(backend, "attention_bf16.attention_bf16_forward_64");
    }

    @Test
    void normsAndLossesOfLongRowsRepeat() {
        CudaBackend backend = open("auto");
        int classes = 25_000;
        int rows = 140; // more than processors
        int[] targets = new int[rows]; // [rows]
        for (int i = 0; i < rows; i++) {
            targets[i] = i * 178 % classes;
        }
        try (Tensor logits = tensor(backend, Matrix.normal(5, rows, classes, 3));
                Tensor ids = backend.allocate("ids", DType.INT32, Shape.of(rows), MemoryTag.SCRATCH);
                Tensor loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.SCRATCH)) {
            backend.write(ids, targets);
            assertRepeats(backend, "the loss of long rows", scope -> {
                backend.neural().zero(scope, loss);
                backend.neural().crossEntropy(scope, logits, ids, loss, 1, false);
                return List.of(loss);
            });
        }
        for (int width : List.of(257, 1024, 60_000)) { // the last has no room in shared memory
            try (Tensor x = tensor(backend, Matrix.normal(6, 40, width, 1));
                    Tensor dy = tensor(backend, Matrix.normal(7, 40, width, 1));
                    Tensor weight = backend.allocate("w", DType.FP32, Shape.of(width), MemoryTag.SCRATCH);
                    Tensor gradient = backend.allocate("dw", DType.FP32, Shape.of(width), MemoryTag.SCRATCH)) {
                backend.write(weight, Matrix.normal(8, 1, width, 1).values());
                assertRepeats(backend, "norms of rows of " + width, scope -> {
                    backend.neural().zero(scope, gradient);
                    Saved saved = backend.neural().rmsNorm(scope, x, weight, 1e-5f);
                    Tensor gradX = backend.neural().rmsNormBackward(scope, dy, x, saved.saved(), weight, gradient);
                    return List.of(saved.output(), gradX, gradient);
                });
            }
        }
        assertLaunched(backend, "cross_entropy_sm90a.cross_entropy_long_rows", "norm.rms_norm_backward_wide");
    }
}
