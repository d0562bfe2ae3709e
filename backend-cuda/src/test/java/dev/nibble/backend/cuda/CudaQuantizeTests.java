package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredTensor;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;
import java.util.stream.Stream;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Codes, scales, masks and statistics on the device equal the plain code's bit for bit. */
class CudaQuantizeTests {
    private QuantizeDuel duel;

    @BeforeEach
    void open() {
        Gpu.require();
        duel = QuantizeDuel.open();
    }

    @AfterEach
    void close() {
        if (duel != null) {
            duel.close();
        }
    }

    @Test
    void everySpecOfTheTableEqualsThePlainCode() {
        Matrix special = SpecialValues.mixed(11, 5, 144);
        Matrix normal = Matrix.normal(3, 19, 33, 1);
        Matrix notFinite = normal.with(normal.values().length / 2, Float.NaN)
                .with(normal.values().length - 1, Float.NEGATIVE_INFINITY);
        for (QuantizeSpec spec : SpecTable.quantizations()) {
            duel.compare(spec, special);
            duel.compare(spec, normal);
            duel.compare(spec, notFinite);
        }
        duel.noFailures();
    }

    @Test
    void oddShapesEqualThePlainCode() {
        List<QuantizeSpec> specs = SpecTable.quantizations();
        int turn = 0;
        for (int rows : SpecialValues.EXTENTS) {
            for (int cols : SpecialValues.EXTENTS) {
                Matrix x = SpecialValues.mixed(rows + cols, rows, cols);
                for (int i = turn++ % 29; i < specs.size(); i += 29) { // each spec meets some shapes
                    duel.compare(specs.get(i), x);
                }
            }
        }
        duel.noFailures();
    }

    /** {@return blocks that a tile holds whole, and blocks that it does not} */
    private static List<Granularity> blocks() {
        return Stream.of(
                        new int[] {128, 128},
                        new int[] {64, 64},
                        new int[] {32, 128},
                        new int[] {1, 128},
                        new int[] {128, 1},
                        new int[] {2, 8},
                        new int[] {48, 16},
                        new int[] {256, 256},
                        new int[] {16, 1024},
                        new int[] {100, 3})
                .<Granularity>map(extents -> new Granularity.PerBlock(extents[0], extents[1]))
                .toList();
    }

    @Test
    void blocksOfAnyExtentEqualThePlainCode() {
        for (int[] shape : new int[][] {{300, 260}, {129, 131}}) {
            Matrix x = SpecialValues.mixed(5, shape[0], shape[1]);
            Matrix normal = Matrix.normal(6, shape[0], shape[1], 3);
            for (Granularity granularity : blocks()) {
                for (PlaneSpec plane : QuantizeDuel.planes(granularity)) {
                    duel.compare(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane)), x);
                    duel.compare(
                            new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.ROWS, List.of(plane)))),
                            normal);
                    duel.compare(
                            new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(plane)))),
                            normal);
                }
            }
        }
        duel.noFailures();
    }

    @Test
    void contractionsWithDifferentPlanesEqualThePlainCode() {
        Matrix x = SpecialValues.mixed(5, 261, 140);
        List<PlaneSpec> tensor = QuantizeDuel.planes(QuantizeDuel.TENSOR);
        List<PlaneSpec> row = QuantizeDuel.planes(QuantizeDuel.ROW);
        for (PlaneSpec columns : Stream.concat(tensor.stream(), row.stream()).toList()) {
            for (PlaneSpec rows : List.of(row.get(1), tensor.get(0), row.get(4), PlaneSpec.unscaled(DType.BF16))) {
                duel.compare(
                        new QuantizeSpec(
                                Role.GRAD_OUTPUT,
                                List.of(
                                        new OperandSpec(Contraction.ROWS, List.of(rows)),
                                        new OperandSpec(Contraction.COLUMNS, List.of(columns)))),
                        x);
            }
        }
        PlaneSpec sample = SpecTable.power(DType.E3M0, 6);
        duel.compare( // the products share the first samples
                new QuantizeSpec(
                        Role.GRAD_OUTPUT,
                        List.of(
                                new OperandSpec(Contraction.COLUMNS, sample.samples(1)),
                                new OperandSpec(Contraction.ROWS, sample.samples(3)))),
                x);
        duel.noFailures();
    }

    @Test
    void fallbackOfLargeMatricesEqualsThePlainCode() {
        Matrix x = Matrix.normal(8, 300, 520, 1).map((row, col, v) -> row % 131 == 5 && col % 97 == 3 ? 40 * v : v);
        for (int extent : new int[] {128, 32, 256}) {
            for (Threshold threshold : List.of(new Threshold.Delayed("threshold"), new Threshold.ExactQuantile(0.8))) {
                PlaneSpec first = SpecTable.int8(new Granularity.PerBlock(extent, extent), Rounding.NEAREST_EVEN);
                duel.compare(
                        QuantizeSpec.both(Role.INPUT, List.of(first, PlaneSpec.residual(first, threshold))),
                        x.map((_, _, v) -> v / 5));
            }
        }
        duel.noFailures();
    }

    @Test
    void oneBadElementAnywhereIsSeen() {
        PlaneSpec int8 = SpecTable.int8(new Granularity.PerBlock(128, 128), Rounding.NEAREST_EVEN);
        List<List<PlaneSpec>> specs = List.of(
                List.of(int8),
                List.of(int8, PlaneSpec.residual(int8, new Threshold.ExactQuantile(0.5))),
                List.of(SpecTable.int8(QuantizeDuel.ROW, Rounding.STOCHASTIC)),
                List.of(SpecTable.fp8(DType.E5M2, QuantizeDuel.TENSOR)),
                List.of(PlaneSpec.unscaled(DType.FP32)),
                PlaneSpec.digits(SplitMode.UNBIASED));
        for (int[] shape : new int[][] {{129, 131}, {128, 256}}) {
            Matrix normal = Matrix.normal(5, shape[0], shape[1], 1);
            for (float bad : SpecialValues.NOT_FINITE) {
                for (int place : SpecialValues.places(shape[0], shape[1])) {
                    for (List<PlaneSpec> planes : specs) {
                        duel.compare(QuantizeSpec.both(Role.INPUT, planes), normal.with(place, bad));
                    }
                }
            }
        }
        duel.noFailures();
    }

    /** {@return numbers of which each bit is drawn: all exponents, subnormal numbers, NaN} */
    private static Matrix bits(int rows, int cols) {
        SplittableRandom random = new SplittableRandom(17);
        return Matrix.zeros(rows, cols).map((_, _, _) -> Float.intBitsToFloat(random.nextInt()));
    }

    @Test
    void anyNumberIsDrawnAsByThePlainCode() {
        for (DType format : List.of(DType.E4M3, DType.E5M2)) {
            PlaneSpec plane = PlaneSpec.value(format, QuantizeDuel.TENSOR, new ScaleRule.Unit(), Rounding.STOCHASTIC);
            QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
            duel.compare(spec, bits(256, 384));
            for (float size :
                    new float[] {1e-3f, 1, 100}) { // subnormal codes, normal ones, and those beyond the largest
                duel.compare(spec, Matrix.normal(3, 256, 384, size));
            }
        }
        duel.noFailures();
    }

    /** Quotients are found by multiplication where that gives the same bits: divisors inside and outside of that range. */
    @Test
    void quotientsByAnyScaleEqualThePlainCode() {
        Matrix bits = bits(128, 256);
        for (float scale :
                new float[] {1e-30f, 0x1p-60f, 3e-17f, 0x1.fffffep-9f, 0.1f, 1, 0x1.000002p0f, 7, 3e17f, 1e30f}) {
            List<StateVector> state = List.of(StateVector.scalar("scale", scale));
            Matrix near = Matrix.normal(5, 128, 256, 1).map((_, _, v) -> v * 40 * scale);
            for (DType format : List.of(DType.INT8, DType.INT4, DType.E3M0, DType.E4M0, DType.E4M3)) {
                for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
                    PlaneSpec plane = PlaneSpec.value(
                            format,
                            QuantizeDuel.TENSOR,
                            new ScaleRule.Given("scale", ScaleRule.Application.SCALE, new ScaleRule.AmaxOverTop()),
                            rounding);
                    QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
                    duel.compare(spec, near, state);
                    duel.compare(spec, bits, state);
                }
            }
        }
        duel.noFailures();
    }

    /** Scales by a quotient of the amax: E3M0 and SAWB, of matrices of all sizes. */
    @Test
    void quotientsByTheScaleOfAMatrixEqualThePlainCode() {
        for (float size : new float[] {1e-25f, 1e-6f, 1, 1e6f, 1e25f}) {
            Matrix x = Matrix.normal(7, 256, 260, size);
            duel.compare(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(SpecTable.power(DType.E3M0, 6))), x);
            duel.compare(
                    QuantizeSpec.both(
                            Role.INPUT,
                            List.of(PlaneSpec.value(
                                    DType.INT4,
                                    QuantizeDuel.TENSOR,
                                    new ScaleRule.Sawb(12.1f, 12.2f, 7, -7, 7),
                                    Rounding.STOCHASTIC))),
                    x);
        }
        duel.noFailures();
    }

    /** Means of matrices of all shapes, with rows that begin anywhere: the rows' sums are added while others are made. */
    @Test
    void momentsOfAnyShapeEqualThePlainCode() {
        QuantizeSpec spec = QuantizeSpec.both(
                Role.INPUT,
                List.of(PlaneSpec.value(
                        DType.INT4,
                        QuantizeDuel.TENSOR,
                        new ScaleRule.Sawb(12.1f, 12.2f, 7, -7, 7),
                        Rounding.NEAREST_EVEN)));
        int[][] shapes = {{1, 4}, {1, 5000}, {17, 2052}, {1023, 260}, {1025, 256}, {5000, 20}, {4097, 37}, {9000, 132}};
        for (int[] shape : shapes) {
            Matrix x = Matrix.normal(shape[0], shape[0], shape[1], 1);
            duel.compare(spec, x);
            duel.compare(spec, x.with(shape[0] * shape[1] - 1, Float.NaN));
            duel.compare(spec, x.map((_, _, v) -> v * 1e19f)); // the squares overflow
        }
        duel.noFailures();
    }

    /** Several tiles of matrices whose rows begin on 16 bytes: all kinds of scales, with groups that are 0 or not finite. */
    @Test
    void tilesOfAlignedRowsEqualThePlainCode() {
        Matrix normal = Matrix.normal(4, 390, 516, 1).map((row, col, v) -> row == 200 || col == 129 ? -0.0f : v);
        Matrix bad = normal.with(516 * 300 + 40, Float.NaN).with(516 * 7 + 500, Float.NEGATIVE_INFINITY);
        for (Granularity granularity :
                List.of(QuantizeDuel.TENSOR, QuantizeDuel.ROW, new Granularity.PerBlock(1, 128))) {
            List<PlaneSpec> planes = new ArrayList<>(QuantizeDuel.planes(granularity));
            for (DType format : List.of(DType.E4M3, DType.E5M2)) {
                for (Rounding rounding : List.of(Rounding.NEAREST_EVEN, Rounding.STOCHASTIC)) {
                    planes.add(PlaneSpec.value(format, granularity, new ScaleRule.AmaxOverTop(), rounding));
                    planes.add(PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(false), rounding));
                }
            }
            for (PlaneSpec plane : planes) {
                QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
                duel.compare(spec, normal);
                duel.compare(spec, bad);
                duel.compare(spec, normal.map((_, _, v) -> v * 1e-37f)); // groups too small for a scale
            }
        }
        duel.noFailures();
    }

    @Test
    void statisticsOfAnEmptyStateAreZero() {
        StoredTensor stored = duel.actual()
                .quantize(
                        QuantizeDuel.CONTEXT,
                        QuantizeDuel.SITE,
                        new Rig.Source(
                                QuantizeSpec.both(Role.INPUT, List.of(PlaneSpec.unscaled(DType.BF16))),
                                Matrix.zeros(3, 5),
                                SpecTable.state(5)));
        for (Statistic statistic : Statistic.values()) {
            assertEquals(0, stored.statistic(statistic), statistic.name());
        }
        assertTrue(duel.backend().takeNonFinite().isEmpty());
    }
}
