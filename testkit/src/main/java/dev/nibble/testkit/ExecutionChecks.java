package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Site;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.ProductTable;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import java.util.List;
import java.util.function.Predicate;
import java.util.stream.Collectors;

/** Rows of the execution log say what the operands say. */
final class ExecutionChecks {
    private final Predicate<QuantizeSpec> refused;

    ExecutionChecks(Predicate<QuantizeSpec> refused) {
        this.refused = refused;
    }

    void rowsNameWhatWasStored(Rig rig) {
        List<ProductTable.Case> cases = ProductTable.formats();
        for (int i = 0; i < cases.size(); i++) {
            ProductTable.Case product = cases.get(i);
            if (!refused.test(product.a()) && !refused.test(product.b())) {
                Site site = new Site("case-" + i, i);
                assertRow(rig, product, site, new Rig.Source(product.a(), Matrix.normal(1, 4, 4, 1)), product.b());
            }
        }
    }

    private static void assertRow(Rig rig, ProductTable.Case product, Site site, Rig.Source a, QuantizeSpec spec) {
        Rig.Source b = new Rig.Source(spec, a.x());
        rig.multiply(Rig.CONTEXT, product.gemm(), site, a, b, Matrix.zeros(4, 4));
        rig.multiply(Rig.CONTEXT, product.gemm(), site, a, b, Matrix.zeros(4, 4));
        List<ExecutionRow> rows = rig.backend().log().rows().stream()
                .filter(row -> row.layer().equals(site.name()))
                .toList();
        assertEquals(1, rows.size(), product.label() + ": rows of one product that ran twice");
        ExecutionRow row = rows.getFirst();
        Contraction left = product.gemm().product().contractionA();
        Contraction right = product.gemm().product().contractionB();
        assertEquals(product.gemm().product().label(), row.product());
        assertEquals(
                product.a().operand(left).formatLabel() + " x "
                        + product.b().operand(right).formatLabel(),
                row.requestedFormat(),
                product.label() + ": requested format");
        assertEquals(
                stored(rig, a, left) + " x " + stored(rig, b, right),
                row.storedFormat(),
                product.label() + ": stored format, as the operands say");
        assertFalse(row.kernel().isBlank() || row.computeType().isBlank(), row.toString());
        assertTrue(!row.differs() || !row.reason().isBlank(), "a difference without a reason: " + row);
    }

    private static String stored(Rig rig, Rig.Source source, Contraction contraction) {
        StoredOperand operand = rig.quantize(Rig.CONTEXT, Rig.SITE, source).operand(contraction);
        return operand.planes().stream().map(plane -> plane.format().label()).collect(Collectors.joining("+"));
    }
}
