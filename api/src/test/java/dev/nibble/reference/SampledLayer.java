package dev.nibble.reference;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.SplittableRandom;

/** A gradient of whole numbers whose digits are exact, and an input of INT4 codes: all randomness is the sampling. */
final class SampledLayer implements AutoCloseable {
    static final int TOKENS = 24;
    static final int OUT = 8;
    static final int IN = 6;

    final Session session;
    final HostOperand dyRows; // [out, tokens]
    final HostOperand dyColumns; // [tokens, out]
    final HostOperand x; // [in, tokens]
    final HostOperand w; // [in, out]
    static final float[] DY = gradient(); // [tokens, out]
    static final float[] X = integers(5, TOKENS * IN, 7); // [tokens, in]
    static final float[] W = integers(6, OUT * IN, 7); // [out, in]

    SampledLayer(int step) {
        session = new Session(step);
        var dy = session.quantize(
                QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(SplitMode.UNBIASED)), DY, TOKENS, OUT);
        dyRows = Session.operand(dy, Contraction.ROWS);
        dyColumns = Session.operand(dy, Contraction.COLUMNS);
        x = Session.operand(
                session.quantize(QuantizeSpec.both(Role.INPUT, List.of(int4())), X, TOKENS, IN), Contraction.ROWS);
        w = Session.operand(
                session.quantize(QuantizeSpec.both(Role.WEIGHT, List.of(int4())), W, OUT, IN), Contraction.ROWS);
    }

    static PlaneSpec int4() {
        return PlaneSpec.value(
                DType.INT4, new Granularity.PerTensor(), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
    }

    private static float[] integers(long seed, int count, int top) {
        SplittableRandom random = new SplittableRandom(seed);
        float[] x = new float[count]; // [count]
        for (int i = 0; i < count; i++) {
            x[i] = random.nextInt(-top, top + 1);
        }
        x[0] = top; // so that the scale is 1
        return x;
    }

    /** Rows of very different sizes, one of zeros; 119 is its amax, so that its scale is 1. */
    private static float[] gradient() {
        SplittableRandom random = new SplittableRandom(4);
        float[] dy = new float[TOKENS * OUT]; // [tokens, out]
        for (int t = 0; t < TOKENS; t++) {
            int top = t == 3 ? 0 : 1 + 118 * (TOKENS - t) * (TOKENS - t) / (TOKENS * TOKENS);
            for (int o = 0; o < OUT; o++) {
                dy[t * OUT + o] = random.nextInt(-top, top + 1);
            }
        }
        dy[0] = 119;
        return dy;
    }

    /** Value of a digit at scale 1: upper digits count 16. */
    static double digit(int plane, int token, int out) {
        int v = (int) DY[token * OUT + out];
        int lower = Math.floorMod(v + 8, 16) - 8;
        return plane == 0 ? v - lower : lower;
    }

    static double norm(int plane, int token) {
        double squares = 0;
        for (int o = 0; o < OUT; o++) {
            squares += digit(plane, token, o) * digit(plane, token, o);
        }
        return Math.sqrt(squares);
    }

    static double normX(int token) {
        double squares = 0;
        for (int i = 0; i < IN; i++) {
            squares += X[token * IN + i] * X[token * IN + i];
        }
        return Math.sqrt(squares);
    }

    /** Scores [2][tokens]: of digits, times the norm of X for the weight gradient. */
    static float[] scores(boolean gradWeight) {
        float[] scores = new float[2 * TOKENS]; // [2][tokens]
        for (int i = 0; i < scores.length; i++) {
            scores[i] = (float) (norm(i / TOKENS, i % TOKENS) * (gradWeight ? normX(i % TOKENS) : 1));
        }
        return scores;
    }

    float[] gradWeight(Sampling sampling) {
        return session.multiply(
                new GemmSpec(Product.GRAD_WEIGHT, SampledProductTests.DIGITS, sampling, Epilogue.STORE), dyRows, x);
    }

    float[] gradInput(Sampling sampling) {
        return session.multiply(
                new GemmSpec(Product.GRAD_INPUT, SampledProductTests.DIGITS, sampling, Epilogue.STORE), dyColumns, w);
    }

    @Override
    public void close() {
        session.close();
    }
}
