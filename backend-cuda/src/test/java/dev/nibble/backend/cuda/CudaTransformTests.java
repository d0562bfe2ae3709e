package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.run.Rig;
import java.util.List;
import org.junit.jupiter.api.AfterEach;
import org.junit.jupiter.api.BeforeEach;
import org.junit.jupiter.api.Test;

/** Transforms on the device equal the plain code's bit for bit. */
class CudaTransformTests {
    private static final Transform TRANSFORM = new Transform.BlockHadamard("log2");

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

    /** Runs that lie in a thread, in a warp, in shared memory, and in none of them. */
    @Test
    void hadamardTransformsOfEverySizeEqualThePlainCode() {
        Matrix x = Matrix.normal(4, 3, 8192, 1).with(77, Float.POSITIVE_INFINITY);
        for (int log2 = 0; log2 <= 13; log2++) {
            List<StateVector> vectors = List.of(StateVector.scalar("log2", log2));
            float[] expected = transformed(duel.plain(), x, vectors);
            Bits.assertSame("block of 2^" + log2, expected, transformed(duel.actual(), x, vectors));
        }
    }

    /** Runs that the kernel transforms which rounds, and longer ones. */
    @Test
    void transformedBlocksEqualThePlainCode() {
        List<PlaneSpec> planes = List.of(
                SpecTable.int8(new Granularity.PerBlock(128, 128), Rounding.NEAREST_EVEN),
                SpecTable.int8(new Granularity.PerBlock(32, 32), Rounding.STOCHASTIC),
                PlaneSpec.value(
                        DType.E4M3,
                        new Granularity.PerBlock(1, 128),
                        new ScaleRule.TopOverAmax(false),
                        Rounding.STOCHASTIC));
        Matrix normal = Matrix.normal(4, 150, 1280, 1);
        for (int log2 = 0; log2 <= 8; log2++) {
            List<StateVector> state = List.of(StateVector.scalar("log2", log2));
            for (PlaneSpec plane : planes) {
                QuantizeSpec spec =
                        QuantizeSpec.both(Role.INPUT, List.of(plane)).with(TRANSFORM);
                duel.compare(spec, normal, state);
                duel.compare(spec, normal.with(77, Float.NEGATIVE_INFINITY).with(190_001, Float.NaN), state);
            }
        }
        duel.noFailures();
    }

    @Test
    void blockThatDoesNotDivideTheColumnsIsRefused() {
        Matrix x = Matrix.normal(4, 3, 48, 1);
        for (float log2 : new float[] {5, 0.5f, -1, Float.NaN}) {
            List<StateVector> vectors = List.of(StateVector.scalar("log2", log2));
            IllegalArgumentException expected =
                    assertThrows(IllegalArgumentException.class, () -> transformed(duel.plain(), x, vectors));
            IllegalArgumentException found =
                    assertThrows(IllegalArgumentException.class, () -> transformed(duel.actual(), x, vectors));
            assertEquals(expected.getMessage(), found.getMessage());
        }
    }

    private static float[] transformed(Rig rig, Matrix x, List<StateVector> vectors) {
        try (DeviceState state = rig.backend().allocateState(vectors);
                Tensor values = rig.tensor(x)) {
            return rig.results(
                            QuantizeDuel.CONTEXT,
                            scope -> List.of(rig.backend()
                                    .quantization()
                                    .transform(scope, TRANSFORM, QuantizeDuel.SITE, values, state)))
                    .getFirst();
        } finally {
            rig.backend().takeNonFinite();
        }
    }
}
