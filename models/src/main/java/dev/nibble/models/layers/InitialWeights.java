package dev.nibble.models.layers;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import java.util.stream.IntStream;

/**
 * Normally distributed first weights: a function of seed, layer and index alone, so that every quantizer, backend and
 * thread count starts from the same model.
 */
public final class InitialWeights {
    private static final int STRETCH = 1 << 16; // values that a thread draws at a time; a multiple of 4

    private InitialWeights() {}

    /**
     * {@return values of a normal distribution with mean 0, row-major} Box and Muller's transform in double of the
     * uniform numbers 2p and 2p + 1 of the stream gives elements 2p (cosine) and 2p + 1 (sine); StrictMath, so that every
     * machine has the same bits.
     *
     * @param seed seed of the run
     * @param ordinal ordinal of the layer
     * @param shape shape of the weight
     * @param deviation standard deviation
     */
    public static float[] normal(long seed, int ordinal, Shape shape, double deviation) {
        RandomStream stream = new RandomStream(seed, 0, 0, ordinal, Role.OTHER, Purpose.INITIAL_WEIGHT, 0);
        float[] values = new float[Math.toIntExact(shape.elements())]; // [shape]
        IntStream.range(0, Math.ceilDiv(values.length, STRETCH))
                .parallel()
                .forEach(n -> fill(stream, deviation, values, n * STRETCH));
        return values;
    }

    private static void fill(RandomStream stream, double deviation, float[] values, int from) {
        int[] words = new int[4];
        for (int i = from; i < Math.min(values.length - from, STRETCH) + from; i += 2) {
            if (i % 4 == 0) {
                stream.quad(i >>> 2, words, 0);
            }
            // one grid step above the uniform number, so that the logarithm is finite
            double radius = deviation * StrictMath.sqrt(-2 * StrictMath.log(uniform(words[i & 3]) + RandomStream.UNIT));
            double angle = 2 * Math.PI * uniform(words[(i & 3) + 1]);
            values[i] = (float) (radius * StrictMath.cos(angle));
            if (i + 1 < values.length) {
                values[i + 1] = (float) (radius * StrictMath.sin(angle));
            }
        }
    }

    private static double uniform(int word) {
        return RandomStream.fromWord(word);
    }
}
