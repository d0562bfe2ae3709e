package dev.nibble.spi;

import java.util.List;

/**
 * How an optimizer moves a parameter: hyper-parameters, and how many tensors of the parameter's shape it remembers. Weight
 * decay is decoupled in every rule: it is a share of the parameter, not a part of the gradient.
 */
public sealed interface UpdateRule permits AdamW, Lion, Sgd, StableAdamW {
    /** {@return the decoupled decay of matrices, 0 or more; vectors have none} */
    float weightDecay();

    /**
     * {@return names of what is remembered for each parameter, in the order in which {@link OptimizerOps#update} takes it}
     * Checkpoints call it {@code PARAMETER.NAME}.
     */
    List<String> states();
}
