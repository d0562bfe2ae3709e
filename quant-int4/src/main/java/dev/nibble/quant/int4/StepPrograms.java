package dev.nibble.quant.int4;

import dev.nibble.spi.Control;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import java.util.List;

/** The state of a layer beside its steps, and the programs that advance all of it. */
final class StepPrograms {
    /** State vector that holds log2 of the block size. */
    static final String HADAMARD = "hadamard";

    private static final String SETTLED = "hadamardSettled"; // as the last step that was not skipped has left it
    private static final String POWER_1 = "beta1Power"; // 0.9^t, t the updates of the steps so far
    private static final String POWER_2 = "beta2Power"; // 0.99^t

    private StepPrograms() {}

    static List<StateVector> state(int log2, boolean searches) {
        StateVector size = StateVector.scalar(HADAMARD, log2);
        StateVector power1 = StateVector.scalar(POWER_1, 1f);
        StateVector power2 = StateVector.scalar(POWER_2, 1f);
        return searches
                ? List.of(size, StateVector.scalar(SETTLED, log2), power1, power2)
                : List.of(size, power1, power2);
    }

    static StateProgram afterForward() {
        StateProgram.Builder b = StateProgram.builder();
        LearnedStep.INPUT.follow(b);
        LearnedStep.WEIGHT.follow(b);
        return b.build();
    }

    static StateProgram afterOptimizer(Int4Settings settings, boolean fresh, boolean searches) {
        StateProgram.Builder b = StateProgram.builder();
        Value skipped = b.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
        if (fresh && searches) {
            Value size = b.select(skipped, b.state(SETTLED), b.state(HADAMARD));
            b.set(HADAMARD, size).set(SETTLED, size);
        }
        if (fresh || !settings.learnSteps()) {
            LearnedStep.INPUT.keep(b, skipped);
            LearnedStep.WEIGHT.keep(b, skipped);
            return b.build();
        }
        Value learningRate = b.input(StateInput.CONTROL, Control.LEARNING_RATE.ordinal());
        Value rate = b.multiply(b.constant(settings.stepRate()), learningRate);
        Value correction1 = correction(b, skipped, POWER_1, LearnedStep.BETA_1);
        Value correction2 = correction(b, skipped, POWER_2, LearnedStep.BETA_2);
        LearnedStep.INPUT.learn(b, skipped, rate, correction1, correction2);
        LearnedStep.WEIGHT.learn(b, skipped, rate, correction1, correction2);
        return b.build();
    }

    /** {@return 1 / (1 - beta^t) with the update that is being done} */
    private static Value correction(StateProgram.Builder b, Value skipped, String power, float beta) {
        Value next = b.multiply(b.state(power), b.constant(beta));
        b.set(power, b.select(skipped, b.state(power), next));
        return b.divide(b.constant(1), b.subtract(b.constant(1), next));
    }
}
