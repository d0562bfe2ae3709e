package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import java.util.stream.IntStream;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** Label i is i, so that a target tells where it comes from. */
class ImageBatchesTests {
    private static final int TRAIN = 13;
    private static final int TEST = 7;
    private static final int ROWS = 4;
    private static final int COLS = 6;
    private static final int BATCH = 3;

    @TempDir
    Path folder;

    private byte[] pixels = new byte[0]; // [TRAIN, ROWS, COLS]
    private ImageData data;

    @BeforeEach
    void writeFiles() throws IOException {
        pixels = new byte[TRAIN * ROWS * COLS];
        new SplittableRandom(1).nextBytes(pixels);
        write("train", TRAIN, pixels);
        write("t10k", TEST, Arrays.copyOf(pixels, TEST * ROWS * COLS));
        data = ImageData.read(folder, 256);
    }

    private void write(String part, int count, byte[] images) throws IOException {
        Files.write(folder.resolve(part + "-images-idx3-ubyte"), IdxFiles.idx(images, count, ROWS, COLS));
        Files.write(folder.resolve(part + "-labels-idx1-ubyte"), IdxFiles.idx(IdxFiles.counting(count), count));
    }

    private ImageBatches batches(long seed, int microBatches) {
        return new ImageBatches(data, seed, BATCH, microBatches, 2, Augmentation.NONE);
    }

    private static int[] targets(ImageBatches batches, int steps) {
        return IntStream.range(0, steps)
                .flatMap(step -> Arrays.stream(batches.training(step, 0).targets()))
                .toArray();
    }

    @Test
    void anEpochHasEachImageOnceInANewOrder() {
        int[] targets = targets(batches(3, 1), 2 * TRAIN); // six epochs
        int[] first = Arrays.copyOf(targets, TRAIN);
        for (int epoch = 0; epoch < 6; epoch++) {
            int[] order = Arrays.copyOfRange(targets, epoch * TRAIN, (epoch + 1) * TRAIN);
            assertEquals(epoch == 0, Arrays.equals(first, order));
            Arrays.sort(order);
            assertArrayEquals(IntStream.range(0, TRAIN).toArray(), order);
        }
    }

    @Test
    void batchIsAFunctionOfSeedStepAndMicroBatch() {
        ImageBatches batches = batches(3, 1);
        int[] late = batches.training(9, 0).targets();
        batches.training(0, 0);
        assertArrayEquals(late, batches.training(9, 0).targets()); // whatever came before
        assertFalse(Arrays.equals(late, batches.training(8, 0).targets()));
        assertFalse(Arrays.equals(targets(batches, 4), targets(batches(4, 1), 4)));
        assertArrayEquals(late, batches(3, 2).training(4, 1).targets()); // batch 4 · 2 + 1
    }

    @Test
    void everyOrderIsAboutAsFrequent() {
        int[] counts = new int[TRAIN]; // place of image 0 in the order of an epoch
        int epochs = 2600;
        for (int epoch = 0; epoch < epochs; epoch++) {
            ImageBatches one = new ImageBatches(data, epoch, TRAIN, 1, 2, Augmentation.NONE);
            int[] order = one.training(0, 0).targets();
            counts[
                    IntStream.range(0, TRAIN)
                            .filter(i -> order[i] == 0)
                            .findFirst()
                            .orElseThrow()]++;
        }
        double mean = (double) epochs / TRAIN;
        double error = Math.sqrt(mean * (1 - 1.0 / TRAIN)); // of a binomial count: 13.6
        for (int count : counts) {
            assertEquals(mean, count, 5 * error);
        }
    }

    @Test
    void patchesAreSquaresOfNormalizedPixels() {
        double mean = IntStream.range(0, pixels.length)
                .map(i -> pixels[i] & 0xFF)
                .average()
                .orElseThrow();
        double variance = IntStream.range(0, pixels.length)
                .mapToDouble(i -> Math.pow((pixels[i] & 0xFF) - mean, 2))
                .average()
                .orElseThrow();
        ImageBatch batch = batches(0, 1).validation(1, TEST);
        assertArrayEquals(new int[] {3, 4, 5}, batch.targets());
        assertEquals(BATCH * ROWS * COLS, batch.patches().length);
        int at = 0;
        for (int image = 3; image < 6; image++) {
            for (int[] corner : new int[][] {{0, 0}, {0, 2}, {0, 4}, {2, 0}, {2, 2}, {2, 4}}) {
                for (int[] pixel : new int[][] {{0, 0}, {0, 1}, {1, 0}, {1, 1}}) {
                    int index = (image * ROWS + corner[0] + pixel[0]) * COLS + corner[1] + pixel[1];
                    double expected = ((pixels[index] & 0xFF) - mean) / Math.sqrt(variance);
                    // FP64 with other sums on both sides, rounded to FP32 once
                    assertEquals(expected, batch.patches()[at++], Math.abs(expected) * 0x1p-23);
                }
            }
        }
    }

    @Test
    void lastValidationBatchHasTheRest() {
        ImageBatches batches = batches(0, 1);
        assertEquals(3, batches.validationBatches(TEST));
        assertArrayEquals(new int[] {0, 1, 2}, batches.validation(0, TEST).targets());
        assertArrayEquals(new int[] {6}, batches.validation(2, TEST).targets());
        assertEquals(1, batches.validationBatches(2));
        assertArrayEquals(new int[] {0, 1}, batches.validation(0, 2).targets());
    }

    @Test
    void imagesOfOneColourBecomeZero() throws IOException {
        write("train", TRAIN, new byte[TRAIN * ROWS * COLS]);
        ImageBatches dark = new ImageBatches(ImageData.read(folder, 256), 0, BATCH, 1, 2, Augmentation.NONE);
        assertArrayEquals(new float[BATCH * ROWS * COLS], dark.training(0, 0).patches());
    }

    @Test
    void patchThatDoesNotDivideTheImageIsRefused() {
        assertEquals(6, ImageBatches.tokens(ROWS, COLS, 2));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> new ImageBatches(data, 0, BATCH, 1, 3, Augmentation.NONE));
        assertEquals("patch is 3, but must divide the sides of the images, 4x6", e.getMessage());
    }
}
