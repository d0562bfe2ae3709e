package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;

/** Whole rows of integer codes as they are stored: their norms, and the gathering of some of them. */
final class StoredRows {
    private static final int TASK_BYTES = 1 << 16;
    private static final int BYTE_VALUES = 256;

    private StoredRows() {}

    /** {@return bytes of a stored row} */
    private static int rowBytes(HostPlane plane) {
        return plane.codes().dtype().packed() ? plane.pitch() / 2 : plane.pitch();
    }

    /** {@return Σ code² of each stored row: exact} */
    static long[] norms(Workers workers, HostPlane plane) {
        int rows = (int) plane.codes().shape().rows();
        int bytesOfRow = rowBytes(plane);
        int[] squares = squares(plane.codes().dtype());
        byte[] codes = plane.codes().bytes();
        long[] norms = new long[rows]; // [rows]
        int rowsOfTask = Math.max(1, TASK_BYTES / Math.max(1, bytesOfRow));
        workers.forEach(Math.ceilDiv(rows, rowsOfTask), task -> {
            int to = Math.min(rows, (task + 1) * rowsOfTask);
            for (int row = task * rowsOfTask; row < to; row++) {
                long sum = 0;
                for (int i = row * bytesOfRow; i < (row + 1) * bytesOfRow; i++) {
                    sum += squares[codes[i] & 0xFF];
                }
                norms[row] = sum;
            }
        });
        return norms;
    }

    /** {@return the sum of squares of the codes in a byte, [256]} */
    private static int[] squares(DType format) {
        int[] squares = new int[BYTE_VALUES]; // [byte]
        for (int bits = 0; bits < BYTE_VALUES; bits++) {
            if (format.packed()) {
                int low = Nibbles.value(format, bits & 0xF);
                int high = Nibbles.value(format, bits >> 4);
                squares[bits] = low * low + high * high;
            } else {
                int value = format == DType.INT8 ? (byte) bits : Nibbles.value(format, bits);
                squares[bits] = value * value;
            }
        }
        return squares;
    }

    /**
     * {@return a new tensor for rows of a plane}
     *
     * @param rows how many
     * @param cols columns of a row
     */
    static HostTensor allocate(HostMemory memory, HostPlane like, int rows, int cols) {
        return memory.allocate("gathered rows", like.codes().dtype(), Shape.of(rows, cols), MemoryTag.SCRATCH);
    }

    /** Copies rows of a plane to neighbouring rows of a tensor of the same format and width. */
    static void gather(HostPlane plane, int[] rows, HostTensor target, int firstRow) {
        int bytesOfRow = rowBytes(plane);
        byte[] from = plane.codes().bytes();
        byte[] to = target.bytes();
        for (int i = 0; i < rows.length; i++) {
            System.arraycopy(from, rows[i] * bytesOfRow, to, (firstRow + i) * bytesOfRow, bytesOfRow);
        }
    }
}
