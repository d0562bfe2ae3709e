package dev.nibble.models.train;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** A model, data that has been read, and how to train. Immutable. */
public interface Task {
    /** {@return the model in one line} */
    String summary();

    /** {@return trained numbers} */
    long parameters();

    /** {@return tokens or samples of one micro-batch: units of the preset's {@link TaskKind}} */
    long units();

    /** {@return how to train} */
    TrainingSpec training();

    /** {@return a hash of the data, by which a run that goes on knows it again; empty if there is none} */
    default String dataHash() {
        return "";
    }

    /**
     * {@return what the parameters do not tell who uses the model, by name, for checkpoints and exports: texts, whole numbers, truth values and
     * lists of them} {@code heads}: attention heads; {@code labels}: names of the classes by number; {@code tokenizer}: path of the
     * tokenizer.json; {@code words}: whether words are classified.
     */
    default Map<String, Object> facts() {
        return Map.of();
    }

    /** {@return what somebody who starts the run should know, such as what of the data is left out} */
    default List<String> notices() {
        return List.of();
    }

    /**
     * {@return model and data on a backend, owned by the caller}
     *
     * @param backend where
     * @param quantizers how each linear layer is computed
     * @param seed seed of first weights and data order
     */
    Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed);
}
