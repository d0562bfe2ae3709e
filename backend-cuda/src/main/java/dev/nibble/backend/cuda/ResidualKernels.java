package dev.nibble.backend.cuda;

import dev.nibble.quant.PlaneSpec;
import java.util.List;

/** Launches the kernels of quantize_residual.cu and quantize_fallback.cu. Addresses of 0 stand for nothing. */
final class ResidualKernels {
    private static final String RESIDUAL = "quantize_residual";
    private static final int HALF_WARPS = QuantizeKernels.BLOCK / 16;

    private final QuantizeKernels kernels;
    private final CudaRuntime runtime;
    private final Struct first = new Struct();

    ResidualKernels(QuantizeKernels kernels) {
        this.kernels = kernels;
        this.runtime = kernels.runtime();
    }

    /** Writes what a plane leaves over, dense as x is. */
    void rest(DeviceMatrix x, CudaTensor codes, boolean transposed, GroupGrid grid, long scales, long rest) {
        Args args = runtime.args()
                .pointer(x.address())
                .i64(x.rows())
                .i64(x.cols())
                .pointer(codes.address())
                .i64(codes.pitchBytes())
                .i32(transposed ? 1 : 0)
                .i32(codes.dtype().ordinal())
                .struct(grid.write(first.clear()).segment())
                .pointer(scales)
                .pointer(rest)
                .about(x.tensor());
        kernels.launch(RESIDUAL, "residual_rest", x.elements(), QuantizeKernels.BLOCK, args);
    }

    /** Sums |x| over the part of each row in each column of blocks: [colBlocks][rows]. */
    void rowMagnitudes(DeviceMatrix x, GroupGrid grid, long sums) {
        Args args = runtime.args()
                .pointer(x.address())
                .i64(x.rows())
                .i64(x.cols())
                .struct(grid.write(first.clear()).segment())
                .pointer(sums)
                .about(x.tensor());
        kernels.launch(RESIDUAL, "block_row_magnitudes", x.rows() * grid.colBlocks(), HALF_WARPS, args);
    }

    /** Sums those sums over each block; divided by the others' unless these are 0. */
    void magnitudes(long sums, long others, long rows, GroupGrid grid, long metric) {
        Args args = runtime.args()
                .pointer(sums)
                .pointer(others)
                .i64(rows)
                .struct(grid.write(first.clear()).segment())
                .pointer(metric);
        kernels.launch(RESIDUAL, "block_magnitudes", grid.groups(), HALF_WARPS, args);
    }

    /** Writes the larger of two values, NaN if one is. */
    void larger(long one, long other, long result) {
        kernels.launchOne(
                RESIDUAL,
                "larger_of",
                1,
                runtime.args().pointer(one).pointer(other).pointer(result));
    }

    /**
     * Where the decision about each block is read and written; all in the grid's order, but those for the other orientation.
     *
     * @param metric what is compared; 0: the amaxes
     * @param amaxes of the blocks
     * @param restAmaxes of what the first plane leaves over
     * @param threshold in force
     * @param apply multipliers of the residual
     * @param scales of the residual
     * @param mask of the residual
     * @param scalesOther in the order of the transposed grid
     * @param maskOther in the order of the transposed grid
     * @param flagged how many fall back; 0 before
     */
    record Fallback(
            long metric,
            long amaxes,
            long restAmaxes,
            long threshold,
            long apply,
            long scales,
            long mask,
            long scalesOther,
            long maskOther,
            long flagged) {}

    /** Decides which blocks fall back, and makes the scales of their residuals. */
    void fallBack(PlaneSpec plane, GroupGrid grid, Fallback at) {
        Args args = runtime.args()
                .struct(grid.write(first.clear()).segment())
                .f32(plane.format().top())
                .pointer(at.metric())
                .pointer(at.amaxes())
                .pointer(at.restAmaxes())
                .pointer(at.threshold())
                .pointer(at.apply())
                .pointer(at.scales())
                .pointer(at.mask())
                .pointer(at.scalesOther())
                .pointer(at.maskOther())
                .pointer(at.flagged());
        kernels.launch(RESIDUAL, "residual_scales", grid.groups(), QuantizeKernels.BLOCK, args);
    }

    /**
     * A plane of a launch that makes a first plane and its residual.
     *
     * @param straight where the codes go
     * @param transposed where the transposed codes go
     * @param scales in the grid's order, and in that of the transposed grid
     * @param masks likewise; of a first plane, 0
     */
    record FallbackPlane(CodeSide.Target straight, CodeSide.Target transposed, List<Long> scales, List<Long> masks) {
        void write(Struct call) {
            call.pointer(straight.address()).pointer(transposed.address());
            call.i64(straight.pitchBytes()).i64(transposed.pitchBytes());
            call.i64(straight.paddedRows()).i64(transposed.paddedRows());
            scales.forEach(call::pointer);
            masks.forEach(call::pointer);
        }
    }

    /**
     * Makes INT8 codes and those of their residual in one pass; amaxes receive those of the blocks.
     *
     * @param threshold where it lies
     * @param findings where the largest magnitude and the number of blocks that fall back are put
     */
    void fallback(
            DeviceMatrix x,
            FallbackPlane plane,
            FallbackPlane residual,
            GroupGrid grid,
            long threshold,
            long amaxes,
            Findings findings) {
        Struct call = first.clear().pointer(x.address()).i64(x.rows()).i64(x.cols());
        plane.write(call);
        residual.write(call);
        grid.write(call)
                .pointer(threshold)
                .pointer(amaxes)
                .pointer(findings.amax())
                .pointer(findings.flagged())
                .flag(x.vector())
                .i32(0);
        CodeKind kind = CodeKind.INT8_NEAREST;
        long tiles = Math.max(
                QuantizeKernels.tiles(kind, plane.straight(), plane.transposed()),
                QuantizeKernels.tiles(kind, residual.straight(), residual.transposed()));
        Args args = runtime.args().struct(call.segment()).about(x.tensor());
        kernels.launchTiles("quantize_fallback", "quantize_fallback", tiles, kind, args);
    }
}
