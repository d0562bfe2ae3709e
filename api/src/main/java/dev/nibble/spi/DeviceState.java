package dev.nibble.spi;

import dev.nibble.tensor.Tensor;
import java.util.Collections;
import java.util.Map;
import java.util.TreeMap;

/** The state vectors of one layer on the device, by name. */
public final class DeviceState implements AutoCloseable {
    private final Map<String, Tensor> vectors;

    /**
     * Takes ownership of the vectors.
     *
     * @param vectors FP32 tensors of rank 1, by name
     */
    public DeviceState(Map<String, Tensor> vectors) {
        this.vectors = new TreeMap<>(vectors);
    }

    /** {@return the vector with this name} */
    public Tensor get(String name) {
        Tensor vector = vectors.get(name);
        if (vector == null) {
            throw new IllegalArgumentException(
                    "no state vector is named '" + name + "'; the layer has " + vectors.keySet());
        }
        return vector;
    }

    /** {@return all vectors by name, sorted} */
    public Map<String, Tensor> all() {
        return Collections.unmodifiableMap(vectors);
    }

    @Override
    public void close() {
        vectors.values().forEach(Tensor::close);
    }
}
