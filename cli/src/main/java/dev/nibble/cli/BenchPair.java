package dev.nibble.cli;

import java.lang.management.ManagementFactory;
import java.util.Arrays;

/**
 * Times two things in turn, so that what else the machine does slows both. The ratio of each pair counts, not that of
 * the medians.
 *
 * @param medianNanos of one run of the candidate
 * @param baselineNanos of one run of the base line
 * @param ratio median of base line / candidate over the pairs
 * @param lowest the smallest ratio of a pair
 * @param highest the largest ratio of a pair
 */
record BenchPair(double medianNanos, double baselineNanos, double ratio, double lowest, double highest) {
    private static final int WARM_UP_RUNS = 3;
    private static final long SHORTEST_NANOS = 20_000_000L; // of a measurement: a short one is repeated

    /**
     * How long it is measured.
     *
     * @param pairs pairs of measurements, at least 1
     * @param warmUpNanos of each side before that
     */
    record Effort(int pairs, long warmUpNanos) {}

    /** What time is. */
    enum Clock {
        /** That of the wall. */
        WALL,
        /** What this thread spent on a processor: what other programs take does not count. Other threads do not count, either. */
        THREAD;

        /** {@return the clock that is right for so many threads} */
        static Clock of(int threads) {
            return threads == 1 && ManagementFactory.getThreadMXBean().isCurrentThreadCpuTimeSupported()
                    ? THREAD
                    : WALL;
        }

        long nanos() {
            return switch (this) {
                case WALL -> System.nanoTime();
                case THREAD -> ManagementFactory.getThreadMXBean().getCurrentThreadCpuTime();
            };
        }
    }

    /**
     * {@return what was measured}
     *
     * @param clock what time is
     * @param effort how long
     */
    static BenchPair of(Clock clock, Runnable candidate, Runnable baseline, Effort effort) {
        int pairs = effort.pairs();
        int repeats = Math.max(warmUp(clock, candidate, effort), warmUp(clock, baseline, effort));
        double[] nanos = new double[pairs];
        double[] baselineNanos = new double[pairs];
        double[] ratios = new double[pairs];
        for (int i = 0; i < pairs; i++) {
            // Whoever comes second finds other data in the caches: they take turns.
            boolean candidateFirst = i % 2 == 1;
            nanos[i] = candidateFirst ? nanos(clock, candidate, repeats) : 0;
            baselineNanos[i] = nanos(clock, baseline, repeats);
            nanos[i] = candidateFirst ? nanos[i] : nanos(clock, candidate, repeats);
            ratios[i] = baselineNanos[i] / nanos[i];
        }
        Arrays.sort(nanos);
        Arrays.sort(baselineNanos);
        Arrays.sort(ratios);
        return new BenchPair(median(nanos), median(baselineNanos), median(ratios), ratios[0], ratios[pairs - 1]);
    }

    /** {@return how often it has to run to be measured} */
    private static int warmUp(Clock clock, Runnable action, Effort effort) {
        long end = System.nanoTime() + effort.warmUpNanos();
        double last = 0;
        for (int i = 0; i < WARM_UP_RUNS || System.nanoTime() < end; i++) {
            last = nanos(clock, action, 1);
        }
        return (int) Math.max(1, Math.ceil(SHORTEST_NANOS / last));
    }

    private static double nanos(Clock clock, Runnable action, int repeats) {
        long start = clock.nanos();
        for (int i = 0; i < repeats; i++) {
            action.run();
        }
        return (double) Math.max(1, clock.nanos() - start) / repeats;
    }

    private static double median(double[] sorted) {
        int middle = sorted.length / 2;
        return sorted.length % 2 == 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
    }
}
