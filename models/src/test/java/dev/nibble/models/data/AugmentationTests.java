package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

class AugmentationTests {
    private static final int COUNT = 40;
    private static final int ROWS = 4;
    private static final int COLS = 6;

    private static ImageData data(Path folder) throws IOException {
        byte[] pixels = new byte[COUNT * ROWS * COLS];
        new SplittableRandom(1).nextBytes(pixels);
        for (String part : new String[] {"train", "t10k"}) {
            Files.write(folder.resolve(part + "-images-idx3-ubyte"), IdxFiles.idx(pixels, COUNT, ROWS, COLS));
            Files.write(folder.resolve(part + "-labels-idx1-ubyte"), IdxFiles.idx(IdxFiles.counting(COUNT), COUNT));
        }
        return ImageData.read(folder, 256);
    }

    /** {@return what is seen of an image, [ROWS, COLS]} */
    private static int[][] seen(ImageSet set, int image, Augmentation.View view) {
        int[][] seen = new int[ROWS][COLS];
        for (int row = 0; row < ROWS; row++) {
            for (int col = 0; col < COLS; col++) {
                seen[row][col] = view.pixel(set, image, row, col);
            }
        }
        return seen;
    }

    @Test
    void flippedTwiceIsTheImage(@TempDir Path folder) throws IOException {
        ImageSet set = data(folder).train();
        int[][] whole = seen(set, 7, Augmentation.View.WHOLE);
        int[][] once = seen(set, 7, new Augmentation.View(0, 0, true));
        assertNotEquals(Arrays.deepToString(whole), Arrays.deepToString(once));
        for (int row = 0; row < ROWS; row++) {
            for (int col = 0; col < COLS; col++) {
                assertEquals(set.pixel(7, row, col), whole[row][col]);
                assertEquals(whole[row][col], once[row][COLS - 1 - col]);
            }
        }
    }

    /** What is seen is a window of the image with black around it. */
    @Test
    void movedImagesAreWindowsOfThePaddedOne(@TempDir Path folder) throws IOException {
        ImageSet set = data(folder).train();
        int padding = 3;
        int[][] padded = new int[ROWS + 2 * padding][COLS + 2 * padding];
        for (int row = 0; row < ROWS; row++) {
            for (int col = 0; col < COLS; col++) {
                padded[row + padding][col + padding] = set.pixel(5, row, col);
            }
        }
        for (int down = -padding; down <= padding; down++) {
            for (int right = -padding; right <= padding; right++) {
                int[][] seen = seen(set, 5, new Augmentation.View(down, right, false));
                int[][] mirrored = seen(set, 5, new Augmentation.View(down, right, true));
                for (int row = 0; row < ROWS; row++) {
                    for (int col = 0; col < COLS; col++) {
                        assertEquals(padded[row + padding + down][col + padding + right], seen[row][col]);
                        assertEquals(seen[row][COLS - 1 - col], mirrored[row][col]);
                    }
                }
            }
        }
    }

    @Test
    void everyPlaceAndBothSidesAreEquallyFrequent() {
        int padding = 2;
        int epochs = 400;
        Augmentation augmentation = new Augmentation(padding, true);
        int[] down = new int[2 * padding + 1];
        int[] right = new int[2 * padding + 1];
        int[] joint = new int[(2 * padding + 1) * (2 * padding + 1)];
        int mirrored = 0;
        for (int epoch = 0; epoch < epochs; epoch++) {
            for (int image = 0; image < COUNT; image++) {
                Augmentation.View view = augmentation.view(11, epoch, image);
                down[view.down() + padding]++; // fails if it is out of bounds
                right[view.right() + padding]++;
                joint[(view.down() + padding) * (2 * padding + 1) + view.right() + padding]++;
                mirrored += view.mirrored() ? 1 : 0;
            }
        }
        int draws = epochs * COUNT; // 16000
        for (int[] counts : new int[][] {down, right, joint}) {
            double share = 1.0 / counts.length;
            double error = Math.sqrt(draws * share * (1 - share)); // of a binomial count: 50.6, and 24.8 for both
            for (int count : counts) {
                assertEquals(draws * share, count, 5 * error);
            }
        }
        assertEquals(draws / 2.0, mirrored, 5 * Math.sqrt(draws) / 2); // 63.2
    }

    @Test
    void viewIsAFunctionOfSeedEpochAndImage() {
        Augmentation augmentation = new Augmentation(1000, true);
        Augmentation.View view = augmentation.view(1, 2, 3);
        assertEquals(view, augmentation.view(1, 2, 3));
        assertNotEquals(view, augmentation.view(2, 2, 3));
        assertNotEquals(view, augmentation.view(1, 3, 3));
        assertNotEquals(view, augmentation.view(1, 2, 4));
        assertEquals(
                new Augmentation.View(view.down(), view.right(), false), new Augmentation(1000, false).view(1, 2, 3));
    }

    @Test
    void trainingImagesChangeEachEpochAndTestImagesNever(@TempDir Path folder) throws IOException {
        ImageData data = data(folder);
        ImageBatches plain = new ImageBatches(data, 3, COUNT, 1, 2, Augmentation.NONE);
        ImageBatches changed = new ImageBatches(data, 3, COUNT, 1, 2, new Augmentation(1, true));
        assertArrayEquals(
                plain.validation(0, COUNT).patches(),
                changed.validation(0, COUNT).patches());
        assertArrayEquals(plain.training(4, 0).targets(), changed.training(4, 0).targets());
        assertTrue(!Arrays.equals(
                plain.training(4, 0).patches(), changed.training(4, 0).patches()));
        assertTrue(different(plain, 0, 1) == 0, "without augmentation, an image looks the same in each epoch");
        int moved = different(changed, 0, 1);
        assertTrue(moved > COUNT / 2, moved + " of " + COUNT + " images look different in another epoch");
        assertArrayEquals(
                changed.training(4, 0).patches(), changed.training(4, 0).patches());
    }

    /** {@return how many images look different in two epochs, of a step each} */
    private static int different(ImageBatches batches, int one, int other) {
        int[] first = batches.training(one, 0).targets();
        float[] firstPatches = batches.training(one, 0).patches();
        int[] second = batches.training(other, 0).targets();
        float[] secondPatches = batches.training(other, 0).patches();
        int size = ROWS * COLS;
        int different = 0;
        for (int i = 0; i < COUNT; i++) {
            for (int j = 0; j < COUNT; j++) {
                if (first[i] == second[j]) { // the labels count the images
                    different += Arrays.equals(
                                    firstPatches, i * size, (i + 1) * size, secondPatches, j * size, (j + 1) * size)
                            ? 0
                            : 1;
                }
            }
        }
        return different;
    }

    @Test
    void paddingOutOfRangeIsRefused() {
        assertEquals(
                "padding is -1, but must be in 0..1024",
                assertThrows(IllegalArgumentException.class, () -> new Augmentation(-1, true))
                        .getMessage());
    }
}
