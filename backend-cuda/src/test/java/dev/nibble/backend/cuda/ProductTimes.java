package dev.nibble.backend.cuda;

import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.layers.InitialWeights;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.Operand;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;

/** Times matrix products and attention, without quantization, on random operands that together outgrow the device's cache. */
final class ProductTimes implements AutoCloseable {
    private static final long CACHE = 150_000_000; // bytes
    private static final Site SITE = new Site("bench", 0);

    private final CudaBackend backend;
    private final DeviceTimer timer;

    ProductTimes() {
        CudaSettings settings = new CudaSettings(true, false, false, false, false, "auto"); // graphs are recorded here
        backend = Gpu.open(settings);
        timer = new DeviceTimer(backend);
    }

    /** One of two operands, quantized as its layer's plan says. */
    private record Pair(Operand x, Operand w) {
        void close() {
            x.close();
            w.close();
        }
    }

    static LinearQuantizer quantizer(String text, LinearLayer layer) {
        QuantizerChoice choice = QuantizerChoice.parse(text);
        QuantizerProvider provider = Plugins.quantizers().get(choice.name());
        return provider.create(OptionValues.of(choice.name(), provider.options(), choice.options()))
                .linear(layer);
    }

    /** {@return milliseconds of {@code Y = X · Wᵀ}, [m, k] times [n, k], as a quantizer plans it} */
    double product(String quantizer, long m, long n, long k) {
        LinearQuantizer linear = quantizer(quantizer, new LinearLayer(SITE, k, n));
        LinearPlan plan = linear.plan(new PlanRequest(m, false));
        long bytes = (m + n) * k; // of codes; a little more where they are wider
        int count = (int) Math.max(2, Math.ceilDiv(CACHE, bytes));
        List<Pair> pairs = new ArrayList<>();
        try (DeviceState state = backend.allocateState(linear.state());
                Tensor y = backend.allocate("y", DType.FP32, Shape.of(m, n), MemoryTag.SCRATCH)) {
            for (int i = 0; i < count; i++) {
                pairs.add(new Pair(
                        operand(plan.input(), m, k, 2 * i, state), operand(plan.weight(), n, k, 2 * i + 1, state)));
            }
            try (StepScope scope = backend.beginStep(StepContext.train(3, 0))) {
                return timer.millis(() -> pairs.forEach(
                                p -> backend.gemm().multiply(scope, plan.output(), SITE, p.x(), p.w(), y)))
                        / count;
            }
        } finally {
            pairs.forEach(Pair::close);
        }
    }

    private Operand operand(QuantizeSpec spec, long rows, long k, int seed, DeviceState state) {
        try (Tensor x = normal(rows, k, seed);
                StepScope scope = backend.beginStep(StepContext.train(3, 0));
                Quantized quantized =
                        backend.quantization().quantize(scope, spec.only(Contraction.COLUMNS), SITE, x, state)) {
            return quantized.operand(Contraction.COLUMNS).share();
        }
    }

    private Tensor normal(long rows, long cols, int seed) {
        Shape shape = Shape.of(rows, cols);
        Tensor x = backend.allocate("x", DType.FP32, shape, MemoryTag.SCRATCH);
        backend.write(x, InitialWeights.normal(seed, 1, shape, 1));
        return x;
    }

    /**
     * What attention takes.
     *
     * @param forward milliseconds, with the rounding of q, k and v
     * @param backward milliseconds, with the rounding of these and of the output's gradient
     */
    record Attention(double forward, double backward) {}

    /** {@return what attention with operands in BF16 takes} */
    Attention attention(AttentionShape shape) {
        DeviceAttention attention = DeviceAttention.of(backend.runtime(), DType.BF16);
        try (Tensor qkv = normal(shape.tokens(), 3L * shape.width(), 1);
                Tensor gradient = normal(shape.tokens(), shape.width(), 2);
                StepScope scope = backend.beginStep(StepContext.train(3, 0))) {
            NeuralOps.Saved saved = attention.forward(scope, qkv, shape);
            return new Attention(
                    timer.millis(() -> {
                        NeuralOps.Saved again = attention.forward(scope, qkv, shape);
                        again.output().close();
                        again.saved().close();
                    }),
                    timer.millis(() -> attention
                            .backward(scope, gradient, qkv, saved, shape)
                            .close()));
        }
    }

    @Override
    public void close() {
        timer.close();
        backend.close();
    }
}
