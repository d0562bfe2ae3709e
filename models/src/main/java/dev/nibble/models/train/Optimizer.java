package dev.nibble.models.train;

import dev.nibble.models.layers.Parameter;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/** Updates all parameters, clipped by the norm of all gradients: what the rule remembers of each, and the control vector. */
public final class Optimizer implements AutoCloseable {
    private final Backend backend;
    private final UpdateRule rule;
    private final float clip;
    private final List<Slot> slots = new ArrayList<>();
    private final Tensor control;

    /** A parameter and what the rule remembers of it. */
    private record Slot(Parameter parameter, List<Tensor> state) {}

    /**
     * Makes an optimizer that remembers zeros.
     *
     * @param backend computes
     * @param rule how weights move
     * @param clip largest norm that is not clipped
     * @param parameters what to update
     */
    public Optimizer(Backend backend, UpdateRule rule, float clip, List<Parameter> parameters) {
        this.backend = backend;
        this.rule = rule;
        this.clip = clip;
        for (Parameter parameter : parameters) {
            Shape shape = parameter.value().shape();
            List<Tensor> state = new ArrayList<>();
            for (String name : rule.states()) {
                state.add(backend.allocate(parameter.name() + "." + name, DType.FP32, shape, MemoryTag.OPTIMIZER));
            }
            slots.add(new Slot(parameter, List.copyOf(state)));
        }
        control = backend.allocate("control", DType.FP32, Shape.of(Control.count()), MemoryTag.STATE);
    }

    /** Sets all gradients to 0. */
    public void zeroGradients(StepScope scope) {
        slots.forEach(slot -> backend.neural().zero(scope, slot.parameter().gradient()));
    }

    /** Updates all parameters, unless the device finds that the step must be skipped. */
    public void step(StepScope scope) {
        decide(scope);
        update(scope);
    }

    /** Has the device fill the control vector from the gradients. */
    public void decide(StepScope scope) {
        List<Tensor> gradients =
                slots.stream().map(slot -> slot.parameter().gradient()).toList();
        backend.optimizer().control(scope, gradients, clip, control);
    }

    /** Makes the step that {@link #decide} has decided about one that is skipped. Outside of a scope. */
    public void skip() {
        float[] values = backend.readFloats(control);
        if (values[Control.SKIPPED.ordinal()] == 0) {
            values[Control.SKIPPED.ordinal()] = 1;
            values[Control.UPDATES.ordinal()]--;
            backend.write(control, values);
        }
    }

    /** Updates all parameters, unless the control vector says that the step is skipped. */
    public void update(StepScope scope) {
        for (Slot slot : slots) {
            Parameter parameter = slot.parameter();
            backend.optimizer()
                    .update(
                            scope,
                            rule,
                            parameter.decay(),
                            parameter.value(),
                            parameter.gradient(),
                            slot.state(),
                            control);
        }
    }

    /**
     * {@return what a run needs to go on: {@code NAME.first}, {@code NAME.second} and so on of each parameter, as {@link
     * UpdateRule#states} names them, and {@code control}; owned by this}
     */
    public SequencedMap<String, Tensor> state() {
        SequencedMap<String, Tensor> state = new LinkedHashMap<>();
        for (Slot slot : slots) {
            for (int i = 0; i < slot.state().size(); i++) {
                state.put(
                        slot.parameter().name() + "." + rule.states().get(i),
                        slot.state().get(i));
            }
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
        slots.forEach(slot -> slot.state().forEach(Tensor::close));
        control.close();
    }
}
