package dev.nibble.spi;

import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;

/**
 * How many bytes a backend's tensors take, so that memory can be predicted.
 *
 * @param eachContraction whether a tensor that is quantized for both contractions has codes for each; else one set of codes serves both,
 *     if they are the same
 * @param tile rows of codes, elements of a row and bytes of a row are padded to a multiple of this; 1 for dense codes
 * @param unit bytes of any tensor are rounded up to a multiple of this
 */
public record MemoryLayout(boolean eachContraction, long tile, long unit) {
    /** That of a backend whose device is the host: shared and dense. */
    public static final MemoryLayout HOST = new MemoryLayout(false, 1, 1);

    /** Checks the sizes. */
    public MemoryLayout {
        if (tile < 1 || unit < 1) {
            throw new IllegalArgumentException(
                    "tile is " + tile + " and unit " + unit + ", but both must be at least 1");
        }
    }

    /** {@return bytes of a dense tensor} */
    public long bytes(DType dtype, Shape shape) {
        return padded(dtype.bytes(shape), unit);
    }

    /**
     * {@return bytes of the codes of one plane of an operand}
     *
     * @param rows of the operand, or of the matrix if contractions share codes
     * @param cols length of its contraction, or columns of the matrix
     */
    public long codeBytes(DType format, long rows, long cols) {
        long pitch = padded(format.pitch(padded(cols, tile)) * format.bits() / Byte.SIZE, tile);
        return padded(padded(rows, tile) * pitch, unit);
    }

    private static long padded(long extent, long multiple) {
        return Math.ceilDiv(extent, multiple) * multiple;
    }
}
