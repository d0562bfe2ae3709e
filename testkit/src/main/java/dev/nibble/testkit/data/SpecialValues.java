package dev.nibble.testkit.data;

import java.util.List;

/** Values at which number formats and vector code go wrong. */
public final class SpecialValues {
    /** Extents around the widths of vectors and tiles. */
    public static final List<Integer> EXTENTS = List.of(1, 13, 127, 128, 129, 702);

    /** Zeros of both signs, subnormal numbers, thresholds of scale rules, tops of formats, the largest numbers. */
    public static final List<Float> FINITE = List.of(
            0f,
            -0f,
            Float.MIN_VALUE,
            -0x1p-130f,
            Float.MIN_NORMAL,
            0x1p-119f,
            -0x1p-100f,
            1f,
            448f,
            -57344f,
            65504f,
            Float.MAX_VALUE,
            -Float.MAX_VALUE);

    /** NaN and the infinities. */
    public static final List<Float> NOT_FINITE = List.of(Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY);

    private SpecialValues() {}

    /**
     * {@return normal numbers of many magnitudes, mixed with {@link #FINITE} ones, with a row and a column of zeros of both
     * signs where there are several}
     *
     * @param seed fixes the normal numbers
     */
    public static Matrix mixed(long seed, int rows, int cols) {
        Matrix normal = Matrix.normal(seed, rows, cols, 1);
        return normal.map((row, col, value) -> {
            int i = row * cols + col;
            if ((rows > 2 && row == 2) || (cols > 2 && col == 1)) {
                return i % 2 == 0 ? 0f : -0f;
            }
            if (i % 7 == 3) {
                return FINITE.get(i / 7 % FINITE.size());
            }
            return i % 5 == 1 ? Math.scalb(value, i / 5 % 60 - 30) : value;
        });
    }

    /**
     * {@return the places at which vector code treats an element differently: the first, the last, and the lanes around the
     * last whole vector of 4 to 128 elements of the last row}
     */
    public static List<Integer> places(int rows, int cols) {
        int last = rows * cols - 1;
        int row = (rows - 1) * cols;
        return java.util.stream.IntStream.of(
                        0, last, row + cols / 128 * 128, row + cols / 16 * 16, row + cols / 4 * 4 - 1)
                .filter(place -> place >= 0 && place <= last)
                .distinct()
                .boxed()
                .toList();
    }
}
