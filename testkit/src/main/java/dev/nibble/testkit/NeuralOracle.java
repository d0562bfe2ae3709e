package dev.nibble.testkit;

import static dev.nibble.testkit.Expected.U;
import static dev.nibble.testkit.Expected.VANISHED;

import dev.nibble.testkit.data.FloatError;
import dev.nibble.testkit.data.Matrix;

/**
 * Norm, activations and losses in FP64. Bounds hold for sums in any order, and exponentials within 1 ulp; the second order in u
 * is covered by counting a rounding or two more.
 */
final class NeuralOracle {
    private NeuralOracle() {}

    private static double gamma(long roundings) {
        return FloatError.gamma(roundings);
    }

    /** {@return y and r of RMSNorm} mean: width + 1 roundings; epsilon, root, reciprocal: 3; two products. */
    static Expected[] rmsNorm(Matrix x, float[] weight, float epsilon) {
        int width = x.cols();
        Expected y = Expected.zeros(x.values().length);
        Expected r = Expected.zeros(x.rows());
        for (int row = 0; row < x.rows(); row++) {
            double sum = 0;
            for (int col = 0; col < width; col++) {
                sum += (double) x.at(row, col) * x.at(row, col);
            }
            double inverse = 1 / Math.sqrt(sum / width + epsilon);
            r.value()[row] = inverse;
            r.bound()[row] = inverse * gamma(width + 6);
            for (int col = 0; col < width; col++) {
                int i = row * width + col;
                y.value()[i] = x.at(row, col) * inverse * weight[col];
                y.bound()[i] = Math.abs(y.value()[i]) * gamma(width + 8);
            }
        }
        return new Expected[] {y, r};
    }

    /** {@return dx and dweight} with g = dy·w: dx = r·(g - x·r²·mean(g·x)), each term with its own roundings. */
    static Expected[] rmsNormBackward(Matrix dy, Matrix x, float[] r, float[] weight, float[] before) {
        int width = x.cols();
        Expected dx = Expected.zeros(x.values().length);
        Expected dw = Expected.zeros(width);
        for (int row = 0; row < x.rows(); row++) {
            double inverse = r[row];
            double sum = 0;
            double sizes = 0;
            for (int col = 0; col < width; col++) {
                double product = (double) dy.at(row, col) * weight[col] * x.at(row, col);
                sum += product;
                sizes += Math.abs(product);
                double part = dy.at(row, col) * x.at(row, col) * inverse;
                dw.value()[col] += part;
                dw.bound()[col] += Math.abs(part);
            }
            for (int col = 0; col < width; col++) {
                double g = (double) dy.at(row, col) * weight[col];
                double factor = x.at(row, col) * inverse * inverse / width;
                dx.value()[row * width + col] = inverse * (g - factor * sum);
                dx.bound()[row * width + col] =
                        inverse * (Math.abs(g) * gamma(4) + Math.abs(factor) * sizes * gamma(width + 8));
            }
        }
        for (int col = 0; col < width; col++) {
            dw.value()[col] += before[col];
            dw.bound()[col] = (dw.bound()[col] + Math.abs(before[col])) * gamma(x.rows() + 4);
        }
        return new Expected[] {dx, dw};
    }

    private static double sigmoid(double x) {
        return 1 / (1 + Math.exp(-x));
    }

    /** {@return h} The sigmoid has 4 roundings at most: exponential within 1 ulp, sum, reciprocal; two products. */
    static Expected swiGlu(Matrix gateUp) {
        int hidden = gateUp.cols() / 2;
        Expected h = Expected.zeros(gateUp.rows() * hidden);
        for (int i = 0; i < h.value().length; i++) {
            double gate = gateUp.at(i / hidden, i % hidden);
            double up = gateUp.at(i / hidden, hidden + i % hidden);
            h.value()[i] = gate * sigmoid(gate) * up;
            h.bound()[i] = 8 * U * Math.abs(h.value()[i]) + VANISHED * Math.abs(gate * up);
        }
        return h;
    }

    /** {@return the gradients of gate and up} 1 - s is off by 4u·s + u, whatever is left of it. */
    static Expected swiGluBackward(Matrix dh, Matrix gateUp) {
        int hidden = dh.cols();
        Expected gradient = Expected.zeros(gateUp.values().length);
        for (int row = 0; row < dh.rows(); row++) {
            for (int col = 0; col < hidden; col++) {
                double gate = gateUp.at(row, col);
                double up = gateUp.at(row, hidden + col);
                double d = dh.at(row, col);
                double s = sigmoid(gate);
                int atGate = row * 2 * hidden + col;
                int atUp = atGate + hidden;
                double tiny = VANISHED * Math.abs(d) * (1 + Math.abs(gate)) * (1 + Math.abs(up));
                gradient.value()[atUp] = d * gate * s;
                gradient.bound()[atUp] = 8 * U * Math.abs(gradient.value()[atUp]) + tiny;
                double slope = s + gate * s * (1 - s);
                double off =
                        4 * U * s + Math.abs(gate) * s * (7 * U * (1 - s) + 4 * U * s + U) + 4 * U * Math.abs(slope);
                gradient.value()[atGate] = d * up * slope;
                gradient.bound()[atGate] = Math.abs(d * up) * off * (1 + 8 * U) + tiny;
            }
        }
        return gradient;
    }

    /** {@return means of groups of rows} group - 1 additions, reciprocal, product. */
    static Expected meanRows(Matrix x, int group) {
        int width = x.cols();
        Expected y = Expected.zeros(x.values().length / group);
        for (int i = 0; i < x.values().length; i++) {
            int at = i / width / group * width + i % width;
            y.value()[at] += (double) x.values()[i] / group;
            y.bound()[at] += Math.abs((double) x.values()[i] / group) * gamma(group + 2);
        }
        return y;
    }

    /** {@return rows of dy / group, each group times} reciprocal and product. */
    static Expected meanRowsBackward(Matrix dy, int group) {
        int width = dy.cols();
        Expected dx = Expected.zeros(dy.values().length * group);
        for (int i = 0; i < dx.value().length; i++) {
            dx.value()[i] = (double) dy.values()[i / width / group * width + i % width] / group;
            dx.bound()[i] = Math.abs(dx.value()[i]) * gamma(3);
        }
        return dx;
    }

    /**
     * {@return the gradient of the logits, and the loss} The difference of a logit and the largest is rounded once, which the
     * exponential turns into a relative error of u·difference; the sum has as many roundings as there are classes.
     *
     * @param targets of all tokens
     * @param first token that the first row belongs to
     */
    static Expected[] crossEntropy(Matrix logits, int[] targets, int first, float before, float weight) {
        int classes = logits.cols();
        Expected gradient = Expected.zeros(logits.values().length);
        Expected loss = Expected.zeros(1);
        double factor = (double) weight / targets.length;
        for (int row = 0; row < logits.rows(); row++) {
            double largest = Double.NEGATIVE_INFINITY;
            double smallest = Double.POSITIVE_INFINITY;
            for (int c = 0; c < classes; c++) {
                largest = Math.max(largest, logits.at(row, c));
                smallest = Math.min(smallest, logits.at(row, c));
            }
            double spread = U * (largest - smallest);
            double sum = 0;
            for (int c = 0; c < classes; c++) {
                sum += Math.exp(logits.at(row, c) - largest);
            }
            loss.value()[0] += factor * (largest + Math.log(sum) - logits.at(row, targets[first + row]));
            loss.bound()[0] += factor * (spread + gamma(classes + 4));
            for (int c = 0; c < classes; c++) {
                double p = Math.exp(logits.at(row, c) - largest) / sum;
                double target = c == targets[first + row] ? 1 : 0;
                gradient.value()[row * classes + c] = factor * (p - target);
                gradient.bound()[row * classes + c] =
                        factor * (p * (2 * spread + gamma(classes + 8)) + 4 * U * (p + target)) + VANISHED;
            }
        }
        loss.bound()[0] += 2 * U * (Math.abs(before) + Math.abs(loss.value()[0]));
        loss.value()[0] += before;
        return new Expected[] {gradient, loss};
    }
}
