package dev.nibble.testkit.data;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Arithmetic;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.gemm.Sampling;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.tensor.DType;
import java.util.Arrays;
import java.util.EnumSet;
import java.util.HashSet;
import java.util.List;
import java.util.Set;
import java.util.function.Function;
import java.util.stream.Collectors;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;

/** A case that is added to the SPI has to be added to the tables, or these fail. */
class TableTests {
    private static List<PlaneSpec> planes() {
        return SpecTable.quantizations().stream()
                .flatMap(spec -> spec.operands().stream())
                .flatMap(operand -> operand.planes().stream())
                .toList();
    }

    private static void assertEveryCase(Class<?> sealed, Stream<?> found) {
        Set<Class<?>> expected = new HashSet<>(Arrays.asList(sealed.getPermittedSubclasses()));
        assertTrue(expected.size() > 1, sealed + " has cases");
        assertEquals(expected, found.map(Object::getClass).collect(Collectors.toSet()), sealed.getSimpleName());
    }

    private static <E extends Enum<E>> void assertEveryConstant(Class<E> type, Stream<E> found) {
        assertEquals(EnumSet.allOf(type), found.collect(Collectors.toCollection(() -> EnumSet.noneOf(type))));
    }

    private static <T> Stream<T> each(Function<PlaneSpec, T> part) {
        return planes().stream().map(part);
    }

    @Test
    void everySealedCaseIsQuantized() {
        assertEveryCase(PlaneSource.class, each(PlaneSpec::source));
        assertEveryCase(Granularity.class, each(PlaneSpec::granularity));
        assertEveryCase(ScaleRule.class, each(PlaneSpec::scaleRule));
        assertEveryCase(Transform.class, SpecTable.quantizations().stream().map(spec -> spec.transform()));
        List<PlaneSource.Residual> residuals = each(PlaneSpec::source)
                .filter(PlaneSource.Residual.class::isInstance)
                .map(PlaneSource.Residual.class::cast)
                .toList();
        assertEveryCase(Threshold.class, residuals.stream().map(PlaneSource.Residual::threshold));
        assertEveryConstant(Criterion.class, residuals.stream().map(PlaneSource.Residual::criterion));
        assertEveryConstant(
                SplitMode.class,
                each(PlaneSpec::source)
                        .filter(PlaneSource.Digit.class::isInstance)
                        .map(source -> ((PlaneSource.Digit) source).mode()));
        assertEveryConstant(
                ScaleRule.Application.class,
                each(PlaneSpec::scaleRule)
                        .filter(ScaleRule.Given.class::isInstance)
                        .map(rule -> ((ScaleRule.Given) rule).application()));
    }

    @Test
    void everyFormatRoundingAndOverflowIsQuantized() {
        Set<DType> formats = EnumSet.complementOf(EnumSet.of(DType.INT32));
        assertEquals(formats, each(PlaneSpec::format).collect(Collectors.toSet()));
        assertEveryConstant(Rounding.class, each(PlaneSpec::rounding));
        assertEveryConstant(Overflow.class, each(PlaneSpec::overflow));
    }

    @Test
    void everySamplingProductAndArithmeticIsMultiplied() {
        List<ProductTable.Case> cases = Stream.of(
                        ProductTable.formats(),
                        ProductTable.granularities(),
                        ProductTable.severalPlanes(),
                        ProductTable.sampled())
                .flatMap(List::stream)
                .toList();
        assertEveryConstant(Sampling.class, cases.stream().map(c -> c.gemm().sampling()));
        assertEveryConstant(Product.class, cases.stream().map(c -> c.gemm().product()));
        assertEveryConstant(Arithmetic.class, cases.stream().map(TableTests::arithmetic));
        assertTrue(
                cases.stream().map(ProductTable.Case::gemm).map(GemmSpec::terms).anyMatch(terms -> terms.size() == 3));
    }

    private static Arithmetic arithmetic(ProductTable.Case product) {
        Product which = product.gemm().product();
        return Arithmetic.of(
                product.a().operand(which.contractionA()).planes().getFirst().format(),
                product.b().operand(which.contractionB()).planes().getFirst().format());
    }
}
