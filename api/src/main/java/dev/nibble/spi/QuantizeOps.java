package dev.nibble.spi;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.List;
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
     * @param state the layer's device state, read by delayed thresholds, given scales and transforms
     * @return the operands, owned by the caller
     */
    Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state);

    /**
     * Writes out what codes and scales mean: FP32 [rows, k] of the operand, summed over its planes in order, with
     * {@code value = fma(scale, code, value)} from 0. Samples are averaged: scale / number of samples. A transform is not undone.
     */
    Tensor dequantize(StepScope scope, Operand operand);

    /**
     * Finds the block size of a transform and writes it to the layer's state.
     *
     * @param scope the open step
     * @param search which sizes
     * @param x FP32, [rows, cols]; not modified
     * @param w FP32, [out, cols]; not modified
     * @param state receives log2 of the size
     */
    void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state);

    /**
     * The backward pass through a learned-step quantizer.
     *
     * @param scope the open step
     * @param clip which
     * @param gradient FP32, [rows, cols]: the product's gradient; becomes that of x
     * @param x FP32, [rows, cols]: the tensor as it was quantized; not modified
     * @param state holds the step, receives its gradient
     */
    void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state);

    /**
     * Applies a transform alone, rounded as {@link #quantize} rounds it. Of a diagonal or Hadamard transform, which are
     * symmetric, it is the adjoint too: what a gradient with respect to the transformed matrix needs.
     *
     * @param scope the open step
     * @param transform which
     * @param site who asks
     * @param x FP32, [rows, cols]; not modified
     * @param state the layer's device state, read by the transform
     * @return FP32, [rows, cols], owned by the caller
     */
    default Tensor transform(StepScope scope, Transform transform, Site site, Tensor x, DeviceState state) {
        QuantizeSpec spec = new QuantizeSpec(
                Role.OTHER,
                transform,
                List.of(new OperandSpec(Contraction.COLUMNS, List.of(PlaneSpec.unscaled(DType.FP32)))));
        try (Quantized transformed = quantize(scope, spec, site, x, state)) {
            return dequantize(scope, transformed.operand(Contraction.COLUMNS));
        }
    }

    /**
     * Runs a state program where the state lives.
     *
     * @param program what to run
     * @param state read and written
     * @param inputs FP32 vectors that it may read
     */
    void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs);
}
