package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Transform;
import dev.nibble.spi.NonFinite;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Subject.Layer;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredPlane;
import dev.nibble.testkit.run.StoredTensor;
import java.util.List;

/** What codes and scales of a quantizer mean. */
final class CodeChecks {
    private static final int[][] SHAPES = {{13, 129, 33}, {1, 1, 1}, {127, 13, 1}, {128, 128, 128}, {129, 702, 13}};
    private static final float NEARLY_LARGEST = 0x1p127f; // from here on, a product of a code and a scale may overflow

    private final Subject subject;

    CodeChecks(Subject subject) {
        this.subject = subject;
    }

    void valuesAreCodesTimesScales() {
        try (Rig rig = subject.rig()) {
            for (int[] shape : SHAPES) {
                assertMeanings(rig, subject.layer(shape[0], shape[1], shape[2]));
            }
        }
    }

    /** What the operands of a layer mean is Σ code · scale. */
    static void assertMeanings(Rig rig, Layer layer) {
        for (Role role : Subject.ROLES) {
            StoredTensor stored = rig.quantize(Rig.CONTEXT, Rig.SITE, layer.source(role, layer.normal(role)));
            for (StoredOperand operand : stored.operands()) {
                assertMeaning(role.label() + " " + operand.spec().contraction(), operand);
            }
        }
    }

    private static void assertMeaning(String what, StoredOperand operand) {
        float[] expected = new float[operand.rows() * operand.k()]; // [rows, k]
        float weight = operand.sampled() ? 1f / operand.planes().size() : 1;
        for (int plane = 0; plane < operand.planes().size(); plane++) {
            StoredPlane stored = operand.planes().get(plane);
            assertRange(what + " plane " + plane, stored);
            for (int i = 0; i < expected.length; i++) {
                float scale = weight * operand.scale(plane, i / operand.k(), i % operand.k());
                expected[i] = Math.fma(scale, (float) stored.code(i), expected[i]);
            }
        }
        Bits.assertSame(what + ": code · scale", expected, operand.dequantized());
    }

    private static void assertRange(String what, StoredPlane plane) {
        for (float scale : plane.scales()) {
            assertTrue(scale >= 0 && scale <= Float.MAX_VALUE, what + " has scale " + scale);
        }
        DType format = plane.spec().format();
        if (format.family() != DType.Family.INTEGER) {
            return;
        }
        // A lower digit reaches -8, one more than the value of a plane of its own.
        double low = Math.min(plane.spec().scaleRule().bottom(format), format == DType.INT4 ? -8 : 0);
        double high = plane.spec().scaleRule().top(format);
        int elements = plane.codes().length / Math.max(1, format.bits() / Byte.SIZE);
        for (int i = 0; i < elements; i++) {
            double code = plane.code(i);
            assertTrue(code >= low && code <= high, what + " has code " + code + ", beyond " + low + ".." + high);
        }
    }

    void errorsStayWithinTheirBounds() {
        try (Rig rig = subject.rig();
                Rig plain = Rig.reference()) {
            for (int[] shape : SHAPES) {
                Layer layer = subject.layer(shape[0], shape[1], shape[2]);
                subject.claims().bounds().forEach((role, bound) -> {
                    Matrix normal = layer.normal(role);
                    // Down to where codes are 0, with some elements beyond the others.
                    Matrix x = normal.map((row, col, v) -> Math.scalb(v, row * col % 11 == 5 ? 4 : -(row + col) % 30));
                    StoredTensor stored = rig.quantize(Rig.CONTEXT, Rig.SITE, layer.source(role, x));
                    Matrix meant = transformed(plain, layer, role, x);
                    stored.operands().forEach(operand -> assertErrors(role, bound, meant, operand));
                });
            }
        }
    }

    /** {@return what the codes stand for, by the plain code} */
    static Matrix transformed(Rig plain, Layer layer, Role role, Matrix x) {
        Transform transform = layer.plan().quantize(role).transform();
        if (transform instanceof Transform.Identity) {
            return x;
        }
        OperandSpec fp32 = new OperandSpec(Contraction.COLUMNS, List.of(PlaneSpec.unscaled(DType.FP32)));
        QuantizeSpec spec = new QuantizeSpec(role, transform, List.of(fp32));
        StoredTensor stored = plain.quantize(Rig.CONTEXT, Rig.SITE, new Rig.Source(spec, x, layer.state()));
        return new Matrix(stored.operand(Contraction.COLUMNS).dequantized(), x.rows(), x.cols());
    }

    private static void assertErrors(Role role, ErrorBound bound, Matrix meant, StoredOperand operand) {
        double[] values = operand.value(); // [rows, k]
        for (int row = 0; row < meant.rows(); row++) {
            for (int col = 0; col < meant.cols(); col++) {
                int at = operand.index(row, col);
                float[] scales = operand.scales(at / operand.k(), at % operand.k());
                float x = meant.at(row, col);
                double limit = bound.of(x, scales);
                double error = Math.abs(x - values[at]);
                if (!(error <= limit)) {
                    fail("%s contracting %s: element [%d, %d] is %s and became %s: the error %s is above the bound %s"
                            .formatted(
                                    role.label(), operand.spec().contraction(), row, col, x, values[at], error, limit));
                }
            }
        }
    }

    void specialValuesHaveDefinedCodes() {
        Layer layer = subject.layer(5, 37, 21);
        try (Rig rig = subject.rig()) {
            for (Role role : Subject.ROLES) {
                Matrix normal = layer.normal(role);
                for (int place : SpecialValues.places(normal.rows(), normal.cols())) {
                    for (float special : SpecialValues.FINITE) {
                        assertDefined(rig, layer, role, normal.with(place, special));
                    }
                }
                assertDefined(rig, layer, role, normal.map((_, _, _) -> 0));
                assertDefined(rig, layer, role, normal.map((_, _, _) -> -3));
                assertDefined(rig, layer, role, normal.map((_, _, _) -> Float.MIN_VALUE));
                assertDefined(rig, layer, role, SpecialValues.mixed(3, normal.rows(), normal.cols()));
            }
        }
    }

    /** A sum of a transform may overflow; then the tensor counts as not finite, and the step is skipped. */
    private static void assertDefined(Rig rig, Layer layer, Role role, Matrix x) {
        StoredTensor stored = rig.quantize(Rig.CONTEXT, Rig.SITE, layer.source(role, x));
        boolean noted = !rig.backend().takeNonFinite().isEmpty();
        boolean identity = layer.plan().quantize(role).transform() instanceof Transform.Identity;
        boolean overflows = !identity && x.amax() > NEARLY_LARGEST / x.cols();
        assertTrue(!noted || overflows, role.label() + " with amax " + x.amax() + " was noted as not finite");
        if (noted) {
            return;
        }
        float largest = largest(
                layer.plan().quantize(role).operands().getFirst().planes().getFirst());
        for (StoredOperand operand : stored.operands()) {
            double[] values = operand.value(); // [rows, k]
            for (int i = 0; i < values.length; i++) {
                boolean fits = Double.isFinite(values[i]) && Float.isFinite(operand.dequantized()[i]);
                boolean large = Math.abs(values[i]) >= largest; // also infinity, not NaN
                assertTrue(
                        fits || large,
                        "%s with amax %s: element %d became %s".formatted(role.label(), x.amax(), i, values[i]));
            }
        }
    }

    /** {@return where a value may become infinite: beyond the top of a format without a scale, or near that of FP32} */
    private static float largest(PlaneSpec plane) {
        return plane.scaleRule() instanceof ScaleRule.Unit
                ? Math.min(plane.format().top(), NEARLY_LARGEST)
                : NEARLY_LARGEST;
    }

    void whatIsNotFiniteIsNoted() {
        Layer layer = subject.layer(5, 37, 21);
        try (Rig rig = subject.rig()) {
            for (Role role : Subject.ROLES) {
                Matrix normal = layer.normal(role);
                for (int place : SpecialValues.places(normal.rows(), normal.cols())) {
                    for (float special : SpecialValues.NOT_FINITE) {
                        assertNoted(rig, layer, role, normal.with(place, special), place);
                    }
                }
            }
        }
    }

    private static void assertNoted(Rig rig, Layer layer, Role role, Matrix x, int place) {
        float special = x.values()[place];
        String what = role.label() + " with " + special + " at " + place;
        StoredTensor stored = rig.quantize(Rig.CONTEXT, Rig.SITE, layer.source(role, x));
        assertEquals(List.of(new NonFinite(Rig.SITE, role)), rig.backend().takeNonFinite(), what);
        assertFalse(Float.isFinite(stored.statistic(Statistic.AMAX)), what + ": amax is finite");
        boolean identity = layer.plan().quantize(role).transform() instanceof Transform.Identity;
        if (Float.isNaN(special) && identity) {
            for (StoredOperand operand : stored.operands()) {
                float value = operand.dequantized()[operand.index(place / x.cols(), place % x.cols())];
                assertTrue(Float.isNaN(value), what + " became " + value);
            }
        }
        if (role == Role.INPUT && Float.isNaN(special)) {
            assertRowIsNan(rig, layer, x, place / x.cols());
        }
    }

    /** A NaN of X reaches each output of its token. */
    private static void assertRowIsNan(Rig rig, Layer layer, Matrix x, int row) {
        float[] y = rig.product(
                Rig.CONTEXT,
                layer.plan(),
                Product.OUTPUT,
                Rig.SITE,
                layer.state(),
                role -> role == Role.INPUT ? x : layer.normal(role)); // [tokens, out]
        rig.backend().takeNonFinite();
        for (int col = 0; col < layer.out(); col++) {
            float value = y[row * layer.out() + col];
            assertTrue(Float.isNaN(value), "output [%d, %d] is %s, but X holds NaN".formatted(row, col, value));
        }
    }
}
