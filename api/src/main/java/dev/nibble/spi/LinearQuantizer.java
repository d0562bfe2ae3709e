package dev.nibble.spi;

import dev.nibble.state.StateVector;
import java.util.List;

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

    /** {@return the layer's device state with its first values; empty if the method has none} */
    default List<StateVector> state() {
        return List.of();
    }
}
