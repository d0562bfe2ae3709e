package dev.nibble.backend.cpu;

import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.SplitMode;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.ElementCode;
import dev.nibble.tensor.DType;
import java.util.Optional;

/**
 * Measures blocks and rounds areas of a matrix with the native library, bit-equal to {@link BlockAmax} and {@link
 * StretchRounder}; for any number of threads at once.
 */
final class NativeRounding {
    private static final int CALL = 30; // longs of QuantizeCall in quantize.h
    private static final int BEYOND = 29; // place of the result, the last
    private static final int AHEAD = 28; // place of what is read next
    private static final int NONE = -1; // then the kinds of quantize.h
    private static final int INTEGER = 0;
    private static final int FP8 = 1;
    private static final int POWER = 2;
    private static final int DIGITS = 3;
    private static final int NARROWEST_BLOCK = 16; // a vector

    private final NativeKernels kernels;
    private final PlaneRounding rounding;
    private final long[] common; // QuantizeCall without the area

    private NativeRounding(NativeKernels kernels, PlaneRounding rounding, BlockGrid grid, float divisor) {
        this.kernels = kernels;
        this.rounding = rounding;
        this.common = common(rounding, grid, divisor);
    }

    /**
     * {@return the library for a plane, if it knows what is asked for}
     *
     * @param grid blocks of the matrix
     * @param divisor of all elements
     */
    static Optional<NativeRounding> of(
            Optional<NativeKernels> kernels, PlaneRounding rounding, BlockGrid grid, float divisor) {
        return kernels.filter(_ -> kind(rounding.plane()) != NONE && takes(grid, rounding))
                .map(library -> new NativeRounding(library, rounding, grid, divisor));
    }

    /** {@return the kind of quantize.h, or none} */
    private static int kind(PlaneSpec plane) {
        if (plane.source() instanceof PlaneSource.Digit digit) {
            return digit.mode() == SplitMode.UNBIASED ? DIGITS : NONE;
        }
        boolean nearest = plane.rounding() == Rounding.NEAREST_EVEN;
        boolean known = nearest || plane.rounding() == Rounding.STOCHASTIC;
        return switch (plane.format()) {
            case INT8, INT4, UINT4 -> known ? INTEGER : NONE;
            case E4M3, E5M2 -> known ? FP8 : NONE;
            case E3M0, E4M0 -> known && !nearest ? POWER : NONE;
            case FP32, BF16, FP16, INT32 -> NONE;
        };
    }

    private static boolean takes(BlockGrid grid, PlaneRounding rounding) {
        if (grid.blockCols() == 1) {
            return true;
        }
        boolean packed = rounding.plane().format().packed();
        boolean columns = grid.width() == 1 && grid.columnStep() == 1 && !packed; // a strip may begin within a byte
        return columns || (grid.width() >= NARROWEST_BLOCK && !(packed && grid.width() % 2 != 0));
    }

    private static long[] common(PlaneRounding rounding, BlockGrid grid, float divisor) {
        PlaneSpec plane = rounding.plane();
        DType format = plane.format();
        int kind = kind(plane);
        float high = kind == DIGITS ? SplitMode.UNBIASED.top() : rounding.high();
        float low = kind == DIGITS ? -high : rounding.low();
        RandomStream stream = rounding.stream();
        long[] call = new long[CALL];
        call[0] = kind;
        call[1] = format.packed() ? 1 : 0;
        call[8] = grid.cols();
        call[9] = format.pitch(grid.cols());
        call[10] = grid.height();
        call[11] = grid.width();
        call[12] = grid.rowStep();
        call[13] = grid.columnStep();
        call[14] = Float.floatToRawIntBits(divisor);
        call[15] = Float.floatToRawIntBits(low);
        call[16] = Float.floatToRawIntBits(high);
        if (kind == FP8) {
            Fp8Lanes lanes = Fp8Lanes.of(format, plane.overflow());
            call[17] = lanes.mantissa();
            call[18] = lanes.bias();
            call[19] = lanes.largest();
            call[20] = lanes.beyond();
            call[21] = lanes.limit();
        } else if (kind == POWER) {
            call[19] = ElementCode.largestExponentCode(plane);
        }
        call[22] = rounding.drawn() ? 1 : 0;
        call[23] = (long) stream.microBatch() << 8;
        call[24] = stream.step();
        call[25] = PhiloxLanes.address(stream);
        call[26] = stream.seed();
        call[27] = rounding.counted() ? 1 : 0;
        return call;
    }

    /** Part of a matrix: whole blocks, or a part of one row of blocks. */
    record Area(int row, int col, int rows, int cols) {}

    private long[] call(Area area, int at, int pitch) {
        long[] call = common.clone(); // threads call at the same time
        call[2] = at;
        call[3] = pitch;
        call[4] = area.row();
        call[5] = area.col();
        call[6] = area.rows();
        call[7] = area.cols();
        return call;
    }

    /**
     * Measures the blocks of an area, which has whole ones alone.
     *
     * @param x [rows, cols]
     * @param amaxes receives amax of each block, in the grid's order; NaN if an element is NaN
     */
    void measure(float[] x, Area area, float[] amaxes) {
        int cols = rounding.cols();
        kernels.measure(call(area, area.row() * cols + area.col(), cols), x, amaxes);
    }

    /**
     * Rounds an area.
     *
     * @param x elements
     * @param at place of the area's first one
     * @param pitch elements from one row to the next
     * @param multipliers of the blocks, in the grid's order
     * @param ahead elements from the area's first one to that of the area which is read next; 0 if that is not known
     * @return how many elements are beyond the range of the codes, if they are counted
     */
    long round(float[] x, int at, int pitch, Area area, float[] multipliers, int ahead) {
        long[] call = call(area, at, pitch);
        call[AHEAD] = ahead;
        byte[] codes = rounding.codes().getFirst().bytes(); // [rows, cols]
        kernels.quantize(call, x, multipliers, codes, rounding.codes().getLast().bytes());
        return call[BEYOND];
    }

    /**
     * Writes what the first plane of a block leaves over.
     *
     * @param call {@code ResidualCall} of quantize.h
     * @param x [rows, cols]
     * @param codes of the first plane
     * @param d receives the rest, [rows of the block, columns of the block]
     * @return max|d|
     */
    float rest(long[] call, float[] x, byte[] codes, float[] d) {
        kernels.residual(call, x, codes, d);
        return Float.intBitsToFloat((int) call[call.length - 1]);
    }
}
