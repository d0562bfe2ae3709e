package dev.nibble.models.data;

import java.util.ArrayList;
import java.util.Collections;
import java.util.List;

/**
 * Which images make a batch, and what a model sees of them.
 *
 * <p>A model sees squares of {@code patch · patch} pixels, row by row, each {@code (brightness - mean) / deviation}: mean
 * and standard deviation of all pixels of the training images, in FP64, rounded to FP32 at the end.
 */
public final class ImageBatches {
    private final ImageData data;
    private final long seed;
    private final int batch;
    private final int microBatches;
    private final int patch;
    private final Augmentation augmentation;
    private final EpochOrder order;
    private final float[] levels = new float[256]; // [brightness]: what the model sees

    /**
     * Makes the batches of some images.
     *
     * @param data the images
     * @param seed seed of the run
     * @param batch images in a batch
     * @param microBatches batches in a step
     * @param patch side of a patch, pixels
     * @param augmentation how training images change
     * @throws IllegalArgumentException if a side of the images is no multiple of {@code patch}
     */
    public ImageBatches(ImageData data, long seed, int batch, int microBatches, int patch, Augmentation augmentation) {
        this.data = data;
        this.seed = seed;
        this.batch = batch;
        this.microBatches = microBatches;
        this.patch = patch;
        this.augmentation = augmentation;
        this.order = new EpochOrder(seed, data.train().count());
        tokens(data.train().rows(), data.train().cols(), patch);
        normalize(data.train().histogram());
    }

    /**
     * {@return how many patches an image has}
     *
     * @throws IllegalArgumentException if a side of the images is no multiple of {@code patch}
     */
    public static int tokens(int rows, int cols, int patch) {
        if (rows % patch != 0 || cols % patch != 0) {
            throw new IllegalArgumentException(
                    "patch is %d, but must divide the sides of the images, %dx%d".formatted(patch, rows, cols));
        }
        return rows / patch * (cols / patch);
    }

    /** Sums of integers are exact, so that the levels do not depend on an order. */
    private void normalize(long[] histogram) {
        long count = 0;
        long sum = 0;
        long squares = 0;
        for (int brightness = 0; brightness < histogram.length; brightness++) {
            count += histogram[brightness];
            sum += histogram[brightness] * brightness;
            squares += histogram[brightness] * brightness * brightness; // at most 2^30 · 2^16
        }
        double mean = (double) sum / count;
        double variance = (double) squares / count - mean * mean;
        double deviation = variance > 0 ? Math.sqrt(variance) : 1; // images of one colour
        for (int brightness = 0; brightness < histogram.length; brightness++) {
            levels[brightness] = (float) ((brightness - mean) / deviation);
        }
    }

    /**
     * {@return the batch of a training step} The batches walk through the images as {@link EpochOrder} says; image b of this one is number
     * {@code (step · microBatches + microBatch) · batch + b}.
     *
     * @param step optimizer step
     * @param microBatch micro-batch within the step
     */
    public ImageBatch training(int step, int microBatch) {
        int[] images = new int[batch]; // [batch]
        List<Augmentation.View> views = new ArrayList<>(); // [batch]
        long first = ((long) step * microBatches + microBatch) * batch;
        for (int b = 0; b < batch; b++) {
            images[b] = order.sample(first + b);
            views.add(augmentation.view(seed, order.epoch(first + b), images[b]));
        }
        return images(data.train(), images, views);
    }

    /** {@return how many batches hold the first {@code images} test images; the last one may be smaller} */
    public int validationBatches(int images) {
        return Math.ceilDiv(images, batch);
    }

    /**
     * {@return a batch of test images, in the order of the file}
     *
     * @param index number of the batch, from 0
     * @param images how many test images there are in all batches
     */
    public ImageBatch validation(int index, int images) {
        int first = index * batch; // below images
        int[] chosen = new int[Math.min(batch, images - first)]; // [batch]
        for (int b = 0; b < chosen.length; b++) {
            chosen[b] = first + b;
        }
        return images(data.test(), chosen, Collections.nCopies(chosen.length, Augmentation.View.WHOLE));
    }

    private ImageBatch images(ImageSet set, int[] chosen, List<Augmentation.View> views) {
        float[] patches = new float[Math.toIntExact((long) chosen.length * set.rows() * set.cols())];
        int[] targets = new int[chosen.length]; // [images]
        int at = 0; // in patches, [images, patch rows, patch cols, patch, patch]
        for (int b = 0; b < chosen.length; b++) {
            targets[b] = set.label(chosen[b]);
            for (int top = 0; top < set.rows(); top += patch) {
                for (int left = 0; left < set.cols(); left += patch) {
                    for (int pixel = 0; pixel < patch * patch; pixel++) {
                        patches[at++] =
                                levels[views.get(b).pixel(set, chosen[b], top + pixel / patch, left + pixel % patch)];
                    }
                }
            }
        }
        return new ImageBatch(patches, targets);
    }
}
