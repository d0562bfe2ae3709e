package dev.nibble.reference;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.tensor.DType;

/** Exact sums of squared integer codes. */
public final class RowNorms {
    private RowNorms() {}

    /** {@return Σ code² of each row of an operand, along its contraction: [planes][rows]; 0 for other formats} */
    public static long[][] alongContraction(HostOperand operand) {
        return operand.planes().stream()
                .map(plane -> sums(plane, !plane.transposed(), (int) operand.rows()))
                .toArray(long[][]::new);
    }

    /** {@return Σ code² at each index of an operand's contraction, along its rows: [planes][k]; 0 for other formats} */
    public static long[][] alongRows(HostOperand operand) {
        return operand.planes().stream()
                .map(plane -> sums(plane, plane.transposed(), (int) operand.k()))
                .toArray(long[][]::new);
    }

    /** Sums along stored rows, or down stored columns. */
    private static long[] sums(HostPlane plane, boolean alongStoredRow, int length) {
        long[] sums = new long[length]; // [length]
        if (plane.codes().dtype().family() != DType.Family.INTEGER) {
            return sums;
        }
        CodeArray codes = new CodeArray(plane.codes());
        int rows = (int) plane.codes().shape().rows();
        int cols = (int) plane.codes().shape().cols();
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                long code = (long) codes.value(row, col);
                sums[alongStoredRow ? row : col] += code * code;
            }
        }
        return sums;
    }
}
