package dev.nibble.cli;

import java.util.function.IntToDoubleFunction;

/**
 * Mean and spread of several draws of one tensor, gathered draw by draw in FP64. With v_i the draws and v_0 the first,
 * {@code mean = v_0 + Σ(v_i - v_0) / n}: draws lie close together, so the sums lose nothing that counts, and equal draws
 * have the spread 0 exactly.
 */
final class DrawStatistics {
    private final float[] first; // [elements]
    private final double[] sums; // [elements], of the differences from the first draw
    private final double[] squares; // [elements], of the differences from the first draw
    private double totals; // over the draws, of the summed differences of a draw
    private double totalSquares;
    private int draws;

    DrawStatistics(int elements) {
        this.first = new float[elements];
        this.sums = new double[elements];
        this.squares = new double[elements];
    }

    /**
     * Adds a draw.
     *
     * @param values [elements], finite
     */
    void add(float[] values) {
        if (draws == 0) {
            System.arraycopy(values, 0, first, 0, first.length);
        }
        draws++;
        double total = 0;
        for (int i = 0; i < first.length; i++) {
            double difference = (double) values[i] - first[i];
            sums[i] += difference;
            squares[i] += difference * difference;
            total += difference;
        }
        totals += total;
        totalSquares += total * total;
    }

    /** {@return the mean draw as FP32, [elements]} */
    float[] mean() {
        float[] result = new float[first.length]; // [elements]
        for (int i = 0; i < result.length; i++) {
            result[i] = (float) mean(i);
        }
        return result;
    }

    private double mean(int element) {
        return first[element] + sums[element] / draws;
    }

    /**
     * {@return the mean over the elements of mean draw - x}
     *
     * @param x what the draws stand for, by element
     */
    double bias(IntToDoubleFunction x) {
        double sum = 0;
        for (int i = 0; i < first.length; i++) {
            sum += mean(i) - x.applyAsDouble(i);
        }
        return sum / first.length;
    }

    /**
     * {@return the standard error of {@link #bias} if each element has random numbers of its own:
     * {@code sqrt(Σ_e s_e² / draws) / elements}, s_e² the variance of an element over its draws} One draw says nothing of
     * s_e; then the errors of the elements are taken as a sample of one law, {@code s / sqrt(elements)}: NaN for one
     * element.
     *
     * @param x what the draws stand for, by element
     */
    double standardError(IntToDoubleFunction x) {
        int elements = first.length;
        if (draws > 1) {
            double variance = 0;
            for (int i = 0; i < elements; i++) {
                variance += variance(sums[i], squares[i]);
            }
            return Math.sqrt(variance / draws) / elements;
        }
        double bias = bias(x);
        double sum = 0;
        for (int i = 0; i < elements; i++) {
            double distance = mean(i) - x.applyAsDouble(i) - bias;
            sum += distance * distance;
        }
        return Math.sqrt(sum / (elements - 1) / elements);
    }

    /**
     * {@return the standard error of {@link #bias} if the elements of a draw depend on each other, as those of a product
     * do, which share the draws of their operands: {@code s / sqrt(draws)}, s² the variance of the mean element over the
     * draws} NaN for one draw.
     */
    double jointStandardError() {
        return draws > 1 ? Math.sqrt(variance(totals, totalSquares) / draws) / first.length : Double.NaN;
    }

    /** {@return the unbiased variance of one quantity, given the sums over the draws; the difference can round below 0} */
    private double variance(double sum, double squareSum) {
        return Math.max(0, squareSum - sum / draws * sum) / (draws - 1);
    }
}
