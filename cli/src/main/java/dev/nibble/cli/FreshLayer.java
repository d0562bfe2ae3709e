package dev.nibble.cli;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Transform;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.tensor.Tensor;
import java.util.Map;
import java.util.Optional;

/** A linear layer before its first step, on a backend: its plan and its device state. */
final class FreshLayer implements AutoCloseable {
    private final Backend backend;
    private final Site site;
    private final LinearPlan plan;
    private final DeviceState state;

    FreshLayer(Backend backend, Site site, LinearQuantizer quantizer, LinearPlan plan) {
        this.backend = backend;
        this.site = site;
        this.plan = plan;
        this.state = backend.allocateState(quantizer.state());
    }

    /** {@return its plan} */
    LinearPlan plan() {
        return plan;
    }

    /**
     * Does what the first forward pass does before it quantizes: finds the block size of a transform, measures X. A block
     * size is found with one tensor if there is only one.
     *
     * @param x X, if it is known
     * @param w W, if it is known
     */
    void measure(Optional<Tensor> x, Optional<Tensor> w) {
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
            x.or(() -> w)
                    .ifPresent(known -> plan.search()
                            .ifPresent(search -> backend.quantization()
                                    .search(scope, search, x.orElse(known), w.orElse(known), state)));
            if (x.isPresent() && !plan.beforeForward().isEmpty()) {
                backend.quantization()
                        .run(scope, plan.beforeForward(), state, Map.of(StateInput.INPUT, x.orElseThrow()));
            }
        }
    }

    /** {@return the operands of a tensor, owned by the caller} */
    Quantized quantize(StepScope scope, QuantizeSpec spec, Tensor x) {
        return backend.quantization().quantize(scope, spec, site, x, state);
    }

    /** {@return what the codes mean, the transform of the spec undone; owned by the caller} */
    Tensor decode(StepScope scope, QuantizeSpec spec, Operand operand) {
        Tensor decoded = backend.quantization().dequantize(scope, operand);
        return switch (spec.transform()) {
            case Transform.Identity _ -> decoded;
            case Transform.BlockHadamard hadamard -> apply(scope, hadamard, decoded); // its own inverse
            case Transform.ColumnScale scale ->
                apply(scope, new Transform.ColumnScale(scale.state(), !scale.inverse()), decoded);
        };
    }

    /**
     * {@return the transformed matrix, owned by the caller}
     *
     * @param x consumed
     */
    Tensor apply(StepScope scope, Transform transform, Tensor x) {
        if (transform instanceof Transform.Identity) {
            return x;
        }
        try (x) {
            return backend.quantization().transform(scope, transform, site, x, state);
        }
    }

    @Override
    public void close() {
        state.close();
    }
}
