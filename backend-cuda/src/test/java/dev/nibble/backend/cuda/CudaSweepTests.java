package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredTensor;
import java.util.ArrayList;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Each way to quantize once, on a small matrix: for runs under a checker, under which the whole table takes minutes. */
class CudaSweepTests {
    /** Rows that begin anywhere, and rows that begin on 16 bytes, which other kernels round. */
    private static final List<Matrix> MATRICES = List.of(Matrix.normal(1, 37, 131, 1), Matrix.normal(2, 37, 132, 1));

    /** {@return what decides which kernels run} */
    private static String kind(QuantizeSpec spec) {
        StringBuilder kind = new StringBuilder(spec.transform().getClass().getSimpleName()).append(spec.sharesCodes());
        for (OperandSpec operand : spec.operands()) {
            for (PlaneSpec plane : operand.planes()) {
                kind.append(plane.source().getClass().getSimpleName())
                        .append(plane.format())
                        .append(plane.granularity().getClass().getSimpleName())
                        .append(plane.rounding());
            }
        }
        return kind.toString();
    }

    private static void assertSame(QuantizeSpec spec, StoredTensor expected, StoredTensor actual) {
        for (int i = 0; i < expected.operands().size(); i++) {
            for (int plane = 0; plane < expected.operands().get(i).planes().size(); plane++) {
                var wanted = expected.operands().get(i).planes().get(plane);
                var found = actual.operands().get(i).planes().get(plane);
                Bits.assertSame("codes of " + spec, wanted.codes(), found.codes());
                Bits.assertSame("scales of " + spec, wanted.scales(), found.scales());
            }
        }
        Bits.assertSame("statistics of " + spec, expected.statistics(), actual.statistics());
    }

    @Test
    void eachKindOfSpecHasThePlainCodesBits() {
        Set<String> kinds = new HashSet<>();
        try (Rig device = new Rig(Gpu.open());
                Rig plain = Rig.reference()) {
            for (QuantizeSpec spec : SpecTable.quantizations()) {
                if (kinds.add(kind(spec))) {
                    for (Matrix x : MATRICES) {
                        Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
                        assertSame(
                                spec,
                                plain.quantize(Rig.CONTEXT, Rig.SITE, source),
                                device.quantize(Rig.CONTEXT, Rig.SITE, source));
                    }
                }
            }
        }
        assertTrue(kinds.size() > 50, "saw " + kinds.size() + " kinds");
    }

    /** The kernels of matrices whose rows begin on 16 bytes: a scale a tensor, a row and a column, and 128 neighbours. */
    @Test
    void alignedRowsHaveThePlainCodesBits() {
        List<PlaneSpec> planes = new ArrayList<>(List.of(SpecTable.power(DType.E3M0, 6)));
        for (Granularity granularity :
                List.of(QuantizeDuel.TENSOR, QuantizeDuel.ROW, new Granularity.PerBlock(1, 128))) {
            planes.addAll(QuantizeDuel.planes(granularity));
        }
        Matrix x = Matrix.normal(3, 150, 132, 1);
        try (Rig device = new Rig(Gpu.open());
                Rig plain = Rig.reference()) {
            for (PlaneSpec plane : planes) {
                QuantizeSpec spec = QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane));
                Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
                assertSame(
                        spec,
                        plain.quantize(Rig.CONTEXT, Rig.SITE, source),
                        device.quantize(Rig.CONTEXT, Rig.SITE, source));
            }
        }
    }
}
