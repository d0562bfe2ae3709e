package dev.nibble.backend.cuda;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.quant.Granularity;
import dev.nibble.tensor.DType;

/** The kernels that compute a product. */
enum GemmKind {
    /** Bytes by warpgroups: scales along the whole contraction, a launch for each segment and term. */
    INT8_WGMMA("int8-wgmma", "exact int32 on tensor cores, fp32 scale"),
    /** Bytes by warpgroups: one scale a tile and stage on each side, up to two terms. */
    INT8_BLOCKS("int8-wgmma", "exact int32 on tensor cores, fp32 scale"),
    /** Bytes by warps: any scales that end with a stage. */
    INT8_MMA("int8-mma", "exact int32 on tensor cores, fp32 scale"),
    /** Two matrices of BF16 or FP16 by warpgroups. */
    HALF_WGMMA("wgmma", "fp32 sums on tensor cores"),
    /** The same by warps. */
    HALF_MMA("mma", "mma.sync, fp32 sums on tensor cores"),
    /** Two matrices of 8-bit floats by warpgroups. */
    FP8_WGMMA("wgmma", "fp8 on tensor cores, added in fp32 every 128"),
    /** 8-bit floats by warps: any scales, masks and terms. */
    FP8_MMA("mma", "fp8 on tensor cores, mma.sync, added in fp32 every 128"),
    /** The same as BF16. */
    FP8_DECODED("bf16-mma", "fp8 decoded to bf16, mma.sync, fp32 sums of 128 on tensor cores, fp32 scale"),
    /** Wider floats, one chain. */
    FLOAT("fma", "fp32 fma chain"),
    /** Codes decoded to FP32, chains of at most 128. */
    CHAINS("fma-chains", "codes decoded to fp32, fp32 fma chains of 128, fp32 scale"),
    /** Anything, in the plain code's order. */
    ORDERED("ordered", "exact int32 or fp32 fma chains, fp32 scale");

    private static final long TENSOR_COPY_ALIGNMENT = 16; // bytes, of a row
    private static final long FP8_STAGE = 128;
    private static final long FP8_COPY = 16; // codes that a thread reads at once
    private static final long TILE = 128; // what is smaller leaves most of a tile empty

    private final String kernel;
    private final String computeType;

    GemmKind(String kernel, String computeType) {
        this.kernel = kernel;
        this.computeType = computeType;
    }

    /**
     * {@return the fastest kernels that a product can have}
     *
     * @param cores which there are
     * @param strict whether 8-bit floats are multiplied as such, or in the order of the plain code
     */
    static GemmKind of(ProductPlan plan, TensorCores cores, boolean strict) {
        if (plan.k() == 0) {
            return ORDERED;
        }
        if (plan.all(Arithmetic.EXACT)) {
            return exact(plan, cores.warpgroups());
        }
        if (plan.all(Arithmetic.FLOAT)) {
            boolean half = plan.isOne(DType.BF16, DType.BF16) || plan.isOne(DType.FP16, DType.FP16);
            if (!half || !fillsTiles(plan) || !plan.everyBlockPresent()) {
                return FLOAT;
            }
            return cores.warpgroups() ? HALF_WGMMA : HALF_MMA;
        }
        return plan.all(Arithmetic.CHAIN) ? chains(plan, cores, strict) : ORDERED;
    }

    private static GemmKind chains(ProductPlan plan, TensorCores cores, boolean strict) {
        boolean fp8 = plan.terms().stream().allMatch(term -> isFp8(term.a()) && isFp8(term.b()));
        if (!fp8 || !fillsTiles(plan) || !plan.endsAt(FP8_COPY)) {
            return CHAINS;
        }
        boolean one = plan.terms().size() == 1 && plan.everyBlockPresent() && plan.endsAt(FP8_STAGE);
        if (cores.warpgroups() && one) {
            return FP8_WGMMA;
        }
        PlaneTerm first = plan.terms().getFirst();
        boolean alike = plan.terms().stream()
                .allMatch(term -> term.a().format() == first.a().format()
                        && term.b().format() == first.b().format());
        if (cores.fp8() && alike) {
            return FP8_MMA;
        }
        return strict ? CHAINS : FP8_DECODED;
    }

    /** {@return the kernels of an input gradient of drawn rows} */
    static GemmKind ofDrawn(ProductPlan plan, TensorCores cores) {
        GemmKind kind = of(plan, cores, true);
        return kind == INT8_WGMMA || kind == INT8_MMA ? kind : ORDERED;
    }

    /** {@return the kernels of gathered tokens} */
    static GemmKind ofGathered(ProductPlan plan, TensorCores cores) {
        return cores.warpgroups() && plan.fitsBytes() ? INT8_BLOCKS : INT8_MMA;
    }

    private static GemmKind exact(ProductPlan plan, boolean warpgroups) {
        if (plan.stage() == 0) {
            return ORDERED;
        }
        boolean whole = plan.oneGroup() && plan.segmentsOfEachPart() > 0;
        if (!warpgroups || !plan.fitsBytes()) {
            return INT8_MMA;
        }
        if (whole && plan.everyBlockPresent()) {
            return INT8_WGMMA;
        }
        boolean few = plan.terms().size() <= WarpgroupLaunches.BLOCK_TERMS;
        return few && plan.stagesOfSegment() > 0 ? INT8_BLOCKS : INT8_MMA;
    }

    private static boolean isFp8(PlaneTerm.Side side) {
        return side.format().family() == DType.Family.FP8;
    }

    private static boolean fillsTiles(ProductPlan plan) {
        return plan.m() >= TILE
                && plan.n() >= TILE
                && plan.k() >= TILE
                && plan.terms().stream().allMatch(term -> aligned(term.a()) && aligned(term.b()));
    }

    private static boolean aligned(PlaneTerm.Side side) {
        return side.pitch() % TENSOR_COPY_ALIGNMENT == 0;
    }

    /** {@return its name in the execution log: what is multiplied, and where its scales are} */
    String kernel(ProductPlan plan) {
        PlaneTerm first = plan.terms().getFirst();
        return switch (this) {
            case INT8_WGMMA, INT8_BLOCKS, INT8_MMA -> "cuda-" + kernel + '-' + granularity(plan);
            case HALF_WGMMA, HALF_MMA, FP8_WGMMA, FP8_MMA, FP8_DECODED, CHAINS, FLOAT, ORDERED ->
                "cuda-" + first.a().format().label() + '-' + first.b().format().label() + '-' + kernel;
        };
    }

    private static String granularity(ProductPlan plan) {
        return switch (plan.a().planes().getFirst().spec().granularity()) {
            case Granularity.PerTensor _ -> "tensor";
            case Granularity.PerRow _ -> "row";
            case Granularity.PerBlock _ -> "block";
        };
    }

    /** {@return the arithmetic} */
    String computeType(ProductPlan plan) {
        boolean bytes = plan.terms().stream()
                .allMatch(term -> term.a().format() == DType.INT8 && term.b().format() == DType.INT8);
        return switch (this) {
            case INT8_WGMMA, INT8_BLOCKS, INT8_MMA -> bytes ? computeType : "codes unpacked to bytes, " + computeType;
            case HALF_WGMMA, HALF_MMA, FP8_WGMMA, FP8_MMA, FP8_DECODED, CHAINS, FLOAT, ORDERED -> computeType;
        };
    }
}
