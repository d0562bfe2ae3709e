package dev.nibble.testkit.control;

import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/**
 * Quantization of which one operation is another.
 *
 * @param plain all others
 * @param alteration the one
 */
record AlteredQuantize(QuantizeOps plain, Alteration alteration) implements QuantizeOps {
    /** Quantizes in place of the plain code. */
    @FunctionalInterface
    interface Alteration {
        Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state);
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        return alteration.quantize(scope, spec, site, x, state);
    }

    @Override
    public Tensor dequantize(StepScope scope, Operand operand) {
        return plain.dequantize(scope, operand);
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        plain.search(scope, search, x, w, state);
    }

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        plain.straightThrough(scope, clip, gradient, x, state);
    }

    @Override
    public void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {
        plain.run(scope, program, state, inputs);
    }
}
