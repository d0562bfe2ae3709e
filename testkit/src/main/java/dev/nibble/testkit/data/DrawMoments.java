package dev.nibble.testkit.data;

/** Mean and variance of draws of an array, element by element, about the values that they should have on average. */
public final class DrawMoments {
    private final double[] expected; // [elements]
    private final double[] sum; // [elements], of the distances from the expected values
    private final double[] squares; // [elements], of the distances
    private double total; // Σ over draws of Σ distance² over the elements
    private double totalSquares; // Σ over draws of (Σ distance²)²
    private int draws;

    /**
     * Starts with no draw.
     *
     * @param expected values that the mean is compared with, [elements]
     */
    public DrawMoments(double[] expected) {
        this.expected = expected.clone();
        sum = new double[expected.length];
        squares = new double[expected.length];
    }

    /** Adds a draw, [elements]. */
    public void add(double[] draw) {
        double distances = 0;
        for (int i = 0; i < draw.length; i++) {
            double distance = draw[i] - expected[i];
            sum[i] += distance;
            squares[i] += distance * distance;
            distances += distance * distance;
        }
        total += distances;
        totalSquares += distances * distances;
        draws++;
    }

    /** {@return draws so far} */
    public int draws() {
        return draws;
    }

    /** {@return mean of an element minus its expected value} */
    public double bias(int element) {
        return sum[element] / draws;
    }

    /** {@return the sample variance of an element} */
    public double variance(int element) {
        double mean = bias(element);
        return Math.max(0, squares[element] / draws - mean * mean) * draws / (draws - 1);
    }

    /** {@return the mean over the draws of Σ (draw - expected)² over all elements: their variances' sum, if there is no bias} */
    public double totalVariance() {
        return total / draws;
    }

    /** {@return the standard error of {@link #totalVariance}, from the spread of the draws} */
    public double totalVarianceError() {
        double mean = totalVariance();
        return Math.sqrt(Math.max(0, totalSquares / draws - mean * mean) / (draws - 1));
    }
}
