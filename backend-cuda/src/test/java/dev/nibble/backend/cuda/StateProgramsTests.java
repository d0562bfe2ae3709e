package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.reference.ReferenceStateProgram;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Instruction;
import dev.nibble.state.StateProgram.Operation;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.SpecialValues;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.SplittableRandom;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class StateProgramsTests {
    private static final int ROWS = 300; // of the input matrix: more than one block takes
    private static final List<String> NAMES = List.of("columns", "one", "other", "wide");

    private static int length(String name) {
        return switch (name) {
            case "one" -> 1;
            case "columns" -> RandomPrograms.COLUMNS;
            default -> RandomPrograms.WIDE;
        };
    }

    private static Map<String, float[]> values(long seed) {
        Map<String, float[]> values = new TreeMap<>();
        for (String name : NAMES) {
            values.put(
                    name,
                    SpecialValues.mixed(seed + name.length(), 1, length(name)).values());
        }
        return values;
    }

    private static List<StateVector> vectors(Map<String, float[]> values) {
        List<StateVector> vectors = new ArrayList<>();
        values.forEach((name, array) -> {
            List<Float> list = new ArrayList<>();
            for (float value : array) {
                list.add(value);
            }
            vectors.add(new StateVector(name, list));
        });
        return vectors;
    }

    private static Tensor tensor(CudaBackend backend, int rows, float[] values) {
        Shape shape = Shape.of(rows, values.length / rows);
        Tensor tensor = backend.allocate("input", DType.FP32, shape, MemoryTag.SCRATCH);
        backend.write(tensor, values);
        return tensor;
    }

    @Test
    void randomProgramsEqualThePlainCode() {
        SplittableRandom random = new SplittableRandom(5);
        float[] statistics = {0.3f, -1, Float.NaN, 2, 0, 1e30f};
        float[] matrix = SpecialValues.mixed(9, ROWS, RandomPrograms.COLUMNS).values();
        try (CudaBackend backend = Gpu.open();
                Tensor s = tensor(backend, 1, statistics);
                Tensor m = tensor(backend, ROWS, matrix)) {
            for (int n = 0; n < 300; n++) {
                StateProgram program = RandomPrograms.next(random, 1 + n / 5);
                Map<String, float[]> expected = values(n);
                try (DeviceState state = backend.allocateState(vectors(expected))) {
                    try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                        assertEquals(0, scope.context().step());
                        backend.runtime()
                                .statePrograms()
                                .run(program, state, Map.of(StateInput.INPUT_STATISTICS, s, StateInput.INPUT, m));
                    }
                    ReferenceStateProgram.run(
                            program,
                            expected,
                            Map.of(StateInput.INPUT_STATISTICS, statistics, StateInput.INPUT, matrix));
                    for (String name : NAMES) {
                        Bits.assertSame(
                                "program " + n + ", " + name, expected.get(name), backend.readFloats(state.get(name)));
                    }
                }
            }
        }
    }

    /** Vectors that together are larger than a block's shared memory. */
    @Test
    void longVectorsEqualThePlainCode() {
        float[] values = SpecialValues.mixed(3, 1, 20000).values();
        Map<String, float[]> expected = new TreeMap<>(Map.of("long", values.clone()));
        StateProgram.Builder b = StateProgram.builder();
        StateProgram.Value x = b.state("long");
        StateProgram program = b.set(
                        "long",
                        b.divide(b.sqrt(b.multiply(x, x)), b.maximum(b.roll(x, b.constant(1)), b.constant(0.1f))))
                .build();
        try (CudaBackend backend = Gpu.open();
                DeviceState state = backend.allocateState(vectors(expected))) {
            backend.runtime().statePrograms().run(program, state, Map.of());
            ReferenceStateProgram.run(program, expected, Map.of());
            Bits.assertSame("long", expected.get("long"), backend.readFloats(state.get("long")));
        }
    }

    /** A program that is wrong is refused in the words of the plain code. */
    @Test
    void wrongProgramsAreRefusedLikeThePlainCodeDoes() {
        List<StateProgram> wrong = List.of(
                single(instruction(Operation.STATE, 0, 0, "nosuch", 0), "wide"),
                single(instruction(Operation.INPUT, 0, 0, StateInput.CONTROL.name(), 0), "wide"),
                single(instruction(Operation.INPUT, 0, 0, StateInput.INPUT_STATISTICS.name(), 6), "wide"),
                single(instruction(Operation.INPUT, 0, 0, StateInput.INPUT_STATISTICS.name(), -1), "wide"),
                single(instruction(Operation.COLUMN_AMAX, 0, 0, StateInput.INPUT_STATISTICS.name(), 4), "wide"),
                single(instruction(Operation.SQRT, 3, 0, "", 0), "wide"),
                single(instruction(Operation.STATE, 0, 0, "wide", 0), "other"),
                single(instruction(Operation.STATE, 0, 0, "wide", 0), "nosuch"),
                pair(Operation.ADD),
                pair(Operation.ROLL));
        Map<String, float[]> state = Map.of("wide", new float[5], "other", new float[3]);
        Map<String, Long> lengths = Map.of("swide", 5L, "sother", 3L, "iINPUT_STATISTICS", 6L);
        for (StateProgram program : wrong) {
            IllegalArgumentException expected = assertThrows(
                    IllegalArgumentException.class,
                    () -> ReferenceStateProgram.run(
                            program, new TreeMap<>(state), Map.of(StateInput.INPUT_STATISTICS, new float[6])));
            IllegalArgumentException actual =
                    assertThrows(IllegalArgumentException.class, () -> StateCode.of(program, new TreeMap<>(lengths)));
            assertEquals(ordered(expected.getMessage()), ordered(actual.getMessage()));
        }
    }

    /** {@return the message with the names that it lists in one order: that of a map is its own} */
    private static String ordered(String message) {
        return message.replace("[wide, other]", "[other, wide]");
    }

    private static Instruction instruction(Operation operation, int a, int b, String name, int element) {
        return new Instruction(operation, a, b, 0, name, element, 0);
    }

    private static StateProgram single(Instruction instruction, String result) {
        return new StateProgram(List.of(instruction), Map.of(result, 0));
    }

    private static StateProgram pair(Operation operation) {
        return new StateProgram(
                List.of(
                        instruction(Operation.STATE, 0, 0, "wide", 0),
                        instruction(Operation.STATE, 0, 0, "other", 0),
                        instruction(operation, 0, 1, "", 0)),
                Map.of("wide", 2));
    }

    @Test
    void wordsAreThoseOfTheStructure() {
        StateProgram.Builder b = StateProgram.builder();
        StateProgram program =
                b.set("one", b.add(b.state("one"), b.constant(1.5f))).build();
        StateCode code = StateCode.of(program, Map.of("sone", 1L));
        int half = Float.floatToRawIntBits(1.5f);
        assertArrayEquals(
                new int[] {
                    1, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, // STATE: value 0
                    0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 0, half, // CONSTANT: value 1
                    3, 2, 1, 0, 1, 1, 1, 0, 0, 0, 0, 0, // ADD of both: value 2
                    15, 0, 1, 2, 1, 0, 0, 0, 0, 0, 0, 0 // to state vector 0
                },
                code.words());
        assertEquals(3, code.floats());
        assertEquals(List.of("sone"), code.vectors());
    }
}
