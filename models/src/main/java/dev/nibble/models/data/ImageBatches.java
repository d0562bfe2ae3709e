package dev.nibble.models.data;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;

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
    private final float[] levels = new float[256]; // [brightness]: what the model sees
    private int orderEpoch = -1;
    private int[] order = new int[0]; // [training images]: of orderEpoch

    /**
     * Makes the batches of some images.
     *
     * @param data the images
     * @param seed seed of the run
     * @param batch images in a batch
     * @param microBatches batches in a step
     * @param patch side of a patch, pixels
     * @throws IllegalArgumentException if a side of the images is no multiple of {@code patch}
     */
    public ImageBatches(ImageData data, long seed, int batch, int microBatches, int patch) {
        this.data = data;
        this.seed = seed;
        this.batch = batch;
        this.microBatches = microBatches;
        this.patch = patch;
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
     * {@return the batch of a training step} The batches walk through the images in an order that is new in each epoch,
     * so that an epoch has each image once: with n images, number {@code i = (step · microBatches + microBatch) · batch +
     * b} is element i mod n of the order of epoch i / n.
     *
     * @param step optimizer step
     * @param microBatch micro-batch within the step
     */
    public ImageBatch training(int step, int microBatch) {
        int[] images = new int[batch]; // [batch]
        int count = data.train().count();
        long first = ((long) step * microBatches + microBatch) * batch;
        for (int b = 0; b < batch; b++) {
            images[b] = order(Math.toIntExact((first + b) / count))[(int) ((first + b) % count)];
        }
        return images(data.train(), images);
    }

    /**
     * {@return the order of an epoch, [training images]} Fisher and Yates' shuffle of 0..n-1: for i = n-1 down to 1,
     * elements i and {@code r mod (i + 1)} change places, r the 64 bits of draws 2i and 2i + 1 of the epoch's stream.
     */
    private int[] order(int epoch) {
        if (epoch != orderEpoch) {
            RandomStream stream = new RandomStream(seed, epoch, 0, 0, Role.OTHER, Purpose.DATA_ORDER, 0);
            int[] shuffled = new int[data.train().count()]; // [training images]
            for (int i = 0; i < shuffled.length; i++) {
                shuffled[i] = i;
            }
            for (int i = shuffled.length - 1; i > 0; i--) {
                long high = stream.word(2L * i) & 0xFFFFFFFFL;
                long low = stream.word(2L * i + 1) & 0xFFFFFFFFL;
                int other = (int) Long.remainderUnsigned((high << 32) | low, i + 1L);
                int kept = shuffled[i];
                shuffled[i] = shuffled[other];
                shuffled[other] = kept;
            }
            order = shuffled;
            orderEpoch = epoch;
        }
        return order;
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
        return images(data.test(), chosen);
    }

    private ImageBatch images(ImageSet set, int[] chosen) {
        float[] patches = new float[Math.toIntExact((long) chosen.length * set.rows() * set.cols())];
        int[] targets = new int[chosen.length]; // [images]
        int at = 0; // in patches, [images, patch rows, patch cols, patch, patch]
        for (int b = 0; b < chosen.length; b++) {
            targets[b] = set.label(chosen[b]);
            for (int top = 0; top < set.rows(); top += patch) {
                for (int left = 0; left < set.cols(); left += patch) {
                    for (int pixel = 0; pixel < patch * patch; pixel++) {
                        patches[at++] = levels[set.pixel(chosen[b], top + pixel / patch, left + pixel % patch)];
                    }
                }
            }
        }
        return new ImageBatch(patches, targets);
    }
}
