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
    /** Two matrices of 8-bit floats by warpgroups. */
    FP8_WGMMA("wgmma", "fp8 on tensor cores, added in fp32 every 128"),
    /** Wider floats, one chain. */
    FLOAT("fma", "fp32 fma chain"),
    /** Codes decoded to FP32, chains of at most 128. */
    CHAINS("fma-chains", "codes decoded to fp32, fp32 fma chains of 128, fp32 scale"),
    /** Anything, in the plain code's order. */
    ORDERED("ordered", "exact int32 or fp32 fma chains, fp32 scale");

    private static final long TENSOR_COPY_ALIGNMENT = 16; // bytes, of a row
    private static final long FP8_STAGE = 128;
    private static final long TILE = 128; // what is smaller leaves most of a tile empty

    private final String kernel;
    private final String computeType;

    GemmKind(String kernel, String computeType) {
        this.kernel = kernel;
        this.computeType = computeType;
    }

    /** {@return the fastest kernels that a product can have on a device} */
    static GemmKind of(ProductPlan plan, CudaRuntime runtime) {
        boolean warpgroups = WarpgroupLaunches.available(runtime);
        if (plan.k() == 0) {
            return ORDERED;
        }
        if (plan.all(Arithmetic.EXACT)) {
            return exact(plan, warpgroups);
        }
        if (plan.all(Arithmetic.FLOAT)) {
            boolean half = plan.isOne(DType.BF16, DType.BF16) || plan.isOne(DType.FP16, DType.FP16);
            return half && warpgroups && fillsTiles(plan) ? HALF_WGMMA : FLOAT;
        }
        if (plan.all(Arithmetic.CHAIN)) {
            boolean both = plan.terms().size() == 1
                    && isFp8(plan.terms().getFirst().a())
                    && isFp8(plan.terms().getFirst().b());
            return both && warpgroups && fillsTiles(plan) && plan.endsAt(FP8_STAGE) ? FP8_WGMMA : CHAINS;
        }
        return ORDERED;
    }

    /** {@return the kernels of an input gradient of drawn rows} */
    static GemmKind ofDrawn(ProductPlan plan, CudaRuntime runtime) {
        GemmKind kind = of(plan, runtime);
        return kind == INT8_WGMMA || kind == INT8_MMA ? kind : ORDERED;
    }

    /** {@return the kernels of gathered tokens} */
    static GemmKind ofGathered(ProductPlan plan, CudaRuntime runtime) {
        return WarpgroupLaunches.available(runtime) && plan.fitsBytes() ? INT8_BLOCKS : INT8_MMA;
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
                && plan.everyBlockPresent()
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
            case HALF_WGMMA, FP8_WGMMA, CHAINS, FLOAT, ORDERED ->
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
            case HALF_WGMMA, FP8_WGMMA, CHAINS, FLOAT, ORDERED -> computeType;
        };
    }
}
