package dev.nibble.reference;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Segments;
import dev.nibble.gemm.Term;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Granularity;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.DType;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.ToLongFunction;

/**
 * Draws the rows that enter a product with {@link Sampling#LEVERAGE}; scores, probabilities and weights are as specified there.
 */
public final class LeverageSampling {
    /** Smallest probability of a token of the weight gradient: 2^-15. */
    public static final int LARGEST_EXPONENT = 15;

    private static final byte NEVER = -1; // a score of 0
    private static final int GRID_BITS = 24;
    private static final float GRID = 0x1p24f;
    private static final int FLOAT_BIAS = 127;
    private static final int MANTISSA_BITS = 23;

    private LeverageSampling() {}

    /**
     * Kept tokens of one segment of the weight gradient.
     *
     * @param term number of the term
     * @param exponent j: the terms of these tokens weigh 2^j
     * @param tokens ascending
     */
    public record Kept(int term, int exponent, int[] tokens) {}

    /**
     * Checks that a product can be sampled.
     *
     * @throws IllegalArgumentException if a plane has several scales or is no integer
     */
    public static void requireSupported(GemmSpec spec, HostOperand a, HostOperand b) {
        if (spec.sampling() != Sampling.LEVERAGE) {
            return;
        }
        for (Term term : spec.terms()) {
            for (HostPlane plane :
                    List.of(a.planes().get(term.planeA()), b.planes().get(term.planeB()))) {
                boolean integer = plane.codes().dtype().family() == DType.Family.INTEGER;
                if (!integer || !(plane.spec().granularity() instanceof Granularity.PerTensor)) {
                    throw new IllegalArgumentException(
                            "%s samples rows of %s codes with %s, but needs integer codes with one scale"
                                    .formatted(
                                            spec.product().label(),
                                            plane.codes().dtype().label(),
                                            plane.spec().granularity()));
                }
            }
        }
    }

    /**
     * {@return whether rows are drawn} A plane whose scale is not finite has nothing to draw by: then every row enters, and the
     * product is NaN as without sampling.
     */
    public static boolean draws(GemmSpec spec, HostOperand a, HostOperand b) {
        return spec.sampling() == Sampling.LEVERAGE
                && spec.terms().stream()
                        .allMatch(t -> finite(a.planes().get(t.planeA()))
                                && finite(b.planes().get(t.planeB())));
    }

    private static boolean finite(HostPlane plane) {
        return Float.isFinite(HostTensor.floats(plane.scales())[0]);
    }

    /**
     * {@return the weight 1/p of each row of dY in each term, 0 where it is left out: [terms][tokens]}
     *
     * @param norms of the rows of each plane of dY: Σ code², [planes][tokens]
     */
    public static float[][] rowWeights(
            GemmSpec spec, HostOperand a, long[][] norms, Site site, StepContext context, long seed) {
        int tokens = (int) a.rows();
        float[] scores = new float[spec.terms().size() * tokens]; // [terms][tokens]
        for (int t = 0; t < spec.terms().size(); t++) {
            float scale = termScale(spec.terms().get(t), a);
            for (int row = 0; row < tokens; row++) {
                scores[t * tokens + row] =
                        scale * root(norms[spec.terms().get(t).planeA()][row]);
            }
        }
        int[] probabilities = gridProbabilities(scores, tokens);
        RandomStream stream = stream(Purpose.SAMPLE_GRAD_INPUT, site, context, seed);
        float[][] weights = new float[spec.terms().size()][tokens]; // [terms][tokens]
        for (int t = 0; t < weights.length; t++) {
            for (int row = 0; row < tokens; row++) {
                float p = probabilities[t * tokens + row] / GRID;
                long element = (long) spec.terms().get(t).planeA() * tokens + row;
                weights[t][row] = stream.uniform(element) < p ? 1 / p : 0;
            }
        }
        return weights;
    }

    /**
     * {@return the segments of the weight gradient in order: exponent ascending, then term; none is empty}
     *
     * @param normsA of the tokens in each plane of dY: Σ code², [planes][tokens]
     * @param normsB of the tokens in each plane of X: Σ code², [planes][tokens]
     */
    public static List<Kept> keptTokens(
            GemmSpec spec, HostOperand a, long[][] normsA, long[][] normsB, Site site, StepContext context, long seed) {
        int tokens = (int) a.k();
        List<Term> terms = spec.terms();
        float[] scores = new float[terms.size() * tokens]; // [terms][tokens]
        for (int t = 0; t < terms.size(); t++) {
            float scale = termScale(terms.get(t), a);
            for (int token = 0; token < tokens; token++) {
                scores[t * tokens + token] = scale
                        * root(normsA[terms.get(t).planeA()][token])
                        * root(normsB[terms.get(t).planeB()][token]);
            }
        }
        byte[] exponents = exponents(scores, tokens);
        RandomStream stream = stream(Purpose.SAMPLE_GRAD_WEIGHT, site, context, seed);
        for (int t = 0; t < terms.size(); t++) {
            for (int token = 0; token < tokens; token++) {
                int at = t * tokens + token;
                long element = (long) terms.get(t).planeA() * tokens + token;
                if (exponents[at] > 0 && !(stream.uniform(element) < Math.scalb(1f, -exponents[at]))) {
                    exponents[at] = NEVER;
                }
            }
        }
        return segments(exponents, terms.size(), tokens);
    }

    private static List<Kept> segments(byte[] exponents, int terms, int tokens) {
        List<Kept> segments = new ArrayList<>();
        for (int exponent = 0; exponent <= LARGEST_EXPONENT; exponent++) {
            for (int t = 0; t < terms; t++) {
                int[] kept = new int[tokens]; // [tokens]
                int count = 0;
                for (int token = 0; token < tokens; token++) {
                    if (exponents[t * tokens + token] == exponent) {
                        kept[count++] = token;
                    }
                }
                for (int from = 0; from < count; from += Segments.INTEGER_LIMIT) {
                    int to = Math.min(count, from + Segments.INTEGER_LIMIT);
                    segments.add(new Kept(t, exponent, Arrays.copyOfRange(kept, from, to)));
                }
            }
        }
        return segments;
    }

    /**
     * {@return p · 2^24 of each row: p = min(1, λ · score) on the grid 2^-24, rounded down, but at least 2^-24 where the score
     * is not 0}
     *
     * @param scores not negative, [rows]
     * @param budget largest Σp
     */
    public static int[] gridProbabilities(float[] scores, long budget) {
        float lambda = largest(candidate -> gridSum(scores, candidate), budget << GRID_BITS);
        int[] probabilities = new int[scores.length]; // [rows]
        for (int i = 0; i < scores.length; i++) {
            probabilities[i] = gridProbability(scores[i], lambda);
        }
        return probabilities;
    }

    private static int gridProbability(float score, float lambda) {
        return score == 0 ? 0 : Math.max(1, (int) (Math.min(1, lambda * score) * GRID));
    }

    private static long gridSum(float[] scores, float lambda) {
        long sum = 0;
        for (float score : scores) {
            sum += gridProbability(score, lambda);
        }
        return sum;
    }

    /**
     * {@return j of each row, where p = 2^-j is the largest such that p is at most λ · score; 15 where that is smaller still;
     * -1 where the score is 0}
     *
     * @param scores not negative, [rows]
     * @param budget largest Σp
     */
    public static byte[] exponents(float[] scores, long budget) {
        float lambda = largest(candidate -> exponentSum(scores, candidate), budget << LARGEST_EXPONENT);
        byte[] exponents = new byte[scores.length]; // [rows]
        for (int i = 0; i < scores.length; i++) {
            exponents[i] = exponent(scores[i], lambda);
        }
        return exponents;
    }

    private static byte exponent(float score, float lambda) {
        if (score == 0) {
            return NEVER;
        }
        int below = (Float.floatToRawIntBits(lambda * score) >>> MANTISSA_BITS) - FLOAT_BIAS; // floor(log2)
        return (byte) Math.max(0, Math.min(LARGEST_EXPONENT, -below));
    }

    private static long exponentSum(float[] scores, float lambda) {
        long sum = 0;
        for (float score : scores) {
            byte exponent = exponent(score, lambda);
            sum += exponent == NEVER ? 0 : 1L << (LARGEST_EXPONENT - exponent);
        }
        return sum;
    }

    /** Bisection on the bits of λ: floats that are not negative are ordered as their bits are. */
    private static float largest(ToLongFunction<Float> sum, long limit) {
        int low = 0;
        int high = Float.floatToRawIntBits(Float.MAX_VALUE);
        while (low < high) {
            int middle = low + (high - low + 1) / 2;
            if (sum.applyAsLong(Float.intBitsToFloat(middle)) <= limit) {
                low = middle;
            } else {
                high = middle - 1;
            }
        }
        return Float.intBitsToFloat(low);
    }

    private static float termScale(Term term, HostOperand a) {
        return Math.abs(
                term.weightA() * HostTensor.floats(a.planes().get(term.planeA()).scales())[0]);
    }

    private static float root(long squares) {
        return (float) Math.sqrt((float) squares);
    }

    private static RandomStream stream(int purpose, Site site, StepContext context, long seed) {
        return new RandomStream(
                seed, context.step(), context.microBatch(), site.ordinal(), Product.GRAD_INPUT.roleA(), purpose, 0);
    }
}
