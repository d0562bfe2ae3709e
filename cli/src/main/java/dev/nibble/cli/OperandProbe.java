package dev.nibble.cli;

import dev.nibble.error.NonFiniteException;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** Quantizes one matrix on a backend as often as asked, always as a fresh layer would, and reads the result back. */
final class OperandProbe implements AutoCloseable {
    private final Backend backend;
    private final Site site;
    private final QuantizeSpec spec;
    private final Tensor x;
    private final DeviceState state;

    /**
     * One way the matrix was quantized: the operand that contracts the columns.
     *
     * @param values what the codes mean, [rows, cols]
     * @param codes bytes of each plane, each [rows, cols]
     * @param scales scales of each plane, [kGroups][rowGroups]
     */
    record Draw(float[] values, List<byte[]> codes, List<float[]> scales) {}

    OperandProbe(Backend backend, Site site, LinearQuantizer layer, QuantizeSpec spec, Shape matrix, float[] values) {
        this.backend = backend;
        this.site = site;
        this.spec = spec;
        this.x = backend.allocate(spec.role().label(), DType.FP32, matrix, MemoryTag.SCRATCH);
        this.state = backend.allocateState(layer.state());
        backend.write(x, values);
    }

    /**
     * {@return the result of one draw}
     *
     * @param step optimizer step that addresses the random numbers
     * @throws NonFiniteException if the backend met NaN or infinity
     */
    Draw draw(int step) {
        Tensor values;
        Operand operand;
        try (StepScope scope = backend.beginStep(StepContext.train(step, 0))) {
            try (Quantized quantized = backend.quantization().quantize(scope, spec, site, x, state)) {
                operand = quantized.operand(Contraction.COLUMNS).share();
                values = backend.quantization().dequantize(scope, operand).share();
            }
        }
        try (Operand kept = operand;
                Tensor keptValues = values) {
            if (!backend.takeNonFinite().isEmpty()) {
                throw new NonFiniteException(spec.role().label() + " holds values that are not finite");
            }
            List<byte[]> codes = new ArrayList<>();
            List<float[]> scales = new ArrayList<>();
            for (int plane = 0; plane < kept.spec().planes().size(); plane++) {
                codes.add(backend.readCodes(kept, plane));
                scales.add(backend.readScales(kept, plane));
            }
            return new Draw(backend.readFloats(keptValues), codes, scales);
        }
    }

    @Override
    public void close() {
        x.close();
        state.close();
    }
}
