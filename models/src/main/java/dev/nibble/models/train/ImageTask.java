package dev.nibble.models.train;

import dev.nibble.models.data.Augmentation;
import dev.nibble.models.data.ImageBatches;
import dev.nibble.models.data.ImageData;
import dev.nibble.models.layers.ImageModel;
import dev.nibble.models.layers.ImageShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import java.util.function.Function;

/**
 * Trains a model to classify images.
 *
 * @param shape sizes of the model
 * @param data the images
 * @param batch images in a micro-batch
 * @param validationImages test images in an evaluation, from the first on
 * @param augmentation how training images change
 * @param training how to train
 */
public record ImageTask(
        ImageShape shape,
        ImageData data,
        int batch,
        int validationImages,
        Augmentation augmentation,
        TrainingSpec training)
        implements Task {
    /** Checks that the images fit the model and the batch. */
    public ImageTask {
        checkBatch(batch, data.train().rows(), data.train().cols());
        checkValidationImages(validationImages, data.test().count());
        ImageBatches.tokens(data.train().rows(), data.train().cols(), shape.patch());
    }

    /**
     * Checks that a batch fits an array.
     *
     * @throws IllegalArgumentException if it does not
     */
    public static void checkBatch(int batch, int rows, int cols) {
        long pixels = (long) rows * cols;
        if (batch < 1 || batch * pixels > Integer.MAX_VALUE) {
            throw new IllegalArgumentException("batch is %d, but must be in 1..%d for images of %dx%d"
                    .formatted(batch, Integer.MAX_VALUE / pixels, rows, cols));
        }
    }

    /**
     * Checks that there are as many test images.
     *
     * @throws IllegalArgumentException if there are not
     */
    public static void checkValidationImages(int wanted, int testImages) {
        if (wanted < 1 || wanted > testImages) {
            throw new IllegalArgumentException("validationImages is %d, but must be in 1..%d, the number of test images"
                    .formatted(wanted, testImages));
        }
    }

    private int tokens() {
        return ImageBatches.tokens(data.train().rows(), data.train().cols(), shape.patch());
    }

    @Override
    public String summary() {
        return shape.summary(tokens());
    }

    @Override
    public long parameters() {
        return shape.parameters(tokens());
    }

    @Override
    public long units() {
        return batch;
    }

    @Override
    public String dataHash() {
        return data.hash();
    }

    @Override
    public Workload open(Backend backend, Function<LinearLayer, LinearQuantizer> quantizers, long seed) {
        ImageBatches batches =
                new ImageBatches(data, seed, batch, training.microBatches(), shape.patch(), augmentation);
        ImageModel model =
                shape.model(backend, data.train().rows(), data.train().cols(), seed, quantizers);
        return new ImageWorkload(backend, model, batches, shape.patch() * shape.patch(), validationImages);
    }
}
