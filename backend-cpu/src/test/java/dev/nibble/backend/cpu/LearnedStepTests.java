package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.reference.Hadamard;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

/** Transforms, the search for a block size and the backward pass of learned steps: the bits of the plain code. */
class LearnedStepTests {
    private static final int[][] SHAPES = {{1, 1}, {13, 127}, {1, 2048}, {70, 96}};

    @ParameterizedTest
    @ValueSource(ints = {0, 1, 2, 3, 4, 5, 6, 7, 10, 12})
    void butterfliesHaveThePlainBits(int log2) {
        int size = 1 << log2;
        for (int length : new int[] {size, 3 * size, 4096 * Math.max(1, size / 4096) + 5 * size}) {
            float[] expected = Fixture.normal(length + 3, log2);
            expected[3] = -0f;
            expected[length / 2] = 0f;
            float[] actual = expected.clone();
            Hadamard.transform(expected, 3, length, log2);
            HadamardLanes.transform(actual, 3, length, log2);
            Fixture.assertSameBits(expected, actual, length + " elements in runs of " + size);
        }
    }

    private static List<Transform> transforms(int cols) {
        Transform scale = new Transform.ColumnScale("d", false);
        Transform inverse = new Transform.ColumnScale("d", true);
        return cols % 32 == 0
                ? List.of(new Transform.Identity(), scale, inverse, new Transform.BlockHadamard("log2"))
                : List.of(new Transform.Identity(), scale, inverse, new Transform.BlockHadamard("zero"));
    }

    private static DeviceState state(Fixture fixture, int cols, float step) {
        float[] d = Fixture.normal(cols, 9);
        d[cols / 2] = 0; // divides to infinity or NaN
        return new DeviceState(Map.of(
                "log2", fixture.tensor(1, 1, new float[] {5}),
                "zero", fixture.tensor(1, 1, new float[] {0}),
                "d", fixture.tensor(1, cols, d),
                "step", fixture.tensor(1, 1, new float[] {step}),
                "gradient", fixture.tensor(1, 1, new float[] {0.25f})));
    }

    @Test
    void transformedMatricesAreQuantizedAsByThePlainCode() {
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (int[] shape : SHAPES) {
                    DeviceState state = state(fixture, shape[1], 0.4f);
                    for (Transform transform : transforms(shape[1])) {
                        for (boolean finite : new boolean[] {true, false}) {
                            Tensor x = fixture.tensor(
                                    shape[0], shape[1], QuantizeCheck.values(shape[0], shape[1], finite));
                            TransformedPlanes.specs()
                                    .forEach(spec ->
                                            QuantizeCheck.assertEqualToPlain(fixture, spec.with(transform), x, state));
                        }
                    }
                }
            }
        }
    }

    @Test
    void transformAloneHasThePlainBits() {
        try (Fixture fixture = new Fixture(2)) {
            for (int[] shape : SHAPES) {
                DeviceState state = state(fixture, shape[1], 1);
                Tensor x = fixture.tensor(shape[0], shape[1], Fixture.normal(shape[0] * shape[1], 2));
                for (Transform transform : transforms(shape[1])) {
                    Tensor expected = fixture.plainQuantize.transform(fixture.scope, transform, Fixture.SITE, x, state);
                    Tensor actual = fixture.quantize.transform(fixture.scope, transform, Fixture.SITE, x, state);
                    assertEquals(expected.shape(), actual.shape());
                    Fixture.assertSameBits(
                            HostTensor.floats(expected), HostTensor.floats(actual), transform.toString());
                }
            }
        }
    }

    @Test
    void backwardPassHasThePlainBits() {
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (int[] shape : SHAPES) {
                    for (float step : new float[] {0.4f, 0x1p-130f, 0x1p60f, 0, Float.NaN}) {
                        for (Transform transform : transforms(shape[1])) {
                            assertSameBackwardPass(fixture, shape, step, transform);
                        }
                    }
                }
            }
        }
    }

    private static void assertSameBackwardPass(Fixture fixture, int[] shape, float step, Transform transform) {
        StraightThrough clip = new StraightThrough(transform, "step", "gradient", 7);
        for (boolean finite : new boolean[] {true, false}) {
            Tensor x = fixture.tensor(shape[0], shape[1], QuantizeCheck.values(shape[0], shape[1], finite));
            float[] gradient = Fixture.normal(shape[0] * shape[1], 5);
            DeviceState plainState = state(fixture, shape[1], step);
            DeviceState state = state(fixture, shape[1], step);
            Tensor expected = fixture.tensor(shape[0], shape[1], gradient);
            Tensor actual = fixture.tensor(shape[0], shape[1], gradient);
            fixture.plainQuantize.straightThrough(fixture.scope, clip, expected, x, plainState);
            fixture.quantize.straightThrough(fixture.scope, clip, actual, x, state);
            String what = x.shape() + " " + transform + " step " + step;
            Fixture.assertSameBits(HostTensor.floats(expected), HostTensor.floats(actual), what);
            Fixture.assertSameBits(
                    HostTensor.floats(plainState.get("gradient")), HostTensor.floats(state.get("gradient")), what);
        }
    }

    @Test
    void searchFindsWhatThePlainCodeFinds() {
        int[] found = new int[16];
        for (int threads = 1; threads <= 3; threads++) {
            try (Fixture fixture = new Fixture(threads)) {
                for (int seed = 0; seed < 12; seed += threads) {
                    float[] values = Fixture.normal(33 * 128, seed);
                    for (int i = seed; i < values.length; i += 128) {
                        values[i] *= 1 << seed; // an outlying column, which a larger block spreads wider
                    }
                    values[5] = seed == 11 ? Float.NaN : values[5];
                    found[search(fixture, fixture.tensor(33, 128, values), List.of(1, 2, 4, 8, 16, 32, 128))]++;
                }
            }
        }
        int distinct = 0;
        for (int count : found) {
            distinct += count > 0 ? 1 : 0;
        }
        assertTrue(distinct > 1, "every search found the same size");
    }

    private static int search(Fixture fixture, Tensor x, List<Integer> sizes) {
        HadamardSearch search = new HadamardSearch(sizes, 7, "log2");
        Tensor w = fixture.tensor(9, 128, Fixture.normal(9 * 128, 77));
        DeviceState expected = state(fixture, 128, 1);
        DeviceState actual = state(fixture, 128, 1);
        fixture.plainQuantize.search(fixture.scope, search, x, w, expected);
        fixture.quantize.search(fixture.scope, search, x, w, actual);
        assertEquals(HostTensor.floats(expected.get("log2"))[0], HostTensor.floats(actual.get("log2"))[0]);
        return (int) HostTensor.floats(actual.get("log2"))[0];
    }

    @Test
    void blockThatDoesNotDivideTheColumnsIsRefused() {
        try (Fixture fixture = new Fixture(1)) {
            Tensor x = fixture.tensor(3, 33, Fixture.normal(99, 1));
            DeviceState state = state(fixture, 33, 1);
            Transform transform = new Transform.BlockHadamard("log2");
            assertThrows(
                    IllegalArgumentException.class,
                    () -> fixture.quantize.transform(fixture.scope, transform, Fixture.SITE, x, state));
        }
    }
}
