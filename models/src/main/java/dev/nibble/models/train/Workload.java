package dev.nibble.models.train;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Optional;
import java.util.SequencedMap;

/** A model and its data on a backend, as a training loop sees them. */
public interface Workload extends AutoCloseable {
    /** {@return all parameters, each once} */
    List<Parameter> parameters();

    /** {@return what training changes besides parameters and quantizers, by name: running averages; not owned} */
    default SequencedMap<String, Tensor> averages() {
        return new LinkedHashMap<>();
    }

    /** {@return the linear layers, and the products that are quantized like them, in the model's order} */
    List<QuantizedLayer> linears();

    /** Has the blocks of the model repeat their forward passes before the backward pass, to the same bits, and keep only what enters them. */
    void repeatBlocks();

    /** Moves the batch of a micro-batch in; outside a step. */
    void loadTraining(int step, int microBatch);

    /** Moves a training batch in that needs as much memory as any; outside a step. */
    default void loadLargest() {
        loadTraining(0, 0);
    }

    /**
     * Computes the loss of the loaded batch and keeps what the backward pass needs.
     *
     * @param loss [1], FP32; {@code weight · loss} is added
     * @param weight factor of the loss and of all gradients
     */
    void forward(StepScope scope, Tensor loss, float weight);

    /** Adds to all gradients. */
    void backward(StepScope scope);

    /** {@return validation batches; at least 1} */
    int validationBatches();

    /** Moves a validation batch in; outside a step. */
    void loadValidation(int index);

    /**
     * Adds the part of the loaded validation batch to the mean loss of all of them, with frozen state.
     *
     * @param loss [1], FP32
     */
    void evaluate(StepScope scope, Tensor loss);

    /**
     * {@return [1], FP32, to which {@link #evaluate} adds the number of right answers, owned by this; empty unless the
     * task is a classification}
     */
    default Optional<Tensor> correct() {
        return Optional.empty();
    }

    /** {@return samples in all validation batches, words where words are classified; 0 unless the task is a classification} */
    default long validationSamples() {
        return 0;
    }

    /**
     * {@return what else the evaluation that has just ended says, by name, in the order of {@link TaskKind#scores}; asked for outside a
     * step}
     *
     * @param loss mean loss of the evaluation
     */
    default SequencedMap<String, Double> scores(double loss) {
        return new LinkedHashMap<>();
    }

    /** {@return what somebody who starts the run should know of how its batches are computed} */
    default List<String> notices() {
        return List.of();
    }

    @Override
    void close();
}
