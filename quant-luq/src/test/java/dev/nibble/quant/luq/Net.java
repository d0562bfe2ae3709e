package dev.nibble.quant.luq;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.Operand;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;

/**
 * A network of linear layers with a ReLU between them, built through the SPI, whose backward pass can be run again and again
 * from one forward pass. The loss is half the squared distance of its output from 0: the first dY is the output itself.
 */
final class Net implements AutoCloseable {
    private static final long SEED = 7;

    private final Backend backend = new ReferenceBackendProvider().open(BackendOptions.withSeed(SEED));
    private final int tokens;
    private final int[] widths; // [layers + 1]
    private final List<Built> layers = new ArrayList<>();

    /** A layer after the forward pass: its plan, its operands, what they mean, and its output after the ReLU. */
    private record Built(
            Site site,
            LinearPlan plan,
            DeviceState state,
            Operand inputRows,
            Operand weightRows,
            double[] input, // [tokens, in], what the codes mean
            double[] weight, // [out, in], what the codes mean
            Tensor output) {}

    /**
     * Runs the forward pass.
     *
     * @param options of the quantizer
     * @param x [tokens, widths[0]]
     * @param weights [widths[i + 1], widths[i]] each
     */
    Net(Map<String, String> options, float[] x, int tokens, int[] widths, List<float[]> weights) {
        this.tokens = tokens;
        this.widths = widths.clone();
        QuantizerProvider provider = Plugins.quantizers().get("luq");
        var quantizer = provider.create(OptionValues.of("luq", provider.options(), options));
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
            Tensor input = backend.allocate("x", DType.FP32, Shape.of(tokens, widths[0]), MemoryTag.PARAMETER);
            backend.write(input, x);
            for (int i = 0; i < weights.size(); i++) {
                Site site = new Site("layers." + i, i);
                var linear = quantizer.linear(new LinearLayer(site, widths[i], widths[i + 1], i > 0));
                boolean last = i == weights.size() - 1;
                Built layer = forward(
                        scope,
                        site,
                        linear.plan(new PlanRequest(tokens, false)),
                        linear.state(),
                        input,
                        weights.get(i),
                        last);
                layers.add(layer);
                input = layer.output();
            }
        }
    }

    private Built forward(
            StepScope scope,
            Site site,
            LinearPlan plan,
            List<StateVector> vectors,
            Tensor input,
            float[] weights,
            boolean last) {
        int out = weights.length / (int) input.shape().cols();
        DeviceState state = backend.allocateState(vectors);
        try (Tensor w = scope.allocate(
                        "w", DType.FP32, Shape.of(out, input.shape().cols()));
                Tensor y = scope.allocate("y", DType.FP32, Shape.of(tokens, out))) {
            backend.write(w, weights);
            Quantized x = backend.quantization().quantize(scope, plan.input(), site, input, state);
            Quantized q = backend.quantization().quantize(scope, plan.weight(), site, w, state);
            Operand a = x.operand(Contraction.COLUMNS);
            Operand b = q.operand(Contraction.COLUMNS);
            backend.gemm().multiply(scope, plan.output(), site, a, b, y);
            Tensor output = backend.allocate("output", DType.FP32, Shape.of(tokens, out), MemoryTag.PARAMETER);
            float[] values = HostTensor.floats(y); // [tokens, out]
            for (int i = 0; i < values.length; i++) {
                HostTensor.floats(output)[i] = last ? values[i] : Math.max(0, values[i]);
            }
            return new Built(
                    site,
                    plan,
                    state,
                    x.operand(Contraction.ROWS).share(),
                    q.operand(Contraction.ROWS).share(),
                    values(scope, a),
                    values(scope, b),
                    output);
        }
    }

    private double[] values(StepScope scope, Operand operand) {
        float[] floats = HostTensor.floats(backend.quantization().dequantize(scope, operand));
        double[] values = new double[floats.length]; // as floats
        for (int i = 0; i < floats.length; i++) {
            values[i] = floats[i];
        }
        return values;
    }

    int depth() {
        return layers.size();
    }

    /** {@return dW of every layer, [out, in] each, with the draws of a step} */
    List<float[]> gradients(int step) {
        float[][] gradients = new float[layers.size()][]; // [layers][out · in]
        try (StepScope scope = backend.beginStep(StepContext.train(step, 0))) {
            Tensor dy = layers.getLast().output();
            for (int i = layers.size() - 1; i >= 0; i--) {
                Built layer = layers.get(i);
                Tensor dw = scope.allocate("dW", DType.FP32, Shape.of(widths[i + 1], widths[i]));
                Tensor dx = scope.allocate("dX", DType.FP32, Shape.of(tokens, widths[i]));
                backend.neural().zero(scope, dw);
                try (Quantized q = backend.quantization()
                        .quantize(scope, layer.plan().gradOutput(), layer.site(), dy, layer.state())) {
                    Operand rows = q.operand(Product.GRAD_WEIGHT.contractionA());
                    Operand columns = q.operand(Product.GRAD_INPUT.contractionA());
                    backend.gemm()
                            .multiply(scope, layer.plan().gradWeight(), layer.site(), rows, layer.inputRows(), dw);
                    backend.gemm()
                            .multiply(scope, layer.plan().gradInput(), layer.site(), columns, layer.weightRows(), dx);
                }
                gradients[i] = HostTensor.floats(dw).clone();
                if (i > 0) {
                    passWherePositive(dx, layers.get(i - 1).output());
                }
                dy = dx;
            }
        }
        return List.of(gradients);
    }

    private static void passWherePositive(Tensor gradient, Tensor output) {
        float[] values = HostTensor.floats(gradient); // [tokens, in]
        for (int i = 0; i < values.length; i++) {
            values[i] = HostTensor.floats(output)[i] > 0 ? values[i] : 0;
        }
    }

    /** dW of a layer in FP64, and how far FP32 may take the mean of its draws from that; [out, in] each. */
    record Exact(double[] gradient, double[] slack) {}

    /**
     * {@return dW of every layer by what the codes of X and W mean and by dY as it is}
     *
     * <p>The slack: on its way from dY to dW a value is rounded at most four times a layer (t, the product of the scales, the
     * fused sum, the grid of the probabilities), each at most 2^-24 of its magnitude, for which the sums of magnitudes stand. The
     * last one is 2^-24 of alpha, not of the value: alpha is amax/64 of a drawn dY, which is at most 2 a layer, so 2^4 in all, times
     * the largest magnitude: a quarter of it is added to each.
     */
    List<Exact> exactGradients() {
        Exact[] gradients = new Exact[layers.size()];
        double[] dy = doubles(layers.getLast().output());
        double[] magnitude = withAlpha(absolute(dy));
        for (int i = layers.size() - 1; i >= 0; i--) {
            Built layer = layers.get(i);
            double[] slack = gradWeight(magnitude, absolute(layer.input()), widths[i + 1], widths[i]);
            for (int at = 0; at < slack.length; at++) {
                slack[at] *= 4 * layers.size() * 0x1p-24;
            }
            gradients[i] = new Exact(gradWeight(dy, layer.input(), widths[i + 1], widths[i]), slack);
            dy = gradInput(dy, layer.weight(), i);
            magnitude = withAlpha(gradInput(magnitude, absolute(layer.weight()), i));
        }
        return List.of(gradients);
    }

    /** {@return dYᵀ · X, [out, in]} */
    private double[] gradWeight(double[] dy, double[] input, int out, int in) {
        double[] dw = new double[out * in]; // [out, in]
        for (int token = 0; token < tokens; token++) {
            for (int at = 0; at < dw.length; at++) {
                dw[at] += dy[token * out + at / in] * input[token * in + at % in];
            }
        }
        return dw;
    }

    /** {@return dY · W of a layer, where the ReLU below lets it pass, [tokens, in]} */
    private double[] gradInput(double[] dy, double[] weight, int layer) {
        int in = widths[layer];
        int out = widths[layer + 1];
        double[] dx = new double[tokens * in]; // [tokens, in]
        for (int at = 0; at < dx.length; at++) {
            boolean passes =
                    layer == 0 || HostTensor.floats(layers.get(layer - 1).output())[at] > 0;
            for (int o = 0; passes && o < out; o++) {
                dx[at] += dy[at / in * out + o] * weight[o * in + at % in];
            }
        }
        return dx;
    }

    private static double[] absolute(double[] values) {
        return Arrays.stream(values).map(Math::abs).toArray();
    }

    private static double[] withAlpha(double[] magnitudes) {
        double largest = Arrays.stream(magnitudes).max().orElseThrow();
        return Arrays.stream(magnitudes).map(m -> m + largest / 4).toArray();
    }

    private static double[] doubles(Tensor tensor) {
        float[] floats = HostTensor.floats(tensor);
        double[] values = new double[floats.length]; // as floats
        for (int i = 0; i < floats.length; i++) {
            values[i] = floats[i];
        }
        return values;
    }

    @Override
    public void close() {
        backend.close();
    }
}
