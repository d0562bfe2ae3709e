package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;

import dev.nibble.host.HostRuntime;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.Tensor;
import java.util.List;

/** The update of the weights in plain Java: the specification. */
public final class ReferenceOptimizer implements OptimizerOps {
    private static final int CHUNK = 1 << 15; // elements of an update's task

    private final HostRuntime runtime;
    private final Tasks tasks;
    private final SquareSum squares;

    /** Computes {@link ReferenceGradientNorm#sumOfSquares}, or the same bits faster. */
    @FunctionalInterface
    public interface SquareSum {
        /** {@return Σ x[i]² over i in {@code from .. to - 1}} */
        double of(float[] x, int from, int to);
    }

    /** Makes an optimizer that runs one task after the other. */
    public ReferenceOptimizer(HostRuntime runtime) {
        this(runtime, Tasks.IN_ORDER);
    }

    /**
     * Makes an optimizer.
     *
     * @param runtime knows whether an operand of the step was not finite
     * @param tasks runs the tasks
     */
    public ReferenceOptimizer(HostRuntime runtime, Tasks tasks) {
        this(runtime, tasks, ReferenceGradientNorm::sumOfSquares);
    }

    /**
     * Makes an optimizer.
     *
     * @param runtime knows whether an operand of the step was not finite
     * @param tasks runs the tasks
     * @param squares adds up the squares of gradients
     */
    public ReferenceOptimizer(HostRuntime runtime, Tasks tasks, SquareSum squares) {
        this.runtime = runtime;
        this.tasks = tasks;
        this.squares = squares;
    }

    /**
     * {@inheritDoc}
     *
     * <p>The norm's square has the order of {@link ReferenceGradientNorm}; its root is rounded to FP32 once, and a norm
     * that FP32 cannot hold is not finite.
     */
    @Override
    public void control(StepScope scope, List<Tensor> gradients, float maxNorm, Tensor control) {
        OperandChecks.requireVector("control", control, Control.count());
        double sum = 0;
        for (Tensor gradient : gradients) {
            sum = addSquares(sum, floats(gradient));
        }
        float norm = (float) Math.sqrt(sum);
        boolean skipped = !Float.isFinite(norm) || runtime.hasNonFinite();
        float[] values = floats(control); // [Control.count()]
        values[Control.GRADIENT_NORM.ordinal()] = norm;
        values[Control.CLIP.ordinal()] = Math.min(1f, maxNorm / norm);
        values[Control.SKIPPED.ordinal()] = skipped ? 1f : 0f;
        values[Control.UPDATES.ordinal()] += skipped ? 0f : 1f;
        values[Control.LEARNING_RATE.ordinal()] = scope.context().learningRate();
    }

    private double addSquares(double sum, float[] gradient) {
        int chunk = ReferenceGradientNorm.CHUNK;
        double[] partials = new double[Math.ceilDiv(gradient.length, chunk)]; // [chunks]
        tasks.forEachChunk(
                gradient.length, chunk, (from, to) -> partials[from / chunk] = squares.of(gradient, from, to));
        double total = sum;
        for (double partial : partials) {
            total += partial;
        }
        return total;
    }

    /**
     * {@inheritDoc}
     *
     * <p>{@link ReferenceAdamW} and {@link ReferenceUpdates} have the operations and their order.
     */
    @Override
    public void update(
            StepScope scope,
            UpdateRule rule,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            List<Tensor> state,
            Tensor control) {
        OperandChecks.requireStates(rule, state);
        if (rule instanceof AdamW adamW) {
            adamW(scope, adamW, decay, parameter, gradient, state.get(0), state.get(1), control);
            return;
        }
        float[] p = floats(parameter); // [elements]
        OperandChecks.requireVector("gradient", gradient, p.length);
        state.forEach(tensor -> OperandChecks.requireVector("state of the optimizer", tensor, p.length));
        OperandChecks.requireVector("control", control, Control.count());
        float[] values = floats(control); // [Control.count()]
        if (values[Control.SKIPPED.ordinal()] == 0f) {
            float[][] states = new float[state.size()][]; // [states][elements]
            for (int i = 0; i < states.length; i++) {
                states[i] = floats(state.get(i));
            }
            new ReferenceUpdates(tasks, squares, rule, decay, scope.context().learningRate(), values)
                    .update(p, floats(gradient), states);
        }
    }

    @Override
    public void adamW(
            StepScope scope,
            AdamW spec,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            Tensor first,
            Tensor second,
            Tensor control) {
        float[] p = floats(parameter); // [elements]
        OperandChecks.requireVector("gradient", gradient, p.length);
        OperandChecks.requireVector("first moment", first, p.length);
        OperandChecks.requireVector("second moment", second, p.length);
        OperandChecks.requireVector("control", control, Control.count());
        float[] values = floats(control); // [Control.count()]
        if (values[Control.SKIPPED.ordinal()] != 0f) {
            return;
        }
        ReferenceAdamW update = ReferenceAdamW.of(
                spec,
                decay,
                scope.context().learningRate(),
                values[Control.CLIP.ordinal()],
                values[Control.UPDATES.ordinal()]);
        float[] g = floats(gradient); // [elements]
        float[] m = floats(first); // [elements]
        float[] v = floats(second); // [elements]
        tasks.forEachChunk(p.length, CHUNK, (from, to) -> update.update(p, g, m, v, from, to));
    }

    /**
     * {@inheritDoc}
     *
     * <p>{@code share = 1 - min(decay, (1 + t) / (10 + t)); a = fma(share, x - a, a)}, each operation rounded to FP32.
     */
    @Override
    public void moveAverages(StepScope scope, List<Tensor> averages, List<Tensor> values, float decay, Tensor control) {
        OperandChecks.requireAverages(averages, values, decay);
        OperandChecks.requireVector("control", control, Control.count());
        float[] numbers = floats(control); // [Control.count()]
        if (numbers[Control.SKIPPED.ordinal()] != 0f) {
            return;
        }
        float updates = numbers[Control.UPDATES.ordinal()];
        float share = 1f - Math.min(decay, (1f + updates) / (10f + updates));
        for (int i = 0; i < averages.size(); i++) {
            float[] a = floats(averages.get(i)); // [elements]
            float[] x = floats(values.get(i)); // [elements]
            tasks.forEachChunk(a.length, CHUNK, (from, to) -> moveTowards(a, x, share, from, to));
        }
    }

    private static void moveTowards(float[] a, float[] x, float share, int from, int to) {
        for (int i = from; i < to; i++) {
            a[i] = Math.fma(share, x[i] - a[i], a[i]);
        }
    }
}
