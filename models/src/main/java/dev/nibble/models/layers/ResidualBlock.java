package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.function.Supplier;

/**
 * A residual block (He et al. 2015, arXiv:1512.03385): {@code y = relu(units(x) + shortcut(x))}, the shortcut being x itself where the
 * shapes are equal.
 */
final class ResidualBlock implements AutoCloseable {
    private final Backend backend;
    private final List<ConvolutionUnit> units;
    private final Optional<ConvolutionUnit> shortcut;
    private final Supplier<Optional<TensorCodec>> codec;
    private final Deque<Kept> outputs = new ArrayDeque<>();
    private final Repetition repetition = new Repetition();

    /**
     * Makes the block.
     *
     * @param units one after the other, the last without a ReLU; owned by this
     * @param shortcut without a ReLU; owned by this
     * @param codec tells how the output is packed between the passes
     */
    ResidualBlock(
            Backend backend,
            List<ConvolutionUnit> units,
            Optional<ConvolutionUnit> shortcut,
            Supplier<Optional<TensorCodec>> codec) {
        this.backend = backend;
        this.units = List.copyOf(units);
        this.shortcut = shortcut;
        this.codec = codec;
    }

    /** Keeps of a forward pass in training only x, and repeats it before the backward pass. */
    void repeatForward() {
        repetition.begin();
    }

    /** {@return the units, the shortcut last if there is one} */
    List<ConvolutionUnit> units() {
        List<ConvolutionUnit> all = new ArrayList<>(units);
        shortcut.ifPresent(all::add);
        return all;
    }

    /**
     * {@return y, owned by the caller}
     *
     * @param x must not be modified before the backward pass
     */
    Tensor forward(StepScope scope, Tensor x) {
        return repetition.forward(scope, x.share(), (pass, input) -> {
            try (input) {
                return once(pass, input);
            }
        });
    }

    private Tensor once(StepScope scope, Tensor x) {
        Tensor branch = x.share();
        for (ConvolutionUnit unit : units) {
            try (Tensor input = branch) {
                branch = unit.forward(scope, input);
            }
        }
        try (Tensor sum = branch;
                Tensor straight = shortcut.isPresent() ? shortcut.get().forward(scope, x) : x.share()) {
            backend.neural().addInPlace(scope, sum, straight);
            Tensor y = backend.neural().relu(scope, sum);
            if (scope.context().keepsContext()) {
                outputs.push(Kept.of(backend, scope, codec.get(), y));
            }
            return y;
        }
    }

    /** {@return y of the latest forward pass that has no backward pass yet, once more, owned by the caller} */
    Tensor output(StepScope scope) {
        repetition.repeat(scope);
        return outputs.getFirst().tensor(scope);
    }

    /** {@return what the backward pass of a layer that reads y is given for it, owned by the caller: y as it is kept} */
    Tensor asKept(StepScope scope, Tensor y) {
        try (Kept kept = Kept.of(backend, scope, codec.get(), y)) {
            return kept.tensor(scope);
        }
    }

    /** {@return x of the latest forward pass that has no backward pass yet, owned by the caller; empty if it is not repeated} */
    Optional<Tensor> input() {
        return repetition.input();
    }

    /**
     * {@return dx, owned by the caller} Adds to the gradients of all parameters.
     *
     * @param gradOutput shaped like y
     * @param again makes x again
     */
    Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        repetition.beforeBackward(scope);
        Tensor gradSum;
        try (Kept kept = outputs.pop();
                Tensor y = kept.tensor(scope)) {
            gradSum = backend.neural().reluBackward(scope, gradOutput, y);
        }
        try (gradSum) {
            Tensor gradient = gradSum.share();
            for (int i = units.size() - 1; i >= 0; i--) {
                InputSource input = i == 0 ? again : units.get(i - 1)::output;
                try (Tensor gradUnit = gradient) {
                    gradient = units.get(i).backward(scope, gradUnit, input);
                }
            }
            try (Tensor straight =
                    shortcut.isPresent() ? shortcut.get().backward(scope, gradSum, again) : gradSum.share()) {
                backend.neural().addInPlace(scope, gradient, straight);
            }
            return gradient;
        }
    }

    @Override
    public void close() {
        repetition.close();
        outputs.forEach(Kept::close);
        outputs.clear();
        units().forEach(ConvolutionUnit::close);
    }
}
