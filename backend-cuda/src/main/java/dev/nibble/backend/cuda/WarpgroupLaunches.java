package dev.nibble.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;

/** Enqueues the kernels that need the warpgroups and tensor copies of sm_90a. */
final class WarpgroupLaunches {
    /** Terms that the kernel of blocks takes. */
    static final int BLOCK_TERMS = 2;

    private static final int HOPPER = 9;
    private static final int WIDTH = 128; // bytes of the contraction in a stage
    private static final int ROWS = 128; // of a tile
    private static final int BARRIERS_AND_SCALES = 8192; // bytes behind the stages, rounded up
    private static final long SHORT = 2048; // bytes of a contraction that do not outweigh the storing of a tile

    /** How a kernel's blocks are made: the numbers of gemm_sm90a.cu, gemm_blocks_sm90a.cu and gemm_fp8_sm90a.cu. */
    private enum Layout {
        WIDE(256, 4, 384, 1),
        NARROW(128, 3, 288, 2),
        BLOCKS(128, 6, 384, 1),
        FLOATS8(128, 6, 384, 1);

        private final int columns; // of a tile
        private final int stages;
        private final int threads;
        private final int blocks; // on a multiprocessor

        Layout(int columns, int stages, int threads, int blocks) {
            this.columns = columns;
            this.stages = stages;
            this.threads = threads;
            this.blocks = blocks;
        }

        private int shared() {
            return stages * (ROWS + columns) * WIDTH + BARRIERS_AND_SCALES;
        }
    }

    private final CudaRuntime runtime;
    private final ProductArguments arguments;
    private final int blocks;

    WarpgroupLaunches(CudaRuntime runtime, ProductArguments arguments, int blocks) {
        this.runtime = runtime;
        this.arguments = arguments;
        this.blocks = blocks;
    }

    /** {@return whether a device and the kernels in this build have them} */
    static boolean available(CudaRuntime runtime) {
        return runtime.device().major() == HOPPER
                && KernelImages.has(runtime.kernels().architecture(), "gemm_sm90a");
    }

    /**
     * Multiplies bytes: a launch for each segment and term, which goes on from the sums of the one before.
     *
     * @param out address of the result, [parts][m][n]
     * @param add whether it is added to
     */
    void bytes(ProductPlan plan, long out, boolean add) {
        long segments = plan.segmentsOfEachPart();
        long launches = segments * plan.terms().size();
        long elements = add && launches > 1 ? Math.multiplyExact(plan.m(), plan.n()) : 0; // else sums wait in out
        try (PlaneBytes bytes = new PlaneBytes(runtime, arguments);
                CudaTensor between = runtime.memory().scratch("sums of terms", elements * Float.BYTES)) {
            long carry = elements > 0 ? between.address() : out;
            for (int launch = 0; launch < launches; launch++) {
                int number = launch % plan.terms().size();
                PlaneTerm term = plan.terms().get(number);
                PlaneTerm.Side a = bytes.whole(term.a(), RowList.ALL, plan.m(), plan.k());
                PlaneTerm.Side b = bytes.whole(term.b(), RowList.ALL, plan.n(), plan.k());
                boolean last = launch == launches - 1;
                arguments
                        .segment(launch / plan.terms().size() * plan.limit(), launch == 0 ? 0 : carry)
                        .out(last ? out : carry, last && add);
                launchBytes(plan, "gemm_int8_", a, b);
            }
        }
    }

    /**
     * Multiplies the rows of bytes that were drawn: a launch for each segment and term, of that term's rows alone, which goes on
     * from what is in the result.
     *
     * @param out address of the result, all zero
     */
    void drawn(ProductPlan plan, RowDraw draw, long out) {
        long segments = plan.segmentsOfEachPart();
        try (PlaneBytes bytes = new PlaneBytes(runtime, arguments)) {
            for (int segment = 0; segment < segments; segment++) {
                for (int number = 0; number < plan.terms().size(); number++) {
                    PlaneTerm term = plan.terms().get(number);
                    RowList rows = draw.ofTerm(number);
                    PlaneTerm.Side a = bytes.whole(term.a(), rows, plan.m(), plan.k());
                    PlaneTerm.Side b = bytes.whole(term.b(), RowList.ALL, plan.n(), plan.k());
                    arguments.rowWeights(draw.weightsOfTerm(number)).rows(rows).segment(segment * plan.limit(), out);
                    launchBytes(plan, "gemm_int8_drawn_", a, b);
                }
            }
        }
    }

    private void launchBytes(ProductPlan plan, String function, PlaneTerm.Side a, PlaneTerm.Side b) {
        arguments.terms(List.of(new PlaneTerm(a, b)));
        Layout layout = layout(plan, plan.k());
        launch(plan, "gemm_sm90a", function + name(layout), layout, a, b, TensorMaps.Element.BYTES, 1);
    }

    /** Multiplies bytes with block scales and masks. */
    void blocks(ProductPlan plan) {
        Layout layout = Layout.BLOCKS;
        try (PlaneBytes bytes = new PlaneBytes(runtime, arguments)) {
            List<PlaneTerm> terms = plan.terms().stream()
                    .map(term -> new PlaneTerm(
                            bytes.whole(term.a(), RowList.ALL, plan.m(), plan.k()),
                            bytes.whole(term.b(), RowList.ALL, plan.n(), plan.k())))
                    .toList();
            arguments.terms(terms);
            List<MemorySegment> maps = new ArrayList<>();
            for (PlaneTerm term : List.of(terms.getFirst(), terms.getLast())) {
                maps.add(map(term.a(), plan.m(), plan.k(), ROWS, TensorMaps.Element.BYTES, WIDTH));
                maps.add(map(term.b(), plan.n(), plan.k(), layout.columns, TensorMaps.Element.BYTES, WIDTH));
            }
            Args args = runtime.args();
            maps.forEach(args::struct);
            args.struct(arguments.struct()).i32(plan.stagesOfSegment());
            launch(plan.tiles(ROWS, layout.columns), "gemm_blocks_sm90a", "gemm_int8_blocks", layout, args);
        }
    }

    /**
     * Multiplies gathered tokens, which all terms have in the same two matrices.
     *
     * @param term the matrices
     * @param places tokens of a row
     */
    void gathered(ProductPlan plan, PlaneTerm term, long places) {
        Layout layout = Layout.BLOCKS;
        MemorySegment a = map(term.a(), plan.m(), places, ROWS, TensorMaps.Element.BYTES, WIDTH);
        MemorySegment b = map(term.b(), plan.n(), places, layout.columns, TensorMaps.Element.BYTES, WIDTH);
        Args args = runtime.args().struct(a).struct(b).struct(a).struct(b);
        args.struct(arguments.struct()).i32(0);
        long tiles = Math.multiplyExact(Math.ceilDiv(plan.m(), ROWS), Math.ceilDiv(plan.n(), layout.columns));
        launch(tiles, "gemm_blocks_sm90a", "gemm_int8_blocks", layout, args);
    }

    /** Multiplies BF16 or FP16. */
    void halves(ProductPlan plan) {
        PlaneTerm term = plan.terms().getFirst();
        Layout layout = layout(plan, plan.k() * Short.BYTES);
        String function = "gemm_" + term.a().format().label() + '_' + name(layout);
        // A copy moves 16 bits, whatever they stand for.
        launch(plan, "gemm_sm90a", function, layout, term.a(), term.b(), TensorMaps.Element.BF16, Short.BYTES);
    }

    /** Multiplies 8-bit floats. */
    void floats8(ProductPlan plan) {
        PlaneTerm term = plan.terms().getFirst();
        String formats = term.a().format().label() + '_' + term.b().format().label();
        String function = "gemm_" + formats + (plan.oneGroup() ? "" : "_blocks");
        launch(plan, "gemm_fp8_sm90a", function, Layout.FLOATS8, term.a(), term.b(), TensorMaps.Element.BYTES, 1);
    }

    /** {@return narrow tiles where storing them takes long against multiplying, or where wide ones are too few} */
    private Layout layout(ProductPlan plan, long bytes) {
        boolean few = plan.tiles(ROWS, Layout.WIDE.columns) < runtime.device().processors();
        return few || bytes <= SHORT ? Layout.NARROW : Layout.WIDE;
    }

    private static String name(Layout layout) {
        return layout.name().toLowerCase(Locale.ROOT);
    }

    private void launch(
            ProductPlan plan,
            String file,
            String function,
            Layout layout,
            PlaneTerm.Side a,
            PlaneTerm.Side b,
            TensorMaps.Element element,
            int elementBytes) {
        int width = WIDTH / elementBytes;
        Args args = runtime.args()
                .struct(map(a, plan.m(), plan.k(), ROWS, element, width))
                .struct(map(b, plan.n(), plan.k(), layout.columns, element, width))
                .struct(arguments.struct());
        launch(plan.tiles(ROWS, layout.columns), file, function, layout, args);
    }

    private MemorySegment map(
            PlaneTerm.Side side, long rows, long k, int boxRows, TensorMaps.Element element, int width) {
        return runtime.tensorMaps().matrix(side.codes(), element, rows, k, side.pitch(), boxRows, width);
    }

    private void launch(long tiles, String file, String function, Layout layout, Args args) {
        long grid = Math.min(tiles, (long) blocks * layout.blocks);
        runtime.kernels().get(file, function).launch(grid, 1, 1, layout.threads, layout.shared(), args);
    }
}
