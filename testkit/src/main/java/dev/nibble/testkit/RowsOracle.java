package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;
import static dev.nibble.testkit.data.FloatError.gamma;

import dev.nibble.testkit.data.Matrix;

/** Rows without their means, rows plus a vector, and sums of rows, in FP64, with bounds for sums in any order. */
final class RowsOracle {
    private RowsOracle() {}

    /** {@return x without the means of its rows} width additions and the quotient, then the difference. */
    static Expected centered(Matrix x) {
        int width = x.cols();
        Expected y = Expected.zeros(x.values().length);
        for (int row = 0; row < x.rows(); row++) {
            double sum = 0;
            double sizes = 0;
            for (int col = 0; col < width; col++) {
                sum += x.at(row, col);
                sizes += Math.abs(x.at(row, col));
            }
            for (int col = 0; col < width; col++) {
                int i = row * width + col;
                y.value()[i] = x.at(row, col) - sum / width;
                y.bound()[i] = sizes / width * gamma(width + 2) * (1 + U) + U * Math.abs(y.value()[i]);
            }
        }
        return y;
    }

    /** {@return x with a vector added to each row} */
    static Expected added(Matrix x, float[] vector) {
        Expected y = Expected.zeros(x.values().length);
        for (int i = 0; i < x.values().length; i++) {
            y.value()[i] = (double) x.values()[i] + vector[i % x.cols()];
            y.bound()[i] = U * Math.abs(y.value()[i]);
        }
        return y;
    }

    /** {@return a vector to which all rows were added} */
    static Expected sums(Matrix x, float[] before) {
        Expected y = Expected.zeros(before.length);
        for (int col = 0; col < before.length; col++) {
            double sizes = Math.abs(before[col]);
            y.value()[col] = before[col];
            for (int row = 0; row < x.rows(); row++) {
                y.value()[col] += x.at(row, col);
                sizes += Math.abs(x.at(row, col));
            }
            y.bound()[col] = sizes * gamma(x.rows() + 2);
        }
        return y;
    }
}
