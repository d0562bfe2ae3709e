package dev.nibble.testkit;

import dev.nibble.spi.Window;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.List;

/** What convolutional networks need: within derived bounds of FP64, and bit for bit where that is specified. */
final class ConvolutionParity {
    private static final int[][] SHAPES = {{1, 1}, {13, 129}, {129, 13}, {64, 128}, {3, 702}, {1300, 16}};
    private static final float EPSILON = 1e-5f;
    private static final List<Window> WINDOWS = List.of(
            new Window(1, 1, 1, 1, 1, 0),
            new Window(5, 7, 3, 3, 1, 1),
            new Window(6, 5, 8, 3, 2, 1),
            new Window(7, 4, 4, 1, 2, 0),
            new Window(4, 9, 13, 2, 3, 1),
            new Window(8, 8, 1, 5, 2, 2),
            new Window(3, 3, 16, 3, 1, 0));

    private final NeuralCheck both;

    ConvolutionParity(Duel duel, boolean inOrder) {
        this.both = new NeuralCheck(duel, inOrder);
    }

    /** Copies keep the bits of special values; sums start from +0 and go on in the order of the window. */
    void windows() {
        for (Window window : WINDOWS) {
            for (int images : new int[] {1, 3}) {
                String what = " of %d images by %s".formatted(images, window);
                Matrix x = Matrix.normal(30, images * window.pixels(), window.channels(), 1);
                Matrix gradient = Matrix.normal(31, images * window.places(), window.patch(), 1);
                unfold("unfold" + what, x, window, ConvolutionOracle.unfold(x, images, window));
                unfold(
                        "unfold, special values," + what,
                        SpecialValues.mixed(32, images * window.pixels(), window.channels()),
                        window);
                both.check(
                        "fold" + what,
                        rig -> List.of(rig.tensor(gradient)),
                        (scope, in) -> List.of(in.convolution().fold(scope, in.get(0), window)),
                        true,
                        ConvolutionOracle.fold(gradient, images, window));
            }
        }
    }

    private void unfold(String what, Matrix x, Window window, Expected... expected) {
        both.check(
                what,
                rig -> List.of(rig.tensor(x)),
                (scope, in) -> List.of(in.convolution().unfold(scope, in.get(0), window)),
                true,
                expected);
    }

    void batchNorm() {
        for (int[] shape : SHAPES) {
            String what = " of [%d, %d]".formatted(shape[0], shape[1]);
            Matrix x = Matrix.normal(33, shape[0], shape[1], 2).map((row, col, v) -> v + col % 5);
            Matrix dy = Matrix.normal(34, shape[0], shape[1], 1);
            Matrix weight = Matrix.normal(35, 1, shape[1], 1);
            Matrix bias = Matrix.normal(36, 1, shape[1], 1);
            Matrix moments = new Matrix(
                    both.check(
                                    "columnMoments" + what,
                                    rig -> List.of(rig.tensor(x)),
                                    (scope, in) -> List.of(in.convolution().columnMoments(scope, in.get(0))),
                                    false,
                                    ConvolutionOracle.moments(x))
                            .getFirst(),
                    2,
                    shape[1]);
            both.check(
                    "batchNorm" + what,
                    rig -> List.of(rig.tensor(x), rig.tensor(moments), vector(rig, weight), vector(rig, bias)),
                    (scope, in) -> List.of(
                            in.convolution().batchNorm(scope, in.get(0), in.get(1), in.get(2), in.get(3), EPSILON)),
                    false,
                    ConvolutionOracle.batchNorm(x, moments, weight.values(), bias.values(), EPSILON));
            both.check(
                    "batchNormBackward" + what,
                    rig -> List.of(
                            rig.tensor(dy),
                            rig.tensor(x),
                            rig.tensor(moments),
                            vector(rig, weight),
                            vector(rig, weight),
                            vector(rig, bias)),
                    (scope, in) -> {
                        Tensor dx = in.convolution()
                                .batchNormBackward(
                                        scope, in.get(0), in.get(1), in.get(2), in.get(3), EPSILON, in.get(4),
                                        in.get(5));
                        return List.of(dx, in.get(4), in.get(5));
                    },
                    false,
                    ConvolutionOracle.batchNormBackward(
                            dy, x, moments, weight.values(), EPSILON, weight.values(), bias.values()));
            moves(x, dy);
        }
    }

    private void moves(Matrix average, Matrix sample) {
        for (float share : new float[] {0, 0.1f, 1}) {
            both.check(
                    "moveAverage by " + share,
                    rig -> List.of(rig.tensor(average), rig.tensor(sample)),
                    (scope, in) -> {
                        in.convolution().moveAverage(scope, in.get(0), in.get(1), share);
                        return in.tensors();
                    },
                    true,
                    ConvolutionOracle.moveAverage(average, sample, share));
        }
    }

    private static Tensor vector(Rig rig, Matrix x) {
        return rig.vector(x.values());
    }
}
