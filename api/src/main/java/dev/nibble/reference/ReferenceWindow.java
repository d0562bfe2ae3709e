package dev.nibble.reference;

import dev.nibble.spi.Window;
import java.util.Arrays;

/** Patches of images, and the sum of patches back into images. */
public final class ReferenceWindow {
    private ReferenceWindow() {}

    /**
     * Copies the patches of rows {@code from} to {@code to - 1} of the places.
     *
     * @param x [images · height · width, channels]
     * @param patches [images · outHeight · outWidth, patch]
     */
    public static void unfold(float[] x, Window window, int from, int to, float[] patches) {
        int channels = window.channels();
        int kernel = window.kernel();
        for (int place = from; place < to; place++) {
            int image = place / window.places();
            int top = place % window.places() / window.outWidth() * window.stride() - window.padding();
            int left = place % window.outWidth() * window.stride() - window.padding();
            int target = place * window.patch(); // below the length of patches
            for (int i = 0; i < kernel; i++) {
                int y = top + i;
                for (int j = 0; j < kernel; j++, target += channels) {
                    int column = left + j;
                    if (y < 0 || y >= window.height() || column < 0 || column >= window.width()) {
                        Arrays.fill(patches, target, target + channels, 0f);
                    } else {
                        int source = ((image * window.height() + y) * window.width() + column) * channels;
                        System.arraycopy(x, source, patches, target, channels);
                    }
                }
            }
        }
    }

    /**
     * Sums what patches hold of the pixels {@code from} to {@code to - 1}: from 0, (i, j) ascending.
     *
     * @param patches [images · outHeight · outWidth, patch]
     * @param x [images · height · width, channels]
     */
    public static void fold(float[] patches, Window window, int from, int to, float[] x) {
        int channels = window.channels();
        for (int pixel = from; pixel < to; pixel++) {
            int image = pixel / window.pixels();
            int y = pixel % window.pixels() / window.width() + window.padding();
            int column = pixel % window.width() + window.padding();
            int target = pixel * channels; // below the length of x
            Arrays.fill(x, target, target + channels, 0f);
            for (int i = 0; i < window.kernel(); i++) {
                int placeY = place(y - i, window.stride(), window.outHeight());
                for (int j = 0; placeY >= 0 && j < window.kernel(); j++) {
                    int placeX = place(column - j, window.stride(), window.outWidth());
                    if (placeX >= 0) {
                        int row = (image * window.outHeight() + placeY) * window.outWidth() + placeX;
                        int source = row * window.patch() + (i * window.kernel() + j) * channels;
                        for (int c = 0; c < channels; c++) {
                            x[target + c] += patches[source + c];
                        }
                    }
                }
            }
        }
    }

    /** {@return the place of the window that starts there, or -1} */
    private static int place(int start, int stride, int places) {
        return start < 0 || start % stride != 0 || start / stride >= places ? -1 : start / stride;
    }
}
