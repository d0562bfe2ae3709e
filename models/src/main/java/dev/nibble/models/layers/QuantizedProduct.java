package dev.nibble.models.layers;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.Optional;
import java.util.Set;

/**
 * {@code Y = X · Wᵀ} for many pairs of X and W that are both made in the step, computed as a {@link LinearQuantizer} plans: X in
 * the role of INPUT, W in that of WEIGHT. Nothing of W outlives the step.
 *
 * <p>All pairs share the state. A program that gathers sees each pair as a micro-batch; what is measured before anything is
 * quantized, and a learned step that is still taken from its tensor, sees all pairs at once, one below the other. Each pair draws
 * under an ordinal of its own.
 */
final class QuantizedProduct implements QuantizedLayer, AutoCloseable {
    private final PlanRunner runner;
    private final int stride;
    private final Deque<Saved> saved = new ArrayDeque<>();
    private Optional<LinearPlan> plan = Optional.empty();
    private boolean gathers;

    /** What the backward pass needs of a pair. */
    private record Saved(LinearPlan plan, Site site, Operand input, Operand weight) {
        void close() {
            input.close();
            weight.close();
        }
    }

    /** Gradients of X and of W, owned by who gets them. */
    record Gradients(Tensor input, Tensor weight) implements AutoCloseable {
        @Override
        public void close() {
            input.close();
            weight.close();
        }
    }

    /**
     * Makes the product and its device state.
     *
     * @param backend computes
     * @param layer name and size: X is [tokens, in], W is [out, in]
     * @param quantizer how
     * @param stride the ordinals of two pairs that follow each other differ by it
     */
    QuantizedProduct(Backend backend, LinearLayer layer, LinearQuantizer quantizer, int stride) {
        this.runner = new PlanRunner(backend, layer, quantizer);
        this.stride = stride;
    }

    /**
     * Begins a forward pass over all pairs.
     *
     * @param tokens rows of each X
     * @param allX makes X of all pairs, [pairs · tokens, in]; asked at most twice, and not in every step
     * @param allW makes W of all pairs, [pairs · out, in], likewise
     */
    void begin(StepScope scope, long tokens, InputSource allX, InputSource allW) {
        StepContext context = scope.context();
        LinearPlan now = runner.plan(tokens, context.phase());
        boolean first = context.training() && context.microBatch() == 0;
        if (first && (now.search().isPresent() || !now.beforeForward().isEmpty())) {
            try (Tensor x = allX.recompute(scope);
                    Tensor w = allW.recompute(scope)) {
                runner.measure(scope, now, x, w);
            }
        }
        boolean learns = now.inputClip().isPresent() || now.weightClip().isPresent();
        gathers = !(learns && runner.fresh());
        if (!gathers) {
            // The backward pass reads the step that made the codes: one for all pairs, so it must stand before the
            // first.
            if (context.training()) {
                takeSteps(scope, now, allX, allW);
            }
            now = runner.plan(new PlanRequest(tokens, false, context.phase()));
        }
        plan = Optional.of(now);
    }

    private void takeSteps(StepScope scope, LinearPlan fresh, InputSource allX, InputSource allW) {
        Site site = runner.layer().site();
        try (Tensor x = allX.recompute(scope);
                Tensor w = allW.recompute(scope);
                Quantized input = runner.quantize(scope, PlanRunner.only(fresh.input(), false), site, x);
                Quantized weight = runner.quantize(scope, PlanRunner.only(fresh.weight(), false), site, w)) {
            runner.afterForward(scope, fresh, input.statistics(), weight.statistics());
        }
    }

    /**
     * {@return Y of a pair, FP32, [tokens, out], owned by the caller}
     *
     * @param pair its number
     * @param x FP32, [tokens, in]
     * @param w FP32, [out, in]
     */
    Tensor forward(StepScope scope, int pair, Tensor x, Tensor w) {
        StepContext context = scope.context();
        LinearPlan now = plan.orElseThrow();
        Site base = runner.layer().site();
        Site site = new Site(base.name(), Math.addExact(base.ordinal(), Math.multiplyExact(pair, stride)));
        Tensor y = scope.allocate(
                base.name() + ".output",
                DType.FP32,
                Shape.of(x.shape().rows(), w.shape().rows()));
        QuantizeSpec forX = PlanRunner.only(now.input(), context.keepsContext());
        QuantizeSpec forW = PlanRunner.only(now.weight(), context.keepsContext());
        try (Quantized input = runner.quantize(scope, forX, site, x);
                Quantized weight = runner.quantize(scope, forW, site, w)) {
            Operand a = input.operand(Contraction.COLUMNS);
            Operand b = weight.operand(Contraction.COLUMNS);
            runner.multiply(scope, now.output(), site, a, b, y);
            runner.note(scope, input.statistics());
            if (context.training() && gathers) {
                runner.afterForward(scope, now, input.statistics(), weight.statistics());
            }
            if (context.keepsContext()) {
                Saved kept = new Saved(
                        now,
                        site,
                        input.operand(Contraction.ROWS).share(),
                        weight.operand(Contraction.ROWS).share());
                scope.save(kept.input());
                scope.save(kept.weight());
                saved.push(kept);
            }
        }
        return y;
    }

    /**
     * {@return the gradients of the last pair whose backward pass has not run}
     *
     * @param gradOutput dY, FP32, [tokens, out]
     * @param x makes X of the pair again
     * @param w makes W of the pair again
     */
    Gradients backward(StepScope scope, Tensor gradOutput, InputSource x, InputSource w) {
        Saved kept = saved.pop();
        LinearPlan now = kept.plan();
        Site site = kept.site();
        LinearLayer layer = runner.layer();
        Tensor gradX = scope.allocate(
                site.name() + ".gradInput",
                DType.FP32,
                Shape.of(gradOutput.shape().rows(), layer.in()));
        Tensor gradW = scope.allocate(site.name() + ".gradWeight", DType.FP32, Shape.of(layer.out(), layer.in()));
        runner.backend().neural().zero(scope, gradW); // the product adds
        try (Quantized dy = runner.quantize(scope, now.gradOutput(), site, gradOutput)) {
            runner.afterBackward(scope, now, dy.statistics());
            runner.multiply(scope, now.gradWeight(), site, dy.operand(Contraction.ROWS), kept.input(), gradW);
            runner.multiply(scope, now.gradInput(), site, dy.operand(Contraction.COLUMNS), kept.weight(), gradX);
        }
        kept.close();
        return new Gradients(
                runner.through(scope, now.input(), now.inputClip(), site, gradX, x),
                runner.through(scope, now.weight(), now.weightClip(), site, gradW, w));
    }

    @Override
    public LinearLayer layer() {
        return runner.layer();
    }

    @Override
    public DeviceState state() {
        return runner.state();
    }

    @Override
    public Set<String> idleState() {
        return runner.idleState();
    }

    @Override
    public Tensor statistics() {
        return runner.statistics();
    }

    @Override
    public void use(LinearQuantizer quantizer) {
        runner.use(quantizer);
        plan = Optional.empty();
    }

    @Override
    public void observe(boolean value) {
        runner.observe(value);
    }

    @Override
    public void afterOptimizer(StepScope scope, Tensor control) {
        runner.afterOptimizer(scope, control);
    }

    @Override
    public void releaseWeight() {} // none is kept

    @Override
    public void markTrained() {
        runner.markTrained();
    }

    @Override
    public int trainedSteps() {
        return runner.trainedSteps();
    }

    @Override
    public void resumeAt(int steps) {
        runner.resumeAt(steps);
    }

    @Override
    public void close() {
        saved.forEach(Saved::close);
        saved.clear();
        runner.close();
    }
}
