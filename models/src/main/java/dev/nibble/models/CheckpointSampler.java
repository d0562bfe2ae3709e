package dev.nibble.models;

import dev.nibble.error.FormatException;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.train.Optimizer;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.Backend;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Runs the forward and backward pass of the step after a checkpoint, without the update. */
final class CheckpointSampler {
    private final PreparedRun run;
    private final CheckpointState state;
    private final Checkpoint checkpoint;

    CheckpointSampler(PreparedRun run, CheckpointState state, Checkpoint checkpoint) {
        this.run = run;
        this.state = state;
        this.checkpoint = checkpoint;
        if (!run.dataHash().equals(state.dataHash())) {
            throw new FormatException("the data of checkpoint " + checkpoint.path()
                    + " had other contents; name a copy of it as it was (nibble diagnose: --data)");
        }
    }

    CheckpointSample sample() {
        try (Backend backend = run.resolution().backend().open(run.config().backendOptions());
                SampledOperands operands = SampledOperands.of(backend)) {
            List<LayerSample> layers = layers(operands.replacing(backend), operands);
            return new CheckpointSample(
                    state.step(),
                    run.config().preset(),
                    run.resolution().backend().name(),
                    layers);
        }
    }

    private List<LayerSample> layers(Backend backend, SampledOperands operands) {
        TrainingSpec spec = run.task().training();
        ActiveQuantizers active = new ActiveQuantizers(run.precision());
        List<LayerSample> layers = new ArrayList<>();
        try (Workload workload =
                        run.task().open(backend, active.byLayer(), run.config().seed());
                Optimizer optimizer = new Optimizer(backend, spec.optimizer(), spec.clip(), workload.parameters());
                Tensor loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE)) {
            new TrainingState(backend, workload, optimizer, Optional.empty(), active).restore(checkpoint, state);
            operands.sample(true);
            pass(backend, workload, optimizer, loss, spec.microBatches());
            operands.sample(false);
            for (QuantizedLayer linear : workload.linears()) {
                String label = active.labels().get(linear.layer().site().name());
                operands.read(backend, linear.layer(), label).ifPresent(layers::add);
            }
        }
        return layers;
    }

    private void pass(Backend backend, Workload workload, Optimizer optimizer, Tensor loss, int microBatches) {
        int step = state.step();
        PlanRequest.Phase phase = step < run.steps() ? PlanRequest.Phase.LOW_BIT : PlanRequest.Phase.FINE_TUNE;
        workload.loadTraining(state.dataStep(), 0);
        try (StepScope scope = backend.beginStep(new StepContext(step, 0, StepContext.Mode.TRAIN, 0f, phase))) {
            optimizer.zeroGradients(scope);
            backend.neural().zero(scope, loss);
            workload.forward(scope, loss, 1f / microBatches);
            workload.backward(scope);
            workload.linears().forEach(QuantizedLayer::releaseWeight);
        }
    }
}
