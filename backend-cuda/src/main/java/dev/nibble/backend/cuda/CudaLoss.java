package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.reference.OperandChecks;
import dev.nibble.tensor.Tensor;

/** Cross-entropy and the count of right answers: a kernel for the rows, one for their sum. */
final class CudaLoss {
    private static final int CHUNK_ROWS = 64; // of a partial sum of losses
    private static final int BLOCK = 1024;
    private static final int COUNT_BLOCK = 256;
    private static final int WARP = 32;
    private static final int LANES = 16; // partial sums of a row; a tile is a multiple
    private static final int TILE = 8192; // exponentials held at once of a row that does not fit

    private static final String LONG_ROWS = "cross_entropy_sm90a"; // file
    private static final int LONG_FROM = 24 * 1024; // logits of a row, from which on two rows do not fit
    private static final int LONG_TO = 50688; // as in that file
    private static final int LONG_BLOCK = 384;
    private static final int LONG_RING = 4 * 1408; // floats in flight between threads

    private final CudaRuntime runtime;

    CudaLoss(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    /** See {@link dev.nibble.spi.NeuralOps#crossEntropy}. */
    void crossEntropy(Tensor logits, Tensor targets, int first, Tensor loss, float weight, boolean gradient) {
        long rows = logits.shape().rows();
        int vocabulary = OperandChecks.cols(logits);
        int tokens = OperandChecks.requirePart("targets", targets, first, rows);
        requireVector("loss", loss, 1);
        CudaTensor.requireBelow("targets", targets, vocabulary);
        long chunks = Math.ceilDiv(rows, CHUNK_ROWS);
        try (CudaTensor losses = runtime.memory().scratch("losses of rows", rows * Double.BYTES);
                CudaTensor partials = runtime.memory().scratch("losses of chunks", chunks * Double.BYTES)) {
            Args args = runtime.args()
                    .floats(logits)
                    .pointer(CudaTensor.ints(targets) + (long) first * Integer.BYTES)
                    .pointer(losses.address())
                    .i64(rows)
                    .i32(vocabulary)
                    .about(logits);
            int wanted = gradient ? 1 : 0;
            if (areLong(vocabulary)) {
                args.f32(weight / tokens).i32(wanted);
                long blocks = Math.clamp(rows, 1, runtime.device().processors());
                int shared = (vocabulary + LONG_RING) * Float.BYTES;
                runtime.kernels()
                        .get(LONG_ROWS, "cross_entropy_long_rows")
                        .launch(blocks, 1, 1, LONG_BLOCK, shared, args);
            } else {
                int tile = tile(vocabulary);
                args.i32(tile).f32(weight / tokens).i32(wanted);
                runtime.kernels()
                        .get("cross_entropy", "cross_entropy_rows")
                        .launch(Math.max(1, rows), 1, 1, BLOCK, tile * Float.BYTES, args);
            }
            Args mean = runtime.args()
                    .pointer(losses.address())
                    .pointer(partials.address())
                    .floats(loss)
                    .i64(rows)
                    .i64(tokens)
                    .f32(weight)
                    .about(loss);
            runtime.kernels().get("cross_entropy", "cross_entropy_mean").launch(1, 1, 1, BLOCK, 0, mean);
        }
    }

    /** {@return whether a processor works on one row at a time, and a kernel reads the next one meanwhile} */
    private boolean areLong(int vocabulary) {
        return vocabulary % 4 == 0
                && vocabulary >= LONG_FROM
                && vocabulary <= LONG_TO
                && KernelImages.has(runtime.kernels().architecture(), LONG_ROWS);
    }

    /** {@return how many exponentials of a row lie in shared memory at once: all, if there is room} */
    private int tile(int vocabulary) {
        long whole = Math.ceilDiv((long) vocabulary, LANES) * LANES;
        long room = runtime.device().largestShared() - 1024L; // the kernel has a little of its own
        return (int) (whole * Float.BYTES <= room ? whole : TILE);
    }

    /** See {@link dev.nibble.spi.NeuralOps#countCorrect}. */
    void countCorrect(Tensor logits, Tensor targets, Tensor count) {
        long rows = logits.shape().rows();
        requireVector("targets", targets, rows);
        requireVector("count", count, 1);
        CudaTensor.requireBelow("targets", targets, OperandChecks.cols(logits));
        try (CudaTensor right = runtime.memory().scratch("right answers", rows * Integer.BYTES)) {
            Args args = runtime.args()
                    .floats(logits)
                    .ints(targets)
                    .pointer(right.address())
                    .i64(rows)
                    .i32(OperandChecks.cols(logits))
                    .about(logits);
            runtime.kernels().get("cross_entropy", "count_correct_rows").launch(rows * WARP, COUNT_BLOCK, args);
            Args sum = runtime.args()
                    .pointer(right.address())
                    .floats(count)
                    .i64(rows)
                    .about(count);
            runtime.kernels().get("cross_entropy", "count_correct_sum").launch(1, 1, 1, BLOCK, 0, sum);
        }
    }
}
