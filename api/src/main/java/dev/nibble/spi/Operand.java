package dev.nibble.spi;

import dev.nibble.quant.OperandSpec;
import dev.nibble.tensor.DType;

/**
 * A quantized matrix [rows, k] on a device, laid out for one contraction. It owns a copy of its scales.
 */
public interface Operand extends AutoCloseable {
    /** {@return how it was made} */
    OperandSpec spec();

    /** {@return its rows: the axis that is not contracted} */
    long rows();

    /** {@return the length of its contraction} */
    long k();

    /** {@return the format that a plane's codes are stored in} */
    DType storedFormat(int plane);

    /** {@return another handle on the same memory} */
    Operand share();

    /** Gives this handle up; the memory is freed with its last handle. */
    @Override
    void close();
}
