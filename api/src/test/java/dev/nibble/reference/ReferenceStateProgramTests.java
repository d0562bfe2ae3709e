package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Statistic;
import dev.nibble.spi.DeviceState;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Instruction;
import dev.nibble.state.StateProgram.Operation;
import dev.nibble.state.StateProgram.Value;
import dev.nibble.state.StateVector;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import org.junit.jupiter.api.Test;

class ReferenceStateProgramTests {
    private final Map<String, float[]> state = new HashMap<>();

    private float[] run(StateProgram.Builder builder, Value result, int length) {
        state.put("result", new float[length]);
        ReferenceStateProgram.run(builder.set("result", result).build(), state, Map.of());
        return state.get("result");
    }

    @Test
    void arithmeticIsFp32() {
        StateProgram.Builder b = StateProgram.builder();
        Value tenth = b.constant(0.1f);
        Value seven = b.constant(7);
        Value sum = b.add(b.multiply(tenth, seven), b.divide(tenth, seven));
        float expected = (0.1f * 7 + 0.1f / 7 - 0.3f);
        assertArrayEquals(new float[] {expected}, run(b, b.subtract(sum, b.constant(0.3f)), 1));
    }

    @Test
    void rootIsCorrectlyRounded() {
        StateProgram.Builder b = StateProgram.builder();
        assertArrayEquals(new float[] {(float) Math.sqrt(2)}, run(b, b.sqrt(b.constant(2)), 1));
    }

    @Test
    void comparisonsAndSelection() {
        state.put("v", new float[] {-1, 0, 2, Float.NaN});
        StateProgram.Builder b = StateProgram.builder();
        Value v = b.state("v");
        Value zero = b.constant(0);
        Value greater = b.greater(v, zero);
        assertArrayEquals(new float[] {0, 0, 1, 0}, run(b, greater, 4));
        assertArrayEquals(new float[] {-2, -2, 2, -2}, run(b, b.select(greater, v, b.constant(-2)), 4));
        assertArrayEquals(new float[] {0, 0, 2, Float.NaN}, run(b, b.maximum(v, zero), 4));
    }

    @Test
    void columnAmaxIsTheLargestMagnitudeOfEachColumn() {
        float[] x = {1, -0f, Float.NaN, -3, 0, 2, 2, -0f, Float.POSITIVE_INFINITY}; // [3, 3]
        state.put("amax", new float[3]);
        StateProgram.Builder b = StateProgram.builder();
        StateProgram program = b.set("amax", b.columnAmax(StateInput.INPUT, 3)).build();
        ReferenceStateProgram.run(program, state, Map.of(StateInput.INPUT, x));
        assertArrayEquals(new float[] {3, 0, Float.NaN}, state.get("amax"));
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> ReferenceStateProgram.run(program, state, Map.of(StateInput.INPUT, new float[4])));
        assertEquals("input INPUT has 4 elements, but rows of 3 are needed", e.getMessage());
    }

    @Test
    void lengthOneStretches() {
        state.put("v", new float[] {1, 2, 3});
        StateProgram.Builder b = StateProgram.builder();
        Value doubled = b.multiply(b.constant(2), b.state("v"));
        assertArrayEquals(new float[] {2, 4, 6}, run(b, doubled, 3));
        assertArrayEquals(new float[] {9, 9, 9}, run(b, b.constant(9), 3));
    }

    @Test
    void statesAreWrittenWhenTheProgramHasEnded() {
        state.put("a", new float[] {1});
        state.put("b", new float[] {2});
        StateProgram.Builder b = StateProgram.builder();
        Value one = b.state("a");
        Value two = b.state("b");
        ReferenceStateProgram.run(b.set("a", two).set("b", one).build(), state, Map.of());
        assertArrayEquals(new float[] {2}, state.get("a"));
        assertArrayEquals(new float[] {1}, state.get("b"));
    }

    @Test
    void errorsLeaveTheStateAlone() {
        state.put("a", new float[] {1});
        state.put("long", new float[] {1, 2});
        StateProgram.Builder unknownResult = StateProgram.builder();
        Value nine = unknownResult.constant(9);
        unknownResult.set("a", nine).set("missing", nine);
        assertMessage("no state vector is named 'missing'; the layer has [a, long]", unknownResult.build());
        StateProgram.Builder unknownState = StateProgram.builder();
        unknownState.set("a", unknownState.state("b"));
        assertMessage("no state vector is named 'b'; the layer has [a, long]", unknownState.build());
        StateProgram.Builder tooLong = StateProgram.builder();
        tooLong.set("a", tooLong.state("long"));
        assertMessage("the result for state vector 'a' has 2 elements, but 1 or 1 are needed", tooLong.build());
        StateProgram.Builder noInput = StateProgram.builder();
        noInput.set("a", noInput.input(StateInput.CONTROL, 0));
        assertMessage("no input is named 'CONTROL'; the program was given []", noInput.build());
        StateProgram forward =
                new StateProgram(List.of(new Instruction(Operation.SQRT, 0, 0, 0, "", 0, 0)), Map.of("a", 0));
        assertMessage("an instruction uses value 0, but only 0 values come before it", forward);
        assertArrayEquals(new float[] {1}, state.get("a"));
    }

    @Test
    void differentLengthsAreRejected() {
        state.put("two", new float[2]);
        state.put("three", new float[3]);
        StateProgram.Builder b = StateProgram.builder();
        b.set("two", b.add(b.state("two"), b.state("three")));
        assertMessage("ADD has operands of 2 and 3 elements, but equal lengths or 1 are needed", b.build());
    }

    @Test
    void inputElementOutOfRangeIsRejected() {
        StateProgram.Builder b = StateProgram.builder();
        b.set("a", b.input(StateInput.CONTROL, 4));
        state.put("a", new float[1]);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> ReferenceStateProgram.run(b.build(), state, Map.of(StateInput.CONTROL, new float[4])));
        assertEquals("element 4 of input CONTROL is asked for, but it has 4", e.getMessage());
    }

    private void assertMessage(String message, StateProgram program) {
        Map<String, float[]> sorted = new TreeMap<>(state);
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> ReferenceStateProgram.run(program, sorted, Map.of()));
        assertEquals(message, e.getMessage());
    }

    @Test
    void thresholdControllerRunsOnTheDevice() {
        // threshold · 1.3 where the rate is above 0.3, / 1.3 where it is below 0.1.
        StateProgram.Builder b = StateProgram.builder();
        Value rate = b.input(StateInput.INPUT_STATISTICS, Statistic.FALLBACK_RATE.ordinal());
        Value threshold = b.state("threshold");
        Value factor = b.constant(1.3f);
        Value down = b.select(b.greater(b.constant(0.1f), rate), b.divide(threshold, factor), threshold);
        b.set("threshold", b.select(b.greater(rate, b.constant(0.3f)), b.multiply(threshold, factor), down));
        try (Session session = new Session()) {
            DeviceState device = session.state(StateVector.scalar("threshold", 2));
            float[] rates = {0.5f, 0.2f, 0.05f};
            float[] expected = {2 * 1.3f, 2 * 1.3f, 2 * 1.3f / 1.3f};
            for (int i = 0; i < 3; i++) {
                float[] statistics = {1, rates[i], 0, 0};
                session.backend
                        .quantization()
                        .run(
                                session.scope,
                                b.build(),
                                device,
                                Map.of(StateInput.INPUT_STATISTICS, session.tensor(statistics, 4)));
                assertEquals(expected[i], HostTensor.floats(device.get("threshold"))[0]);
            }
        }
    }
}
