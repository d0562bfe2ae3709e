package dev.nibble.quant.fp8;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Transform;
import dev.nibble.spi.LinearLayer;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import java.util.Collections;
import java.util.List;
import java.util.Locale;

/**
 * Smooth-SwiGLU: a few channels of a SwiGLU's output grow far beyond the others, and would take the range of the format
 * from them. Layers that read such an output, known by the end of their name, smooth it. Source: arXiv:2409.12517.
 */
enum Smoothing {
    /** Nothing. */
    NONE,
    /**
     * Column k of X is multiplied by d[k], and that of W divided by it: {@code d[k] = 2^floor(log2(1 / max|x[:, k]|))}, a
     * power of two, so that only rounding to codes rounds. The paper takes the maxima of the linear branch; these are
     * of the product. Measured in the first forward pass of each step, before W is quantized, and kept for evaluation. A
     * column whose maximum is outside (2^-60, 2^60), or not a number, keeps the d it had, at first 1.
     */
    CHANNEL,
    /** One scale a token for X in the output product, where it leaves the sum. The form of the released code. */
    TOKEN;

    private static final String LAYERS = "mlp.down";
    private static final String STATE = "smoothing";
    private static final float SMALLEST = 0x1p-60f;
    private static final float LARGEST = 0x1p60f;

    /** {@return the value of the option} */
    String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** {@return what of this happens in a layer} */
    Smoothing in(LinearLayer layer) {
        return layer.site().name().endsWith(LAYERS) ? this : NONE;
    }

    /** {@return d, one element a column, or nothing} */
    List<StateVector> state(int columns) {
        return this == CHANNEL ? List.of(new StateVector(STATE, Collections.nCopies(columns, 1f))) : List.of();
    }

    /** {@return the program that measures d} */
    StateProgram beforeForward(int columns) {
        if (this != CHANNEL) {
            return StateProgram.EMPTY;
        }
        StateProgram.Builder b = StateProgram.builder();
        Value largest = b.columnAmax(StateInput.INPUT, columns); // [columns]
        Value usable = b.multiply(
                b.greater(largest, b.constant(SMALLEST)), b.greater(b.constant(LARGEST), largest)); // [columns]
        Value d = b.powerOfTwo(b.divide(b.constant(1), largest)); // [columns]
        return b.set(STATE, b.select(usable, d, b.state(STATE))).build();
    }

    /** {@return how X is quantized, smoothed} */
    QuantizeSpec input(QuantizeSpec spec) {
        return this == CHANNEL ? spec.with(new Transform.ColumnScale(STATE, false)) : spec;
    }

    /** {@return how W is quantized, so that the product stays what it was} */
    QuantizeSpec weight(QuantizeSpec spec) {
        return this == CHANNEL ? spec.with(new Transform.ColumnScale(STATE, true)) : spec;
    }
}
