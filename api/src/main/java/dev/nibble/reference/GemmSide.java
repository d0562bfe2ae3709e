package dev.nibble.reference;

import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.tensor.DType;

/**
 * One plane of a product, decoded.
 *
 * @param format its format
 * @param k length of the contraction
 * @param grid where its scales are
 * @param values what the codes stand for: [rows, k] on the left, [k, rows] on the right
 * @param codes the same as integers, empty for other formats: in the same order
 * @param scales [kGroups, rowGroups]; empty if unscaled
 * @param mask [kGroups, rowGroups]; empty if every block is present
 */
record GemmSide(DType format, int k, ScaleGrid grid, float[] values, int[] codes, float[] scales, byte[] mask) {
    static GemmSide left(HostPlane plane, int rows, int k) {
        return side(plane, rows, k, plane.transposed(), rows * k);
    }

    static GemmSide right(HostPlane plane, int rows, int k) {
        return side(plane, rows, k, !plane.transposed(), rows * k);
    }

    private static GemmSide side(HostPlane plane, int rows, int k, boolean turn, int length) {
        DType format = plane.codes().dtype();
        boolean integer = format.family() == DType.Family.INTEGER;
        float[] values = new float[length]; // in the order of the side
        int[] codes = new int[integer ? length : 0]; // in the order of the side
        CodeArray stored = new CodeArray(plane.codes());
        int outer = plane.transposed() ? k : rows; // extents as stored
        int inner = plane.transposed() ? rows : k;
        for (int i = 0; i < outer; i++) {
            for (int j = 0; j < inner; j++) {
                int to = turn ? j * outer + i : i * inner + j;
                values[to] = stored.value(i, j);
                if (integer) {
                    codes[to] = (int) values[to];
                }
            }
        }
        ScaleGrid grid = ScaleGrid.of(Contraction.COLUMNS, plane.spec().granularity(), rows, k);
        return new GemmSide(
                format,
                k,
                grid,
                values,
                codes,
                HostTensor.floats(plane.scales()),
                plane.mask().bytes());
    }

    /** {@return the scale at index {@code at} of the contraction} */
    float scale(int row, int at) {
        return scales.length == 0 ? 1 : scales[grid.group(row, at)];
    }

    /** {@return whether the block at index {@code at} of the contraction has a term} */
    boolean present(int row, int at) {
        return mask.length == 0 || mask[grid.group(row, at)] != 0;
    }
}
