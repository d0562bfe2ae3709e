package dev.nibble.testkit;

import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Operation;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.ArrayList;
import java.util.Collections;
import java.util.List;
import java.util.Map;

/** State programs, the search for a block size and the gradients of learned steps equal the plain code's, bit for bit. */
final class StateParity {
    private static final String WIDE = "wide";
    private static final String ONE = "one";
    private static final String OTHER = "other";
    private static final int COLUMNS = 13;
    private static final float[][] VALUES = { // of the wide vector
        {1, -2, 0.5f, 3, 1e-3f},
        {0f, -0f, Float.MIN_VALUE, Float.MAX_VALUE, 0x1p-126f},
        {Float.NaN, Float.POSITIVE_INFINITY, Float.NEGATIVE_INFINITY, 1, 0},
        {16777217, 0.1f, 0x1.fffffep10f, 7, 0x1p-149f}
    };

    private StateParity() {}

    private static List<StateVector> state(float[] wide, float one) {
        List<Float> values = new ArrayList<>();
        for (float value : wide) {
            values.add(value);
        }
        return List.of(
                new StateVector(WIDE, values),
                StateVector.scalar(ONE, one),
                new StateVector(OTHER, List.of(2f, 0f, -1f, Float.NaN, 0.25f)),
                new StateVector("matrix", Collections.nCopies(COLUMNS, 0f)));
    }

    /** {@return a program that writes what one operation makes of state and input} */
    static StateProgram program(Operation operation) {
        StateProgram.Builder b = StateProgram.builder();
        Value wide = b.state(WIDE);
        Value one = b.state(ONE);
        Value other = b.state(OTHER);
        Value input = b.input(StateInput.INPUT_STATISTICS, 1);
        return switch (operation) {
            case CONSTANT -> b.set(WIDE, b.constant(1.5f)).build();
            case STATE -> b.set(WIDE, other).set(OTHER, wide).build();
            case INPUT -> b.set(ONE, input).build();
            case ADD ->
                b.set(WIDE, b.add(wide, other)).set(OTHER, b.add(one, other)).build();
            case SUBTRACT -> b.set(WIDE, b.subtract(wide, one)).build();
            case MULTIPLY -> b.set(WIDE, b.multiply(wide, other)).build();
            case DIVIDE ->
                b.set(WIDE, b.divide(wide, other))
                        .set(ONE, b.divide(input, one))
                        .build();
            case MAXIMUM -> b.set(WIDE, b.maximum(wide, other)).build();
            case SQRT -> b.set(WIDE, b.sqrt(wide)).build();
            case GREATER -> b.set(WIDE, b.greater(wide, other)).build();
            case POWER_OF_TWO ->
                b.set(WIDE, b.powerOfTwo(b.multiply(wide, wide))).build();
            case LARGEST -> b.set(ONE, b.largest(wide)).build();
            case ROLL -> b.set(WIDE, b.roll(wide, one)).build();
            case SELECT -> b.set(WIDE, b.select(other, wide, one)).build();
            case COLUMN_AMAX ->
                b.set("matrix", b.columnAmax(StateInput.INPUT, COLUMNS)).build();
        };
    }

    static void programs(Duel duel) {
        Matrix x = SpecialValues.mixed(9, 7, COLUMNS).with(40, Float.NaN);
        for (Operation operation : Operation.values()) {
            for (float[] wide : VALUES) {
                for (float one : new float[] {3, 0, Float.NaN}) {
                    duel.assertSame(
                            "state program of " + operation, rig -> run(rig, program(operation), state(wide, one), x));
                }
            }
        }
    }

    private static float[] run(Rig rig, StateProgram program, List<StateVector> vectors, Matrix x) {
        try (DeviceState state = rig.backend().allocateState(vectors);
                Tensor statistics = rig.vector(5, 0.3f, -1, 2);
                Tensor input = rig.tensor(x)) {
            rig.in(Rig.CONTEXT, scope -> {
                Map<StateInput, Tensor> inputs =
                        Map.of(StateInput.INPUT_STATISTICS, statistics, StateInput.INPUT, input);
                rig.backend().quantization().run(scope, program, state, inputs);
                return program;
            });
            return all(rig, state);
        }
    }

    private static float[] all(Rig rig, DeviceState state) {
        List<float[]> vectors =
                state.all().values().stream().map(rig.backend()::readFloats).toList();
        float[] values =
                new float[vectors.stream().mapToInt(vector -> vector.length).sum()]; // [all vectors]
        int at = 0;
        for (float[] vector : vectors) {
            System.arraycopy(vector, 0, values, at, vector.length);
            at += vector.length;
        }
        return values;
    }

    static void searches(Duel duel) {
        HadamardSearch search = new HadamardSearch(List.of(1, 2, 4, 16, 64), 7, ONE);
        for (int seed = 0; seed < 4; seed++) {
            boolean outliers = seed % 2 == 1;
            Matrix x = Matrix.normal(seed, 37, 64, 1).map((_, col, v) -> outliers && col == 5 ? 60 * v : v);
            Matrix w = Matrix.normal(seed + 10, 13, 64, 0.1);
            duel.assertSame("search for a block size", rig -> {
                try (DeviceState state = rig.backend().allocateState(List.of(StateVector.scalar(ONE, -1)));
                        Tensor left = rig.tensor(x);
                        Tensor right = rig.tensor(w)) {
                    rig.in(Rig.CONTEXT, scope -> {
                        rig.backend().quantization().search(scope, search, left, right, state);
                        return search;
                    });
                    return all(rig, state);
                }
            });
        }
    }

    static void learnedSteps(Duel duel) {
        for (int[] shape : new int[][] {{13, 144}, {1, 1}, {129, 16}}) {
            for (Transform transform : SpecTable.transforms()) {
                StraightThrough clip = new StraightThrough(transform, "scale", "multiplier", 7);
                Matrix x = Matrix.normal(3, shape[0], shape[1], 0.2);
                Matrix gradient = Matrix.normal(4, shape[0], shape[1], 1);
                List<StateVector> vectors = SpecTable.state(shape[1]);
                duel.assertSame(
                        "step gradient through " + transform, rig -> clipped(rig, clip, gradient, x, vectors)[0]);
                duel.assertSame("gradient through " + transform, rig -> clipped(rig, clip, gradient, x, vectors)[1]);
            }
        }
    }

    /** {@return the state after a backward pass, and the gradient of x} */
    private static float[][] clipped(
            Rig rig, StraightThrough clip, Matrix gradient, Matrix x, List<StateVector> vectors) {
        try (DeviceState state = rig.backend().allocateState(vectors);
                Tensor values = rig.tensor(x);
                Tensor target = rig.tensor(gradient)) {
            rig.in(Rig.CONTEXT, scope -> {
                rig.backend().quantization().straightThrough(scope, clip, target, values, state);
                return clip;
            });
            return new float[][] {all(rig, state), rig.backend().readFloats(target)};
        }
    }

    static void transforms(Duel duel) {
        for (int[] shape : new int[][] {{13, 144}, {1, 1}, {129, 16}, {5, 37}}) {
            Matrix x = SpecialValues.mixed(3, shape[0], shape[1]);
            for (Transform transform : SpecTable.transforms()) {
                duel.assertSame("transform " + transform, rig -> {
                    try (DeviceState state = rig.backend().allocateState(SpecTable.state(shape[1]));
                            Tensor values = rig.tensor(x)) {
                        return rig.results(
                                        Rig.CONTEXT,
                                        scope -> List.of(rig.backend()
                                                .quantization()
                                                .transform(scope, transform, Rig.SITE, values, state)))
                                .getFirst();
                    } finally {
                        rig.backend().takeNonFinite();
                    }
                });
            }
        }
    }
}
