package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.fail;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.StoredPlane;
import dev.nibble.testkit.run.StoredTensor;
import java.util.ArrayList;
import java.util.List;
import org.opentest4j.AssertionFailedError;

/** Quantizes on the device and by the plain code, and keeps what differs. */
final class QuantizeDuel implements AutoCloseable {
    static final StepContext CONTEXT = new StepContext(5, 3, StepContext.Mode.TRAIN, 0);
    static final Site SITE = new Site("blocks.1.mlp.down", 7);
    static final Granularity TENSOR = new Granularity.PerTensor();
    static final Granularity ROW = new Granularity.PerRow();
    private static final int SHOWN = 12;

    private final List<String> failures = new ArrayList<>();
    private final CudaBackend backend;
    private final Rig actual;
    private final Rig plain;

    private QuantizeDuel(CudaBackend backend) {
        this.backend = backend;
        this.actual = new Rig(backend);
        this.plain = Rig.reference();
    }

    /** {@return a new one; skips the test where there is no GPU} */
    static QuantizeDuel open() {
        return new QuantizeDuel(Gpu.open());
    }

    CudaBackend backend() {
        return backend;
    }

    Rig actual() {
        return actual;
    }

    Rig plain() {
        return plain;
    }

    @Override
    public void close() {
        actual.close();
        plain.close();
    }

    /** Compares everything that quantization makes. */
    void compare(QuantizeSpec spec, Matrix x) {
        compare(spec, x, SpecTable.state(x.cols()));
    }

    /** The same with a state of one's own. */
    void compare(QuantizeSpec spec, Matrix x, List<StateVector> state) {
        Rig.Source source = new Rig.Source(spec, x, state);
        String what = "%s of [%d, %d]: ".formatted(spec, x.rows(), x.cols());
        try {
            StoredTensor expected = plain.quantize(CONTEXT, SITE, source);
            StoredTensor found = actual.quantize(CONTEXT, SITE, source);
            assertEquals(plain.backend().takeNonFinite(), backend.takeNonFinite(), "what was not finite");
            assertSame(expected, found);
        } catch (AssertionFailedError | IllegalArgumentException e) {
            failures.add(what + e.getMessage());
        }
    }

    /** Fails unless two results are the same. */
    static void assertSame(StoredTensor expected, StoredTensor found) {
        Bits.assertSame("statistics", expected.statistics(), found.statistics());
        for (int i = 0; i < expected.operands().size(); i++) {
            StoredOperand one = expected.operands().get(i);
            StoredOperand other = found.operands().get(i);
            for (int plane = 0; plane < one.planes().size(); plane++) {
                StoredPlane a = one.planes().get(plane);
                StoredPlane b = other.planes().get(plane);
                String name = one.spec().contraction() + " plane " + plane;
                assertEquals(a.format(), b.format(), name);
                Bits.assertSame(name + " scales", a.scales(), b.scales());
                Bits.assertSame(name + " codes", a.codes(), b.codes());
            }
            Bits.assertSame(one.spec().contraction() + " meaning", one.dequantized(), other.dequantized());
        }
    }

    /** Keeps a failure for the end. */
    void failed(String what) {
        failures.add(what);
    }

    /** Fails if a comparison has failed. */
    void noFailures() {
        if (!failures.isEmpty()) {
            fail(failures.size() + " comparisons failed, first:\n"
                    + String.join("\n", failures.subList(0, Math.min(SHOWN, failures.size()))));
        }
    }

    /** {@return planes of all kinds of codes} */
    static List<PlaneSpec> planes(Granularity granularity) {
        ScaleRule amax = new ScaleRule.AmaxOverTop();
        ScaleRule top = new ScaleRule.TopOverAmax(true);
        return List.of(
                PlaneSpec.value(DType.INT8, granularity, amax, Rounding.NEAREST_EVEN),
                PlaneSpec.value(DType.INT8, granularity, amax, Rounding.STOCHASTIC),
                PlaneSpec.value(DType.INT4, granularity, amax, Rounding.NEAREST_EVEN),
                PlaneSpec.value(DType.UINT4, granularity, amax, Rounding.STOCHASTIC),
                PlaneSpec.value(DType.E4M3, granularity, top, Rounding.NEAREST_EVEN),
                PlaneSpec.value(DType.E5M2, granularity, top, Rounding.STOCHASTIC),
                PlaneSpec.value(DType.E3M0, granularity, amax, Rounding.STOCHASTIC_LOG));
    }

    /** {@return specs whose kernels differ: one pass and two, one orientation and both, all kinds of codes} */
    static List<QuantizeSpec> representatives() {
        List<QuantizeSpec> specs = new ArrayList<>();
        for (Granularity granularity : List.of(TENSOR, ROW, new Granularity.PerBlock(128, 128))) {
            planes(granularity).forEach(plane -> specs.add(QuantizeSpec.both(Role.GRAD_OUTPUT, List.of(plane))));
        }
        SpecTable.residuals().subList(0, 15).forEach(planes -> specs.add(QuantizeSpec.both(Role.INPUT, planes)));
        specs.add(QuantizeSpec.both(Role.GRAD_OUTPUT, PlaneSpec.digits(SplitMode.UNBIASED)));
        specs.add(QuantizeSpec.both(
                Role.INPUT,
                List.of(PlaneSpec.value(
                        DType.INT4, TENSOR, new ScaleRule.Sawb(12.1f, 12.2f, 7, -7, 7), Rounding.NEAREST_EVEN))));
        return specs;
    }
}
