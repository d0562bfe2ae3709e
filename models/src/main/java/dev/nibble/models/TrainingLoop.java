package dev.nibble.models;

import dev.nibble.models.layers.QuantizedLinear;
import dev.nibble.models.train.Optimizer;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.Workload;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;

/**
 * The steps of a run. A step moves the batches in, enqueues everything on the device, and reads the loss and the control
 * vector when it has ended; the device has decided by then whether the weights changed.
 */
final class TrainingLoop implements AutoCloseable {
    private final RunConfig config;
    private final TrainingSpec spec;
    private final long unitsPerStep;
    private final Backend backend;
    private final RunRecorder recorder;
    private final RunListener listener;
    private final int steps; // before fine-tuning
    private final Workload workload;
    private final Optimizer optimizer;
    private final Tensor loss;
    private long startNanos;

    TrainingLoop(
            RunConfig config,
            Task task,
            Backend backend,
            Function<LinearLayer, LinearQuantizer> quantizers,
            RunRecorder recorder,
            RunListener listener,
            int steps) {
        this.config = config;
        this.spec = task.training();
        this.unitsPerStep = task.units() * spec.microBatches();
        this.backend = backend;
        this.recorder = recorder;
        this.listener = listener;
        this.steps = steps;
        this.workload = task.open(backend, quantizers, config.seed());
        this.optimizer = new Optimizer(backend, spec.optimizer(), spec.clip(), workload.parameters());
        this.loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
    }

    void run() {
        startNanos = System.nanoTime();
        try {
            int all = steps + spec.fineTuning().steps();
            for (int step = 0; step < all; step++) {
                if (!step(step)) {
                    return;
                }
                boolean last = step == all - 1;
                boolean phaseEnds = step == steps - 1;
                boolean due = spec.evaluateEvery() > 0 && (step + 1) % spec.evaluateEvery() == 0;
                if ((last || phaseEnds || due) && !evaluate(step + 1)) {
                    return;
                }
                if (!last && interrupted("after step " + step)) {
                    return;
                }
            }
        } finally {
            recorder.elapsed(elapsedSeconds());
        }
    }

    private boolean interrupted(String where) {
        if (listener.stopRequested()) {
            recorder.end(RunResult.Status.INTERRUPTED, "the run was interrupted " + where);
            return true;
        }
        return false;
    }

    private double elapsedSeconds() {
        return (System.nanoTime() - startNanos) * 1e-9;
    }

    /** {@return whether the run goes on} */
    private boolean step(int step) {
        long begin = System.nanoTime();
        float learningRate = spec.learningRate(step, steps);
        PlanRequest.Phase phase = step < steps ? PlanRequest.Phase.LOW_BIT : PlanRequest.Phase.FINE_TUNE;
        boolean observed = spec.telemetryEvery() > 0 && step % spec.telemetryEvery() == 0;
        for (int microBatch = 0; microBatch < spec.microBatches(); microBatch++) {
            boolean last = microBatch == spec.microBatches() - 1;
            workload.linears().forEach(linear -> linear.observe(observed && last));
            workload.loadTraining(step, microBatch);
            pass(new StepContext(step, microBatch, StepContext.Mode.TRAIN, learningRate, phase), last);
        }
        workload.linears().forEach(linear -> linear.observe(false));
        float[] control = backend.readFloats(optimizer.control());
        float value = backend.readFloats(loss)[0];
        boolean skipped = control[Control.SKIPPED.ordinal()] != 0;
        if (!skipped) {
            workload.linears().forEach(QuantizedLinear::markTrained);
        }
        double duration = (System.nanoTime() - begin) * 1e-9;
        StepRecord row = new StepRecord(
                step,
                value,
                learningRate,
                control[Control.GRADIENT_NORM.ordinal()],
                skipped,
                unitsPerStep / duration,
                elapsedSeconds(),
                phase);
        recorder.step(row);
        if (observed) {
            workload.linears().forEach(linear -> recorder.telemetry(telemetry(linear, step)));
        }
        listener.step(row);
        return finite(row.skipped(), row.loss(), "at step " + step, row.gradientNorm());
    }

    private void pass(StepContext context, boolean last) {
        try (StepScope scope = backend.beginStep(context)) {
            if (context.microBatch() == 0) {
                optimizer.zeroGradients(scope);
                backend.neural().zero(scope, loss);
            }
            workload.forward(scope, loss, 1f / spec.microBatches());
            if (context.step() == 0 && context.microBatch() == 0) {
                recorder.saved(backend.memory().live(MemoryTag.CONTEXT));
            }
            workload.backward(scope);
            if (last) {
                workload.linears().forEach(QuantizedLinear::releaseWeight);
                optimizer.step(scope);
                workload.linears().forEach(linear -> linear.afterOptimizer(scope, optimizer.control()));
            }
        }
    }

    private LayerTelemetry telemetry(QuantizedLinear linear, int step) {
        float[] statistics = backend.readFloats(linear.statistics()); // [Statistic.count()]
        SortedMap<String, Double> state = new TreeMap<>();
        linear.state().all().forEach((name, vector) -> {
            if (vector.shape().elements() == 1) {
                state.put(name, (double) backend.readFloats(vector)[0]);
            }
        });
        return new LayerTelemetry(
                linear.layer().site().name(),
                step,
                statistics[Statistic.AMAX.ordinal()],
                statistics[Statistic.FALLBACK_RATE.ordinal()],
                statistics[Statistic.THRESHOLD.ordinal()],
                statistics[Statistic.OUTLIER_RATIO.ordinal()],
                state);
    }

    /** {@return whether the run goes on} */
    private boolean finite(boolean skipped, double value, String when, double gradientNorm) {
        List<NonFinite> found = backend.takeNonFinite();
        boolean bad = skipped || !found.isEmpty() || !Double.isFinite(value);
        if (!bad || config.nonFinite() == NonFinitePolicy.SKIP) {
            return true;
        }
        String what;
        if (!found.isEmpty()) {
            NonFinite first = found.getFirst();
            what = first.site().name() + ": " + first.role().label() + " holds NaN or infinity";
        } else if (skipped) {
            what = "the norm of all gradients is " + gradientNorm;
        } else {
            what = "the loss is " + value;
        }
        recorder.end(
                RunResult.Status.STOPPED,
                what + " " + when + ", but training needs finite values; lower train.learningRate, choose another"
                        + " quantizer for the layer, or skip such steps");
        return false;
    }

    /** {@return whether the run goes on} */
    private boolean evaluate(int stepsDone) {
        int batches = workload.validationBatches();
        try (StepScope scope = backend.beginStep(StepContext.eval(stepsDone))) {
            backend.neural().zero(scope, loss);
            workload.correct().ifPresent(correct -> backend.neural().zero(scope, correct));
        }
        for (int i = 0; i < batches; i++) {
            workload.loadValidation(i);
            try (StepScope scope = backend.beginStep(StepContext.eval(stepsDone))) {
                workload.evaluate(scope, loss);
            }
            if (i < batches - 1 && interrupted("in the evaluation after " + stepsDone + " steps")) {
                return false;
            }
        }
        workload.linears().forEach(QuantizedLinear::releaseWeight);
        double value = backend.readFloats(loss)[0];
        double accuracy = workload.correct()
                .map(correct -> backend.readFloats(correct)[0] / (double) workload.validationSamples())
                .orElse(Double.NaN);
        Evaluation evaluation = new Evaluation(stepsDone, value, accuracy);
        recorder.evaluated(evaluation);
        listener.evaluated(evaluation);
        // also takes what the evaluation met, so that it does not skip the next step
        return finite(false, value, "in the evaluation after " + stepsDone + " steps", Double.NaN);
    }

    @Override
    public void close() {
        workload.close();
        optimizer.close();
        loss.close();
    }
}
