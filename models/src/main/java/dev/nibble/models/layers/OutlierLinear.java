package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.reference.Fp32Provider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * A linear layer whose input holds occasional outliers, as those of large gated networks do, and whose output does not show
 * them: {@code Y = quantized(X + O) - O · Wᵀ}, the second product in FP32.
 *
 * <p>O is ±size in {@code round(rate · elements)} places, anew in each step and micro-batch, and 0 elsewhere. With exact
 * products Y = X · Wᵀ and both gradients are those without outliers: what is left is what outliers do to a number format.
 * Outlier i is at element {@code r mod elements}, r the 64 bits of words 4i and 4i + 1 of the stream of the step, the
 * micro-batch and the layer (role OTHER, purpose OUTLIER); it is negative if word 4i + 2 is.
 */
final class OutlierLinear implements Linear {
    private final Backend backend;
    private final QuantizedLinear quantized;
    private final QuantizedLinear correction;
    private final OutlierSpec spec;
    private final long seed;

    /**
     * Wraps a layer.
     *
     * @param backend computes
     * @param quantized owned by this
     * @param weight its weight; not owned
     * @param spec how many outliers, how large; at least one a pass
     * @param seed seed of their places
     */
    OutlierLinear(Backend backend, QuantizedLinear quantized, Parameter weight, OutlierSpec spec, long seed) {
        this.backend = backend;
        this.quantized = quantized;
        this.spec = spec;
        this.seed = seed;
        LinearLayer layer = quantized.layer();
        Site site = new Site(layer.site().name() + ".outliers", layer.site().ordinal());
        LinearLayer own = new LinearLayer(site, layer.in(), layer.out());
        LinearQuantizer fp32 = new Fp32Provider()
                .create(OptionValues.of("fp32", List.of(), Map.of()))
                .linear(own);
        this.correction = new QuantizedLinear(backend, own, fp32, weight);
    }

    @Override
    public Tensor forward(StepScope scope, Tensor x) {
        Tensor y;
        try (Tensor withOutliers = plus(scope, x)) {
            y = quantized.forward(scope, withOutliers);
        }
        try (Tensor outliers = outliers(scope, x.shape(), -1);
                Tensor share = correction.forward(scope, outliers)) {
            backend.neural().addInPlace(scope, y, share);
        }
        correction.releaseWeight();
        return y;
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, InputSource again) {
        correction.backward(scope, gradOutput).close(); // O is no function of X
        correction.releaseWeight();
        return quantized.backward(scope, gradOutput, inner -> {
            try (Tensor x = again.recompute(inner)) {
                return plus(inner, x);
            }
        });
    }

    private Tensor plus(StepScope scope, Tensor x) {
        Tensor sum = outliers(scope, x.shape(), 1);
        backend.neural().addInPlace(scope, sum, x);
        return sum;
    }

    private Tensor outliers(StepScope scope, Shape shape, int factor) {
        Tensor outliers = scope.allocate(quantized.layer().site().name() + ".outliers", DType.FP32, shape);
        backend.write(outliers, places(scope.context(), shape.elements(), (float) (factor * spec.size())));
        return outliers;
    }

    /** {@return O, [elements]} */
    private float[] places(StepContext context, long elements, float size) {
        int site = quantized.layer().site().ordinal();
        RandomStream stream =
                new RandomStream(seed, context.step(), context.microBatch(), site, Role.OTHER, Purpose.OUTLIER, 0);
        float[] places = new float[Math.toIntExact(elements)]; // [elements]
        long count = Math.round(spec.rate() * elements);
        int[] words = new int[4];
        for (long i = 0; i < count; i++) {
            stream.quad(i, words, 0);
            long r = ((long) words[0] << 32) | (words[1] & 0xFFFFFFFFL);
            places[(int) Long.remainderUnsigned(r, elements)] = words[2] < 0 ? -size : size;
        }
        return places;
    }

    @Override
    public Optional<TensorCodec> context() {
        return quantized.context();
    }

    @Override
    public QuantizedLinear quantized() {
        return quantized;
    }

    @Override
    public void close() {
        quantized.close();
        correction.close();
    }
}
