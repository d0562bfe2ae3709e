package dev.nibble.models.train;

import dev.nibble.models.layers.Parameter;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/**
 * Moving averages of the weights, FP32 (Polyak and Juditsky 1992): after each update that was not skipped {@code a = a + (1 - d) · (w - a)},
 * {@code d = min(decay, (1 + t) / (10 + t))} with t the number of updates, starting from the first weights. What a model averages itself, as
 * batch normalization does, is averaged likewise; the state of quantizers is not.
 *
 * <p>A model is evaluated with its averages by changing places: while they are in use, the gradients hold the weights.
 */
public final class WeightAverages implements AutoCloseable {
    private final Backend backend;
    private final float decay;
    private final List<Slot> slots = new ArrayList<>();

    /**
     * A tensor and its average.
     *
     * @param spare holds the tensor while its average is in its place
     * @param ownsSpare whether nothing else has it
     */
    private record Slot(String name, Tensor value, Tensor average, Tensor spare, boolean ownsSpare) {}

    private WeightAverages(Backend backend, float decay, Workload workload) {
        this.backend = backend;
        this.decay = decay;
        for (Parameter parameter : workload.parameters()) {
            add(parameter.name(), parameter.value(), Optional.of(parameter.gradient()));
        }
        workload.averages().forEach((name, average) -> add(name, average, Optional.empty()));
    }

    /**
     * {@return averages that are equal to the weights, owned by the caller; empty if none are wanted}
     *
     * @param backend computes
     * @param decay share of an average that stays; 0 for none
     * @param workload what is trained
     */
    public static Optional<WeightAverages> of(Backend backend, float decay, Workload workload) {
        return decay == 0 ? Optional.empty() : Optional.of(new WeightAverages(backend, decay, workload));
    }

    private void add(String name, Tensor value, Optional<Tensor> spare) {
        Tensor average = backend.allocate(name + ".average", DType.FP32, value.shape(), MemoryTag.OPTIMIZER);
        if (backend.hasValues()) {
            backend.write(average, backend.readFloats(value));
        }
        slots.add(new Slot(
                name,
                value,
                average,
                spare.orElseGet(
                        () -> backend.allocate(name + ".spare", DType.FP32, value.shape(), MemoryTag.OPTIMIZER)),
                spare.isEmpty()));
    }

    /**
     * Moves the averages, unless the control vector says that the step is skipped.
     *
     * @param control as {@link Optimizer#control} has it after the decision about the step
     */
    public void move(StepScope scope, Tensor control) {
        List<Tensor> averages = slots.stream().map(Slot::average).toList();
        List<Tensor> values = slots.stream().map(Slot::value).toList();
        backend.optimizer().moveAverages(scope, averages, values, decay, control);
    }

    /** Puts the averages where the model reads its weights. Gradients are lost. */
    public void use(StepScope scope) {
        for (Slot slot : slots) {
            copy(scope, slot.value(), slot.spare());
            copy(scope, slot.average(), slot.value());
        }
    }

    /** Puts the weights back, bit for bit, after {@link #use}. */
    public void putBack(StepScope scope) {
        slots.forEach(slot -> copy(scope, slot.spare(), slot.value()));
    }

    private void copy(StepScope scope, Tensor source, Tensor target) {
        int rows = Math.toIntExact(source.shape().rows());
        int cols = Math.toIntExact(source.shape().cols());
        backend.neural().copyBlock(scope, source, target, BlockCopy.whole(rows, cols));
    }

    /** {@return the averages under the names of what they are averages of; owned by this} */
    public SequencedMap<String, Tensor> state() {
        SequencedMap<String, Tensor> state = new LinkedHashMap<>();
        slots.forEach(slot -> state.put(slot.name(), slot.average()));
        return state;
    }

    @Override
    public void close() {
        for (Slot slot : slots) {
            slot.average().close();
            if (slot.ownsSpare()) {
                slot.spare().close();
            }
        }
    }
}
