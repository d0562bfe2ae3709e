package dev.nibble.spi;

import dev.nibble.tensor.Tensor;

/**
 * What a convolutional network needs besides quantized products and {@link NeuralOps}. A convolution is a linear layer on patches:
 * {@link #unfold}, the layer's product, and for its backward pass {@link #fold}. All tensors are FP32; images are matrices as in {@link
 * Window}; results are new, owned by the caller, and live at most as long as the scope. Sums have one order for any number of threads.
 */
public interface ConvolutionOps {
    /**
     * Copies the patches under all places of a window, zeros beyond the edges: element {@code (i · kernel + j) · channels + c} of place
     * (y, x) of image n is {@code image[n, y · stride + i - padding, x · stride + j - padding, c]}.
     *
     * @param x [images · height · width, channels]
     * @return patches, [images · outHeight · outWidth, kernel · kernel · channels]
     */
    Tensor unfold(StepScope scope, Tensor x, Window window);

    /**
     * Backward of {@link #unfold}: each pixel gets the sum of its elements in all patches, from 0, in ascending order of (i, j).
     *
     * @param gradPatches [images · outHeight · outWidth, kernel · kernel · channels]
     * @return gradient of the images, [images · height · width, channels]
     */
    Tensor fold(StepScope scope, Tensor gradPatches, Window window);

    /**
     * {@return the mean and the variance of each column, [2, width]} {@code mean = Σ_t x[t] / rows}, {@code variance = Σ_t (x[t] - mean)² /
     * rows}. Rows are summed in chunks of 64, chunks in ascending order.
     *
     * @param x [rows, width], at least one row
     */
    Tensor columnMoments(StepScope scope, Tensor x);

    /**
     * Batch normalization (Ioffe and Szegedy 2015, arXiv:1502.03167): {@code y = (x - mean) / sqrt(variance + epsilon) · weight + bias} a
     * column.
     *
     * @param x [rows, width]
     * @param moments [2, width]: of x in training, a running average in evaluation
     * @param weight [width]
     * @param bias [width]
     * @param epsilon above 0
     * @return y, [rows, width]
     */
    Tensor batchNorm(StepScope scope, Tensor x, Tensor moments, Tensor weight, Tensor bias, float epsilon);

    /**
     * Backward of {@link #batchNorm} with the moments of x itself: with {@code r = 1 / sqrt(variance + epsilon)}, {@code z = (x - mean) · r},
     * {@code B = Σ_t gradOutput}, {@code W = Σ_t gradOutput · z}: {@code dx = weight · r · (gradOutput - B / rows - z · W / rows)}, {@code
     * gradBias += B}, {@code gradWeight += W}.
     *
     * @param gradWeight [width], added to
     * @param gradBias [width], added to
     * @return dx, [rows, width]
     */
    Tensor batchNormBackward(
            StepScope scope,
            Tensor gradOutput,
            Tensor x,
            Tensor moments,
            Tensor weight,
            float epsilon,
            Tensor gradWeight,
            Tensor gradBias);

    /**
     * Moves an average: {@code average += (sample - average) · share}.
     *
     * @param average changed
     * @param sample shaped like it
     * @param share in [0, 1]
     */
    void moveAverage(StepScope scope, Tensor average, Tensor sample, float share);
}
