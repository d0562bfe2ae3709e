package dev.nibble.testkit.run;

import static dev.nibble.testkit.data.Products.magnitudes;
import static dev.nibble.testkit.data.Products.timesTransposed;
import static dev.nibble.testkit.data.Products.transposed;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.reference.Hadamard;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.Operand;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.FloatError;
import dev.nibble.testkit.data.Matrix;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;

/**
 * Linear layers with ReLU between them after one forward pass, whose backward pass runs again and again: is the mean dW of each
 * layer the gradient of that forward pass? What a layer passes down is then unbiased, and the next one builds on it, since draws of
 * different layers are independent and all that comes after them is linear. The loss is cross-entropy; the class of token t is t mod
 * classes.
 */
public final class FrozenNet implements AutoCloseable {
    private final Backend backend;
    private final int tokens;
    private final List<PlannedLinear> layers = new ArrayList<>();
    private final List<Tensor> values = new ArrayList<>(); // x, then each output, after its ReLU but for the last
    private final Tensor lossGradient; // dY of the last layer, [tokens, classes]

    /** dW in FP64, and how far FP32 may take the mean of its draws from it; [out · in] each. */
    private record Exact(double[] gradient, double[] slack) {}

    /**
     * Runs the forward pass.
     *
     * @param backend computes; owned
     * @param quantizer of all layers
     * @param x input, [tokens, in]
     * @param weights [out, in] each, the first layer's first
     */
    public FrozenNet(Backend backend, Quantizer quantizer, Matrix x, List<Matrix> weights) {
        this.backend = backend;
        this.tokens = x.rows();
        Tensor input = backend.allocate("x", DType.FP32, Shape.of(tokens, x.cols()), MemoryTag.SCRATCH);
        backend.write(input, x.values());
        values.add(input);
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
            for (int i = 0; i < weights.size(); i++) {
                Matrix w = weights.get(i);
                LinearLayer layer = new LinearLayer(new Site("layers." + i, i), w.cols(), w.rows(), i > 0);
                layers.add(new PlannedLinear(backend, layer, quantizer.linear(layer), w));
                Tensor y = layers.getLast().forward(scope, values.getLast());
                Tensor next = i == weights.size() - 1 ? y : backend.neural().relu(scope, y);
                values.add(next.share());
            }
            lossGradient = lossGradient(scope, values.getLast()).share();
        }
    }

    private Tensor lossGradient(StepScope scope, Tensor output) {
        int classes = (int) output.shape().cols();
        int[] classOf = new int[tokens]; // [tokens]
        Arrays.setAll(classOf, token -> token % classes);
        Tensor targets = scope.allocate("targets", DType.INT32, Shape.of(tokens));
        backend.write(targets, classOf);
        Tensor gradient = scope.allocate("gradient of the loss", DType.FP32, output.shape());
        backend.neural().zero(scope, gradient);
        backend.neural().addInPlace(scope, gradient, output);
        Tensor loss = scope.allocate("loss", DType.FP32, Shape.of(1));
        backend.neural().zero(scope, loss);
        backend.neural().crossEntropy(scope, gradient, targets, loss, 1, true);
        return gradient;
    }

    /**
     * {@return the mean dW of each layer against the exact one}
     *
     * @param draws backward passes, each with the draws of another step
     * @param roundings of FP32 on the way of a value from dY to dW or dX, at most, each by 2^-24 of a magnitude that the sum of
     *     magnitudes bounds: quotient or product with the scale, product of scales, weight of a row, partial sums, butterflies
     */
    public List<GradientBias> biases(int draws, int roundings) {
        List<GradientBias> biases = exactGradients(roundings).stream()
                .map(exact -> new GradientBias(exact.gradient(), exact.slack()))
                .toList();
        for (int draw = 0; draw < draws; draw++) {
            drawGradients(draw);
            for (int i = 0; i < layers.size(); i++) {
                biases.get(i).add(backend.readFloats(layers.get(i).gradient()));
            }
        }
        return biases;
    }

    private void drawGradients(int step) {
        try (StepScope scope = backend.beginStep(StepContext.train(step, 0))) {
            Tensor dy = lossGradient;
            for (int i = layers.size() - 1; i >= 0; i--) {
                backend.neural().zero(scope, layers.get(i).gradient());
                Tensor dx = layers.get(i).repeatBackward(scope, dy);
                dy = i > 0 ? backend.neural().reluBackward(scope, dx, values.get(i)) : dx;
            }
        }
    }

    /** {@return what codes and scales of an operand that is kept mean, [rows · k]} */
    private double[] meaning(Operand operand) {
        Tensor meaning;
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
            meaning = backend.quantization().dequantize(scope, operand).share();
        }
        try (meaning) {
            return wide(meaning);
        }
    }

    private double[] wide(Tensor tensor) {
        return new Matrix(backend.readFloats(tensor), 1, (int) tensor.shape().elements()).wide();
    }

    /**
     * {@return whether each layer's output is the product of the operands that its gradients read, within a rounding a term and eight more: then their
     * mean is the gradient of the very forward pass that ran} Codes that are made anew for the gradients, or leave a residual
     * out, mean something else.
     */
    public boolean gradientsReadTheForwardPass() {
        for (int i = 0; i < layers.size(); i++) {
            int in = (int) layers.get(i).layer().in();
            int out = (int) layers.get(i).layer().out();
            double[] x = transposed(meaning(layers.get(i).keptInput()), in, tokens); // [tokens, in]
            double[] w = transposed(meaning(layers.get(i).keptWeight()), in, out); // [out, in]
            double[] product = timesTransposed(x, w, tokens, out, in); // [tokens, out]
            double[] sizes = timesTransposed(magnitudes(x), magnitudes(w), tokens, out, in); // [tokens, out]
            double[] y = wide(values.get(i + 1)); // [tokens, out]
            for (int at = 0; at < y.length; at++) {
                double expected = i < layers.size() - 1 ? Math.max(0, product[at]) : product[at];
                if (Math.abs(y[at] - expected) > FloatError.gamma(in + 8) * sizes[at]) {
                    return false;
                }
            }
        }
        return true;
    }

    /**
     * {@return dW of every layer by what the kept codes of X and W mean, by their masks, and by dY as it is}
     *
     * <p>The slack: each rounding by 2^-24 of the sum of magnitudes. The grid of the uniform numbers costs as much of the distance
     * of two codes: a seventh of the largest magnitude or less for integers; for powers of two that of the element, or a 64th of
     * the largest one, which the draws of each of four layers can double. A quarter of the largest is added to each.
     */
    private List<Exact> exactGradients(int roundings) {
        Exact[] gradients = new Exact[layers.size()]; // [layers]
        double[] dy = wide(lossGradient); // [tokens, out]
        double[] sizes = withGrid(magnitudes(dy)); // [tokens, out]
        for (int i = layers.size() - 1; i >= 0; i--) {
            LinearLayer layer = layers.get(i).layer();
            LinearPlan plan = layers.get(i).plan(tokens, PlanRequest.Phase.LOW_BIT);
            int in = (int) layer.in();
            int out = (int) layer.out();
            double[] x = meaning(layers.get(i).keptInput()); // [in, tokens]
            double[] w = meaning(layers.get(i).keptWeight()); // [in, out]
            Through weight =
                    through(i, plan.weight(), plan.weightClip(), layers.get(i).weight());
            double[] gradient =
                    weight.back(timesTransposed(transposed(dy, tokens, out), x, out, in, tokens), false); // [out, in]
            double[] slack = weight.back(
                    timesTransposed(transposed(sizes, tokens, out), magnitudes(x), out, in, tokens), true); // [out, in]
            for (int at = 0; at < slack.length; at++) {
                slack[at] *= FloatError.gamma((long) roundings * (layers.size() - i));
            }
            gradients[i] = new Exact(gradient, slack);
            Through input = through(i, plan.input(), plan.inputClip(), values.get(i));
            dy = input.back(timesTransposed(dy, w, tokens, in, out), false);
            sizes = withGrid(input.back(timesTransposed(sizes, magnitudes(w), tokens, in, out), true));
            if (i > 0) {
                passWherePositive(dy, i);
                passWherePositive(sizes, i);
            }
        }
        return List.of(gradients);
    }

    private void passWherePositive(double[] gradient, int layer) {
        float[] output = backend.readFloats(values.get(layer)); // [tokens, in]
        for (int at = 0; at < gradient.length; at++) {
            gradient[at] = output[at] > 0 ? gradient[at] : 0;
        }
    }

    private static double[] withGrid(double[] sizes) {
        double largest = 0;
        for (double size : sizes) {
            largest = Math.max(largest, size);
        }
        double[] grown = new double[sizes.length]; // as sizes
        for (int at = 0; at < sizes.length; at++) {
            grown[at] = sizes[at] + largest / 4;
        }
        return grown;
    }

    /**
     * The way of a gradient back through the quantizer of a tensor.
     *
     * @param inside where it passes, [elements]
     * @param log2 of the blocks of the Hadamard transform
     */
    private record Through(boolean[] inside, int log2) {
        /** {@return (product where inside) · H; of magnitudes, with magnitudes of H} */
        double[] back(double[] product, boolean sizes) {
            int size = 1 << log2;
            double norm = 1 / Math.sqrt(size);
            double[] out = new double[product.length]; // [elements]
            for (int at = 0; at < out.length; at++) {
                int run = at - at % size;
                for (int k = 0; k < size; k++) {
                    boolean minus = Integer.bitCount((at - run) & k) % 2 == 1 && !sizes;
                    out[at] += inside[run + k] ? (minus ? -norm : norm) * product[run + k] : 0;
                }
            }
            return out;
        }
    }

    private Through through(int layer, QuantizeSpec spec, Optional<StraightThrough> clip, Tensor tensor) {
        int log2 = switch (spec.transform()) {
            case Transform.Identity _ -> 0;
            case Transform.BlockHadamard hadamard -> (int) state(layer, hadamard.state());
            case Transform.ColumnScale _ ->
                throw new IllegalArgumentException("layer " + layer
                        + " scales columns, but exact gradients are known without a transform and with Hadamard's");
        };
        float[] transformed = backend.readFloats(tensor); // [rows, cols]
        boolean[] inside = new boolean[transformed.length]; // [rows, cols]
        Hadamard.transform(transformed, 0, transformed.length, log2);
        float step = clip.map(c -> state(layer, c.step())).orElse(1f);
        float top = clip.map(c -> (float) c.top()).orElse(Float.MAX_VALUE);
        for (int at = 0; at < inside.length; at++) {
            inside[at] = Math.abs(transformed[at] / step) <= top;
        }
        return new Through(inside, log2);
    }

    private float state(int layer, String name) {
        return backend.readFloats(layers.get(layer).state().get(name))[0];
    }

    @Override
    public void close() {
        values.forEach(Tensor::close);
        lossGradient.close();
        layers.forEach(PlannedLinear::close);
        backend.close();
    }
}
