package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;
import static dev.nibble.testkit.Expected.VANISHED;
import static dev.nibble.testkit.data.FloatError.gamma;

import dev.nibble.testkit.data.Matrix;

/** Softmax of rows and its gradient in FP64, with bounds for sums in any order and exponentials within 1 ulp. */
final class SoftmaxOracle {
    private SoftmaxOracle() {}

    private static int keys(int row, Matrix x, boolean causal) {
        return causal ? row % x.cols() + 1 : x.cols();
    }

    /**
     * {@return p} A scaled score is rounded once, as is its difference from the largest one; the exponential turns both into a
     * relative error. The sum has the largest of them, and as many roundings as there are keys.
     */
    static Expected forward(Matrix scores, float scale, boolean causal) {
        Expected p = Expected.zeros(scores.values().length);
        for (int row = 0; row < scores.rows(); row++) {
            int keys = keys(row, scores, causal);
            double largest = Double.NEGATIVE_INFINITY;
            double size = 0;
            for (int key = 0; key < keys; key++) {
                double s = (double) scores.at(row, key) * scale;
                largest = Math.max(largest, s);
                size = Math.max(size, Math.abs(s));
            }
            double sum = 0;
            for (int key = 0; key < keys; key++) {
                sum += Math.exp((double) scores.at(row, key) * scale - largest);
            }
            double relative = 2 * (Math.expm1(U * 4 * size * (1 + U)) + 3 * U) + gamma(keys + 6);
            for (int key = 0; key < keys; key++) {
                int i = row * scores.cols() + key;
                p.value()[i] = Math.exp((double) scores.at(row, key) * scale - largest) / sum;
                p.bound()[i] = p.value()[i] * relative + VANISHED;
            }
        }
        return p;
    }

    /** {@return the gradient of the scores} The sum has as many roundings as there are keys; difference and two products have three. */
    static Expected backward(Matrix gradOutput, Matrix p, float scale, boolean causal) {
        Expected gradient = Expected.zeros(p.values().length);
        for (int row = 0; row < p.rows(); row++) {
            int keys = keys(row, p, causal);
            double mean = 0;
            double sizes = 0;
            for (int key = 0; key < keys; key++) {
                double product = (double) p.at(row, key) * gradOutput.at(row, key);
                mean += product;
                sizes += Math.abs(product);
            }
            for (int key = 0; key < keys; key++) {
                int i = row * p.cols() + key;
                double factor = (double) p.at(row, key) * scale;
                double difference = gradOutput.at(row, key) - mean;
                gradient.value()[i] = factor * difference;
                gradient.bound()[i] =
                        Math.abs(factor) * (gamma(4) * Math.abs(difference) + gamma(keys + 8) * sizes) + VANISHED;
            }
        }
        return gradient;
    }
}
