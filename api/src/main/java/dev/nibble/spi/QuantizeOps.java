package dev.nibble.spi;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/** Quantization on a device. Codes, scales and masks equal those of {@code dev.nibble.reference} bit for bit. */
public interface QuantizeOps {
    /**
     * Quantizes a matrix. If it holds NaN or infinity, the site and role are noted: see
     * {@link Backend#takeNonFinite}.
     *
     * @param scope the open step
     * @param spec how
     * @param site who asks; addresses the random draws
     * @param x FP32, [rows, cols]; not modified; an unscaled FP32 operand may share its memory
     * @param state the layer's device state, read by delayed thresholds
     * @return the operands, owned by the caller
     */
    Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state);

    /**
     * Writes out what codes and scales mean: FP32 [rows, k] of the operand, summed over its planes in order, with
     * {@code value = fma(scale, code, value)} from 0.
     */
    Tensor dequantize(StepScope scope, Operand operand);

    /**
     * Runs a state program where the state lives.
     *
     * @param program what to run
     * @param state read and written
     * @param inputs FP32 vectors that it may read
     */
    void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs);
}
