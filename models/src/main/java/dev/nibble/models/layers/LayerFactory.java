package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.function.Function;
import java.util.function.ToDoubleFunction;

/**
 * Makes the layers of a transformer with their first weights, and gathers the parameters in the order they are made.
 *
 * <p>First weights are normal with the deviation that the model says, divided by {@code sqrt(2 · layers)} where a branch
 * joins the residual stream (Radford et al. 2019); norms start at 1 and biases at 0. They depend on the seed alone. Weight decay applies
 * to the matrices of the linear layers, not to norms, biases and tables.
 */
final class LayerFactory {
    private final Backend backend;
    private final long seed;
    private final Function<LinearLayer, LinearQuantizer> quantizers;
    private final ToDoubleFunction<LinearLayer> deviation;
    private final double joining; // divides deviations
    private final int stride; // of the ordinals of attention's products
    private final List<Parameter> parameters = new ArrayList<>();

    /**
     * Prepares.
     *
     * @param backend computes
     * @param seed seed of the first weights
     * @param quantizers how each linear layer is computed
     * @param deviation standard deviation of the first weights of a layer
     * @param layers blocks of the model
     */
    LayerFactory(
            Backend backend,
            long seed,
            Function<LinearLayer, LinearQuantizer> quantizers,
            ToDoubleFunction<LinearLayer> deviation,
            int layers) {
        this.backend = backend;
        this.seed = seed;
        this.quantizers = quantizers;
        this.deviation = deviation;
        this.joining = Math.sqrt(2.0 * layers);
        this.stride = BlockShape.stride(layers);
    }

    /** {@return what was made, each once} */
    List<Parameter> parameters() {
        return List.copyOf(parameters);
    }

    /**
     * {@return a block}
     *
     * @param layers its linear layers, as {@link BlockShape#linears} gives them
     * @param products those of attention, as {@link BlockShape#products} gives them
     */
    Block block(int index, BlockShape shape, List<LinearLayer> layers, List<LinearLayer> products) {
        String prefix = BlockShape.prefix(index);
        Norm attentionNorm = norm(prefix + "attn.norm", shape, layers.get(0));
        SelfAttention attention = new SelfAttention(
                backend,
                shape.heads(),
                shape.attention(),
                withBias(linear(layers.get(0)), shape),
                attention(shape.attention(), products),
                withBias(joining(layers.get(1)), shape));
        Norm mlpNorm = norm(prefix + "mlp.norm", shape, layers.get(2));
        Linear first = withBias(withOutliers(linear(layers.get(2)), shape.outliers()), shape);
        Linear down = withBias(withOutliers(joining(layers.get(3)), shape.outliers()), shape);
        Mlp mlp = new Mlp(backend, shape.mlp(), first, down);
        return new Block(backend, attentionNorm, attention, mlpNorm, mlp);
    }

    private Attention attention(SelfAttention.Kind kind, List<LinearLayer> products) {
        return products.isEmpty()
                ? new FloatAttention(backend)
                : QuantizedAttention.of(backend, products.get(0), products.get(1), quantizers, kind.causal(), stride);
    }

    private Linear withOutliers(QuantizedLinear linear, OutlierSpec outliers) {
        return outliers.present() ? new OutlierLinear(backend, linear, linear.weight(), outliers, seed) : linear;
    }

    /** {@return a linear layer, with a bias if blocks of a shape have them} */
    Linear withBias(Linear linear, BlockShape shape) {
        if (!shape.biased()) {
            return linear;
        }
        LinearLayer layer = linear.quantized().layer();
        return new BiasedLinear(
                backend, linear, vector(layer.site().name() + ".bias", Math.toIntExact(layer.out()), 0f));
    }

    /** {@return a linear layer with a weight of its own} */
    QuantizedLinear linear(LinearLayer layer) {
        return linear(layer, deviation.applyAsDouble(layer));
    }

    private QuantizedLinear joining(LinearLayer layer) {
        return linear(layer, deviation.applyAsDouble(layer) / joining);
    }

    private QuantizedLinear linear(LinearLayer layer, double ownDeviation) {
        Shape shape = Shape.of(layer.out(), layer.in());
        String name = layer.site().name() + ".weight";
        Parameter weight = parameter(name, shape, true, normal(layer.site().ordinal(), shape, ownDeviation));
        return new QuantizedLinear(backend, layer, quantizers.apply(layer), weight);
    }

    /**
     * {@return a norm as blocks of a shape have it}
     *
     * @param name what its parameters' names begin with
     * @param reader the linear layer that reads its output: its quantizer says how the norm keeps its input
     */
    Norm norm(String name, BlockShape shape, LinearLayer reader) {
        if (!shape.biased()) {
            return norm(name + ".weight", shape.width(), reader);
        }
        Parameter weight = vector(name + ".weight", shape.width(), 1f);
        return new LayerNorm(
                backend,
                weight,
                vector(name + ".bias", shape.width(), 0f),
                LayerNorm.GPT2_EPSILON,
                () -> quantizers.apply(reader).context());
    }

    /**
     * {@return an RMSNorm that starts at 1}
     *
     * @param reader the linear layer that reads its output: its quantizer says how the norm keeps its input
     */
    RmsNorm norm(String name, int width, LinearLayer reader) {
        return new RmsNorm(
                backend, vector(name, width, 1f), () -> quantizers.apply(reader).context());
    }

    /** {@return the quantizer of a layer: to ask what it wants, not to run it} */
    LinearQuantizer quantizer(LinearLayer layer) {
        return quantizers.apply(layer);
    }

    /** {@return a vector that starts at one value, without weight decay} */
    Parameter vector(String name, int width, float value) {
        float[] values = new float[width]; // [width]
        Arrays.fill(values, value);
        return parameter(name, Shape.of(width), false, values);
    }

    /** {@return a table of vectors} */
    Parameter table(String name, int ordinal, Shape shape, double ownDeviation) {
        return parameter(name, shape, false, normal(ordinal, shape, ownDeviation));
    }

    private float[] normal(int ordinal, Shape shape, double ownDeviation) {
        // drawing takes longer than all else that counting does
        return backend.hasValues() ? InitialWeights.normal(seed, ordinal, shape, ownDeviation) : new float[0];
    }

    private Parameter parameter(String name, Shape shape, boolean decay, float[] values) {
        Parameter parameter = Parameter.create(backend, name, shape, decay, values);
        parameters.add(parameter);
        return parameter;
    }
}
