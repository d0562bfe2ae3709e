package dev.nibble.cli;

/** Mean and spread of several draws of one tensor, gathered draw by draw (Welford's recurrence, in FP64). */
final class DrawStatistics {
    private final double[] mean; // [elements]
    private final double[] squares; // [elements], summed squared distances from the mean
    private int draws;

    DrawStatistics(int elements) {
        this.mean = new double[elements];
        this.squares = new double[elements];
    }

    /** Adds a draw. */
    void add(float[] values) {
        draws++;
        for (int i = 0; i < values.length; i++) {
            double distance = values[i] - mean[i];
            mean[i] += distance / draws;
            squares[i] += distance * (values[i] - mean[i]);
        }
    }

    /** {@return the mean draw as FP32} */
    float[] mean() {
        float[] result = new float[mean.length]; // [elements]
        for (int i = 0; i < mean.length; i++) {
            result[i] = (float) mean[i];
        }
        return result;
    }

    /** {@return the mean over the elements of mean draw - x} */
    double bias(float[] x) {
        double sum = 0;
        for (int i = 0; i < mean.length; i++) {
            sum += mean[i] - x[i];
        }
        return sum / mean.length;
    }

    /**
     * {@return the standard error of {@link #bias}} Draws of one element are independent, and so are elements:
     * {@code sqrt(Σ_e s_e² / draws) / elements}. One draw says nothing of s_e; then the errors of the elements are taken
     * as a sample of one law: {@code s / sqrt(elements)}, NaN for one element.
     */
    double standardError(float[] x) {
        int elements = mean.length;
        if (draws > 1) {
            double variance = 0;
            for (double square : squares) {
                variance += square / (draws - 1);
            }
            return Math.sqrt(variance / draws) / elements;
        }
        double bias = bias(x);
        double sum = 0;
        for (int i = 0; i < elements; i++) {
            double distance = mean[i] - x[i] - bias;
            sum += distance * distance;
        }
        return Math.sqrt(sum / (elements - 1) / elements);
    }
}
