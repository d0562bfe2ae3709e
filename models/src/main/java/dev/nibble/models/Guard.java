package dev.nibble.models;

import dev.nibble.spi.NonFinite;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.Set;
import java.util.TreeSet;
import java.util.function.Predicate;

/**
 * Decides what is done about steps that went wrong: see docs/guard.md. It remembers nothing of its own: all follows from the losses and
 * the events that the run has recorded, which are in its checkpoints.
 *
 * <p>A loss L is a spike if {@code L > m + k · max(1.4826 · d, 0.02 · max(m, 1))}, m the median of the last w losses of steps that
 * were not skipped, d the median of their distances from m; 1.4826 makes it the deviation if they are normal. In warm-up, and before
 * there are w of them, there is none.
 */
final class Guard {
    private static final double DEVIATION = 1.4826;
    private static final double SMALLEST = 0.02;
    private static final int LIMIT_STEPS = 100;

    private final GuardSettings settings;
    private final int warmup;
    private final RunRecorder recorder;

    /**
     * Makes a guard.
     *
     * @param warmup steps in which no loss is a spike
     * @param recorder knows what has been
     */
    Guard(GuardSettings settings, int warmup, RunRecorder recorder) {
        this.settings = settings;
        this.warmup = warmup;
        this.recorder = recorder;
    }

    /** {@return whether an update must wait until its loss is known} */
    boolean holdsUpdates() {
        return settings.spike() == GuardAction.SKIP || settings.spike() == GuardAction.BACKOFF;
    }

    /**
     * {@return what a loss is, if it is a spike that something is done about}
     *
     * @param step its step; all before it are recorded
     */
    Optional<String> spike(int step, double loss) {
        if (settings.spike() == GuardAction.IGNORE || !isSpike(step, loss)) {
            return Optional.empty();
        }
        // the loss may stay there: of several steps only the first is told of
        boolean told = settings.spike() == GuardAction.NOTE
                && step > 0
                && isSpike(step - 1, recorder.curve().get(step - 1).loss());
        return told
                ? Optional.empty()
                : Optional.of("the loss is %.4f at step %d, but after those before it at most %.4f is usual"
                        .formatted(loss, step, most(step).orElseThrow()));
    }

    private boolean isSpike(int step, double loss) {
        OptionalDouble most = most(step);
        return most.isPresent() && loss > most.getAsDouble();
    }

    private OptionalDouble most(int step) {
        double[] losses = step < warmup ? new double[0] : lossesBefore(step); // [window], or fewer
        if (losses.length < settings.window()) {
            return OptionalDouble.empty();
        }
        double median = median(losses);
        for (int i = 0; i < losses.length; i++) {
            losses[i] = Math.abs(losses[i] - median);
        }
        double deviation = Math.max(DEVIATION * median(losses), SMALLEST * Math.max(median, 1));
        return OptionalDouble.of(median + settings.deviations() * deviation);
    }

    private double[] lossesBefore(int step) {
        double[] losses = new double[settings.window()]; // [window]
        int count = 0;
        for (int i = step - 1; i >= 0 && count < losses.length; i--) {
            StepRecord row = recorder.curve().get(i);
            if (!row.skipped() && Double.isFinite(row.loss())) {
                losses[count] = row.loss();
                count++;
            }
        }
        return Arrays.copyOf(losses, count);
    }

    /** {@return the median} Sorts. */
    private static double median(double[] values) {
        Arrays.sort(values);
        return (values[(values.length - 1) / 2] + values[values.length / 2]) / 2;
    }

    /** {@return the step by which batches are chosen: it goes on where a run goes back} */
    int dataStep(int step) {
        int offset = 0;
        for (RunEvent event : recorder.events()) {
            offset += moved(event);
        }
        return step + offset;
    }

    /** {@return by how many batches an event has moved the data on, against the steps} */
    private static int moved(RunEvent event) {
        return event.action() == GuardAction.ROLLBACK ? event.step() + 1 - event.target() : 0;
    }

    /** {@return the learning rate, after what rollbacks have left of it} */
    float learningRate(float scheduled) {
        double rate = scheduled;
        for (int i = 0; i < rollbacks(); i++) {
            rate *= settings.rollbackRate();
        }
        return (float) rate;
    }

    private int rollbacks() {
        return (int) recorder.events().stream()
                .filter(event -> event.action() == GuardAction.ROLLBACK)
                .count();
    }

    /** {@return the layers that back off at a step} */
    Set<String> backedOff(int step) {
        int now = dataStep(step);
        int offset = 0;
        Set<String> layers = new TreeSet<>();
        for (RunEvent event : recorder.events()) {
            int since = now - event.step() - offset;
            boolean ended = settings.backoffSteps() > 0 && since > settings.backoffSteps();
            if (event.action() == GuardAction.BACKOFF && since > 0 && !ended) {
                layers.addAll(event.layers());
            }
            offset += moved(event);
        }
        return layers;
    }

    /** {@return whether there were so many events that one more ends the run} */
    boolean exhausted(int step) {
        int now = dataStep(step);
        int offset = 0;
        int recent = 0;
        for (RunEvent event : recorder.events()) {
            boolean counts = event.acted() && event.action() != GuardAction.ROLLBACK;
            if (counts && now - event.step() - offset <= LIMIT_STEPS) {
                recent++;
            }
            offset += moved(event);
        }
        return settings.limit() > 0 && (rollbacks() >= settings.limit() || recent >= settings.limit());
    }

    /**
     * {@return the layers that are to back off} Where an operand was not finite, the layer that met the first one and, unless it is a
     * weight, the layer on the side that it came from; all layers where none can be blamed, or those back off already.
     *
     * @param found operands that were not finite, in the order they were met; empty for a spike
     * @param layers names in the model's order
     * @param can tells whether a layer has something to back off to
     */
    static List<String> offending(List<NonFinite> found, List<String> layers, Predicate<String> can) {
        List<String> blamed = new ArrayList<>();
        if (!found.isEmpty()) {
            NonFinite first = found.getFirst();
            int at = layers.indexOf(first.site().name().replaceFirst("\\.outliers$", ""));
            int beside = first.role() == Role.INPUT ? at - 1 : first.role() == Role.GRAD_OUTPUT ? at + 1 : at;
            for (int i : at < 0 ? new int[0] : new int[] {Math.min(at, beside), Math.max(at, beside)}) {
                if (i >= 0 && i < layers.size() && !blamed.contains(layers.get(i))) {
                    blamed.add(layers.get(i));
                }
            }
            blamed.removeIf(can.negate());
        }
        return blamed.isEmpty() ? layers.stream().filter(can).toList() : blamed;
    }
}
