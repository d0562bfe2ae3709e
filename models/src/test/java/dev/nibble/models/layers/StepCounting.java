package dev.nibble.models.layers;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.List;

/** FP32, with state that counts forward passes and updates, and remembers the largest input. */
public final class StepCounting implements QuantizerProvider, LinearQuantizer {
    public static final String FORWARDS = "forwards";
    public static final String UPDATES = "updates";
    public static final String LARGEST = "largest";

    private final List<PlanRequest> requests = new ArrayList<>();
    private int layers;

    public StepCounting() {}

    /** The plans that were asked for, in order. */
    public List<PlanRequest> requests() {
        return List.copyOf(requests);
    }

    /** Layers that were asked for. */
    public int layers() {
        return layers;
    }

    @Override
    public LinearPlan plan(PlanRequest request) {
        requests.add(request);
        List<PlaneSpec> fp32 = List.of(PlaneSpec.unscaled(DType.FP32));
        StateProgram.Builder forward = StateProgram.builder();
        forward.set(FORWARDS, forward.add(forward.state(FORWARDS), forward.constant(1)));
        forward.set(
                LARGEST,
                forward.maximum(
                        forward.state(LARGEST), forward.input(StateInput.INPUT_STATISTICS, Statistic.AMAX.ordinal())));
        StateProgram.Builder update = StateProgram.builder();
        StateProgram.Value skipped = update.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
        update.set(UPDATES, update.add(update.state(UPDATES), update.subtract(update.constant(1), skipped)));
        return new LinearPlan(
                QuantizeSpec.both(Role.INPUT, fp32),
                QuantizeSpec.both(Role.WEIGHT, fp32),
                QuantizeSpec.both(Role.GRAD_OUTPUT, fp32),
                GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                forward.build(),
                update.build());
    }

    @Override
    public List<StateVector> state() {
        return List.of(StateVector.scalar(FORWARDS, 0), StateVector.scalar(UPDATES, 0), StateVector.scalar(LARGEST, 0));
    }

    @Override
    public String name() {
        return "step-counting";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "counts";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of();
    }

    @Override
    public Quantizer create(OptionValues options) {
        return (LinearLayer layer) -> {
            layers++;
            return this;
        };
    }
}
