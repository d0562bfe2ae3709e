package dev.nibble.models;

import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.models.memory.ShapeBackend;
import dev.nibble.models.train.Optimizer;
import dev.nibble.models.train.Task;
import dev.nibble.models.train.TrainingSpec;
import dev.nibble.models.train.WeightAverages;
import dev.nibble.models.train.Workload;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.MemoryUse;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Collections;
import java.util.List;
import java.util.Optional;
import java.util.SortedMap;
import java.util.TreeMap;
import java.util.function.Function;
import java.util.regex.Pattern;

/**
 * What a run will hold, bytes, from shapes and plans alone: the model's own first steps, run on a backend that computes nothing and counts
 * ({@link ShapeBackend}). The first seven are what is live when the first forward pass ends.
 *
 * @param weights master weights
 * @param gradients their gradients
 * @param optimizer what the optimizer keeps, and averages of the weights
 * @param state quantizer state, the batch, and other small device values
 * @param savedActivations kept for the backward pass
 * @param weightCodes operands of weights, kept until the update: codes, scales and masks
 * @param workspace all else: the logits, or the gradient of the head's input, and what else lives for a moment
 * @param peak the largest sum in a step; what operations work in comes on top
 * @param savedByTensor the saved activations by the name of their tensors, the numbers of blocks left out
 */
public record MemoryForecast(
        long weights,
        long gradients,
        long optimizer,
        long state,
        long savedActivations,
        long weightCodes,
        long workspace,
        long peak,
        SortedMap<String, Long> savedByTensor) {
    private static final int MICRO_BATCHES = 2; // a third one finds the memory as the second did
    private static final Pattern BLOCK = Pattern.compile("blocks\\.\\d+\\.");
    private static final int STEPS = 3; // the first, one after it, and one of fine-tuning if there is any

    /**
     * Predicts for a run whose layers change their quantizers: what is live is that of the first ones, the peak that of all.
     *
     * @param task model, data and schedule
     * @param precision how each linear layer is computed, and from when on
     * @param recomputes whether blocks are computed again in the backward pass
     * @param seed of the run: it says which samples come first, and they may differ in size
     * @param layout of the backend that will run it
     * @throws IllegalArgumentException if a quantizer refuses a shape
     */
    static MemoryForecast of(
            Task task, PrecisionSchedule precision, boolean recomputes, long seed, MemoryLayout layout) {
        List<MemoryForecast> all = precision.changes().stream()
                .map(precision::quantizers)
                .map(quantizers -> of(task, layer -> quantizers.get(layer.site().name()), recomputes, seed, layout))
                .toList();
        return all.getFirst()
                .withPeak(all.stream().mapToLong(MemoryForecast::peak).max().orElseThrow());
    }

    /**
     * Predicts.
     *
     * @param task model, data and schedule
     * @param quantizers how each linear layer is computed
     * @param recomputes whether blocks are computed again in the backward pass
     * @param seed of the run: it says which samples come first, and they may differ in size
     * @param layout of the backend that will run it
     * @throws IllegalArgumentException if a quantizer refuses a shape
     */
    private static MemoryForecast of(
            Task task,
            Function<LinearLayer, LinearQuantizer> quantizers,
            boolean recomputes,
            long seed,
            MemoryLayout layout) {
        ShapeBackend backend = new ShapeBackend(layout);
        TrainingSpec spec = task.training();
        int microBatches = Math.min(spec.microBatches(), MICRO_BATCHES);
        try (Workload workload = task.open(backend, quantizers, seed);
                Optimizer optimizer = new Optimizer(backend, spec.optimizer(), spec.clip(), workload.parameters());
                Tensor loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE)) {
            RecomputeSetting.apply(recomputes, workload);
            Optional<WeightAverages> averages = WeightAverages.of(backend, spec.ema(), workload);
            Optional<MemoryForecast> first = Optional.empty();
            for (int step = 0; step < STEPS; step++) {
                PlanRequest.Phase phase = step < STEPS - 1 || spec.fineTuning().steps() == 0
                        ? PlanRequest.Phase.LOW_BIT
                        : PlanRequest.Phase.FINE_TUNE;
                for (int micro = 0; micro < microBatches; micro++) {
                    if (first.isEmpty()) {
                        workload.loadTraining(0, 0);
                    } else {
                        workload.loadLargest();
                    }
                    StepContext context = new StepContext(step, micro, StepContext.Mode.TRAIN, 0, phase);
                    try (StepScope scope = backend.beginStep(context)) {
                        workload.forward(scope, loss, 1);
                        MemoryForecast now = live(backend);
                        first = Optional.of(first.orElse(now));
                        workload.backward(scope);
                        if (micro == microBatches - 1) {
                            workload.linears().forEach(QuantizedLayer::releaseWeight);
                            optimizer.step(scope);
                        }
                    }
                }
                workload.linears().forEach(QuantizedLayer::markTrained);
            }
            averages.ifPresent(WeightAverages::close);
            return first.orElseThrow().withPeak(backend.memory().peakBytes());
        }
    }

    private static MemoryForecast live(ShapeBackend backend) {
        MemoryUse use = backend.memory();
        long codes = backend.shapes().operandBytes();
        return new MemoryForecast(
                use.live(MemoryTag.PARAMETER),
                use.live(MemoryTag.GRADIENT),
                use.live(MemoryTag.OPTIMIZER),
                use.live(MemoryTag.STATE),
                use.live(MemoryTag.CONTEXT),
                codes,
                use.live(MemoryTag.SCRATCH) - codes,
                use.peakBytes(),
                byKind(backend.shapes().byLabel(MemoryTag.CONTEXT)));
    }

    /** {@return the same, with the numbers of blocks left out} */
    private static SortedMap<String, Long> byKind(SortedMap<String, Long> byLabel) {
        SortedMap<String, Long> kinds = new TreeMap<>();
        byLabel.forEach((label, bytes) -> {
            if (bytes > 0) {
                kinds.merge(BLOCK.matcher(label).replaceAll("blocks.*."), bytes, Long::sum);
            }
        });
        return Collections.unmodifiableSortedMap(kinds);
    }

    private MemoryForecast withPeak(long newPeak) {
        return new MemoryForecast(
                weights, gradients, optimizer, state, savedActivations, weightCodes, workspace, newPeak, savedByTensor);
    }
}
