package dev.nibble.cli;

import java.util.List;
import java.util.Optional;
import org.apache.commons.statistics.distribution.TDistribution;

/**
 * A mean of numbers that differ by chance, with its 95 % interval: {@code mean ± t · s / √n}, s the standard deviation with n - 1, t
 * the 97.5 % point of Student's distribution with n - 1 degrees of freedom.
 *
 * @param count how many numbers
 * @param mean their mean; NaN if there is none
 * @param deviation their standard deviation (n - 1); NaN below two
 * @param lower lower end of the interval; NaN below two
 * @param upper upper end of the interval; NaN below two
 */
record Interval(int count, double mean, double deviation, double lower, double upper) {
    private static final double TAIL = 0.975;

    /** {@return the interval of the mean of some numbers} */
    static Interval of(List<Double> values) {
        SeedSummary.Sample sample = SeedSummary.Sample.of(values);
        double half = sample.count() < 2 ? Double.NaN : studentsT(sample.count()) * sample.standardError();
        return new Interval(
                sample.count(), sample.mean(), sample.deviation(), sample.mean() - half, sample.mean() + half);
    }

    /** {@return the 97.5 % point for n numbers, n at least 2} */
    private static double studentsT(int n) {
        return TDistribution.of(n - 1).inverseCumulativeProbability(TAIL);
    }

    /** The ends of an interval. */
    record Ends(double lower, double upper) {}

    /**
     * {@return the 95 % interval of a ratio of two means, of pairs; empty if no bounded one exists, because the lower mean is not told
     * from 0} Source: Fieller 1954, "Some problems in interval estimation": all r for which the mean of {@code above - r · below} is
     * not told from 0.
     *
     * @param above the numbers whose mean is divided
     * @param below those whose mean divides, as many
     */
    static Optional<Ends> ofRatio(List<Double> above, List<Double> below) {
        int n = above.size();
        if (n < 2) {
            return Optional.empty();
        }
        double x = SeedSummary.Sample.of(above).mean();
        double y = SeedSummary.Sample.of(below).mean();
        double scale = studentsT(n) * studentsT(n) / n / (n - 1);
        double xx = 0;
        double xy = 0;
        double yy = 0;
        for (int i = 0; i < n; i++) {
            xx += (above.get(i) - x) * (above.get(i) - x);
            xy += (above.get(i) - x) * (below.get(i) - y);
            yy += (below.get(i) - y) * (below.get(i) - y);
        }
        double a = y * y - scale * yy;
        double b = x * y - scale * xy;
        double c = x * x - scale * xx;
        double root = b * b - a * c;
        if (!(a > 0) || root < 0) {
            return Optional.empty();
        }
        return Optional.of(new Ends((b - Math.sqrt(root)) / a, (b + Math.sqrt(root)) / a));
    }
}
