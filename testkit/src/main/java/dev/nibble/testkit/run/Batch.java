package dev.nibble.testkit.run;

import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.Products;

/**
 * Inputs and their classes.
 *
 * @param x [tokens, in]
 * @param targets [tokens], each in 0..classes-1
 */
public record Batch(Matrix x, int[] targets) {
    /**
     * {@return a batch that a network can learn: each input belongs to the class whose row of a random matrix it fits best}
     *
     * @param seed fixes inputs and matrix
     */
    public static Batch learnable(long seed, int tokens, int in, int classes) {
        Matrix x = Matrix.normal(seed, tokens, in, 1);
        double[] scores = Products.timesTransposed(
                x.wide(), Matrix.normal(seed + 1, classes, in, 1).wide(), tokens, classes, in); // [tokens, classes]
        int[] targets = new int[tokens]; // [tokens]
        for (int token = 0; token < tokens; token++) {
            for (int c = 1; c < classes; c++) {
                if (scores[token * classes + c] > scores[token * classes + targets[token]]) {
                    targets[token] = c;
                }
            }
        }
        return new Batch(x, targets);
    }
}
