package dev.nibble.models.train;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
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
     * {@return model and data on a backend, owned by the caller}
     *
     * @param backend where
     * @param quantizers how each linear layer is computed
     * @param seed seed of first weights and data order
     */
    Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed);
}
