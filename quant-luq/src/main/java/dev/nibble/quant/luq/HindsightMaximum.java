package dev.nibble.quant.luq;

import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Control;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import java.util.List;

/**
 * The in-hindsight maximum (LUQ, eq. 18): the scale of dY comes from the steps before, so that dY is read once.
 *
 * <p>{@code maximum = (1 - eta)·m + eta·maximum; scale = maximum·2^-E}, m being max|dY| over the micro-batches of the step that has
 * just ended; eta weighs the <b>old</b> estimate. The first m is taken over as it is, and until then, or while the maximum is below
 * 2^-100, the scale is 0, which stands for the tensor's own maximum (ours; the paper leaves it open). A skipped step changes nothing.
 *
 * <p>Elements beyond the maximum saturate at the top code: biased towards 0, and counted. {@code saturated} is the share of such
 * elements in the last step, the mean over its micro-batches: nothing reads it but telemetry.
 */
final class HindsightMaximum {
    static final String SCALE = "scale";
    static final String MAXIMUM = "maximum";
    static final String SATURATED = "saturated";

    private static final String LARGEST = "largest"; // max|dY| of this step so far
    private static final String SATURATED_SUM = "saturatedSum";
    private static final String PASSES = "passes";
    private static final float SMALLEST_MAXIMUM = 0x1p-100f; // as AmaxOverPower: a smaller tensor has no codes

    private HindsightMaximum() {}

    /**
     * {@return the rule that reads the state}
     *
     * @param own the rule by the tensor's own maximum, in force while there is no other
     */
    static ScaleRule rule(ScaleRule own) {
        return new ScaleRule.Given(SCALE, ScaleRule.Application.SCALE, own);
    }

    static List<StateVector> state() {
        return List.of(
                StateVector.scalar(SCALE, 0),
                StateVector.scalar(MAXIMUM, 0),
                StateVector.scalar(SATURATED, 0),
                StateVector.scalar(LARGEST, 0),
                StateVector.scalar(SATURATED_SUM, 0),
                StateVector.scalar(PASSES, 0));
    }

    static StateProgram afterBackward() {
        StateProgram.Builder b = StateProgram.builder();
        Value amax = b.input(StateInput.GRAD_OUTPUT_STATISTICS, Statistic.AMAX.ordinal());
        Value saturated = b.input(StateInput.GRAD_OUTPUT_STATISTICS, Statistic.SATURATED.ordinal());
        return b.set(LARGEST, b.maximum(b.state(LARGEST), amax))
                .set(SATURATED_SUM, b.add(b.state(SATURATED_SUM), saturated))
                .set(PASSES, b.add(b.state(PASSES), b.constant(1)))
                .build();
    }

    static StateProgram afterOptimizer(float eta, ScaleRule.AmaxOverPower own) {
        StateProgram.Builder b = StateProgram.builder();
        Value zero = b.constant(0);
        Value old = b.state(MAXIMUM);
        Value seen = b.state(LARGEST);
        Value blend = b.add(b.multiply(b.constant(1 - eta), seen), b.multiply(b.constant(eta), old));
        Value maximum = b.select(b.greater(old, zero), blend, seen);
        Value scale = b.multiply(maximum, b.constant(Math.scalb(1f, -own.exponent()))); // exact
        if (own.powerOfTwo()) {
            Value below = b.powerOfTwo(scale);
            scale = b.select(b.greater(scale, below), b.add(below, below), below);
        }
        Value tooSmall = b.greater(b.constant(SMALLEST_MAXIMUM), maximum);
        Value skipped = b.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
        Value share = b.divide(b.state(SATURATED_SUM), b.maximum(b.state(PASSES), b.constant(1)));
        return b.set(MAXIMUM, b.select(skipped, old, maximum))
                .set(SCALE, b.select(skipped, b.state(SCALE), b.select(tooSmall, zero, scale)))
                .set(SATURATED, b.select(skipped, b.state(SATURATED), share))
                .set(LARGEST, zero)
                .set(SATURATED_SUM, zero)
                .set(PASSES, zero)
                .build();
    }
}
