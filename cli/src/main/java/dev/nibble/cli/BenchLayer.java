package dev.nibble.cli;

import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLinear;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;

/** A linear layer forward and backward, with all its quantization: X, W and dY, each time. */
final class BenchLayer implements Runnable, AutoCloseable {
    private static final int FRESH_STEPS = 3; // until the plan is that of a layer in training

    private final Backend backend;
    private final Parameter weight;
    private final QuantizedLinear layer;
    private final Tensor x; // [tokens, features]
    private final Tensor gradOutput; // [tokens, features]
    private final Tensor control;
    private int step;

    BenchLayer(Backend backend, String quantizer, int tokens, int features) {
        this.backend = backend;
        LinearLayer shape = new LinearLayer(new Site("bench", 0), features, features);
        weight = Parameter.create(
                backend,
                "bench.weight",
                Shape.of(features, features),
                true,
                new float[Math.multiplyExact(features, features)]);
        try (Tensor values = BenchProduct.normal(backend, Shape.of(features, features), 7)) {
            backend.write(weight.value(), backend.readFloats(values));
        }
        layer = new QuantizedLinear(backend, shape, quantizer(quantizer, shape), weight);
        x = BenchProduct.normal(backend, Shape.of(tokens, features), 11);
        gradOutput = BenchProduct.normal(backend, Shape.of(tokens, features), 13);
        control = backend.allocate("control", DType.FP32, Shape.of(Control.count()), MemoryTag.STATE);
        for (int i = 0; i < FRESH_STEPS; i++) {
            run();
            try (StepScope scope = backend.beginStep(StepContext.train(step, 1e-3f))) {
                backend.optimizer().control(scope, List.of(weight.gradient()), 1, control);
                layer.afterOptimizer(scope, control);
            }
            layer.markTrained();
        }
    }

    /** {@return the quantizer of a layer, with default options unless the text gives some} */
    static LinearQuantizer quantizer(String text, LinearLayer layer) {
        return QuantizerName.quantizer(text).linear(layer);
    }

    @Override
    public void run() {
        try (StepScope scope = backend.beginStep(StepContext.train(step, 1e-3f))) {
            layer.releaseWeight();
            layer.forward(scope, x).close();
            layer.backward(scope, gradOutput, _ -> x.share()).close();
        }
        step++;
    }

    @Override
    public void close() {
        layer.close();
        weight.close();
        x.close();
        gradOutput.close();
        control.close();
    }
}
