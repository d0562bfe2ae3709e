package dev.nibble.models.layers;

import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;

/**
 * What a block needs to keep of its forward passes in training only what enters them, and to repeat them before their backward passes, to
 * the same bits (Chen et al. 2016, arXiv:1604.06174): the first pass advances state and keeps nothing, the second keeps and advances nothing.
 */
public final class Repetition implements AutoCloseable {
    private final Deque<Input> inputs = new ArrayDeque<>(); // of forward passes that have no backward pass yet
    private boolean wanted;
    private boolean done; // the latest forward pass has been repeated

    /** Makes what repeats nothing until it is told to. */
    public Repetition() {}

    /** A forward pass of the block. */
    @FunctionalInterface
    public interface Pass {
        /**
         * {@return what the block gives, owned by the caller}
         *
         * @param x what enters the block; closed
         */
        Tensor run(StepScope scope, Tensor x);
    }

    private record Input(Tensor x, Pass pass) {}

    /** Repeats forward passes from now on. */
    public void begin() {
        wanted = true;
    }

    /**
     * {@return what the block gives, owned by the caller}
     *
     * @param x what enters the block; closed; must not be modified before the backward pass
     * @param pass the block's forward pass
     */
    public Tensor forward(StepScope scope, Tensor x, Pass pass) {
        if (!wanted || !scope.context().keepsContext()) {
            return pass.run(scope, x);
        }
        scope.save(x);
        inputs.push(new Input(x.share(), pass));
        return pass.run(scope.in(StepContext.Mode.ADVANCE), x);
    }

    /** Makes what the latest forward pass would have kept, unless it is there: before anything reads it. */
    public void repeat(StepScope scope) {
        if (wanted && !done) {
            again(scope, inputs.getFirst(), inputs.getFirst().x().share());
            done = true;
        }
    }

    /** Like {@link #repeat}, at the start of the backward pass of the latest forward pass. */
    public void beforeBackward(StepScope scope) {
        if (wanted) {
            Input input = inputs.pop();
            if (done) {
                input.x().close();
            } else {
                again(scope, input, input.x());
            }
            done = false;
        }
    }

    private static void again(StepScope scope, Input input, Tensor x) {
        input.pass().run(scope.in(StepContext.Mode.RECOMPUTE), x).close();
    }

    /** {@return what entered the latest forward pass that has no backward pass yet, owned by the caller; empty if nothing is repeated} */
    public Optional<Tensor> input() {
        return wanted ? Optional.of(inputs.getFirst().x().share()) : Optional.empty();
    }

    @Override
    public void close() {
        inputs.forEach(input -> input.x().close());
        inputs.clear();
    }
}
