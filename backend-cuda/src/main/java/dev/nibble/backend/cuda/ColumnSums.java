package dev.nibble.backend.cuda;

import dev.nibble.reference.OperandChecks;
import dev.nibble.tensor.Tensor;

/** Sums of the columns of a matrix in one order, that of grid.cuh: the rows of a chunk of 64, then the chunks, ascending. */
final class ColumnSums {
    private static final int CHUNK_ROWS = 64;
    private static final int BLOCK = 256;
    private static final int WARP = 32;
    private static final int SUM_BLOCK = 1024;
    private static final int SUM_COLS = 32; // of a block
    private static final String FILE = "rows";

    private final CudaRuntime runtime;

    ColumnSums(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    /** {@return chunks of so many rows} */
    static long chunks(long rows) {
        return Math.ceilDiv(rows, CHUNK_ROWS);
    }

    /** {@return room for a partial sum of each chunk and column; whoever asks closes it} */
    CudaTensor partials(Tensor x) {
        long elements = Math.max(1, chunks(x.shape().rows())) * OperandChecks.cols(x);
        return runtime.memory().scratch("partial sums", Math.max(1, elements) * Float.BYTES);
    }

    /**
     * Launches a kernel on the chunks and columns of a matrix.
     *
     * @param args all its arguments
     */
    void ofChunks(Kernel kernel, Tensor x, Args args) {
        int width = OperandChecks.cols(x);
        int block = Math.clamp(Math.ceilDiv(width, WARP) * (long) WARP, WARP, BLOCK);
        long across = Math.max(1, Math.ceilDiv(width, block));
        kernel.launch(Math.max(1, chunks(x.shape().rows())), across, 1, block, 0, args);
    }

    /** Writes the sums of the chunks of a matrix. */
    void ofRows(Tensor x, CudaTensor partials) {
        Args args = runtime.args()
                .floats(x)
                .pointer(partials.address())
                .i64(x.shape().rows())
                .i32(OperandChecks.cols(x))
                .about(x);
        ofChunks(runtime.kernels().get(FILE, "sum_rows"), x, args);
    }

    /**
     * Adds up partial sums.
     *
     * @param x what they are sums of
     * @param means address of their means over the rows; 0: not wanted
     * @param totals address of what they are added to; 0: nothing
     */
    void finish(Tensor x, CudaTensor partials, long means, long totals) {
        int width = OperandChecks.cols(x);
        long rows = x.shape().rows();
        Args args = runtime.args()
                .pointer(partials.address())
                .pointer(means)
                .pointer(totals)
                .i64(chunks(rows))
                .i64(rows)
                .i32(width)
                .about(x);
        long blocks = Math.max(1, Math.ceilDiv(width, SUM_COLS));
        runtime.kernels().get(FILE, "sum_of_chunks").launch(blocks, 1, 1, SUM_BLOCK, 0, args);
    }
}
