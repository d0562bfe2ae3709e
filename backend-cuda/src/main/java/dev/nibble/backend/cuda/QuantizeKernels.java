package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.spi.DeviceState;
import java.util.List;
import java.util.Map;

/** Launches the kernels of quantize_statistics.cu, quantize_codes.cu and quantize_residual.cu. Addresses of 0 stand for nothing. */
final class QuantizeKernels {
    /** Threads of a block of most kernels. */
    static final int BLOCK = 256;

    private static final String STATISTICS = "quantize_statistics";
    private static final String RESIDUAL = "quantize_residual";
    private static final int TILE_COLS = 128;
    private static final int STRIP_ROWS = 32; // rows that a warp of amax_groups takes
    private static final int WARP = 32;
    private static final int WARPS = BLOCK / WARP;
    private static final int VECTOR = 4;
    private static final long BLOCKS_A_PROCESSOR = 8;
    private static final int HALF_WARPS = BLOCK / 16;
    private static final int SELECT_BLOCK = 1024;

    private final CudaRuntime runtime;
    private final long mostBlocks;
    private final Struct first = new Struct();
    private final Struct second = new Struct();

    /**
     * Makes the launches of one backend.
     *
     * @param runtime what it shares
     * @param mostBlocks largest grid; changes no result
     */
    QuantizeKernels(CudaRuntime runtime, long mostBlocks) {
        this.runtime = runtime;
        this.mostBlocks = mostBlocks;
    }

    /** {@return what the operations of the backend share} */
    CudaRuntime runtime() {
        return runtime;
    }

    /** Launches a kernel on as many blocks of {@link #BLOCK} threads as its items need, or on the largest grid. */
    void launch(String file, String function, long items, int itemsPerBlock, Args args) {
        long blocks = Math.clamp(Math.ceilDiv(items, itemsPerBlock), 1, mostBlocks);
        runtime.kernels().get(file, function).launch(blocks, 1, 1, BLOCK, 0, args);
    }

    private void launchOne(String file, String function, int threads, Args args) {
        runtime.kernels().get(file, function).launch(1, 1, 1, threads, 0, args);
    }

    /**
     * Finds the largest magnitude: 4 bytes at amax, 0 before. Nothing is done while a given scale is in force.
     *
     * @param given the state that gives it, or 0
     */
    void amax(DeviceMatrix x, long given, long amax) {
        Args args = runtime.args()
                .pointer(x.address())
                .i64(x.elements())
                .pointer(given)
                .pointer(amax)
                .about(x.tensor());
        long blocks = Math.min(mostBlocks, BLOCKS_A_PROCESSOR * runtime.device().processors());
        long needed = Math.clamp(Math.ceilDiv(x.elements(), VECTOR * BLOCK), 1, blocks);
        runtime.kernels().get(STATISTICS, "amax_matrix").launch(needed, 1, 1, BLOCK, 0, args);
    }

    /**
     * Finds the amax of each group of one or two grids, and the largest of all; all 0 before.
     *
     * @param grids one or two
     * @param amaxes where those of each grid lie
     */
    void amaxes(DeviceMatrix x, List<GroupGrid> grids, List<Long> amaxes, long amax) {
        boolean both = grids.size() > 1;
        Args args = runtime.args()
                .pointer(x.address())
                .i64(x.rows())
                .i64(x.cols())
                .i32(x.vector() ? 1 : 0)
                .struct(grids.getFirst().write(first.clear()).segment())
                .pointer(amaxes.getFirst())
                .struct(grids.getLast().write(second.clear()).segment())
                .pointer(both ? amaxes.getLast() : 0)
                .pointer(amax)
                .about(x.tensor());
        long strips = Math.ceilDiv(x.rows(), STRIP_ROWS) * Math.ceilDiv(x.cols(), TILE_COLS);
        launch(STATISTICS, "amax_groups", strips, WARPS, args);
    }

    /**
     * Finds {mean |x|, mean x²} and the largest magnitude, unless a given scale is in force.
     *
     * @param given the state that gives it, or 0
     * @param sums room for 2 · rows floats
     */
    void moments(DeviceMatrix x, long given, long sums, Findings findings) {
        long squares = sums + x.rows() * Float.BYTES;
        Args args = runtime.args()
                .pointer(x.address())
                .i64(x.rows())
                .i64(x.cols())
                .i32(x.vector() ? 1 : 0)
                .pointer(given)
                .pointer(sums)
                .pointer(squares)
                .pointer(findings.amax())
                .about(x.tensor());
        launch(STATISTICS, "moments_rows", x.rows(), BLOCK / VECTOR, args);
        args = runtime.args()
                .pointer(sums)
                .pointer(squares)
                .i64(x.rows())
                .i64(x.cols())
                .pointer(given)
                .pointer(findings.moments())
                .about(x.tensor());
        launchOne(STATISTICS, "moments_finish", WARP, args);
    }

    /** Makes the scales of all groups of a plane. */
    void scales(CodeSide side, DeviceState state, long amaxes, long moments, float unit) {
        Args args = runtime.args()
                .struct(PlaneStructs.rule(first.clear(), side.plane(), state).segment())
                .struct(side.grid().write(second.clear()).segment())
                .pointer(amaxes)
                .pointer(moments)
                .f32(unit)
                .pointer(side.apply())
                .pointer(side.scales())
                .pointer(side.scalesOther());
        launch(STATISTICS, "group_scales", side.grid().groups(), BLOCK, args);
    }

    /** Finds the value of a rank, from 1, among n floats that are not negative. */
    void select(long values, long n, long rank, long result) {
        Args args = runtime.args().pointer(values).i64(n).i64(rank).pointer(result);
        launchOne(STATISTICS, "select_rank", SELECT_BLOCK, args);
    }

    /** Writes the statistics vector. */
    void statistics(StatisticsParts parts, long record, int place, long out) {
        Args args = runtime.args()
                .struct(parts.write(first.clear(), record, place).segment())
                .pointer(out);
        launchOne(STATISTICS, "write_statistics", 1, args);
    }

    /**
     * A launch that rounds a matrix.
     *
     * @param x what is rounded
     * @param makesScales whether the kernel makes the scales, too
     * @param side how; of both orientations if they are not separate
     * @param straight where the codes go
     * @param separate whether the transposed codes have scales and draws of their own
     * @param other how these are made
     * @param transposed where the transposed codes go
     * @param saturated count of the elements beyond the range; 0: not counted
     * @param amax where the largest magnitude is put; 0: known already
     */
    record CodesLaunch(
            DeviceMatrix x,
            boolean makesScales,
            CodeSide side,
            CodeSide.Target straight,
            boolean separate,
            CodeSide other,
            CodeSide.Target transposed,
            long saturated,
            long amax) {}

    /** Rounds a matrix. */
    void codes(CodesLaunch launch, DeviceState state) {
        DeviceMatrix x = launch.x();
        CodeKind kind = CodeKind.of(launch.side().plane());
        Struct call = first.clear().pointer(x.address()).i64(x.rows()).i64(x.cols());
        write(call, launch.straight(), launch.side(), state);
        write(call, launch.transposed(), launch.other(), state);
        call.flag(launch.separate())
                .flag(x.vector())
                .pointer(runtime.stepInfo().address())
                .i32((int) runtime.seed())
                .i32((int) (runtime.seed() >>> Integer.SIZE))
                .pointer(launch.saturated())
                .pointer(launch.amax());
        String function = (launch.makesScales() ? "quantize_blocks_" : "quantize_codes_") + kind.suffix();
        Args args = runtime.args().struct(call.segment()).about(x.tensor());
        long tiles = tiles(kind, launch.straight(), launch.transposed());
        launch("quantize_codes", function, tiles, 1, args);
    }

    private static long tiles(CodeKind kind, CodeSide.Target straight, CodeSide.Target transposed) {
        long down = Math.max(straight.paddedRows(), transposed.pitch(kind));
        long across = Math.max(straight.pitch(kind), transposed.paddedRows());
        return Math.ceilDiv(down, kind.tileRows()) * Math.ceilDiv(across, TILE_COLS);
    }

    private static void write(Struct call, CodeSide.Target target, CodeSide side, DeviceState state) {
        call.pointer(target.address())
                .i64(target.pitchBytes())
                .i64(target.paddedRows())
                .pointer(side.apply())
                .pointer(side.scales())
                .pointer(side.scalesOther());
        side.grid().write(call);
        PlaneStructs.coder(call, side.plane(), side.drawAddress());
        PlaneStructs.rule(call, side.plane(), state);
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
        launch(RESIDUAL, "residual_rest", x.elements(), BLOCK, args);
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
        launch(RESIDUAL, "block_row_magnitudes", x.rows() * grid.colBlocks(), HALF_WARPS, args);
    }

    /** Sums those sums over each block; divided by the others' unless these are 0. */
    void magnitudes(long sums, long others, long rows, GroupGrid grid, long metric) {
        Args args = runtime.args()
                .pointer(sums)
                .pointer(others)
                .i64(rows)
                .struct(grid.write(first.clear()).segment())
                .pointer(metric);
        launch(RESIDUAL, "block_magnitudes", grid.groups(), HALF_WARPS, args);
    }

    /** Writes the larger of two values, NaN if one is. */
    void larger(long one, long other, long result) {
        launchOne(
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
        launch(RESIDUAL, "residual_scales", grid.groups(), BLOCK, args);
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
                tiles(kind, plane.straight(), plane.transposed()),
                tiles(kind, residual.straight(), residual.transposed()));
        Args args = runtime.args().struct(call.segment()).about(x.tensor());
        launch("quantize_fallback", "quantize_fallback", tiles, 1, args);
    }

    /**
     * Makes both digits of one draw.
     *
     * @param side how; of both digits alike
     * @param upper the codes of the upper digit by orientation
     * @param lower and of the lower one
     */
    void digits(
            DeviceMatrix x,
            CodeSide side,
            Map<Contraction, CodeSide.Target> upper,
            Map<Contraction, CodeSide.Target> lower) {
        CodeSide.Target straight = CodeSide.Target.of(upper, Contraction.COLUMNS);
        CodeSide.Target transposed = CodeSide.Target.of(upper, Contraction.ROWS);
        Struct call = first.clear()
                .pointer(x.address())
                .i64(x.rows())
                .i64(x.cols())
                .pointer(straight.address())
                .pointer(transposed.address())
                .pointer(CodeSide.Target.of(lower, Contraction.COLUMNS).address())
                .pointer(CodeSide.Target.of(lower, Contraction.ROWS).address())
                .i64(straight.pitchBytes())
                .i64(transposed.pitchBytes())
                .i64(straight.paddedRows())
                .i64(transposed.paddedRows())
                .pointer(side.apply())
                .pointer(runtime.stepInfo().address())
                .i32((int) runtime.seed())
                .i32((int) (runtime.seed() >>> Integer.SIZE));
        PlaneStructs.coder(call, side.plane(), side.drawAddress())
                .flag(x.vector())
                .i32(0);
        Args args = runtime.args().struct(call.segment()).about(x.tensor());
        launch("quantize_codes", "quantize_digits", tiles(CodeKind.DIGIT, straight, transposed), 1, args);
    }
}
