package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredPlane;
import dev.nibble.testkit.run.StoredTensor;
import java.util.function.Function;
import org.opentest4j.AssertionFailedError;

/** The plain code and a backend under test, side by side. */
final class Duel implements AutoCloseable {
    private final Rig plain;
    private final Rig actual;
    private final String who;

    Duel(BackendProvider provider, int threads) {
        BackendOptions options = new BackendOptions(Rig.SEED, threads, false);
        plain = new Rig(new ReferenceBackendProvider().open(options));
        actual = new Rig(provider.open(options));
        who = "backend %s on %d threads: ".formatted(provider.name(), threads);
    }

    Rig actual() {
        return actual;
    }

    Rig plain() {
        return plain;
    }

    /** {@return a message that names the backend} */
    String says(String what) {
        return who + what;
    }

    /** Runs the same work on both, and compares the bits of what it returns. */
    void assertSame(String what, Function<Rig, float[]> work) {
        Bits.assertSame(says(what), work.apply(plain), work.apply(actual));
    }

    /** Quantizes on both, and compares formats, codes, scales, meanings, statistics and what was not finite. */
    void assertQuantizes(StepContext context, Site site, Rig.Source source) {
        StoredTensor expected = plain.quantize(context, site, source);
        StoredTensor found = actual.quantize(context, site, source);
        try {
            Bits.assertSame("statistics", expected.statistics(), found.statistics());
            for (int i = 0; i < expected.operands().size(); i++) {
                assertSameOperand(expected.operands().get(i), found.operands().get(i));
            }
            assertEquals(plain.backend().takeNonFinite(), actual.backend().takeNonFinite(), "what was not finite");
        } catch (AssertionFailedError e) {
            String what = "%s of [%d, %d]: "
                    .formatted(source.spec(), source.x().rows(), source.x().cols());
            throw new AssertionFailedError(says(what) + e.getMessage(), e);
        }
    }

    private static void assertSameOperand(StoredOperand expected, StoredOperand found) {
        String operand = "contracting " + expected.spec().contraction();
        assertEquals(expected.spec(), found.spec(), operand);
        assertEquals(expected.rows(), found.rows(), operand + ": rows");
        assertEquals(expected.k(), found.k(), operand + ": k");
        for (int plane = 0; plane < expected.planes().size(); plane++) {
            StoredPlane one = expected.planes().get(plane);
            StoredPlane other = found.planes().get(plane);
            String name = operand + " plane " + plane;
            assertEquals(one.format(), other.format(), name + ": stored format");
            Bits.assertSame(name + " codes", one.codes(), other.codes());
            Bits.assertSame(name + " scales", one.scales(), other.scales());
        }
        Bits.assertSame(operand + " meaning", expected.dequantized(), found.dequantized());
    }

    @Override
    public void close() {
        plain.close();
        actual.close();
    }
}
