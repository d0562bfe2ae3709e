package dev.nibble.models;

import dev.nibble.spi.LinearLayer;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;

/**
 * What a linear layer worked on in one step of a checkpoint.
 *
 * @param layer the layer
 * @param quantizer label of its quantizer in the run
 * @param operands X [tokens, in], W [out, in] and dY [tokens, out], before they were quantized
 */
public record LayerSample(LinearLayer layer, String quantizer, Map<Role, Matrix> operands) {
    /** Copies the map. */
    public LayerSample {
        operands = Collections.unmodifiableMap(new EnumMap<>(operands));
    }

    /**
     * A matrix on the host.
     *
     * @param shape [rows, columns]
     * @param values row-major, [rows, columns]
     */
    public record Matrix(Shape shape, float[] values) {}
}
