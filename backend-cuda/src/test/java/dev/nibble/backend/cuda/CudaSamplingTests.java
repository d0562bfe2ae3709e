package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.SplitMode;
import dev.nibble.reference.LeverageSampling;
import dev.nibble.reference.RowNorms;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.stream.IntStream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Rows that are drawn on the device are those of the plain code. */
class CudaSamplingTests {
    private static final StepContext CONTEXT = new StepContext(9, 2, StepContext.Mode.TRAIN, 0);
    private static final Site SITE = new Site("blocks.1.mlp.down", 7);
    private static final int FEATURES = 141;

    private CudaBackend backend;
    private Rig actual;
    private Rig plain;

    @BeforeEach
    void open() {
        Gpu.require();
        backend = Gpu.open();
        actual = new Rig(backend);
        plain = Rig.reference();
    }

    @AfterEach
    void close() {
        if (actual != null) {
            actual.close();
            plain.close();
        }
    }

    private static List<List<PlaneSpec>> gradients() {
        return List.of(
                PlaneSpec.digits(SplitMode.UNBIASED),
                SpecTable.power(DType.E3M0, 6).samples(2),
                SpecTable.power(DType.E4M0, 8).samples(3),
                List.of(SpecTable.int8(new Granularity.PerTensor(), Rounding.STOCHASTIC)));
    }

    private static GemmSpec gemm(Product product, Sampling sampling, int planes) {
        List<Term> terms = IntStream.range(0, planes)
                .mapToObj(plane -> new Term(plane, 0, 0.5f + plane, 1))
                .toList();
        return new GemmSpec(product, terms, sampling, Epilogue.STORE);
    }

    /** Rows of very different sizes, some of them zero. */
    private static Matrix gradient(int tokens) {
        return Matrix.normal(tokens, tokens, FEATURES, 1)
                .map((row, col, v) -> row % 11 == 4 ? 0 : Math.scalb(v, -(row * 7 % 23)) + (row % 50 == 3 ? 3 : 0));
    }

    private static Operand quantized(
            Backend of, StepScope scope, Role role, List<PlaneSpec> planes, Tensor x, Product p) {
        QuantizeSpec spec = QuantizeSpec.both(role, planes);
        try (DeviceState state = of.allocateState(List.of());
                Quantized made = of.quantization().quantize(scope, spec, SITE, x, state)) {
            return made.operand(role == p.roleA() ? p.contractionA() : p.contractionB())
                    .share();
        }
    }

    private int[] ints(long address, int count) {
        int[] values = new int[count];
        backend.runtime().staging().read(address, values, 0, count);
        return values;
    }

    private float[] floats(long address, int count) {
        float[] values = new float[count];
        backend.runtime().staging().read(address, values, 0, count);
        return values;
    }

    @Test
    void rowsOfTheInputGradientAreThoseOfThePlainCode() {
        for (int tokens : new int[] {1, 13, 129, 2050}) {
            for (List<PlaneSpec> planes : gradients()) {
                GemmSpec gemm = gemm(Product.GRAD_INPUT, Sampling.LEVERAGE, planes.size());
                Matrix x = gradient(tokens);
                Matrix w = Matrix.normal(3, FEATURES, 40, 1);
                float[][] expected = plain.in(CONTEXT, scope -> {
                    HostOperand a = HostOperand.of(quantized(
                            plain.backend(), scope, Role.GRAD_OUTPUT, planes, plain.tensor(x), Product.GRAD_INPUT));
                    return LeverageSampling.rowWeights(gemm, a, RowNorms.alongContraction(a), SITE, CONTEXT, Rig.SEED);
                });
                actual.in(CONTEXT, scope -> {
                    Operand a =
                            quantized(backend, scope, Role.GRAD_OUTPUT, planes, actual.tensor(x), Product.GRAD_INPUT);
                    Operand b = quantized(
                            backend,
                            scope,
                            Role.WEIGHT,
                            List.of(SpecTable.tensor(DType.INT8)),
                            actual.tensor(w),
                            Product.GRAD_INPUT);
                    RowDraw draw = new CudaSampling(backend.runtime())
                            .rows(scope, gemm, SITE, CudaOperand.of(a), CudaOperand.of(b));
                    assertRows(expected, draw, tokens);
                    return draw;
                });
            }
        }
    }

    /** Products too large for the plain code: by warpgroups, and by warps, which are compared with it elsewhere. */
    @Test
    void drawnRowsOfManyTilesHaveTheSameBitsByWarpgroupsAndByWarps() {
        assumeTrue(WarpgroupLaunches.available(backend.runtime()), "no warpgroups here");
        int tokens = 128 * backend.runtime().device().processors() / 3; // four tiles across: more tiles than processors
        int outputs = 1024;
        int features = 2208; // long enough for wide tiles
        List<PlaneSpec> planes = PlaneSpec.digits(SplitMode.UNBIASED);
        GemmSpec gemm = gemm(Product.GRAD_INPUT, Sampling.LEVERAGE, planes.size());
        Matrix x = Matrix.normal(1, tokens, features, 1).map((row, _, v) -> Math.scalb(v, -(row * 7 % 9)));
        Matrix w = Matrix.normal(3, features, outputs, 1);
        actual.in(CONTEXT, scope -> {
            List<PlaneSpec> int4 = List.of(SpecTable.tensor(DType.INT4));
            CudaOperand a = CudaOperand.of(
                    quantized(backend, scope, Role.GRAD_OUTPUT, planes, actual.tensor(x), Product.GRAD_INPUT));
            CudaOperand b =
                    CudaOperand.of(quantized(backend, scope, Role.WEIGHT, int4, actual.tensor(w), Product.GRAD_INPUT));
            RowDraw draw = new CudaSampling(backend.runtime()).rows(scope, gemm, SITE, a, b);
            ProductPlan plan = ProductPlan.of(gemm, a, b);
            CudaDevice device = backend.runtime().device();
            GemmLaunches launches = new GemmLaunches(backend.runtime(), device.processors(), device.largestShared());
            List<float[]> results = new ArrayList<>();
            for (GemmKind kind : List.of(GemmKind.INT8_MMA, GemmKind.INT8_WGMMA)) {
                CudaTensor d = CudaScope.of(scope).allocate("d", DType.FP32, Shape.of(tokens, outputs));
                launches.drawn(plan, kind, draw, d.address());
                results.add(floats(d.address(), tokens * outputs));
            }
            Bits.assertSame("by warpgroups", results.getFirst(), results.getLast());
            int kept = ints(draw.union().count(), 1)[0];
            assertTrue(kept > tokens / 4 && kept < tokens, kept + " of " + tokens + " rows are kept");
            assertTrue(backend.runtime().kernels().names().contains("gemm_sm90a.gemm_int8_drawn_wide"));
            return draw;
        });
    }

    private void assertRows(float[][] expected, RowDraw draw, int tokens) {
        int terms = expected.length;
        float[] weights = floats(draw.weights(), terms * tokens); // [terms][tokens]
        int[] rows = ints(draw.rows(), terms * tokens); // [terms][tokens]
        int[] counts = ints(draw.counts(), terms); // [terms]
        boolean[] any = new boolean[tokens]; // [tokens]
        for (int t = 0; t < terms; t++) {
            Bits.assertSame("weights", expected[t], Arrays.copyOfRange(weights, t * tokens, (t + 1) * tokens));
            float[] own = expected[t];
            int[] kept = IntStream.range(0, tokens).filter(row -> own[row] != 0).toArray();
            assertEquals(kept.length, counts[t]);
            assertArrayEquals(
                    Arrays.copyOf(kept, kept.length), Arrays.copyOfRange(rows, t * tokens, t * tokens + kept.length));
            Arrays.stream(kept).forEach(row -> any[row] = true);
        }
        int[] union = IntStream.range(0, tokens).filter(row -> any[row]).toArray();
        assertEquals(union.length, ints(draw.union().count(), 1)[0]);
        int[] found = ints(draw.union().list(), tokens);
        assertArrayEquals(union, Arrays.copyOf(found, union.length));
        assertTrue(Arrays.stream(found, union.length, tokens).allMatch(row -> row == -1));
    }

    @Test
    void tokensOfTheWeightGradientAreThoseOfThePlainCode() {
        for (int tokens : new int[] {1, 13, 129, 2050}) {
            for (List<PlaneSpec> planes : gradients()) {
                GemmSpec gemm = gemm(Product.GRAD_WEIGHT, Sampling.LEVERAGE, planes.size());
                Matrix dy = gradient(tokens);
                Matrix x = Matrix.normal(3, tokens, 40, 1).map((row, _, v) -> row % 7 == 2 ? 8 * v : v);
                List<PlaneSpec> int4 = List.of(SpecTable.tensor(DType.INT4));
                List<LeverageSampling.Kept> expected = plain.in(CONTEXT, scope -> {
                    HostOperand a = HostOperand.of(quantized(
                            plain.backend(), scope, Role.GRAD_OUTPUT, planes, plain.tensor(dy), Product.GRAD_WEIGHT));
                    HostOperand b = HostOperand.of(
                            quantized(plain.backend(), scope, Role.INPUT, int4, plain.tensor(x), Product.GRAD_WEIGHT));
                    return LeverageSampling.keptTokens(
                            gemm, a, RowNorms.alongRows(a), RowNorms.alongRows(b), SITE, CONTEXT, Rig.SEED);
                });
                actual.in(CONTEXT, scope -> {
                    Operand a =
                            quantized(backend, scope, Role.GRAD_OUTPUT, planes, actual.tensor(dy), Product.GRAD_WEIGHT);
                    Operand b = quantized(backend, scope, Role.INPUT, int4, actual.tensor(x), Product.GRAD_WEIGHT);
                    TokenDraw draw = new CudaSampling(backend.runtime())
                            .tokens(scope, gemm, SITE, CudaOperand.of(a), CudaOperand.of(b));
                    assertSegments(expected, draw, planes.size(), tokens);
                    return draw;
                });
            }
        }
    }

    private void assertSegments(List<LeverageSampling.Kept> expected, TokenDraw draw, int terms, int tokens) {
        int[] bounds = ints(draw.bounds(), 16 * terms + 1);
        int[] list = ints(draw.list(), terms * tokens);
        List<LeverageSampling.Kept> found = new ArrayList<>();
        for (int segment = 0; segment < 16 * terms; segment++) {
            int[] kept = Arrays.copyOfRange(list, bounds[segment], bounds[segment + 1]);
            if (kept.length > 0) {
                found.add(new LeverageSampling.Kept(segment % terms, segment / terms, kept));
            }
        }
        assertEquals(expected.size(), found.size());
        for (int i = 0; i < expected.size(); i++) {
            assertEquals(expected.get(i).term(), found.get(i).term());
            assertEquals(expected.get(i).exponent(), found.get(i).exponent());
            assertArrayEquals(expected.get(i).tokens(), found.get(i).tokens());
        }
    }
}
