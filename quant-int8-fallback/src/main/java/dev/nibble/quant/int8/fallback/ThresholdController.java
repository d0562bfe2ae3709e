package dev.nibble.quant.int8.fallback;

import dev.nibble.quant.Statistic;
import dev.nibble.spi.Control;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import java.util.List;

/**
 * Moves the threshold so that the share of blocks that fall back stays within [rateMin, rateMax].
 *
 * <p>Once an optimizer step, from the mean rate r of its forward passes: r &gt; rateMax: threshold · alpha; r &lt; rateMin:
 * threshold / alpha; else unchanged. When the direction flips, alpha first becomes its root, so that the threshold cannot
 * jump across a narrow distribution for ever. A skipped step changes nothing.
 *
 * <p>Two additions of ours let a settled threshold follow activations that grow: alpha never falls below the 64th root of its
 * first value, and the third move in a row in one direction squares it, up to its first value. After a flip two moves
 * return across what the last one overshot, so a third one means that the distribution itself has moved.
 */
final class ThresholdController {
    static final String THRESHOLD = "threshold";
    static final String ALPHA = "alpha";
    static final String FLIPS = "flips";
    static final String RATE = "rate";

    private static final String DIRECTION = "direction"; // of the last change: 1 up, -1 down, 0 none yet
    private static final String STREAK = "streak"; // moves in a row in one direction
    private static final String CANDIDATE = "candidate"; // the largest threshold that a forward pass of this step used
    private static final String RATE_SUM = "rateSum";
    private static final String PASSES = "passes";
    private static final double SMALLEST_ROOT = 1.0 / 64;
    private static final float MOVES_AFTER_A_FLIP = 2; // that return across what the move before the flip overshot
    private static final float SMALLEST_THRESHOLD = 0x1p-119f; // blocks below it have no residual at any threshold

    private ThresholdController() {}

    static List<StateVector> state(FallbackSettings settings) {
        return List.of(
                StateVector.scalar(THRESHOLD, Float.POSITIVE_INFINITY), // replaced by the first step's exact quantile
                StateVector.scalar(ALPHA, settings.alpha()),
                StateVector.scalar(FLIPS, 0f),
                StateVector.scalar(RATE, 0f),
                StateVector.scalar(DIRECTION, 0f),
                StateVector.scalar(STREAK, 0f),
                StateVector.scalar(CANDIDATE, 0f),
                StateVector.scalar(RATE_SUM, 0f),
                StateVector.scalar(PASSES, 0f));
    }

    static StateProgram afterForward() {
        StateProgram.Builder b = StateProgram.builder();
        Value rate = b.input(StateInput.INPUT_STATISTICS, Statistic.FALLBACK_RATE.ordinal());
        Value threshold = b.input(StateInput.INPUT_STATISTICS, Statistic.THRESHOLD.ordinal());
        return b.set(RATE_SUM, b.add(b.state(RATE_SUM), rate))
                .set(PASSES, b.add(b.state(PASSES), b.constant(1)))
                .set(CANDIDATE, b.maximum(b.state(CANDIDATE), threshold))
                .build();
    }

    static StateProgram afterOptimizer(FallbackSettings settings) {
        StateProgram.Builder b = StateProgram.builder();
        Value zero = b.constant(0);
        Value one = b.constant(1);
        Value rate = b.divide(b.state(RATE_SUM), b.maximum(b.state(PASSES), one));
        Value tooMany = b.greater(rate, b.constant(settings.rateMax()));
        Value tooFew = b.greater(b.constant(settings.rateMin()), rate);
        Value direction = b.subtract(tooMany, tooFew);
        Value flip = b.greater(zero, b.multiply(direction, b.state(DIRECTION)));
        Value streak = b.select(direction, b.select(flip, one, b.add(b.state(STREAK), one)), zero);
        Value alpha = settings.flipDamping() ? adapted(b, settings, flip, streak) : b.state(ALPHA);
        Value candidate = b.state(CANDIDATE);
        Value moved = b.select(
                tooMany, b.multiply(candidate, alpha), b.select(tooFew, b.divide(candidate, alpha), candidate));
        Value skipped = b.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
        // A threshold of 0, the quantile of an input that is mostly zero, could never rise again.
        keep(b, skipped, THRESHOLD, b.maximum(moved, b.constant(SMALLEST_THRESHOLD)));
        keep(b, skipped, ALPHA, alpha);
        keep(b, skipped, FLIPS, b.add(b.state(FLIPS), flip));
        keep(b, skipped, RATE, rate);
        keep(b, skipped, STREAK, streak);
        keep(b, skipped, DIRECTION, b.select(direction, direction, b.state(DIRECTION)));
        return b.set(RATE_SUM, zero).set(PASSES, zero).set(CANDIDATE, zero).build();
    }

    private static Value adapted(StateProgram.Builder b, FallbackSettings settings, Value flip, Value streak) {
        Value alpha = b.state(ALPHA);
        Value smallest = b.constant((float) StrictMath.pow(settings.alpha(), SMALLEST_ROOT));
        Value largest = b.constant(settings.alpha());
        Value damped = b.maximum(b.sqrt(alpha), smallest);
        Value square = b.multiply(alpha, alpha);
        Value grown = b.select(b.greater(square, largest), largest, square);
        Value moves = b.constant(MOVES_AFTER_A_FLIP);
        return b.select(flip, damped, b.select(b.greater(streak, moves), grown, alpha));
    }

    private static void keep(StateProgram.Builder b, Value skipped, String state, Value value) {
        b.set(state, b.select(skipped, b.state(state), value));
    }
}
