package dev.nibble.quant.fp8;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.function.Function;
import java.util.stream.Stream;

/**
 * A linear layer with FP8 codes: {@code code = round(x · multiplier)}, {@code x ≈ code · scale}, {@code scale = 1 / multiplier}.
 * Source: Micikevicius et al. 2022, arXiv:2209.05433.
 *
 * @param settings what all layers have in common
 * @param smoothing what is done to this layer's input
 * @param in features of the input
 */
record Fp8Linear(Fp8Settings settings, Smoothing smoothing, int in) implements LinearQuantizer {
    static Fp8Linear of(Fp8Settings settings, LinearLayer layer) {
        return new Fp8Linear(settings, settings.smoothing().in(layer), Math.toIntExact(layer.in()));
    }

    @Override
    public LinearPlan plan(PlanRequest request) {
        return new LinearPlan(
                        smoothing.input(spec(Role.INPUT)),
                        smoothing.weight(spec(Role.WEIGHT)),
                        spec(Role.GRAD_OUTPUT),
                        GemmSpec.of(Product.OUTPUT, Epilogue.STORE),
                        GemmSpec.of(Product.GRAD_INPUT, Epilogue.STORE),
                        GemmSpec.of(Product.GRAD_WEIGHT, Epilogue.ADD),
                        program(_ -> DelayedScaling.afterForward()),
                        program(d -> d.afterOptimizer(
                                settings.forward().top(), settings.backward().top())))
                .withAfterBackward(program(_ -> DelayedScaling.afterBackward()))
                .withBeforeForward(smoothing.beforeForward(in));
    }

    @Override
    public List<StateVector> state() {
        List<StateVector> scales = settings.delayed().map(DelayedScaling::state).orElse(List.of());
        return Stream.concat(scales.stream(), smoothing.state(in).stream()).toList();
    }

    private StateProgram program(Function<DelayedScaling, StateProgram> ofDelayed) {
        return settings.delayed().map(ofDelayed).orElse(StateProgram.EMPTY);
    }

    private QuantizeSpec spec(Role role) {
        return new QuantizeSpec(
                role,
                Stream.of(Contraction.COLUMNS, Contraction.ROWS)
                        .map(contraction -> new OperandSpec(contraction, List.of(plane(role, contraction))))
                        .toList());
    }

    private PlaneSpec plane(Role role, Contraction contraction) {
        boolean ofWideProduct = settings.wideGradWeight() && contraction == Contraction.ROWS;
        if (ofWideProduct && role != Role.WEIGHT) {
            return PlaneSpec.unscaled(DType.BF16);
        }
        Granularity granularity = settings.scaling().granularity(role);
        if (ofWideProduct) {
            granularity = new Granularity.PerTensor();
        } else if (smoothing == Smoothing.TOKEN && role == Role.INPUT && contraction == Contraction.COLUMNS) {
            granularity = new Granularity.PerRow();
        }
        boolean gradient = role == Role.GRAD_OUTPUT;
        return new PlaneSpec(
                new PlaneSource.Value(),
                gradient ? settings.backward() : settings.forward(),
                granularity,
                scaleRule(role, granularity),
                gradient ? settings.gradRounding() : settings.forwardRounding(),
                settings.overflow());
    }

    private ScaleRule scaleRule(Role role, Granularity granularity) {
        return settings.delayed()
                .filter(_ -> granularity instanceof Granularity.PerTensor)
                .map(delayed -> delayed.rule(role))
                .orElseGet(() -> new ScaleRule.TopOverAmax(settings.powerOfTwo(), settings.eps()));
    }
}
