package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Subject.Layer;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredTensor;
import java.util.ArrayList;
import java.util.List;

/**
 * A draw is a function of its address: the same one gives the same bits, and another seed, step, micro-batch, site, role,
 * contraction or sample gives errors that have nothing to do with it.
 *
 * <p>Two sets of errors e and f are independent if {@code z = Σ e·f / sqrt(Σ e²·f²)}, whose standard error is 1, is within 5.
 * A stream that both share gives about the root of the number of elements.
 */
final class AddressChecks {
    private static final int EXTENT =
            64; // X, W and dY have the same shape, so that a shared draw would meet the same element
    private static final StepContext BASE = StepContext.train(3, 0);

    private final Subject subject;
    private final Layer layer;
    private final List<Errors> found = new ArrayList<>();

    /** Values minus what they stand for, in the order of the tensor. */
    private record Errors(String name, double[] values) {}

    AddressChecks(Subject subject) {
        this.subject = subject;
        layer = subject.layer(EXTENT, EXTENT, EXTENT);
    }

    void rolesKeepTheirName() {
        for (Role role : Subject.ROLES) {
            assertEquals(role, layer.plan().quantize(role).role(), "role of the spec for " + role.label());
        }
    }

    void drawsDependOnTheirAddress() {
        List<Errors> roles = new ArrayList<>();
        for (Role role : subject.claims().unbiased().keySet()) {
            Matrix x = data(role);
            StoredTensor base = stored(Rig.SEED, BASE, Rig.SITE, role, x);
            assertRepeats(role, base, stored(Rig.SEED, BASE, Rig.SITE, role, x));
            Matrix meant = meant(role, x);
            found.clear();
            add("itself", base, meant);
            add("another seed", stored(Rig.SEED + 1, BASE, Rig.SITE, role, x), meant);
            add("another upper half of the seed", stored(Rig.SEED + (1L << 32), BASE, Rig.SITE, role, x), meant);
            add("another step", stored(Rig.SEED, StepContext.train(4, 0), Rig.SITE, role, x), meant);
            StepContext second = new StepContext(BASE.step(), 1, StepContext.Mode.TRAIN, 0);
            add("another micro-batch", stored(Rig.SEED, second, Rig.SITE, role, x), meant);
            Site another = new Site(Rig.SITE.name(), Rig.SITE.ordinal() + 1);
            add("another site", stored(Rig.SEED, BASE, another, role, x), meant);
            roles.add(new Errors(role.label(), found.getFirst().values()));
            addSamples(base, meant);
            addContraction(role, base, meant);
            assertIndependent(role.label() + ": ", found);
        }
        if (layer.in() == layer.out() && layer.in() == EXTENT) {
            assertIndependent("", roles);
        }
    }

    private Matrix data(Role role) {
        Matrix normal = Matrix.normal(5, layer.rows(role), layer.cols(role), 1);
        return normal.map((row, col, v) -> Math.scalb(v, -(3 * row + col) % 4));
    }

    private Matrix meant(Role role, Matrix x) {
        try (Rig plain = Rig.reference()) {
            return CodeChecks.transformed(plain, layer, role, x);
        }
    }

    private StoredTensor stored(long seed, StepContext context, Site site, Role role, Matrix x) {
        try (Rig rig = subject.rig(seed)) {
            return rig.quantize(context, site, layer.source(role, x));
        }
    }

    private static void assertRepeats(Role role, StoredTensor expected, StoredTensor actual) {
        for (int i = 0; i < expected.operands().size(); i++) {
            StoredOperand first = expected.operands().get(i);
            StoredOperand second = actual.operands().get(i);
            for (int plane = 0; plane < first.planes().size(); plane++) {
                String what = role.label() + " again: plane " + plane;
                Bits.assertSame(
                        what,
                        first.planes().get(plane).codes(),
                        second.planes().get(plane).codes());
                Bits.assertSame(
                        what,
                        first.planes().get(plane).scales(),
                        second.planes().get(plane).scales());
            }
        }
    }

    private void add(String name, StoredTensor stored, Matrix meant) {
        StoredOperand operand = stored.operand(Contraction.COLUMNS);
        found.add(new Errors(name, difference(operand, operand.value(), meant)));
    }

    private void addSamples(StoredTensor base, Matrix meant) {
        StoredOperand operand = base.operand(Contraction.COLUMNS);
        if (!operand.sampled() || operand.planes().size() == 1) {
            return;
        }
        found.removeFirst(); // the mean of the samples depends on each of them
        for (int plane = 0; plane < operand.planes().size(); plane++) {
            found.add(new Errors("sample " + plane, difference(operand, operand.plane(plane), meant)));
        }
    }

    private void addContraction(Role role, StoredTensor base, Matrix meant) {
        QuantizeSpec spec = layer.plan().quantize(role);
        boolean same = spec.operand(Contraction.ROWS)
                .planes()
                .equals(spec.operand(Contraction.COLUMNS).planes());
        StoredOperand rows = base.operand(Contraction.ROWS);
        double[] errors = difference(rows, rows.value(), meant);
        if (spec.sharesCodes() && same) {
            StoredOperand columns = base.operand(Contraction.COLUMNS);
            Bits.assertSame(
                    role.label() + ": both contractions of one draw",
                    columns.dequantized(),
                    new Matrix(rows.dequantized(), rows.rows(), rows.k())
                            .transposed()
                            .values());
        } else if (!spec.sharesCodes()) {
            found.add(new Errors("the other contraction", errors));
        }
    }

    private static double[] difference(StoredOperand operand, double[] values, Matrix meant) {
        double[] errors = new double[values.length]; // [rows, cols]
        for (int i = 0; i < errors.length; i++) {
            errors[i] = values[operand.index(i / meant.cols(), i % meant.cols())] - meant.values()[i];
        }
        return errors;
    }

    private static void assertIndependent(String what, List<Errors> sets) {
        for (int i = 0; i < sets.size(); i++) {
            for (int j = 0; j < i; j++) {
                double z = dependence(sets.get(i).values(), sets.get(j).values());
                if (!(Math.abs(z) <= DrawChecks.ERRORS)) {
                    fail("%sthe errors of %s and of %s depend on each other: z is %.1f, but at most 5 is due to chance"
                            .formatted(what, sets.get(j).name(), sets.get(i).name(), z));
                }
            }
        }
    }

    private static double dependence(double[] e, double[] f) {
        double sum = 0;
        double squares = 0;
        for (int i = 0; i < e.length; i++) {
            sum += e[i] * f[i];
            squares += e[i] * e[i] * f[i] * f[i];
        }
        return squares == 0 ? 0 : sum / Math.sqrt(squares);
    }
}
