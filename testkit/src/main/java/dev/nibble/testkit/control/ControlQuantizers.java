package dev.nibble.testkit.control;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.concurrent.atomic.AtomicInteger;
import java.util.function.Supplier;

/**
 * Quantizers that keep the contract, and others that differ from them by one fault each. X and W have codes to nearest, dY
 * stochastic ones, one scale a tensor.
 */
public final class ControlQuantizers {
    private static final int LUQ_EXPONENT = 6;
    private static final String LARGEST = "largest";
    private static final String SEEN = "seen";
    private static final LinearPlan INT8 =
            ControlPlans.of(DType.INT8, ControlPlans.tensor(DType.INT8, Rounding.STOCHASTIC));

    private ControlQuantizers() {}

    private static QuantizerProvider stateless(String name, String description, LinearPlan plan) {
        return new ControlQuantizer(name, description, _ -> _ -> plan);
    }

    /** {@return INT8, without fault} */
    public static QuantizerProvider int8() {
        return stateless("control-int8", "INT8, one scale a tensor", INT8);
    }

    /** {@return INT4, two codes a byte, without fault} */
    public static QuantizerProvider int4() {
        return stateless(
                "control-int4",
                "INT4, one scale a tensor",
                ControlPlans.of(DType.INT4, ControlPlans.tensor(DType.INT4, Rounding.STOCHASTIC)));
    }

    /** {@return dY to the nearest power of two (RDNP): magnitudes shrink by 2 % on average, so it is biased} */
    public static QuantizerProvider nearestPower() {
        PlaneSpec plane = PlaneSpec.value(
                DType.E3M0,
                new Granularity.PerTensor(),
                new ScaleRule.AmaxOverPower(LUQ_EXPONENT, false),
                Rounding.NEAREST_EVEN);
        return stateless("control-rdnp", "dY to the nearest power of two", ControlPlans.of(DType.INT8, List.of(plane)));
    }

    /** {@return dY in two digits by mode R, whose lower digit is clipped: biased} */
    public static QuantizerProvider releasedSplit() {
        return stateless(
                "control-split-released",
                "dY in two digits, mode R",
                ControlPlans.of(DType.INT8, PlaneSpec.digits(SplitMode.RELEASED)));
    }

    /** {@return X and dY both stochastic, under the name of one role: equal draws for both} */
    public static QuantizerProvider sharedStream() {
        List<PlaneSpec> stochastic = ControlPlans.tensor(DType.INT8, Rounding.STOCHASTIC);
        QuantizeSpec shared = QuantizeSpec.both(Role.INPUT, stochastic);
        List<PlaneSpec> nearest = ControlPlans.tensor(DType.INT8, Rounding.NEAREST_EVEN);
        return stateless(
                "control-shared-stream",
                "X and dY drawn under one role",
                ControlPlans.of(shared, QuantizeSpec.both(Role.WEIGHT, nearest), shared, 1));
    }

    /**
     * {@return a quantizer that reads a device value whenever a plan is asked for}
     *
     * @param backend what it reads from
     */
    public static QuantizerProvider readingBack(Supplier<Backend> backend) {
        return new ControlQuantizer("control-reading-back", "reads the device to plan", _ -> _ -> {
            backend.get().takeNonFinite();
            return INT8;
        });
    }

    /** {@return a quantizer whose plans depend on how often one was asked for} */
    public static QuantizerProvider planningAnew() {
        AtomicInteger asked = new AtomicInteger();
        return new ControlQuantizer("control-planning-anew", "another plan each time", _ -> _ -> {
            Rounding rounding = asked.getAndIncrement() % 2 == 0 ? Rounding.STOCHASTIC : Rounding.NEAREST_EVEN;
            return ControlPlans.of(DType.INT8, ControlPlans.tensor(DType.INT8, rounding));
        });
    }

    /** {@return a quantizer that refuses inputs of 13 features without a word about which layer it is} */
    public static QuantizerProvider refusingWithoutAName() {
        return new ControlQuantizer("control-nameless", "refuses without a name", layer -> {
            if (layer.in() == 13) {
                throw new IllegalArgumentException("this does not work");
            }
            return _ -> INT8;
        });
    }

    /** {@return INT8 that remembers the largest input of all steps that were not skipped, without fault} */
    public static QuantizerProvider remembering() {
        return new ControlQuantizer("control-remembering", "remembers the largest input", _ -> new Remembering(true));
    }

    /** {@return INT8 that remembers the largest input, also that of a skipped step} */
    public static QuantizerProvider forgettingSkips() {
        return new ControlQuantizer(
                "control-forgetting-skips", "its state ignores SKIPPED", _ -> new Remembering(false));
    }

    /** {@code seen} gathers over the micro-batches, {@code largest} over the steps. */
    private record Remembering(boolean heedsSkips) implements LinearQuantizer {
        @Override
        public LinearPlan plan(PlanRequest request) {
            StateProgram.Builder gather = StateProgram.builder();
            StateProgram.Value amax = gather.input(StateInput.INPUT_STATISTICS, Statistic.AMAX.ordinal());
            gather.set(SEEN, gather.maximum(gather.state(SEEN), amax));
            StateProgram.Builder decide = StateProgram.builder();
            StateProgram.Value larger = decide.maximum(decide.state(LARGEST), decide.state(SEEN));
            StateProgram.Value skipped = decide.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
            decide.set(LARGEST, heedsSkips ? decide.select(skipped, decide.state(LARGEST), larger) : larger);
            decide.set(SEEN, decide.constant(0));
            return new LinearPlan(
                    INT8.input(),
                    INT8.weight(),
                    INT8.gradOutput(),
                    INT8.output(),
                    INT8.gradInput(),
                    INT8.gradWeight(),
                    gather.build(),
                    decide.build());
        }

        @Override
        public List<StateVector> state() {
            return List.of(StateVector.scalar(LARGEST, 0), StateVector.scalar(SEEN, 0));
        }
    }
}
