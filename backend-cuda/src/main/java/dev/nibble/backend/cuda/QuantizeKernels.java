package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.spi.DeviceState;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** Launches the kernels of quantize_statistics.cu and quantize_codes.cu. Addresses of 0 stand for nothing. */
final class QuantizeKernels {
    /** Threads of a block of most kernels. */
    static final int BLOCK = 256;

    private static final String STATISTICS = "quantize_statistics";
    private static final int TILE_COLS = 128;
    private static final int TILE_BLOCK = 512; // threads of a block that takes tiles
    private static final int STRIP_ROWS = 32; // rows that a warp of amax_groups takes
    private static final int LINE_ROWS = 128; // of a block of amax_lines
    private static final int LINE_COLS = 512;
    private static final int WARPS = BLOCK / 32;
    private static final int VECTOR = 4;
    private static final long BLOCKS_A_PROCESSOR = 8;
    private static final long STREAMS_A_PROCESSOR = 2; // blocks of quantize_aligned.cu that run at once
    private static final int SELECT_BLOCK = 1024;
    private static final int MOMENT_BLOCK = 320; // of moments_matrix: eight warps for rows, two for their sums
    private static final int MOMENT_ROWS = 16; // of a block at once
    private static final int MOMENT_STAGES = 4; // of its rows on their way, as in moments.cuh
    private static final int MOMENT_COLS = 256; // of a stage

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

    /** Launches a kernel that keeps tiles of elements and of a kind of codes in shared memory. */
    void launchTiles(String file, String function, long tiles, CodeKind kind, Args args) {
        launchTiles(file, function, tiles, kind.tileRows() * TILE_COLS * (Float.SIZE + kind.bits()) / Byte.SIZE, args);
    }

    private void launchTiles(String file, String function, long tiles, int sharedBytes, Args args) {
        long blocks = Math.clamp(tiles, 1, mostBlocks);
        runtime.kernels().get(file, function).launch(blocks, 1, 1, TILE_BLOCK, sharedBytes, args);
    }

    /** Launches a kernel on one block. */
    void launchOne(String file, String function, int threads, Args args) {
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
        if (both && grids.getFirst().areRows() && grids.getLast().areColumns()) {
            Args args = runtime.args()
                    .pointer(x.address())
                    .i64(x.rows())
                    .i64(x.cols())
                    .i32(x.vector() ? 1 : 0)
                    .pointer(amaxes.getFirst())
                    .pointer(amaxes.getLast())
                    .pointer(amax)
                    .about(x.tensor());
            long parts = Math.ceilDiv(x.rows(), LINE_ROWS) * Math.ceilDiv(x.cols(), LINE_COLS);
            launch(STATISTICS, "amax_lines", parts, 1, args);
            return;
        }
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
     * @param sums room for 2 · rows floats, 0 before
     */
    void moments(DeviceMatrix x, long given, long sums, Findings findings) {
        Args args = runtime.args()
                .pointer(x.address())
                .i64(x.rows())
                .i64(x.cols())
                .i32(x.vector() ? 1 : 0)
                .pointer(given)
                .pointer(findings.amax())
                .pointer(findings.begun())
                .pointer(sums)
                .pointer(findings.moments())
                .about(x.tensor());
        long most = Math.min(mostBlocks, runtime.device().processors());
        long blocks = Math.clamp(Math.ceilDiv(x.rows(), MOMENT_ROWS), 1, most);
        int shared = MOMENT_STAGES * MOMENT_ROWS * MOMENT_COLS * Float.BYTES;
        runtime.kernels().get(STATISTICS, "moments_matrix").launch(blocks, 1, 1, MOMENT_BLOCK, shared, args);
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
    void statistics(StatisticsOrder order) {
        Args args = runtime.args()
                .struct(order.parts()
                        .write(first.clear(), order.record(), order.place())
                        .segment())
                .pointer(order.out());
        launchOne(STATISTICS, "write_statistics", 1, args);
    }

    /**
     * What a launch that rounds a matrix makes.
     *
     * @param side how; of both orientations if they are not separate
     * @param straight where the codes go
     * @param separate whether the transposed codes have scales and draws of their own
     * @param other how these are made
     * @param transposed where the transposed codes go
     */
    record Sides(
            CodeSide side, CodeSide.Target straight, boolean separate, CodeSide other, CodeSide.Target transposed) {}

    /**
     * Rounds a matrix with scales that are made.
     *
     * @param saturated count of the elements beyond the range; 0: not counted
     * @param amax where the largest magnitude is put; 0: known already
     */
    void codes(DeviceMatrix x, Sides sides, long saturated, long amax, DeviceState state) {
        Struct call = call(x, sides, saturated, amax, state).pointer(0).pointer(0);
        launchCodes("quantize_codes_", x, sides, call);
    }

    /**
     * Makes the scales of blocks that tiles hold whole, and rounds.
     *
     * @param hadamard state of the transform that is done in the tiles if its runs fit; 0: none
     * @param transformed x transformed, if they do not
     * @param amax where the largest magnitude is put
     */
    void blocks(DeviceMatrix x, long hadamard, DeviceMatrix transformed, Sides sides, long amax, DeviceState state) {
        Struct call = call(x, sides, 0, amax, state).pointer(hadamard).pointer(transformed.address());
        launchCodes("quantize_blocks_", x, sides, call);
    }

    /**
     * Makes scales and rounds by a kernel of quantize_aligned.cu.
     *
     * @param amaxes where the amaxes of each grid lie; 0 if the launch finds them
     * @param findings other things that are found
     * @param statistics writes them, too; empty if the launch does not
     */
    void aligned(
            AlignedKernel kernel,
            DeviceMatrix x,
            Sides sides,
            List<Long> amaxes,
            Findings findings,
            Optional<StatisticsOrder> statistics,
            DeviceState state) {
        CodeKind kind = CodeKind.of(sides.side().plane());
        Struct call = call(x, sides, 0, findings.amax(), state)
                .pointer(0)
                .pointer(0)
                .pointer(amaxes.getFirst())
                .pointer(amaxes.getLast())
                .pointer(findings.moments());
        statistics.orElseGet(() -> StatisticsOrder.none(findings)).write(call);
        Args args = runtime.args().struct(call.segment()).about(x.tensor());
        long most = Math.min(tiles(kind, sides.straight(), sides.transposed()), mostBlocks);
        long blocks = Math.clamp(STREAMS_A_PROCESSOR * runtime.device().processors(), 1, most);
        int shared = TILE_COLS * TILE_COLS * (Float.SIZE + 2 * kind.bits()) / Byte.SIZE;
        runtime.kernels().get("quantize_aligned", kernel.name()).launch(blocks, 1, 1, kernel.threads(), shared, args);
    }

    private Struct call(DeviceMatrix x, Sides sides, long saturated, long amax, DeviceState state) {
        Struct call = first.clear().pointer(x.address()).i64(x.rows()).i64(x.cols());
        write(call, sides.straight(), sides.side(), state);
        write(call, sides.transposed(), sides.other(), state);
        CodeKind kind = CodeKind.of(sides.side().plane());
        return call.i32(Math.toIntExact(tiles(kind, sides.straight(), sides.transposed())))
                .i32((int) across(kind, sides.straight(), sides.transposed()))
                .flag(sides.separate())
                .flag(x.vector())
                .pointer(runtime.stepInfo().address())
                .i32((int) runtime.seed())
                .i32((int) (runtime.seed() >>> Integer.SIZE))
                .pointer(saturated)
                .pointer(amax);
    }

    private void launchCodes(String prefix, DeviceMatrix x, Sides sides, Struct call) {
        CodeKind kind = CodeKind.of(sides.side().plane());
        Args args = runtime.args().struct(call.segment()).about(x.tensor());
        long tiles = tiles(kind, sides.straight(), sides.transposed());
        launchTiles("quantize_codes", prefix + kind.suffix(), tiles, kind, args);
    }

    /** {@return tiles that cover the codes of both orientations} */
    static long tiles(CodeKind kind, CodeSide.Target straight, CodeSide.Target transposed) {
        long down = Math.max(straight.paddedRows(), transposed.pitch(kind));
        return Math.ceilDiv(down, kind.tileRows()) * across(kind, straight, transposed);
    }

    private static long across(CodeKind kind, CodeSide.Target straight, CodeSide.Target transposed) {
        return Math.ceilDiv(Math.max(straight.pitch(kind), transposed.paddedRows()), TILE_COLS);
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
        launchTiles("quantize_codes", "quantize_digits", tiles(CodeKind.DIGIT, straight, transposed), 0, args);
    }
}
