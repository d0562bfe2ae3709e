package dev.nibble.models.encoder;

import dev.nibble.models.layers.InitialWeights;
import dev.nibble.tensor.Shape;
import java.util.Arrays;

/** Where the parameters of an {@link Encoder} begin. */
@FunctionalInterface
public interface FirstValues {
    /** Standard deviation of weights that no file gives: Devlin et al. 2018, arXiv:1810.04805. */
    double DEVIATION = 0.02;

    /**
     * {@return the first values of a parameter, row-major}
     *
     * @param name as in {@link Encoder#parameters()}
     * @param ordinal where it draws, if it does
     * @param shape its shape
     */
    float[] of(String name, int ordinal, Shape shape);

    /** {@return values that the seed gives: matrices and tables normal, norms at 1, biases at 0} */
    static FirstValues drawn(long seed) {
        return (name, ordinal, shape) -> {
            if (shape.rank() == 2) {
                return InitialWeights.normal(seed, ordinal, shape, DEVIATION);
            }
            float[] values = new float[Math.toIntExact(shape.elements())]; // [shape]
            Arrays.fill(values, name.endsWith("norm.weight") ? 1f : 0f);
            return values;
        };
    }
}
