package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredTensor;
import java.util.HashSet;
import java.util.Set;
import org.junit.jupiter.api.Test;

/** Each way to quantize once, on a small matrix: for runs under a checker, under which the whole table takes minutes. */
class CudaSweepTests {
    private static final Matrix X = Matrix.normal(1, 37, 131, 1);

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
                    Rig.Source source = new Rig.Source(spec, X, SpecTable.state(X.cols()));
                    assertSame(
                            spec,
                            plain.quantize(Rig.CONTEXT, Rig.SITE, source),
                            device.quantize(Rig.CONTEXT, Rig.SITE, source));
                }
            }
        }
        assertTrue(kinds.size() > 50, "saw " + kinds.size() + " kinds");
    }
}
