package dev.nibble.quant.int4;

import dev.nibble.quant.Statistic;
import dev.nibble.spi.Control;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import java.util.List;

/**
 * The step size of X or of W: device state that is learned (LSQ, Esser et al. 2020, arXiv:1902.08153).
 *
 * <p>In the cold start it is {@code 2·mean|XH| / sqrt(7) + 1e-10} of each batch. Then, once an optimizer step, with G the
 * gradient that the backward passes have added up, c the factor that clips all gradients, r the relative rate:
 *
 * <p>{@code g = s·G·c}, the gradient of log s; {@code m = 0.9·m + 0.1·g; v = 0.99·v + 0.01·g²}, both corrected for their start
 * at 0; {@code s = max(s · (1 - clamp(r·learningRate·m / (sqrt(v) + 1e-20), ±0.1)), 1e-8)}. That is Adam on log s, to first
 * order. It is ours: docs/design/0002 says why. s stays positive; a g that is NaN, or too large for g² to be FP32, is left out; an s of
 * 1e-8 or less, which only a tensor of all but zeros gives, is given up for that of the next batch.
 *
 * @param value state vector that holds s; 0: not known, taken from the next batch
 * @param statistics of the tensor
 */
record LearnedStep(String value, StateInput statistics) {
    static final LearnedStep INPUT = new LearnedStep("stepX", StateInput.INPUT_STATISTICS);
    static final LearnedStep WEIGHT = new LearnedStep("stepW", StateInput.WEIGHT_STATISTICS);

    static final float BETA_1 = 0.9f;
    static final float BETA_2 = 0.99f;

    private static final float SMALLEST = 1e-8f;
    private static final float LARGEST_CHANGE = 0.1f; // of an update, relative
    private static final float LARGEST_GRADIENT = 1e18f; // its square is within FP32
    private static final float EPSILON = 1e-20f; // g has no natural size; this only guards against 0 / 0

    /** {@return the state vector that backward passes add the gradient of s to} */
    String gradient() {
        return value + "Gradient";
    }

    private String settled() { // s as the last step that was not skipped has left it
        return value + "Settled";
    }

    private String first() { // m
        return value + "First";
    }

    private String second() { // v
        return value + "Second";
    }

    List<StateVector> state() {
        return List.of(
                StateVector.scalar(value, 0f),
                StateVector.scalar(settled(), 0f),
                StateVector.scalar(gradient(), 0f),
                StateVector.scalar(first(), 0f),
                StateVector.scalar(second(), 0f));
    }

    /** Takes over the scale that a forward pass has used: the backward pass needs it. NaN is left alone. */
    void follow(StateProgram.Builder b) {
        Value used = b.input(statistics, Statistic.SCALE.ordinal());
        b.set(value, b.select(b.greater(used, b.constant(0)), used, b.state(value)));
    }

    /** Ends a step without learning. */
    void keep(StateProgram.Builder b, Value skipped) {
        settle(b, skipped, b.state(value));
    }

    /**
     * Ends a step with an update.
     *
     * @param rate r·learningRate
     * @param correction1 1 / (1 - 0.9^t)
     * @param correction2 1 / (1 - 0.99^t)
     */
    void learn(StateProgram.Builder b, Value skipped, Value rate, Value correction1, Value correction2) {
        Value s = b.state(value);
        Value clip = b.input(StateInput.CONTROL, Control.CLIP.ordinal());
        Value g = b.multiply(b.multiply(s, b.state(gradient())), clip);
        Value magnitude = b.maximum(g, b.subtract(b.constant(0), g)); // NaN stays
        Value usable = b.greater(b.constant(LARGEST_GRADIENT), magnitude);
        Value m = average(b, first(), BETA_1, g);
        Value v = average(b, second(), BETA_2, b.multiply(g, g));
        Value deviation = b.add(b.sqrt(b.multiply(v, correction2)), b.constant(EPSILON));
        Value change = b.multiply(rate, b.divide(b.multiply(m, correction1), deviation));
        Value bounded = b.maximum(smaller(b, change, b.constant(LARGEST_CHANGE)), b.constant(-LARGEST_CHANGE));
        Value moved = b.multiply(s, b.subtract(b.constant(1), bounded));
        Value learns = b.select(skipped, b.constant(0), usable);
        b.set(first(), b.select(learns, m, b.state(first())));
        b.set(second(), b.select(learns, v, b.state(second())));
        settle(b, skipped, b.select(usable, b.maximum(moved, b.constant(SMALLEST)), s));
    }

    private void settle(StateProgram.Builder b, Value skipped, Value next) {
        Value known = b.greater(b.state(value), b.constant(SMALLEST));
        Value result = b.select(skipped, b.state(settled()), b.select(known, next, b.constant(0)));
        b.set(value, result).set(settled(), result).set(gradient(), b.constant(0));
    }

    private static Value average(StateProgram.Builder b, String state, float beta, Value value) {
        return b.add(b.multiply(b.constant(beta), b.state(state)), b.multiply(b.constant(1 - beta), value));
    }

    private static Value smaller(StateProgram.Builder b, Value x, Value y) {
        return b.select(b.greater(x, y), y, x);
    }
}
