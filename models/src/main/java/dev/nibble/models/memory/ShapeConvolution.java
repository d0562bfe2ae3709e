package dev.nibble.models.memory;

import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.Window;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** The shapes of results. */
final class ShapeConvolution implements ConvolutionOps {
    @Override
    public Tensor unfold(StepScope scope, Tensor x, Window window) {
        long images = x.shape().rows() / window.pixels();
        return scope.allocate("patches", DType.FP32, Shape.of(images * window.places(), window.patch()));
    }

    @Override
    public Tensor fold(StepScope scope, Tensor gradPatches, Window window) {
        long images = gradPatches.shape().rows() / window.places();
        return scope.allocate("gradient of images", DType.FP32, Shape.of(images * window.pixels(), window.channels()));
    }

    @Override
    public Tensor columnMoments(StepScope scope, Tensor x) {
        return scope.allocate("moments", DType.FP32, Shape.of(2, x.shape().cols()));
    }

    @Override
    public Tensor batchNorm(StepScope scope, Tensor x, Tensor moments, Tensor weight, Tensor bias, float epsilon) {
        return scope.allocate("normed", DType.FP32, x.shape());
    }

    @Override
    public Tensor batchNormBackward(
            StepScope scope,
            Tensor gradOutput,
            Tensor x,
            Tensor moments,
            Tensor weight,
            float epsilon,
            Tensor gradWeight,
            Tensor gradBias) {
        return scope.allocate("gradient of norm", DType.FP32, x.shape());
    }

    @Override
    public void moveAverage(StepScope scope, Tensor average, Tensor sample, float share) {}
}
