package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Subject.Layer;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.DrawMoments;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.TreeSet;

/** What the roles that claim to be unbiased draw. Draw i is that of step i, under a fixed seed. */
final class DrawChecks {
    /** Standard errors that a mean may be off: one element in two million, by chance. */
    static final double ERRORS = 5;

    private static final int DRAWS = 2048;
    private static final double ARITHMETIC = 0x1p-21; // x · multiplier, scale and the grid of draws, relative
    private static final int GRID_ROWS = 1024;
    private static final int GRID_COLS = 2048;
    private static final int AMAX_EVERY =
            16; // places of a row and of a column: the smallest block that a method shares a scale in

    private final Subject subject;

    DrawChecks(Subject subject) {
        this.subject = subject;
    }

    private Layer layer() {
        return subject.layer(13, 65, 65);
    }

    /** Magnitudes over six powers of two, so that every part of a format is met. */
    private static Matrix data(Layer layer, Role role) {
        return layer.normal(role).map((row, col, v) -> Math.scalb(v, -(7 * row + col) % 6));
    }

    private static StepContext step(int number) {
        return StepContext.train(number, 0);
    }

    void meansAreRight() {
        subject.claims().unbiased().forEach((role, variance) -> {
            for (Contraction contraction : Contraction.values()) {
                assertUnbiased(role, contraction, variance);
            }
        });
    }

    private void assertUnbiased(Role role, Contraction contraction, Optional<Variance> variance) {
        Layer layer = layer();
        Matrix x = data(layer, role);
        try (Rig rig = subject.rig();
                Rig plain = Rig.reference()) {
            Matrix meant = CodeChecks.transformed(plain, layer, role, x);
            Rig.Source source = new Rig.Source(layer.plan().quantize(role).only(contraction), x, layer.state());
            StoredOperand first = operand(rig, 0, source, contraction);
            double[] expected = inOrderOf(first, meant); // [rows, k]
            DrawMoments moments = new DrawMoments(expected);
            for (int draw = 0; draw < DRAWS; draw++) {
                moments.add(operand(rig, draw, source, contraction).value());
            }
            String what = role.label() + " contracting " + contraction;
            assertMeans(what, role, first, expected, moments, variance);
            variance.ifPresent(closed -> assertVariance(what, first, expected, moments, closed));
        }
    }

    private static StoredOperand operand(Rig rig, int draw, Rig.Source source, Contraction contraction) {
        return rig.quantize(step(draw), Rig.SITE, source).operand(contraction);
    }

    /** {@return the elements in the order of an operand, [rows, k]} */
    private static double[] inOrderOf(StoredOperand operand, Matrix x) {
        return operand.spec().contraction() == Contraction.COLUMNS
                ? x.wide()
                : x.transposed().wide();
    }

    /**
     * A mean may be off by 5 standard errors: of the closed form if there is one, else of the sample; plus Bernstein's term
     * {@code 25·d / 3n} for draws that are far from normal, since few of them move (Wilson's {@code 25·d / n} where the
     * variance is that of the sample, which may not have moved at all), d being the declared bound of the error.
     */
    private void assertMeans(
            String what,
            Role role,
            StoredOperand operand,
            double[] expected,
            DrawMoments moments,
            Optional<Variance> variance) {
        ErrorBound bound = subject.claims().bounds().get(role);
        if (bound == null) {
            fail(role.label() + " is claimed to be unbiased, but no error bound is declared for it");
        }
        double bias = 0;
        double variances = 0;
        for (int i = 0; i < expected.length; i++) {
            float[] scales = operand.scales(i / operand.k(), i % operand.k());
            float x = (float) expected[i];
            double one = variance.map(closed -> closed.of(x, scales)).orElse(moments.variance(i));
            double rare = ERRORS * ERRORS * bound.of(x, scales) / DRAWS / (variance.isPresent() ? 3 : 1);
            double arithmetic = ARITHMETIC * (Math.abs(x) + scales[0]);
            double limit = ERRORS * Math.sqrt(one / DRAWS) + rare + arithmetic;
            if (!(Math.abs(moments.bias(i)) <= limit)) {
                fail(
                        "%s: the mean of %d draws of element %d, %s, is off by %s, but at most %s (5 standard errors) is due to chance"
                                .formatted(what, DRAWS, i, x, moments.bias(i), limit));
            }
            // All together show a shrinking that each alone would hide.
            bias += Math.signum(x) * moments.bias(i);
            variances += one / DRAWS + arithmetic * arithmetic;
        }
        double z = bias / Math.sqrt(variances);
        assertTrue(Math.abs(z) <= ERRORS, "%s: magnitudes are off by %s standard errors together".formatted(what, z));
    }

    private static void assertVariance(
            String what, StoredOperand operand, double[] expected, DrawMoments moments, Variance closed) {
        double sum = 0;
        for (int i = 0; i < expected.length; i++) {
            sum += closed.of((float) expected[i], operand.scales(i / operand.k(), i % operand.k()));
        }
        double error = moments.totalVarianceError();
        assertTrue(error < 0.02 * sum, what + ": the variance is known to " + error + " of " + sum + " only");
        assertEquals(sum, moments.totalVariance(), ERRORS * error + ARITHMETIC * sum, what + ": sum of the variances");
    }

    /**
     * A value that a code stands for exactly is never moved by a draw. Adding the draw in FP32 and rounding down moves one of
     * 2^18 elements near the top of INT8: of the 2^21 here, several.
     */
    void valuesOfCodesStay() {
        subject.claims().unbiased().keySet().forEach(role -> {
            Layer layer = role == Role.WEIGHT
                    ? subject.layer(1, GRID_COLS, GRID_ROWS)
                    : subject.layer(GRID_ROWS, GRID_COLS, GRID_COLS);
            PlaneSpec plane = layer.plan()
                    .quantize(role)
                    .operand(Contraction.COLUMNS)
                    .planes()
                    .getFirst();
            float amax = Math.scalb(top(plane), -20); // so that the scale is 2^-20, and x · multiplier is exact
            try (Rig rig = subject.rig()) {
                List<Float> values = values(rig, layer, role, amax);
                Matrix x = Matrix.zeros(layer.rows(role), layer.cols(role)).map((row, col, _) -> {
                    boolean largest = (row + col) % AMAX_EVERY == 0;
                    int spread = (row * 31 + col * 17) % values.size();
                    return largest ? amax : values.get(spread);
                });
                StoredOperand operand = quantized(rig, layer, role, x);
                Bits.assertSame(role.label() + ": values of codes", x.values(), operand.dequantized());
            }
        });
    }

    private static float top(PlaneSpec plane) {
        return plane.source() instanceof PlaneSource.Digit digit
                ? digit.mode().top()
                : plane.scaleRule().top(plane.format());
    }

    private static StoredOperand quantized(Rig rig, Layer layer, Role role, Matrix x) {
        Rig.Source source = new Rig.Source(layer.plan().quantize(role).only(Contraction.COLUMNS), x, layer.state());
        return rig.quantize(Rig.CONTEXT, Rig.SITE, source).operand(Contraction.COLUMNS);
    }

    /** {@return the values of all codes that a ramp up to the amax meets; sums of several draws are none} */
    private static List<Float> values(Rig rig, Layer layer, Role role, float amax) {
        int rows = 64;
        int cols = layer.cols(role);
        Matrix ramp = Matrix.zeros(rows, cols).map((row, col, _) -> {
            boolean largest = (row + col) % AMAX_EVERY == 0;
            return largest ? amax : amax * (2 * ((row * cols + col) / (rows * cols - 1f)) - 1);
        });
        StoredOperand operand = quantized(rig, layer, role, ramp);
        TreeSet<Float> values = new TreeSet<>();
        if (operand.sampled()) {
            for (double value : operand.plane(0)) {
                values.add((float) value);
            }
        } else {
            for (float value : operand.dequantized()) {
                values.add(value);
            }
        }
        assertTrue(values.size() > 2, role.label() + " has the codes " + values + " only");
        return new ArrayList<>(values);
    }
}
