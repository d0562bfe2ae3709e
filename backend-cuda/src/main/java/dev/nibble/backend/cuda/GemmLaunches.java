package dev.nibble.backend.cuda;

import dev.nibble.gemm.Epilogue;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.List;

/** Enqueues the kernels of products. */
final class GemmLaunches {
    private static final int MMA_TILE = 128;
    private static final int MMA_THREADS = 256;
    private static final int MMA_PADDING = 16; // bytes at the end of a row in shared memory
    private static final int MMA_STAGES = 4;
    private static final int MMA_STAGES_SMALL = 2;
    private static final int FLOAT_STAGE = 64; // bytes of a row of floats in shared memory
    private static final int DECODED_STAGE = 128; // of 8-bit floats as BF16
    private static final int ORDERED_TILE = 64;
    private static final int SUM_THREADS = 256;
    private static final long MOST_BLOCKS = 1 << 20; // of kernels that are not kept running

    private final CudaRuntime runtime;
    private final int blocks;
    private final int largestShared;
    private final ProductArguments arguments = new ProductArguments();
    private final WarpgroupLaunches warpgroups;

    /**
     * Makes launches.
     *
     * @param blocks at most so many, where each computes several tiles
     * @param largestShared bytes of shared memory that a block of the portable kernels takes at most
     */
    GemmLaunches(CudaRuntime runtime, int blocks, int largestShared) {
        this.runtime = runtime;
        this.blocks = blocks;
        this.largestShared = largestShared;
        this.warpgroups = new WarpgroupLaunches(runtime, arguments, blocks);
    }

    /**
     * Computes a product of all tokens.
     *
     * @param d address of the result
     */
    void all(ProductPlan plan, GemmKind kind, long d) {
        all(plan, kind, 0, d);
    }

    private void all(ProductPlan plan, GemmKind kind, long rowWeights, long d) {
        boolean add = plan.spec().epilogue() == Epilogue.ADD;
        boolean direct = plan.splits().parts() == 1;
        long elements = Math.multiplyExact(plan.m(), plan.n());
        long bytes = direct ? 0 : Math.multiplyExact(elements * plan.splits().parts(), DType.FP32.bits() / Byte.SIZE);
        try (CudaTensor parts = runtime.memory().scratch("partial sums", bytes)) {
            long out = direct ? d : parts.address();
            arguments.shape(plan).terms(plan.terms()).rowWeights(rowWeights).out(out, direct && add);
            switch (kind) {
                case INT8_WGMMA -> warpgroups.bytes(plan, out, direct && add);
                case INT8_BLOCKS -> warpgroups.blocks(plan);
                case HALF_WGMMA -> warpgroups.halves(plan);
                case FP8_WGMMA -> warpgroups.floats8(plan);
                case INT8_MMA -> bytes(plan, RowList.ALL);
                case HALF_MMA ->
                    floats(plan, "gemm_half", label(plan.terms().getFirst().a()), FLOAT_STAGE, MMA_STAGES);
                case FP8_MMA ->
                    floats(plan, "gemm_fp8" + KernelImages.FROM_ADA_ON, labels(plan), FLOAT_STAGE, MMA_STAGES);
                case FP8_DECODED -> floats(plan, "gemm_half", "fp8", DECODED_STAGE, MMA_STAGES_SMALL);
                case FLOAT -> simple(plan, "gemm_float", "gemm_float", MMA_TILE);
                case CHAINS -> simple(plan, "gemm_float", "gemm_chains", MMA_TILE);
                case ORDERED -> simple(plan, "gemm_ordered", "gemm_ordered", ORDERED_TILE);
            }
            if (!direct) {
                sumParts(parts.address(), d, elements, plan.splits().parts(), add);
            }
        }
    }

    /**
     * Computes an input gradient of the rows that were drawn; the others are 0.
     *
     * @param kind of {@link GemmKind#ofDrawn}
     * @param d address of the result
     */
    void drawn(ProductPlan plan, GemmKind kind, RowDraw draw, long d) {
        if (kind == GemmKind.ORDERED) {
            all(plan, kind, draw.weights(), d);
            return;
        }
        boolean add = plan.spec().epilogue() == Epilogue.ADD;
        long elements = Math.multiplyExact(plan.m(), plan.n());
        long bytes = Math.multiplyExact(elements, DType.FP32.bits() / Byte.SIZE);
        try (CudaTensor apart = runtime.memory().scratch("drawn rows", add ? bytes : 0)) {
            long out = add ? apart.address() : d;
            runtime.stream().fill(out, (byte) 0, bytes);
            arguments.shape(plan).out(out, false);
            if (kind == GemmKind.INT8_WGMMA) {
                warpgroups.drawn(plan, draw, out);
            } else {
                arguments.rowWeights(draw.weights()).rows(draw.union());
                bytes(plan, draw.union());
            }
            if (add) {
                sumParts(out, d, elements, 1, true);
            }
        }
    }

    private void sumParts(long parts, long d, long elements, int count, boolean add) {
        Args args = runtime.args()
                .pointer(parts)
                .pointer(d)
                .i64(elements)
                .i32(count)
                .i32(add ? 1 : 0);
        long grid = Math.min(Math.ceilDiv(elements, SUM_THREADS), MOST_BLOCKS);
        runtime.kernels().get("gemm_ordered", "gemm_sum_parts").launch(grid, 1, 1, SUM_THREADS, 0, args);
    }

    private void simple(ProductPlan plan, String file, String function, int tile) {
        long grid = Math.min(plan.tiles(tile, tile), MOST_BLOCKS);
        Args args = runtime.args().struct(arguments.struct());
        runtime.kernels().get(file, function).launch(grid, 1, 1, MMA_THREADS, 0, args);
    }

    private void bytes(ProductPlan plan, RowList rows) {
        try (PlaneBytes bytes = new PlaneBytes(runtime, arguments)) {
            List<BytePass> passes = new ArrayList<>();
            List<PlaneTerm> terms = new ArrayList<>();
            for (int t = 0; t < plan.terms().size(); t++) {
                PlaneTerm term = plan.terms().get(t);
                passes.addAll(BytePass.ofTerm(
                        bytes.of(term.a(), rows, plan.m(), plan.k()),
                        bytes.of(term.b(), RowList.ALL, plan.n(), plan.k()),
                        t));
                terms.add(new PlaneTerm(
                        bytes.whole(term.a(), rows, plan.m(), plan.k()),
                        bytes.whole(term.b(), RowList.ALL, plan.n(), plan.k())));
            }
            arguments.terms(terms).passes(passes);
            launchBytes(plan.stage(), plan.tiles(MMA_TILE, MMA_TILE));
        }
    }

    private void launchBytes(int stage, long tiles) {
        boolean deep = largestShared >= mmaShared(stage, MMA_STAGES);
        String suffix = stage == MMA_TILE && deep ? "_deep" : "";
        int stages = stage == MMA_TILE && !deep ? MMA_STAGES_SMALL : MMA_STAGES;
        launchMma("gemm_int8", "gemm_int8_" + stage + suffix, stage, stages, tiles);
    }

    private static String label(PlaneTerm.Side side) {
        return side.format().label();
    }

    private static String labels(ProductPlan plan) {
        PlaneTerm first = plan.terms().getFirst();
        return label(first.a()) + '_' + label(first.b());
    }

    private void floats(ProductPlan plan, String file, String formats, int stage, int stages) {
        List<BytePass> passes = new ArrayList<>();
        for (int t = 0; t < plan.terms().size(); t++) {
            PlaneTerm term = plan.terms().get(t);
            passes.add(new BytePass(term.a().codes(), term.b().codes(), t, 0));
        }
        arguments.passes(passes);
        launchMma(file, "gemm_mma_" + formats, stage, stages, plan.tiles(MMA_TILE, MMA_TILE));
    }

    private void launchMma(String file, String function, int stage, int stages, long tiles) {
        Args args = runtime.args().struct(arguments.struct());
        runtime.kernels()
                .get(file, function)
                .launch(Math.min(tiles, blocks), 1, 1, MMA_THREADS, mmaShared(stage, stages), args);
    }

    private static int mmaShared(int stage, int stages) {
        int scales = 2 * MMA_TILE * Float.BYTES;
        return stages * (2 * MMA_TILE * (stage + MMA_PADDING) + scales);
    }

    /**
     * Computes a weight gradient of the tokens that were drawn.
     *
     * @param kind of {@link GemmKind#ofGathered}
     */
    void gathered(ProductPlan plan, GemmKind kind, TokenDraw tokens, long d) {
        try (GatheredTokens gathered = new GatheredTokens(runtime, arguments, plan, tokens)) {
            PlaneTerm term = gathered.gather();
            arguments.out(d, plan.spec().epilogue() == Epilogue.ADD);
            if (kind == GemmKind.INT8_BLOCKS) {
                warpgroups.gathered(plan, term, gathered.pitch());
            } else {
                launchBytes(
                        MMA_TILE,
                        Math.multiplyExact(Math.ceilDiv(plan.m(), MMA_TILE), Math.ceilDiv(plan.n(), MMA_TILE)));
            }
        }
    }
}
