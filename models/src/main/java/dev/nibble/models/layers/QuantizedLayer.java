package dev.nibble.models.layers;

import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.Set;

/** Products that a {@link dev.nibble.spi.LinearQuantizer} plans, with state of their own, as a training loop sees them. */
public sealed interface QuantizedLayer permits QuantizedLinear, QuantizedProduct {
    /** {@return name and size} */
    LinearLayer layer();

    /**
     * Plans by another quantizer from now on: between steps. Its state begins as in a new run, and what the one before had learned is
     * dropped.
     */
    void use(LinearQuantizer quantizer);

    /** {@return the quantizer's state on the device} */
    DeviceState state();

    /** {@return names of the state vectors that nothing reads, because a part of the method is left out here} */
    Set<String> idleState();

    /**
     * {@return the {@link dev.nibble.quant.Statistic}s of the last input of a forward pass that was observed, FP32} Of a product that
     * is computed for each sequence and head, or for some tokens after the other, those of the last one's.
     */
    Tensor statistics();

    /** Says whether the next forward passes note the statistics of their input: two small operations each. */
    void observe(boolean value);

    /** Advances the quantizer's state; once an optimizer step, after the control vector is filled. */
    void afterOptimizer(StepScope scope, Tensor control);

    /** Frees the operands of the weight, if there is one: it is about to change, or no product needs them soon. */
    void releaseWeight();

    /** Says that the state has been advanced by a training step that was not skipped. */
    void markTrained();

    /** {@return training steps that have advanced the state} */
    int trainedSteps();

    /** Says that so many training steps have advanced the state: it was read from a checkpoint. */
    void resumeAt(int steps);
}
