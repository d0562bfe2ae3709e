package dev.nibble.testkit.run;

import dev.nibble.quant.TensorCodec;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.TreeSet;

/**
 * A network of two linear layers with ReLU or SwiGLU between them, trained on cross-entropy by AdamW, through the SPI alone.
 */
public final class TwoLayerNet implements AutoCloseable {
    /** Name of the control vector in a snapshot. */
    public static final String CONTROL = "control";

    private static final AdamW SPEC = new AdamW(0.9f, 0.95f, 1e-8f, 0);
    private static final float LEARNING_RATE = 0.02f;
    private static final float LARGEST_NORM = 1;

    private final Backend backend;
    private final Activation activation;
    private final List<PlannedLinear> linears;
    private final List<Tensor> moments = new ArrayList<>(); // first and second of each layer
    private final Tensor control;
    private final Tensor loss;

    /** What stands between the layers. */
    public enum Activation {
        /** max(x, 0): the second layer's input has no negative elements, and its quantizer is told so. */
        RELU,
        /** gate · sigmoid(gate) · up: the first layer makes gate and up. */
        SWIGLU
    }

    /**
     * Extents of the network.
     *
     * @param in features of the input
     * @param hidden features between the layers
     * @param classes features of the output
     */
    public record Sizes(int in, int hidden, int classes) {}

    /**
     * Everything that changes in a training.
     *
     * @param values weights, moments, control vector and quantizer state, by name
     * @param trainedSteps steps that were not skipped
     */
    public record Snapshot(Map<String, float[]> values, int trainedSteps) {}

    /** What a forward pass leaves for the backward pass: handles owned by the pass. SwiGLU keeps its input, ReLU its output. */
    private record Pass(Optional<Tensor> raised, Optional<EncodedTensor> encoded, Tensor hidden, Tensor logits) {}

    /**
     * Makes a network with weights that a seed fixes.
     *
     * @param backend computes; not owned
     * @param quantizer of both layers
     */
    public TwoLayerNet(Backend backend, Quantizer quantizer, Activation activation, Sizes sizes, long seed) {
        this.backend = backend;
        this.activation = activation;
        int raised = activation == Activation.SWIGLU ? 2 * sizes.hidden() : sizes.hidden();
        LinearLayer up = new LinearLayer(new Site("blocks.0.mlp.up", 1), sizes.in(), raised);
        boolean nonNegative = activation == Activation.RELU;
        LinearLayer down =
                new LinearLayer(new Site("blocks.0.mlp.down", 2), sizes.hidden(), sizes.classes(), nonNegative);
        linears = List.of(linear(quantizer, up, seed), linear(quantizer, down, seed + 1));
        for (PlannedLinear linear : linears) {
            for (String moment : List.of(".first", ".second")) {
                String name = linear.layer().site().name() + moment;
                moments.add(backend.allocate(name, DType.FP32, linear.weight().shape(), MemoryTag.OPTIMIZER));
            }
        }
        control = backend.allocate(CONTROL, DType.FP32, Shape.of(Control.count()), MemoryTag.STATE);
        loss = backend.allocate("loss", DType.FP32, Shape.of(1), MemoryTag.STATE);
    }

    private PlannedLinear linear(Quantizer quantizer, LinearLayer layer, long seed) {
        LinearQuantizer how = quantizer.linear(layer);
        double deviation = 1 / Math.sqrt((double) layer.in());
        return new PlannedLinear(
                backend, layer, how, Matrix.normal(seed, (int) layer.out(), (int) layer.in(), deviation));
    }

    /** {@return what stands between the layers} */
    public Activation activation() {
        return activation;
    }

    /** {@return what ran} */
    public List<ExecutionRow> rows() {
        return backend.log().rows();
    }

    /** {@return the operands that were not finite since the last call} */
    public List<NonFinite> takeNonFinite() {
        return backend.takeNonFinite();
    }

    /** {@return the two layers, the first one first} */
    public List<PlannedLinear> linears() {
        return linears;
    }

    /**
     * {@return the mean loss of a training step over its micro-batches, read when the step has ended}
     *
     * @param step its number
     * @param microBatches one or more
     */
    public float train(int step, List<Batch> microBatches) {
        for (int i = 0; i < microBatches.size(); i++) {
            StepContext context = new StepContext(step, i, StepContext.Mode.TRAIN, LEARNING_RATE);
            try (Tensor x = input(microBatches.get(i));
                    Tensor targets = targets(microBatches.get(i));
                    StepScope scope = backend.beginStep(context)) {
                if (i == 0) {
                    linears.forEach(linear -> backend.neural().zero(scope, linear.gradient()));
                    backend.neural().zero(scope, loss);
                }
                Pass pass = forward(scope, x);
                backend.neural().crossEntropy(scope, pass.logits(), targets, loss, 1f / microBatches.size(), true);
                backward(scope, pass).close();
                if (i == microBatches.size() - 1) {
                    update(scope);
                }
            }
        }
        if (!skipped()) {
            linears.forEach(linear -> linear.resumeAfter(linear.trainedSteps() + 1));
        }
        return backend.readFloats(loss)[0];
    }

    private Tensor input(Batch batch) {
        Tensor x = backend.allocate(
                "x", DType.FP32, Shape.of(batch.x().rows(), batch.x().cols()), MemoryTag.SCRATCH);
        backend.write(x, batch.x().values());
        return x;
    }

    private Tensor targets(Batch batch) {
        Tensor targets = backend.allocate("targets", DType.INT32, Shape.of(batch.targets().length), MemoryTag.SCRATCH);
        backend.write(targets, batch.targets());
        return targets;
    }

    private Pass forward(StepScope scope, Tensor x) {
        Tensor raised = linears.getFirst().forward(scope, x);
        if (activation == Activation.RELU) {
            try (raised) {
                Tensor hidden = backend.neural().relu(scope, raised);
                Tensor logits = linears.getLast().forward(scope, hidden);
                return new Pass(Optional.empty(), Optional.empty(), hidden, logits);
            }
        }
        Tensor hidden = backend.neural().swiGlu(scope, raised);
        Tensor logits = linears.getLast().forward(scope, hidden);
        Optional<TensorCodec> codec = linears.getLast().context();
        if (codec.isEmpty()) {
            return new Pass(Optional.of(raised), Optional.empty(), hidden, logits);
        }
        try (raised) {
            EncodedTensor encoded = backend.codec().encode(scope, codec.orElseThrow(), raised);
            return new Pass(Optional.empty(), Optional.of(encoded), hidden, logits);
        }
    }

    private Tensor backward(StepScope scope, Pass pass) {
        try (Tensor logits = pass.logits();
                Tensor hidden = pass.hidden();
                Tensor gradHidden = linears.getLast().backward(scope, logits);
                Tensor gradRaised = gradRaised(scope, pass, gradHidden, hidden)) {
            return linears.getFirst().backward(scope, gradRaised);
        }
    }

    private Tensor gradRaised(StepScope scope, Pass pass, Tensor gradHidden, Tensor hidden) {
        if (activation == Activation.RELU) {
            return backend.neural().reluBackward(scope, gradHidden, hidden);
        }
        try (Tensor raised =
                pass.raised().orElseGet(() -> decoded(scope, pass.encoded().orElseThrow()))) {
            return backend.neural().swiGluBackward(scope, gradHidden, raised);
        }
    }

    private Tensor decoded(StepScope scope, EncodedTensor encoded) {
        try (encoded) {
            return backend.codec().decode(scope, encoded);
        }
    }

    private void update(StepScope scope) {
        linears.forEach(PlannedLinear::releaseWeight);
        List<Tensor> gradients = linears.stream().map(PlannedLinear::gradient).toList();
        backend.optimizer().control(scope, gradients, LARGEST_NORM, control);
        for (int i = 0; i < linears.size(); i++) {
            PlannedLinear linear = linears.get(i);
            Tensor first = moments.get(2 * i);
            Tensor second = moments.get(2 * i + 1);
            backend.optimizer().adamW(scope, SPEC, true, linear.weight(), linear.gradient(), first, second, control);
            linear.afterOptimizer(scope, control);
        }
    }

    /** {@return whether the last training step was skipped} */
    public boolean skipped() {
        return backend.readFloats(control)[Control.SKIPPED.ordinal()] != 0;
    }

    /** {@return the logits of an evaluation, [tokens, classes]} */
    public float[] evaluate(int step, Batch batch) {
        try (Tensor x = input(batch)) {
            Tensor logits;
            try (StepScope scope = backend.beginStep(StepContext.eval(step))) {
                logits = forward(scope, x).logits().share();
            }
            linears.forEach(PlannedLinear::releaseWeight);
            try (logits) {
                return backend.readFloats(logits);
            }
        }
    }

    /**
     * {@return the gradients of logits, X and weights, and the loss, by name, after both passes without an update}
     *
     * @param step its number
     * @param repeated whether the forward pass runs twice, the second time as a recomputation
     */
    public Map<String, float[]> passes(int step, boolean repeated, Batch batch) {
        Map<String, Tensor> results = new TreeMap<>();
        try (Tensor x = input(batch);
                Tensor targets = targets(batch)) {
            if (repeated) {
                try (StepScope scope = backend.beginStep(StepContext.train(step, LEARNING_RATE))) {
                    forward(scope, x);
                    linears.forEach(PlannedLinear::forget);
                }
                linears.forEach(PlannedLinear::releaseWeight);
            }
            StepContext.Mode mode = repeated ? StepContext.Mode.RECOMPUTE : StepContext.Mode.TRAIN;
            try (StepScope scope = backend.beginStep(new StepContext(step, 0, mode, LEARNING_RATE))) {
                linears.forEach(linear -> backend.neural().zero(scope, linear.gradient()));
                backend.neural().zero(scope, loss);
                Pass pass = forward(scope, x);
                backend.neural().crossEntropy(scope, pass.logits(), targets, loss, 1, true);
                results.put("gradient of the logits", pass.logits().share());
                results.put("gradInput", backward(scope, pass).share());
            }
            linears.forEach(PlannedLinear::releaseWeight);
        }
        linears.forEach(linear ->
                results.put(linear.gradient().label(), linear.gradient().share()));
        results.put("loss", loss.share());
        Map<String, float[]> values = new TreeMap<>();
        results.forEach((name, tensor) -> {
            values.put(name, backend.readFloats(tensor));
            tensor.close();
        });
        return values;
    }

    /** {@return names in a snapshot of the state that a training step measures anew before it uses it} */
    public Set<String> measured(long tokens) {
        Set<String> names = new TreeSet<>();
        linears.forEach(linear ->
                linear.measured(tokens, PlanRequest.Phase.LOW_BIT).forEach(name -> names.add(stateName(linear, name))));
        return names;
    }

    private static String stateName(PlannedLinear linear, String vector) {
        return linear.layer().site().name() + ".state." + vector;
    }

    /** {@return a copy of everything that changes} */
    public Snapshot snapshot() {
        Map<String, float[]> values = new TreeMap<>();
        changing().forEach((name, tensor) -> values.put(name, backend.readFloats(tensor)));
        return new Snapshot(values, linears.getFirst().trainedSteps());
    }

    /** Continues where a snapshot was taken. */
    public void restore(Snapshot snapshot) {
        changing()
                .forEach((name, tensor) ->
                        backend.write(tensor, snapshot.values().get(name)));
        linears.forEach(linear -> linear.resumeAfter(snapshot.trainedSteps()));
    }

    private Map<String, Tensor> changing() {
        Map<String, Tensor> tensors = new TreeMap<>();
        moments.forEach(moment -> tensors.put(moment.label(), moment));
        tensors.put(CONTROL, control);
        for (PlannedLinear linear : linears) {
            tensors.put(linear.weight().label(), linear.weight());
            linear.state().all().forEach((name, vector) -> tensors.put(stateName(linear, name), vector));
        }
        return tensors;
    }

    @Override
    public void close() {
        linears.forEach(PlannedLinear::close);
        moments.forEach(Tensor::close);
        control.close();
        loss.close();
    }
}
