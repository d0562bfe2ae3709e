package dev.nibble.models.train;

/**
 * A learning rate that rises linearly and then falls as half a cosine (Loshchilov and Hutter 2017, arXiv:1608.03983).
 *
 * <p>With s the step from 0, n the steps of the run and w = min(warmup, n): {@code peak · (s + 1) / w} while s &lt; w, then
 * {@code peak · (floor + (1 - floor) · (1 + cos(π · t)) / 2)}, {@code t = (s + 1 - w) / (n - w)}: the first w steps end at
 * the peak, the last step has {@code floor · peak}.
 *
 * @param peak largest learning rate
 * @param warmup steps until it is reached
 * @param floor share of the peak that is left at the end, in [0, 1]
 */
public record Schedule(double peak, int warmup, double floor) {
    /** Checks the ranges. */
    public Schedule {
        if (!(peak > 0 && Double.isFinite(peak)) || warmup < 0 || !(floor >= 0 && floor <= 1)) {
            throw new IllegalArgumentException(
                    "schedule: learning rate %s must be above 0, warm-up %d must be 0 or more, and floor %s in [0, 1]"
                            .formatted(peak, warmup, floor));
        }
    }

    /**
     * {@return the learning rate of a step}
     *
     * @param step from 0
     * @param steps steps of the run
     */
    public float at(int step, int steps) {
        int rising = Math.min(warmup, steps);
        if (step < rising) {
            return (float) (peak * (step + 1) / rising);
        }
        double t = (double) (step + 1 - rising) / Math.max(steps - rising, 1);
        // StrictMath: the rate enters every weight, and must be the same on every machine
        return (float) (peak * (floor + (1 - floor) * (1 + StrictMath.cos(Math.PI * t)) / 2));
    }
}
