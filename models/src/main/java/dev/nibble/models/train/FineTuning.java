package dev.nibble.models.train;

/**
 * The end of a training, in which a method may spend more bits. Its learning rate is a triangle on top of the last one of the steps
 * before: with t = 1..steps, {@code last + (peak - last) · min(t, steps - t) / (steps / 2)}, so that it ends where it began. Source:
 * fine-tuning of LUQ, Chmiel et al. 2021, arXiv:2112.10769, eq. 17, read as its text says: up for half of the steps, and down with
 * the same slope.
 *
 * @param steps optimizer steps after the others; 0 for none
 * @param peak learning rate in the middle
 */
public record FineTuning(int steps, double peak) {
    /** Checks the ranges. */
    public FineTuning {
        if (steps < 0 || !(peak > 0 && Double.isFinite(peak))) {
            throw new IllegalArgumentException(
                    "fine-tuning: steps %d must be 0 (none) or more, and the peak of the learning rate %s above 0"
                            .formatted(steps, peak));
        }
    }

    /**
     * {@return the learning rate of a step}
     *
     * @param step from 0, the first one of fine-tuning
     * @param last learning rate of the step before that
     */
    public float at(int step, double last) {
        int t = step + 1;
        return (float) (last + (peak - last) * (2.0 * Math.min(t, steps - t) / steps));
    }
}
