package dev.nibble.cli;

/**
 * How far a product is from the exact one.
 *
 * @param relative {@code ||D - exact|| / ||exact||}, Frobenius norms; NaN if the exact product is zero
 * @param largest the largest {@code |D - exact|}
 */
record ProductError(double relative, double largest) {
    /** Compares, element by element, in FP64. */
    static ProductError of(double[] exact, float[] d) {
        double squares = 0;
        double norm = 0;
        double largest = 0;
        for (int i = 0; i < exact.length; i++) {
            double error = Math.abs(d[i] - exact[i]);
            squares += error * error;
            norm += exact[i] * exact[i];
            largest = Math.max(largest, error);
        }
        return new ProductError(Math.sqrt(squares / norm), largest);
    }
}
