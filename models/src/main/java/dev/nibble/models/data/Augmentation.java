package dev.nibble.models.data;

import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.tensor.Role;

/**
 * How training images change each time they are met: moved by up to {@code padding} pixels in each direction, black where nothing was, as a
 * crop of the padded image is; and mirrored half of the time. Source: training on CIFAR in He et al. 2015, arXiv:1512.03385, section 4.2.
 *
 * @param padding most pixels that an image moves by, in each direction; 0 for none
 * @param flip whether it may be mirrored, left becoming right
 */
public record Augmentation(int padding, boolean flip) {
    /** Images stay as they are. */
    public static final Augmentation NONE = new Augmentation(0, false);

    /** Most pixels that an image can move by. */
    public static final int MOST_PADDING = 1024;

    private static final int DRAWS = 4; // of an image: down, right, mirrored, and one to spare

    /** Checks the padding. */
    public Augmentation {
        if (padding < 0 || padding > MOST_PADDING) {
            throw new IllegalArgumentException("padding is %d, but must be in 0..%d".formatted(padding, MOST_PADDING));
        }
    }

    /**
     * What a model sees of an image: pixel (row, col) is that of the image at {@code (row + down, col' + right)}, black outside; {@code col'}
     * is col, or the mirrored column.
     *
     * @param down rows, in -padding..padding
     * @param right columns, in -padding..padding
     * @param mirrored whether left becomes right
     */
    record View(int down, int right, boolean mirrored) {
        /** The image itself. */
        static final View WHOLE = new View(0, 0, false);

        /** {@return the brightness at a pixel, 0..255} */
        int pixel(ImageSet set, int image, int row, int col) {
            int fromRow = row + down;
            int fromCol = (mirrored ? set.cols() - 1 - col : col) + right;
            boolean inside = fromRow >= 0 && fromRow < set.rows() && fromCol >= 0 && fromCol < set.cols();
            return inside ? set.pixel(image, fromRow, fromCol) : 0;
        }
    }

    /**
     * {@return how an image is seen in an epoch} A function of these numbers alone: draws 4 · image and the two after it of the epoch's
     * stream, the first two of them {@code word · (2 · padding + 1) / 2^32 - padding}, the third by its highest bit.
     *
     * @param seed seed of the run
     */
    View view(long seed, int epoch, int image) {
        if (equals(NONE)) {
            return View.WHOLE;
        }
        RandomStream stream = new RandomStream(seed, epoch, 0, 0, Role.OTHER, Purpose.AUGMENTATION, 0);
        int[] words = new int[DRAWS]; // [draws]
        stream.quad(image, words, 0);
        return new View(shift(words[0]), shift(words[1]), flip && words[2] < 0);
    }

    private int shift(int word) {
        return (int) (((word & 0xFFFFFFFFL) * (2L * padding + 1)) >>> 32) - padding;
    }
}
