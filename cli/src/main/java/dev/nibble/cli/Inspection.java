package dev.nibble.cli;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.Shape;
import java.util.List;

/**
 * What quantizing did to a tensor, computed on the host in FP64. With x the tensor, q the first draw and m the mean draw:
 *
 * @param snrDb {@code 10·log10(Σx² / Σ(q-x)²)}; infinite if nothing changed, NaN if x is zero
 * @param cosine {@code Σxq / sqrt(Σx²·Σq²)}; NaN if x or q is zero
 * @param meanRelativeError mean of {@code |q-x| / |x|} over x ≠ 0; NaN if x is zero
 * @param zeros elements x ≠ 0 whose code is 0 in all planes
 * @param saturated elements with {@code |x/scale|} above the top code of plane 0
 * @param bias {@code mean(m-x)}
 * @param standardError of the bias: from the variance of each element over its draws; with one draw, from the variance
 *     of {@code q-x} over the elements
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
     * having been cut off.
     */
    private static final double ROUNDING_MARGIN = 1 + 0x1p-22;

    /**
     * Compares.
     *
     * @param spec how the operand was quantized
     * @param matrix [rows, cols]
     * @param x the tensor
     * @param first the first draw
     * @param draws all draws
     */
    static Inspection of(OperandSpec spec, Shape matrix, float[] x, OperandProbe.Draw first, DrawStatistics draws) {
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
                product / Math.sqrt(signal) / Math.sqrt(energy),
                relative / present,
                zeros(spec, x, first),
                saturated(spec.planes().getFirst(), matrix, x, first.scales().getFirst()),
                draws.bias(x),
                draws.standardError(x),
                countScales(first.scales()),
                draws.mean());
    }

    private static long zeros(OperandSpec spec, float[] x, OperandProbe.Draw draw) {
        long zeros = 0;
        for (int i = 0; i < x.length; i++) {
            if (x[i] == 0) {
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

    private static long saturated(PlaneSpec plane, Shape matrix, float[] x, float[] scales) {
        Granularity granularity = plane.granularity();
        long rows = matrix.rows();
        long cols = matrix.cols();
        long groupRows = granularity.groupRows(rows);
        long groupK = granularity.groupK(cols);
        long rowGroups = granularity.rowGroups(rows);
        double limit = plane.format().top() * ROUNDING_MARGIN;
        long saturated = 0;
        for (int i = 0; i < x.length; i++) {
            long group = i % cols / groupK * rowGroups + i / cols / groupRows;
            double scale = scales.length == 0 ? 1 : scales[(int) group];
            saturated += Math.abs(x[i] / scale) > limit ? 1 : 0;
        }
        return saturated;
    }

    private static long countScales(List<float[]> planes) {
        long count = planes.getFirst().length;
        for (float[] residual : planes.subList(1, planes.size())) {
            for (float scale : residual) {
                count += scale == 0 ? 0 : 1; // a block without a residual has scale 0
            }
        }
        return count;
    }
}
