package dev.nibble.models.layers;

import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;
import java.util.SplittableRandom;

/** A backend and random FP32 tensors on it. */
final class LayerFixture implements AutoCloseable {
    /** FP32 and BF16 need no input again. */
    static final InputSource NEVER = _ -> {
        throw new AssertionError("the input is asked for again");
    };

    final Backend backend = Plugins.openBackend("auto", BackendOptions.withSeed(1));
    private final SplittableRandom random;

    LayerFixture(long seed) {
        random = new SplittableRandom(seed);
    }

    static LinearQuantizer quantizer(String name, LinearLayer layer) {
        return quantizer(name, Map.of(), layer);
    }

    static LinearQuantizer quantizer(String name, Map<String, String> options, LinearLayer layer) {
        QuantizerProvider provider = Plugins.quantizers().get(name);
        return provider.create(OptionValues.of(name, provider.options(), options))
                .linear(layer);
    }

    /** Uniform in [-scale, scale]. */
    float[] uniform(long elements, double scale) {
        float[] values = new float[Math.toIntExact(elements)];
        for (int i = 0; i < values.length; i++) {
            values[i] = (float) (scale * (2 * random.nextDouble() - 1));
        }
        return values;
    }

    int[] tokens(int count, int vocabulary) {
        int[] values = new int[count];
        for (int i = 0; i < count; i++) {
            values[i] = random.nextInt(vocabulary);
        }
        return values;
    }

    Tensor tensor(Shape shape, float[] values) {
        Tensor tensor = backend.allocate("test", DType.FP32, shape, MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    Tensor tensor(int[] values) {
        Tensor tensor = backend.allocate("test", DType.INT32, Shape.of(values.length), MemoryTag.STATE);
        backend.write(tensor, values);
        return tensor;
    }

    /** A weight of variance 1/in, so that products keep the size of their input. */
    Parameter weight(String name, int out, int in) {
        Shape shape = Shape.of(out, in);
        return Parameter.create(backend, name, shape, true, uniform(shape.elements(), Math.sqrt(3.0 / in)));
    }

    Parameter norm(String name, int width) {
        float[] values = uniform(width, 0.5);
        for (int i = 0; i < width; i++) {
            values[i] += 1;
        }
        return Parameter.create(backend, name, Shape.of(width), false, values);
    }

    QuantizedLinear linear(String name, Parameter weight) {
        return linear(name, weight, "fp32");
    }

    QuantizedLinear linear(String name, Parameter weight, String quantizer) {
        Shape shape = weight.value().shape();
        LinearLayer layer = new LinearLayer(new Site(name, 2), shape.cols(), shape.rows());
        return new QuantizedLinear(backend, layer, quantizer(quantizer, layer), weight);
    }

    /** Attention whose products a quantizer plans; the ordinals of its pairs are 10, 12, … and 11, 13, … */
    QuantizedAttention plannedAttention(String quantizer, AttentionShape shape) {
        return plannedAttention(quantizer, Map.of(), shape);
    }

    QuantizedAttention plannedAttention(String quantizer, Map<String, String> options, AttentionShape shape) {
        LinearLayer scores = new LinearLayer(new Site("blocks.0.attn.scores", 10), shape.headSize(), shape.sequence());
        LinearLayer mix = new LinearLayer(new Site("blocks.0.attn.mix", 11), shape.sequence(), shape.headSize(), true);
        return QuantizedAttention.of(
                backend, scores, mix, layer -> quantizer(quantizer, options, layer), shape.causal(), 2);
    }

    static double[] doubles(float[] values) {
        double[] copy = new double[values.length];
        for (int i = 0; i < copy.length; i++) {
            copy[i] = values[i];
        }
        return copy;
    }

    double[] values(Parameter parameter) {
        return doubles(backend.readFloats(parameter.value()));
    }

    float[] gradient(Parameter parameter) {
        return backend.readFloats(parameter.gradient());
    }

    @Override
    public void close() {
        backend.close();
    }
}
