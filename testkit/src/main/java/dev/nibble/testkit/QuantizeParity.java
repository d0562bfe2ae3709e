package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.List;
import java.util.Locale;
import java.util.function.Predicate;

/** Quantization equals the plain code's, bit for bit. */
final class QuantizeParity {
    private static final int[][] SHAPES = {{1, 1}, {1, 129}, {129, 1}, {127, 13}, {128, 257}, {257, 128}};
    private static final StepContext CONTEXT = new StepContext(5, 3, StepContext.Mode.TRAIN, 0);
    private static final Site SITE = new Site("blocks.1.mlp.down", 7);

    private final Predicate<QuantizeSpec> refused;

    QuantizeParity(Predicate<QuantizeSpec> refused) {
        this.refused = refused;
    }

    /**
     * Compares the specs of the table.
     *
     * @param every 1 for all of them, n for each n-th
     */
    void everySpec(Duel duel, int every) {
        List<QuantizeSpec> specs = SpecTable.quantizations();
        Matrix special = SpecialValues.mixed(11, 5, 144);
        Matrix normal = Matrix.normal(3, 19, 33, 1);
        Matrix notFinite = normal.with(normal.values().length / 2, Float.NaN)
                .with(normal.values().length - 1, Float.NEGATIVE_INFINITY);
        for (int i = 0; i < specs.size(); i += every) {
            assertSame(duel, specs.get(i), special);
            assertSame(duel, specs.get(i), normal);
            assertSame(duel, specs.get(i), notFinite);
        }
    }

    void everyShape(Duel duel) {
        List<QuantizeSpec> specs = SpecTable.quantizations();
        for (int[] shape : SHAPES) {
            Matrix x = SpecialValues.mixed(13, shape[0], shape[1]);
            for (int i = 0; i < specs.size(); i += 41) { // a sample: 41 divides no period of the table
                assertSame(duel, specs.get(i), x);
            }
        }
    }

    private void assertSame(Duel duel, QuantizeSpec spec, Matrix x) {
        Rig.Source source = new Rig.Source(spec, x, SpecTable.state(x.cols()));
        if (!refused.test(spec)) {
            duel.assertQuantizes(CONTEXT, SITE, source);
            return;
        }
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> duel.actual().quantize(CONTEXT, SITE, source), spec.toString());
        String format = spec.operands().getFirst().planes().getFirst().format().label();
        String message = String.valueOf(e.getMessage()).toLowerCase(Locale.ROOT);
        assertTrue(message.contains(format), "refused with '" + message + "', which does not name " + format);
    }

    /** One NaN in any place of a matrix whose rows end amid a vector reaches the statistics. */
    void nanInAnyPlace(Duel duel) {
        Matrix normal = Matrix.normal(5, 3, 37, 1);
        List<QuantizeSpec> specs = SpecTable.quantizations();
        for (int place = 0; place < normal.values().length; place++) {
            assertSame(duel, specs.get(place * 7 % specs.size()), normal.with(place, Float.NaN));
        }
    }
}
