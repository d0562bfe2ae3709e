package dev.nibble.models.data;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.Sha256;
import java.nio.file.Path;

/** Grey images of one size, each with a class. */
public final class ImageSet {
    /** What a file of images holds. */
    static final String IMAGES = "images [count, rows, cols]";

    private final int count;
    private final int rows;
    private final int cols;
    private final byte[] pixels; // [count, rows, cols]
    private final byte[] labels; // [count]

    private ImageSet(int count, int rows, int cols, byte[] pixels, byte[] labels) {
        this.count = count;
        this.rows = rows;
        this.cols = cols;
        this.pixels = pixels;
        this.labels = labels;
    }

    /**
     * {@return images and their classes}
     *
     * @param images IDX file of unsigned bytes, [count, rows, cols]
     * @param labels IDX file of unsigned bytes, [count]
     * @param classes how many classes there are
     * @throws FormatException if a file is damaged, the counts differ, or a label is no class
     * @throws dev.nibble.error.NibbleException if a file cannot be read
     */
    static ImageSet read(Path images, Path labels, int classes) {
        IdxFile pixels = IdxFile.read(images, IMAGES, 3);
        IdxFile answers = IdxFile.read(labels, "labels [count]", 1);
        int count = pixels.dims().getFirst();
        if (answers.dims().getFirst() != count) {
            throw new FormatException("%s has %d labels, but %s has %d images; they must belong together"
                    .formatted(labels, answers.dims().getFirst(), images, count));
        }
        for (int i = 0; i < count; i++) {
            int label = answers.bytes()[i] & 0xFF;
            if (label >= classes) {
                throw new FormatException("%s: label %d is %d, but must be in 0..%d; set data.classes for more classes"
                        .formatted(labels, i, label, classes - 1));
            }
        }
        return new ImageSet(count, pixels.dims().get(1), pixels.dims().get(2), pixels.bytes(), answers.bytes());
    }

    /** {@return how many images there are, at least 1} */
    public int count() {
        return count;
    }

    /** {@return rows of pixels of an image} */
    public int rows() {
        return rows;
    }

    /** {@return pixels in a row} */
    public int cols() {
        return cols;
    }

    /** {@return the brightness of a pixel, 0..255} */
    int pixel(int image, int row, int col) {
        return pixels[(image * rows + row) * cols + col] & 0xFF; // below 2^30, see IdxFile
    }

    /** {@return the class of an image} */
    int label(int image) {
        return labels[image] & 0xFF;
    }

    /** {@return SHA-256 of all pixels and labels} */
    String hash() {
        return Sha256.of(pixels, labels);
    }

    /** {@return how many pixels have each brightness, [256]} */
    long[] histogram() {
        long[] histogram = new long[256]; // [brightness]
        for (byte pixel : pixels) {
            histogram[pixel & 0xFF]++;
        }
        return histogram;
    }
}
