package dev.nibble.testkit.run;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.gemm.Term;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.spi.Control;
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
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.Collections;
import java.util.List;

/**
 * A quantizer that no backend has heard of: sound, but put together of what nobody else combines.
 *
 * <p>X is multiplied column by column by a power of two near the reciprocal of the column's amax, W divided by it. In the output
 * X has INT8 blocks of 24 x 40 with a residual where their relative L1 error is large, W INT4 rows. For gradInput dY is drawn three
 * times as powers of two in a byte, weighted 1/2, 1/4 and 1/4, times W in INT8 by the amax of the step before. For gradWeight
 * dY has two INT4 digits, X is E4M3 a row.
 */
public final class OddQuantizer implements QuantizerProvider {
    private static final String COLUMNS = "columns"; // d of the transform
    private static final String HISTORY = "history"; // amax of X in the last steps
    private static final String SEEN = "seen"; // amax of X in this step so far
    private static final String THRESHOLD = "threshold";
    private static final String WEIGHT_SEEN = "weightSeen"; // amax of W in this step
    private static final String WEIGHT_SCALE = "weightScale";
    private static final int REMEMBERED = 5;
    private static final int DRAWS = 3;
    private static final int EXPONENT = 8;
    private static final float SMALLEST_AMAX = 0x1p-60f;
    private static final float HEADROOM = 1.25f;

    /** Makes the provider. */
    public OddQuantizer() {}

    @Override
    public String name() {
        return "testkit-odd";
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "an odd combination of planes, transforms and state";
    }

    @Override
    public List<OptionSpec> options() {
        return List.of();
    }

    @Override
    public Quantizer create(OptionValues options) {
        return layer -> new Odd(Math.toIntExact(layer.in()));
    }

    /** A layer with this many input features. */
    private record Odd(int in) implements LinearQuantizer {
        @Override
        public LinearPlan plan(PlanRequest request) {
            List<Term> draws = List.of(new Term(0, 0, 0.5f, 1), new Term(1, 0, 0.25f, 1), new Term(2, 0, 0.25f, 1));
            return new LinearPlan(
                            input(),
                            weight(),
                            gradOutput(),
                            new GemmSpec(Product.OUTPUT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.STORE),
                            new GemmSpec(Product.GRAD_INPUT, draws, Sampling.NONZERO_ROWS, Epilogue.STORE),
                            new GemmSpec(Product.GRAD_WEIGHT, List.of(new Term(0, 0), new Term(1, 0)), Epilogue.ADD),
                            afterForward(),
                            afterOptimizer())
                    .withBeforeForward(beforeForward());
        }

        private static QuantizeSpec input() {
            PlaneSpec first = PlaneSpec.value(
                    DType.INT8, new Granularity.PerBlock(24, 40), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
            PlaneSpec residual = new PlaneSpec(
                    new PlaneSource.Residual(new Threshold.Capped(THRESHOLD, 0.25), Criterion.L1_RELATIVE),
                    DType.INT8,
                    first.granularity(),
                    new ScaleRule.AmaxOverTop(),
                    Rounding.NEAREST_EVEN);
            PlaneSpec rows = new PlaneSpec(
                    new PlaneSource.Value(),
                    DType.E4M3,
                    new Granularity.PerRow(),
                    new ScaleRule.TopOverAmax(true),
                    Rounding.NEAREST_EVEN,
                    Overflow.PAPER);
            return spec(Role.INPUT, List.of(first, residual), List.of(rows))
                    .with(new Transform.ColumnScale(COLUMNS, false));
        }

        private static QuantizeSpec weight() {
            PlaneSpec rows = PlaneSpec.value(
                    DType.INT8,
                    new Granularity.PerTensor(),
                    new ScaleRule.Given(
                            WEIGHT_SCALE,
                            ScaleRule.Application.SCALE,
                            new ScaleRule.Sawb(12.1f, 12.2f, 127, -127, 127)),
                    Rounding.NEAREST_EVEN);
            PlaneSpec columns = PlaneSpec.value(
                    DType.INT4, new Granularity.PerRow(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
            return spec(Role.WEIGHT, List.of(columns), List.of(rows)).with(new Transform.ColumnScale(COLUMNS, true));
        }

        private static QuantizeSpec gradOutput() {
            PlaneSpec power = PlaneSpec.value(
                    DType.E4M0,
                    new Granularity.PerTensor(),
                    new ScaleRule.AmaxOverPower(EXPONENT, true),
                    Rounding.STOCHASTIC);
            return spec(Role.GRAD_OUTPUT, power.samples(DRAWS), PlaneSpec.digits(SplitMode.UNBIASED));
        }

        private static QuantizeSpec spec(Role role, List<PlaneSpec> columns, List<PlaneSpec> rows) {
            return new QuantizeSpec(
                    role,
                    List.of(new OperandSpec(Contraction.COLUMNS, columns), new OperandSpec(Contraction.ROWS, rows)));
        }

        private StateProgram beforeForward() {
            StateProgram.Builder b = StateProgram.builder();
            Value amax = b.maximum(b.columnAmax(StateInput.INPUT, in), b.constant(SMALLEST_AMAX));
            Value finite = b.greater(b.constant(Float.MAX_VALUE), amax);
            Value power = b.divide(b.constant(1), b.powerOfTwo(amax));
            return b.set(COLUMNS, b.select(finite, power, b.state(COLUMNS))).build();
        }

        private static StateProgram afterForward() {
            StateProgram.Builder b = StateProgram.builder();
            Value amax = b.input(StateInput.INPUT_STATISTICS, Statistic.AMAX.ordinal());
            Value weight = b.input(StateInput.WEIGHT_STATISTICS, Statistic.AMAX.ordinal());
            return b.set(SEEN, b.maximum(b.state(SEEN), amax))
                    .set(WEIGHT_SEEN, weight)
                    .build();
        }

        private static StateProgram afterOptimizer() {
            StateProgram.Builder b = StateProgram.builder();
            Value skipped = b.input(StateInput.CONTROL, Control.SKIPPED.ordinal());
            Value history = b.roll(b.state(HISTORY), b.state(SEEN));
            Value mean = b.multiply(b.sqrt(b.largest(history)), b.constant(0.01f));
            b.set(HISTORY, b.select(skipped, b.state(HISTORY), history));
            b.set(THRESHOLD, b.select(skipped, b.state(THRESHOLD), mean));
            Value scale = b.multiply(b.state(WEIGHT_SEEN), b.constant(HEADROOM / 127));
            b.set(WEIGHT_SCALE, b.select(skipped, b.state(WEIGHT_SCALE), scale));
            return b.set(SEEN, b.constant(0)).set(WEIGHT_SEEN, b.constant(0)).build();
        }

        @Override
        public List<StateVector> state() {
            return List.of(
                    new StateVector(COLUMNS, Collections.nCopies(in, 1f)),
                    new StateVector(HISTORY, Collections.nCopies(REMEMBERED, 0f)),
                    StateVector.scalar(SEEN, 0),
                    StateVector.scalar(THRESHOLD, 0),
                    StateVector.scalar(WEIGHT_SEEN, 0),
                    StateVector.scalar(WEIGHT_SCALE, 0));
        }
    }
}
