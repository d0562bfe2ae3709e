package dev.nibble.testkit.run;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import java.util.List;

/**
 * An operand as a backend reads it out.
 *
 * @param spec how it was made
 * @param rows its rows
 * @param k length of its contraction
 * @param planes its planes
 * @param dequantized what the backend says codes and scales mean, [rows, k]
 */
public record StoredOperand(OperandSpec spec, int rows, int k, List<StoredPlane> planes, float[] dequantized) {
    /** Copies the list. */
    public StoredOperand {
        planes = List.copyOf(planes);
    }

    /** {@return the scale of an element of the operand; 1 if the plane is unscaled} */
    public float scale(int plane, int row, int col) {
        StoredPlane stored = planes.get(plane);
        if (stored.scales().length == 0) {
            return 1;
        }
        Granularity granularity = stored.spec().granularity();
        int rowGroups = (int) granularity.rowGroups(rows);
        int group = (int) (col / granularity.groupK(k)) * rowGroups + (int) (row / granularity.groupRows(rows));
        return stored.scales()[group];
    }

    /** {@return code · scale of each element in FP64, [rows, k]} */
    public double[] plane(int plane) {
        StoredPlane stored = planes.get(plane);
        double[] values = new double[rows * k]; // [rows, k]
        for (int i = 0; i < values.length; i++) {
            values[i] = stored.code(i) * scale(plane, i / k, i % k);
        }
        return values;
    }

    /** {@return the sum of all planes in FP64, samples averaged, [rows, k]} */
    public double[] value() {
        double[] sum = new double[rows * k]; // [rows, k]
        double weight = sampled() ? 1.0 / planes.size() : 1;
        for (int plane = 0; plane < planes.size(); plane++) {
            double[] values = plane(plane); // [rows, k]
            for (int i = 0; i < sum.length; i++) {
                sum[i] += weight * values[i];
            }
        }
        return sum;
    }

    /** {@return whether the planes are draws of the same tensor} */
    public boolean sampled() {
        return spec.planes().getFirst().source() instanceof PlaneSource.Sample;
    }

    /** {@return the scales of an element in each plane, [planes]} */
    public float[] scales(int row, int col) {
        float[] scales = new float[planes.size()]; // [planes]
        for (int plane = 0; plane < scales.length; plane++) {
            scales[plane] = scale(plane, row, col);
        }
        return scales;
    }

    /** {@return the index in the operand of an element of the tensor, [rows, cols], that it was made from} */
    public int index(int row, int col) {
        return spec.contraction() == Contraction.COLUMNS ? row * k + col : col * k + row;
    }
}
