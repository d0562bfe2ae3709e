package dev.nibble.models;

import dev.nibble.error.NonFiniteException;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/**
 * How the next token is chosen. Tokens are ordered by their logits, the largest first, equal ones by number. The first
 * {@code topK} stay, each with probability {@code p ∝ exp(logit / temperature)}; of these, the first whose probabilities add up to
 * {@code topP} (Holtzman et al. 2019, arXiv:1904.09751), at least one. Token n of a text is the first of them whose sum of
 * probabilities, up to it, is above {@code u} times that of all, with {@code u} uniform number n of the seed and the text's number.
 *
 * @param temperature 0 for the largest logit, without chance; else above 0
 * @param topK tokens that stay; 0 for all
 * @param topP share of the probability that stays, above 0, at most 1
 * @param seed seed of the choice
 */
public record TokenSampling(double temperature, int topK, double topP, long seed) {
    /** Texts with numbers of their own. */
    static final int MOST_SAMPLES = 1 << 10;

    /** Checks the ranges. */
    public TokenSampling {
        List<String> problems = new ArrayList<>();
        if (!(temperature >= 0 && Double.isFinite(temperature))) {
            problems.add("temperature is " + temperature + ", but must be 0 or a finite number above");
        }
        if (topK < 0) {
            problems.add("top-k is " + topK + ", but must be 0 (all tokens) or more");
        }
        if (!(topP > 0 && topP <= 1)) {
            problems.add("top-p is " + topP + ", but must be above 0 and at most 1");
        }
        ConfigurationException.throwIfAny(problems);
    }

    /**
     * {@return the token that follows}
     *
     * @param logits one for each token
     * @param sample number of the text
     * @param number how many have been chosen before
     * @throws NonFiniteException if a logit is NaN, or one is infinite
     */
    int next(float[] logits, int sample, int number) {
        for (int i = 0; i < logits.length; i++) {
            if (!Float.isFinite(logits[i])) {
                throw new NonFiniteException(
                        "the logit of token %d is %s after %d new tokens, but must be finite; try another quantizer"
                                .formatted(i, logits[i], number));
            }
        }
        int[] order = order(logits); // [vocabulary]
        if (temperature == 0) {
            return order[0];
        }
        int kept = topK == 0 ? order.length : Math.min(topK, order.length);
        double[] sums = new double[kept]; // [kept]: of weights up to each
        double sum = 0;
        for (int i = 0; i < kept; i++) {
            // StrictMath, so that every machine chooses the same
            sum += StrictMath.exp((logits[order[i]] - (double) logits[order[0]]) / temperature);
            sums[i] = sum;
        }
        int last = 0;
        while (last < kept - 1 && sums[last] < topP * sum) {
            last++;
        }
        RandomStream stream = new RandomStream(seed, number, sample, 0, Role.OTHER, Purpose.GENERATION, 0);
        double drawn = stream.uniform(0) * sums[last];
        int chosen = 0;
        while (chosen < last && sums[chosen] <= drawn) {
            chosen++;
        }
        return order[chosen];
    }

    /** {@return the tokens, those with the largest logits first, equal ones by number} */
    private static int[] order(float[] logits) {
        long[] keys = new long
                [logits.length]; // [vocabulary]: a logit, turned round so that the largest is least, and its number
        for (int i = 0; i < keys.length; i++) {
            int bits = Float.floatToRawIntBits(logits[i]);
            int ascending =
                    bits ^ ((bits >> 31) & Integer.MAX_VALUE); // below zero, the bits of larger magnitudes are larger
            keys[i] = ((long) ~ascending << Integer.SIZE) | i;
        }
        Arrays.sort(keys);
        int[] order = new int[keys.length]; // [vocabulary]
        for (int i = 0; i < order.length; i++) {
            order[i] = (int) keys[i];
        }
        return order;
    }
}
