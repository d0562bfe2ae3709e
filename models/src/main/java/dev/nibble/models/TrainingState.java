package dev.nibble.models;

import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.checkpoint.DeviceTensors;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.Optimizer;
import dev.nibble.models.train.WeightAverages;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * What a run needs to go on, on the device.
 *
 * @param backend whose memory it is
 * @param workload the parameters and layers
 * @param optimizer the moments
 * @param averages those of the weights, if the run keeps some
 * @param active the quantizers
 */
record TrainingState(
        Backend backend,
        Workload workload,
        Optimizer optimizer,
        Optional<WeightAverages> averages,
        ActiveQuantizers active) {
    /** {@return the parameters and running averages by name} */
    DeviceTensors model() {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        for (Parameter parameter : workload.parameters()) {
            tensors.put(parameter.name(), parameter.value());
        }
        tensors.putAll(workload.averages());
        return new DeviceTensors(backend, tensors);
    }

    /** {@return the moments and the control vector by name} */
    DeviceTensors moments() {
        return new DeviceTensors(backend, optimizer.state());
    }

    /** {@return the averages by the name of what they are averages of, if there are some} */
    Optional<DeviceTensors> averaged() {
        return averages.map(all -> new DeviceTensors(backend, all.state()));
    }

    /**
     * {@return the state vectors of the quantizers: layer, dot, vector}
     *
     * @param without layers that are left out
     */
    DeviceTensors quantizers(Set<String> without) {
        SequencedMap<String, Tensor> tensors = new LinkedHashMap<>();
        for (QuantizedLayer linear : workload.linears()) {
            String layer = linear.layer().site().name();
            if (!without.contains(layer)) {
                linear.state().all().forEach((vector, tensor) -> tensors.put(layer + "." + vector, tensor));
            }
        }
        return new DeviceTensors(backend, tensors);
    }

    /** {@return by layer, how many steps have advanced its state} */
    SortedMap<String, Integer> trainedSteps() {
        SortedMap<String, Integer> steps = new TreeMap<>();
        workload.linears().forEach(linear -> steps.put(linear.layer().site().name(), linear.trainedSteps()));
        return steps;
    }

    /** {@return by layer, its quantizer with all options} */
    SortedMap<String, String> quantizerLabels() {
        return active.labels();
    }

    /**
     * Takes everything from a checkpoint. Layers whose quantizer then is unknown now keep theirs, in its first state.
     *
     * @param state what it says
     * @throws dev.nibble.error.FormatException naming the file and tensor that do not fit the model
     */
    void restore(Checkpoint checkpoint, CheckpointState state) {
        Set<String> replaced = active.restore(state.quantizers(), state.step(), workload.linears());
        model().restore(checkpoint.file(CheckpointFile.MODEL), false);
        moments().restore(checkpoint.file(CheckpointFile.OPTIMIZER), false);
        averaged().ifPresent(all -> all.restore(checkpoint.file(CheckpointFile.AVERAGES), false));
        quantizers(replaced).restore(checkpoint.file(CheckpointFile.QUANTIZER), !replaced.isEmpty());
        for (QuantizedLayer linear : workload.linears()) {
            String layer = linear.layer().site().name();
            linear.resumeAt(replaced.contains(layer) ? 0 : state.trainedSteps().getOrDefault(layer, 0));
        }
    }

    /**
     * Compares everything with a checkpoint, bit for bit.
     *
     * @throws dev.nibble.error.FormatException naming the file and tensor that differ
     */
    void requireEqual(Checkpoint checkpoint) {
        model().requireEqual(checkpoint.file(CheckpointFile.MODEL));
        moments().requireEqual(checkpoint.file(CheckpointFile.OPTIMIZER));
        averaged().ifPresent(all -> all.requireEqual(checkpoint.file(CheckpointFile.AVERAGES)));
        quantizers(Set.of()).requireEqual(checkpoint.file(CheckpointFile.QUANTIZER));
    }
}
