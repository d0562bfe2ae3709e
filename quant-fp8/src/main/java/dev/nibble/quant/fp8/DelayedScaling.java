package dev.nibble.quant.fp8;

import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Control;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Delayed scaling: a tensor is multiplied by a number known before it is seen, so that one pass makes its codes and its
 * amax. Once an optimizer step, from a, the largest amax of the step's micro-batches, for each of X, W and dY:
 *
 * <p>{@code amax = max of the last amaxes, a included} (or a itself); {@code multiplier = min(top / amax / 2^margin, largest
 * FP32)}. As in the fused kernel of the library that the recipe comes from (TransformerEngine), a = 0 changes nothing, not
 * even the history, NaN enters the history as 0, and where amax is 0 or infinite the multiplier stays. A skipped step changes
 * nothing. The first step multiplies by 1.
 *
 * <p>If a tensor grows from one step to the next, its largest values saturate for one step ({@link Statistic#SATURATED}).
 *
 * @param history amaxes that are remembered
 * @param mostRecent whether the last amax counts instead, and none is remembered
 * @param margin log2 of the headroom above amax
 * @param powerOfTwo round the multiplier down to a power of two
 */
record DelayedScaling(int history, boolean mostRecent, int margin, boolean powerOfTwo) {
    private static final List<Role> ROLES = List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT);

    /** {@return the state vector that holds what a tensor is multiplied by} */
    static String multiplier(Role role) {
        return role.label() + "Multiplier";
    }

    /** {@return the state vector that holds the amaxes of the last steps, the newest first} */
    static String history(Role role) {
        return role.label() + "History";
    }

    /** {@return the state vector that gathers the amax of a step} */
    static String gathered(Role role) {
        return role.label() + "Amax";
    }

    /** {@return the scale rule of a tensor} */
    ScaleRule rule(Role role) {
        return new ScaleRule.Given(
                multiplier(role), ScaleRule.Application.MULTIPLIER, new ScaleRule.TopOverAmax(powerOfTwo));
    }

    List<StateVector> state() {
        List<StateVector> state = new ArrayList<>();
        for (Role role : ROLES) {
            state.add(StateVector.scalar(multiplier(role), 1f));
            state.add(StateVector.scalar(gathered(role), 0f));
            if (!mostRecent) {
                state.add(new StateVector(history(role), Collections.nCopies(history, 0f)));
            }
        }
        return List.copyOf(state);
    }

    static StateProgram afterForward() {
        StateProgram.Builder b = StateProgram.builder();
        gather(b, Role.INPUT, StateInput.INPUT_STATISTICS);
        gather(b, Role.WEIGHT, StateInput.WEIGHT_STATISTICS);
        return b.build();
    }

    static StateProgram afterBackward() {
        StateProgram.Builder b = StateProgram.builder();
        gather(b, Role.GRAD_OUTPUT, StateInput.GRAD_OUTPUT_STATISTICS);
        return b.build();
    }

    /** Takes the larger amax. A positive one counts more than NaN, and NaN more than 0: it shows that there was a tensor. */
    private static void gather(StateProgram.Builder b, Role role, StateInput statistics) {
        Value amax = b.input(statistics, Statistic.AMAX.ordinal());
        Value before = b.state(gathered(role));
        Value zero = b.constant(0);
        Value larger = b.select(b.greater(before, amax), before, amax);
        Value noAmax = b.select(b.greater(before, zero), before, b.maximum(before, amax));
        b.set(gathered(role), b.select(b.greater(amax, zero), larger, noAmax));
    }

    /**
     * {@return the program that advances the state}
     *
     * @param forwardTop largest value of the format of X and W
     * @param backwardTop largest value of the format of dY
     */
    StateProgram afterOptimizer(float forwardTop, float backwardTop) {
        StateProgram.Builder b = StateProgram.builder();
        for (Role role : ROLES) {
            advance(b, role, role == Role.GRAD_OUTPUT ? backwardTop : forwardTop);
            b.set(gathered(role), b.constant(0));
        }
        return b.build();
    }

    private void advance(StateProgram.Builder b, Role role, float top) {
        Value gathered = b.state(gathered(role));
        Value skipped = b.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
        Value moves = b.select(skipped, b.constant(0), b.select(gathered, b.constant(1), b.constant(0)));
        Value zero = b.constant(0);
        Value newest = b.select(b.greater(gathered, zero), gathered, zero); // NaN becomes 0
        Value amax = newest;
        if (!mostRecent) {
            Value rolled = b.roll(b.state(history(role)), newest);
            b.set(history(role), b.select(moves, rolled, b.state(history(role))));
            amax = b.largest(rolled);
        }
        Value largest = b.constant(Float.MAX_VALUE);
        Value finite = b.subtract(b.greater(amax, zero), b.greater(amax, largest)); // 1 where 0 < amax < infinity
        Value quotient = b.divide(b.divide(b.constant(top), amax), b.constant(Math.scalb(1f, margin)));
        Value bounded = b.select(b.greater(quotient, largest), largest, quotient);
        Value multiplier = powerOfTwo ? b.powerOfTwo(bounded) : bounded;
        Value before = b.state(multiplier(role));
        b.set(multiplier(role), b.select(b.multiply(moves, finite), multiplier, before));
    }
}
