package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;

/**
 * Batch normalization in FP32 (Ioffe and Szegedy 2015, arXiv:1502.03167). In training it uses the moments of the batch, and moves their
 * averages a tenth of the way to them; in evaluation it uses the averages, which start at mean 0 and variance 1. The variance that is
 * averaged is that of the batch itself, divided by its rows.
 */
final class BatchNorm implements AutoCloseable {
    private static final float EPSILON = 1e-5f;
    private static final float SHARE = 0.1f;

    private final Backend backend;
    private final Parameter weight;
    private final Parameter bias;
    private final Tensor average; // [2, width]: means, variances

    /**
     * Makes the layer.
     *
     * @param name of the averages
     * @param weight [width]; not owned
     * @param bias [width]; not owned
     */
    BatchNorm(Backend backend, String name, Parameter weight, Parameter bias) {
        this.backend = backend;
        this.weight = weight;
        this.bias = bias;
        long width = weight.value().shape().elements();
        this.average = backend.allocate(name, DType.FP32, Shape.of(2, width), MemoryTag.STATE);
        float[] start = new float[Math.toIntExact(2 * width)]; // [2, width]
        Arrays.fill(start, (int) width, start.length, 1f);
        backend.write(average, start);
    }

    /** {@return the averages, [2, width], not owned} */
    Tensor average() {
        return average;
    }

    /** {@return the moments that normalize x, owned by the caller} In training, moves the averages. */
    Tensor moments(StepScope scope, Tensor x) {
        if (scope.context().mode() == StepContext.Mode.EVAL) {
            return average.share();
        }
        Tensor moments = backend.convolution().columnMoments(scope, x);
        if (scope.context().training()) {
            backend.convolution().moveAverage(scope, average, moments, SHARE);
        }
        return moments;
    }

    /** {@return y, shaped like x, owned by the caller} */
    Tensor forward(StepScope scope, Tensor x, Tensor moments) {
        return backend.convolution().batchNorm(scope, x, moments, weight.value(), bias.value(), EPSILON);
    }

    /** {@return dx, owned by the caller} Adds to the gradients of weight and bias. */
    Tensor backward(StepScope scope, Tensor gradOutput, Tensor x, Tensor moments) {
        return backend.convolution()
                .batchNormBackward(
                        scope, gradOutput, x, moments, weight.value(), EPSILON, weight.gradient(), bias.gradient());
    }

    @Override
    public void close() {
        average.close();
    }
}
