package dev.nibble.models.train;

import dev.nibble.models.layers.Parameter;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/** AdamW with clipping by the norm of all gradients: the moments of every parameter, and the control vector. */
public final class Optimizer implements AutoCloseable {
    private final Backend backend;
    private final AdamW spec;
    private final float clip;
    private final List<Slot> slots = new ArrayList<>();
    private final Tensor control;

    /** A parameter and its moments. */
    private record Slot(Parameter parameter, Tensor first, Tensor second) {}

    /**
     * Makes an optimizer with moments 0.
     *
     * @param backend computes
     * @param spec hyper-parameters
     * @param clip largest norm that is not clipped
     * @param parameters what to update
     */
    public Optimizer(Backend backend, AdamW spec, float clip, List<Parameter> parameters) {
        this.backend = backend;
        this.spec = spec;
        this.clip = clip;
        for (Parameter parameter : parameters) {
            Shape shape = parameter.value().shape();
            slots.add(new Slot(
                    parameter,
                    backend.allocate(parameter.name() + ".first", DType.FP32, shape, MemoryTag.OPTIMIZER),
                    backend.allocate(parameter.name() + ".second", DType.FP32, shape, MemoryTag.OPTIMIZER)));
        }
        control = backend.allocate("control", DType.FP32, Shape.of(Control.count()), MemoryTag.STATE);
    }

    /** Sets all gradients to 0. */
    public void zeroGradients(StepScope scope) {
        slots.forEach(slot -> backend.neural().zero(scope, slot.parameter().gradient()));
    }

    /** Updates all parameters, unless the device finds that the step must be skipped. */
    public void step(StepScope scope) {
        List<Tensor> gradients =
                slots.stream().map(slot -> slot.parameter().gradient()).toList();
        backend.optimizer().control(scope, gradients, clip, control);
        for (Slot slot : slots) {
            Parameter parameter = slot.parameter();
            backend.optimizer()
                    .adamW(
                            scope,
                            spec,
                            parameter.decay(),
                            parameter.value(),
                            parameter.gradient(),
                            slot.first(),
                            slot.second(),
                            control);
        }
    }

    /**
     * {@return what a run needs to go on: the moments of each parameter, {@code NAME.first} and {@code NAME.second}, and
     * {@code control}; owned by this}
     */
    public SequencedMap<String, Tensor> state() {
        SequencedMap<String, Tensor> state = new LinkedHashMap<>();
        for (Slot slot : slots) {
            state.put(slot.parameter().name() + ".first", slot.first());
            state.put(slot.parameter().name() + ".second", slot.second());
        }
        state.put("control", control);
        return state;
    }

    /** {@return the control vector, FP32, [{@link Control#count()}], owned by this} */
    public Tensor control() {
        return control;
    }

    @Override
    public void close() {
        for (Slot slot : slots) {
            slot.first().close();
            slot.second().close();
        }
        control.close();
    }
}
