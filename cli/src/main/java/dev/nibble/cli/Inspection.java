package dev.nibble.cli;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Transform;
import dev.nibble.tensor.Shape;
import java.util.List;

/**
 * What quantizing did to a tensor, computed on the host in FP64. With x the tensor, t what the transform makes of it (x
 * itself without one), q the first draw and m the mean draw:
 *
 * @param snrDb {@code 10·log10(Σx² / Σ(q-x)²)}; infinite if nothing changed, NaN if x is zero
 * @param cosine {@code Σxq / sqrt(Σx²·Σq²)}; NaN if x or q is zero
 * @param meanRelativeError mean of {@code |q-x| / |x|} over x ≠ 0; NaN if x is zero
 * @param zeros elements t ≠ 0 whose code is 0 in all planes
 * @param saturated elements whose {@code t/scale} is beyond the codes of plane 0, of digits beyond those of both together
 * @param bias {@code mean(m-x)}
 * @param standardError of the bias: from the variance of each element over its draws (0 if nothing is random), or of the
 *     mean element where a Hadamard transform mixes their draws; with one draw, from the variance of {@code q-x} over the
 *     elements
 * @param scales scales of all planes; of a residual plane, those of the blocks that have one
 * @param mean m, as FP32
 */
record Inspection(
        double snrDb,
        double cosine,
        double meanRelativeError,
        long zeros,
        long saturated,
        double bias,
        double standardError,
        long scales,
        float[] mean) {
    /**
     * A scale is rounded to FP32, so the element that made it may lie above the top code by two roundings (2^-23) without
     * having been cut off; a subnormal scale is off by up to half of the smallest FP32.
     */
    private static final double ROUNDING_MARGIN = 1 + 0x1p-22;

    /** Digits of mode R are at most 6, less than the format holds. */
    private static final int RELEASED_DIGIT = 6;

    /**
     * Compares.
     *
     * @param spec how the tensor was quantized
     * @param matrix [rows, cols]
     * @param x the tensor
     * @param transformed t
     * @param first the first draw
     * @param draws all draws
     */
    static Inspection of(
            QuantizeSpec spec,
            Shape matrix,
            float[] x,
            float[] transformed,
            OperandProbe.Draw first,
            DrawStatistics draws) {
        OperandSpec operand = spec.operand(Contraction.COLUMNS);
        double signal = 0;
        double noise = 0;
        double product = 0;
        double energy = 0;
        double relative = 0;
        long present = 0;
        float[] q = first.values();
        for (int i = 0; i < x.length; i++) {
            double error = (double) q[i] - x[i];
            signal += (double) x[i] * x[i];
            noise += error * error;
            product += (double) x[i] * q[i];
            energy += (double) q[i] * q[i];
            if (x[i] != 0) {
                relative += Math.abs(error) / Math.abs((double) x[i]);
                present++;
            }
        }
        return new Inspection(
                signal == 0 ? Double.NaN : 10 * Math.log10(signal / noise),
                cosine(product, signal, energy),
                relative / present,
                zeros(operand, transformed, first),
                saturated(operand, matrix, transformed, first.scales()),
                draws.bias(i -> x[i]),
                standardError(spec, x, draws),
                countScales(operand, first.scales()),
                draws.mean());
    }

    /** {@return the cosine} Rounding of the sums must not carry it out of [-1, 1]; the product of squares fits FP64. */
    private static double cosine(double product, double signal, double energy) {
        double cosine = product / Math.sqrt(signal * energy);
        return Math.max(-1, Math.min(1, cosine));
    }

    private static double standardError(QuantizeSpec spec, float[] x, DrawStatistics draws) {
        double joint = spec.transform() instanceof Transform.BlockHadamard ? draws.jointStandardError() : Double.NaN;
        return Double.isNaN(joint) ? draws.standardError(i -> x[i]) : joint;
    }

    private static long zeros(OperandSpec spec, float[] t, OperandProbe.Draw draw) {
        long zeros = 0;
        for (int i = 0; i < t.length; i++) {
            if (t[i] == 0) {
                continue;
            }
            boolean zero = true;
            for (int plane = 0; plane < spec.planes().size(); plane++) {
                zero &= Codes.isZero(
                        spec.planes().get(plane).format(), draw.codes().get(plane), i);
            }
            zeros += zero ? 1 : 0;
        }
        return zeros;
    }

    /**
     * What codes can stand for, in units of a scale.
     *
     * @param low smallest
     * @param high largest
     * @param scales the unit, [kGroups][rowGroups]
     */
    private record Range(double low, double high, float[] scales) {
        static Range of(OperandSpec operand, List<float[]> scales) {
            PlaneSpec first = operand.planes().getFirst();
            if (first.source() instanceof PlaneSource.Digit digit) {
                SplitMode mode = digit.mode();
                double high = mode == SplitMode.UNBIASED ? mode.top() : RELEASED_DIGIT * (mode.base() + 1.0);
                return new Range(-high, high, scales.getLast());
            }
            ScaleRule rule = first.scaleRule();
            return new Range(rule.bottom(first.format()), rule.top(first.format()), scales.getFirst());
        }
    }

    private static long saturated(OperandSpec operand, Shape matrix, float[] t, List<float[]> scales) {
        Granularity granularity = operand.planes().getFirst().granularity();
        long rows = matrix.rows();
        long cols = matrix.cols();
        long groupRows = granularity.groupRows(rows);
        long groupK = granularity.groupK(cols);
        long rowGroups = granularity.rowGroups(rows);
        Range range = Range.of(operand, scales);
        long saturated = 0;
        for (int i = 0; i < t.length; i++) {
            long group = i % cols / groupK * rowGroups + i / cols / groupRows;
            double scale = range.scales().length == 0 ? 1 : range.scales()[(int) group];
            double unit = scale * ROUNDING_MARGIN + Float.MIN_VALUE;
            // a group whose scale is 0 was set to zero, not cut off
            saturated += scale != 0 && (t[i] > range.high() * unit || t[i] < range.low() * unit) ? 1 : 0;
        }
        return saturated;
    }

    private static long countScales(OperandSpec operand, List<float[]> planes) {
        long count = 0;
        for (int plane = 0; plane < planes.size(); plane++) {
            boolean residual = operand.planes().get(plane).source() instanceof PlaneSource.Residual;
            for (float scale : planes.get(plane)) {
                count += residual && scale == 0 ? 0 : 1; // a block without a residual has scale 0
            }
        }
        return count;
    }
}
