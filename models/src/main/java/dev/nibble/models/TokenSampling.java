package dev.nibble.models;

import dev.nibble.error.NonFiniteException;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.stream.IntStream;

/**
 * How the next token is chosen. Tokens are ordered by their logits, the largest first, equal ones by number. The first
 * {@code topK} stay, each with probability {@code p ∝ exp(logit / temperature)}; of these, the first whose probabilities add up to
 * {@code topP} (Holtzman et al. 2019, arXiv:1904.09751), at least one. Token n of a text is the first of them whose sum of
 * probabilities, up to it, is above {@code u} times that of all, with {@code u} uniform number n of the seed.
 *
 * @param temperature 0 for the largest logit, without chance; else above 0
 * @param topK tokens that stay; 0 for all
 * @param topP share of the probability that stays, above 0, at most 1
 * @param seed seed of the choice
 */
public record TokenSampling(double temperature, int topK, double topP, long seed) {
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
     * @param number how many have been chosen before
     * @throws NonFiniteException if a logit is NaN, or one is infinite
     */
    int next(float[] logits, int number) {
        for (int i = 0; i < logits.length; i++) {
            if (!Float.isFinite(logits[i])) {
                throw new NonFiniteException(
                        "the logit of token %d is %s after %d new tokens, but must be finite; try another quantizer"
                                .formatted(i, logits[i], number));
            }
        }
        int[] order = IntStream.range(0, logits.length)
                .boxed()
                .sorted(Comparator.comparingDouble((Integer i) -> -logits[i]).thenComparing(i -> i))
                .mapToInt(Integer::intValue)
                .toArray(); // [vocabulary]
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
        RandomStream stream = new RandomStream(seed, number, 0, 0, Role.OTHER, Purpose.GENERATION, 0);
        double drawn = stream.uniform(0) * sums[last];
        int chosen = 0;
        while (chosen < last && sums[chosen] <= drawn) {
            chosen++;
        }
        return order[chosen];
    }
}
