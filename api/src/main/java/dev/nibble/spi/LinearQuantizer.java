package dev.nibble.spi;

import dev.nibble.quant.TensorCodec;
import dev.nibble.state.StateVector;
import java.util.List;
import java.util.Optional;

/** How one layer is quantized. Immutable and thread-safe: what changes from step to step is state on the device. */
public interface LinearQuantizer {
    /**
     * {@return the plan for one shape} The same request gives an equal plan; nothing is read from the device.
     *
     * @param request shape and what the host knows of the layer's history
     */
    LinearPlan plan(PlanRequest request);

    /** {@return training steps for which plans are asked for with {@link PlanRequest#fresh}; at least 1} */
    default int freshSteps() {
        return 1;
    }

    /**
     * {@return how the operation that makes this layer's input, a norm or an activation, keeps its own input for its backward
     * pass; empty for FP32} Attention keeps q, k, v and its output in BF16 for any codec. The layer decides, since it is the one that may ask for its input again: a plan with a
     * {@link LinearPlan#inputClip} would get it from decoded values.
     */
    default Optional<TensorCodec> context() {
        return Optional.empty();
    }

    /** {@return the layer's device state with its first values; empty if the method has none} */
    default List<StateVector> state() {
        return List.of();
    }
}
