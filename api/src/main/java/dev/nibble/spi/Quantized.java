package dev.nibble.spi;

import dev.nibble.quant.Contraction;
import dev.nibble.tensor.Tensor;

/** What quantizing one tensor gives: an operand for each contraction, and side results on the device. */
public interface Quantized extends AutoCloseable {
    /**
     * {@return the operand for a contraction, owned by this result} {@link Operand#share} it to keep it longer.
     *
     * @throws IllegalArgumentException if the spec did not ask for it
     */
    Operand operand(Contraction contraction);

    /** {@return the {@code Statistic}s: FP32, one element each, owned by this result} */
    Tensor statistics();

    /** Gives all handles up. */
    @Override
    void close();
}
