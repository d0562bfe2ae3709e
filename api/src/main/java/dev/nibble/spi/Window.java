package dev.nibble.spi;

import java.util.ArrayList;
import java.util.List;

/**
 * The square window that a convolution moves over images. An image is {@code height · width} rows of a matrix, a row the channels of a
 * pixel (NHWC): pixel (y, x) of image n is row {@code (n · height + y) · width + x}.
 *
 * @param height of an image, pixels
 * @param width of an image, pixels
 * @param channels of a pixel
 * @param kernel side of the window, pixels
 * @param stride pixels from one place of the window to the next
 * @param padding pixels of zeros around an image, less than the kernel
 */
public record Window(int height, int width, int channels, int kernel, int stride, int padding) {
    private static final int LARGEST = 1 << 15; // so that products of two sizes are integers

    /** Checks the sizes. */
    public Window {
        List<String> problems = new ArrayList<>();
        requireSize(problems, "height", height);
        requireSize(problems, "width", width);
        requireSize(problems, "channels", channels);
        requireSize(problems, "kernel", kernel);
        requireSize(problems, "stride", stride);
        if (padding < 0 || padding >= kernel) {
            problems.add("padding is " + padding + ", but must be in 0.." + (kernel - 1));
        } else if (height + 2 * padding < kernel || width + 2 * padding < kernel) {
            problems.add("an image of %dx%d with padding %d is smaller than the kernel, %d"
                    .formatted(height, width, padding, kernel));
        }
        if (problems.isEmpty() && (long) kernel * kernel * channels > Integer.MAX_VALUE) {
            problems.add("kernel %dx%d with %d channels has too many elements".formatted(kernel, kernel, channels));
        }
        if (!problems.isEmpty()) {
            throw new IllegalArgumentException("convolution: " + String.join("; ", problems));
        }
    }

    private static void requireSize(List<String> problems, String name, int size) {
        if (size < 1 || size > LARGEST) {
            problems.add(name + " is " + size + ", but must be in 1.." + LARGEST);
        }
    }

    /** {@return places of the window from top to bottom} */
    public int outHeight() {
        return (height + 2 * padding - kernel) / stride + 1;
    }

    /** {@return places of the window from left to right} */
    public int outWidth() {
        return (width + 2 * padding - kernel) / stride + 1;
    }

    /** {@return elements of a patch: kernel · kernel · channels} */
    public int patch() {
        return kernel * kernel * channels;
    }

    /** {@return rows of an image} */
    public int pixels() {
        return height * width;
    }

    /** {@return patches of an image} */
    public int places() {
        return outHeight() * outWidth();
    }
}
