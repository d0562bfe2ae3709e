package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;

/** Looks token vectors up in FP32: {@code y[t] = table[ids[t]]}. */
public final class Embedding {
    private final Backend backend;
    private final Parameter table;

    /**
     * Makes the layer.
     *
     * @param backend computes
     * @param table [vocabulary, width]; not owned: a tied head uses it too
     */
    public Embedding(Backend backend, Parameter table) {
        this.backend = backend;
        this.table = table;
    }

    /**
     * {@return the vectors, [tokens, width], owned by the caller}
     *
     * @param ids INT32, [tokens]
     */
    public Tensor forward(StepScope scope, Tensor ids) {
        return backend.neural().embedding(scope, ids, table.value());
    }

    /** Adds to the table's gradient. */
    public void backward(StepScope scope, Tensor ids, Tensor gradOutput) {
        backend.neural().embeddingBackward(scope, ids, gradOutput, table.gradient());
    }
}
