package dev.nibble.reference;

import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Instruction;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * Runs state programs over arrays. All arithmetic is FP32; MAXIMUM is NaN if an operand is, GREATER is 0 if one is, and
 * SELECT takes NaN for true.
 */
public final class ReferenceStateProgram {
    private ReferenceStateProgram() {}

    /**
     * Runs a program.
     *
     * @param program what to run
     * @param state state vectors by name; read as they are before, written when the program has ended
     * @param inputs input vectors; not modified
     * @throws IllegalArgumentException if a name is unknown, an element is out of range, or lengths do not fit; no vector
     *     has been written then
     */
    public static void run(StateProgram program, Map<String, float[]> state, Map<StateInput, float[]> inputs) {
        List<float[]> values = new ArrayList<>(); // one vector for each instruction
        for (Instruction instruction : program.instructions()) {
            values.add(evaluate(instruction, values, state, inputs));
        }
        program.results().forEach((name, index) -> {
            int target = vector(state, name).length;
            int length = operand(values, index).length;
            if (length != target && length != 1) {
                throw new IllegalArgumentException(
                        "the result for state vector '%s' has %d elements, but %d or 1 are needed"
                                .formatted(name, length, target));
            }
        });
        program.results().forEach((name, index) -> {
            float[] target = state.get(name);
            float[] value = values.get(index);
            for (int i = 0; i < target.length; i++) {
                target[i] = at(value, i);
            }
        });
    }

    private static float[] evaluate(
            Instruction instruction,
            List<float[]> values,
            Map<String, float[]> state,
            Map<StateInput, float[]> inputs) {
        return switch (instruction.operation()) {
            case CONSTANT -> new float[] {instruction.constant()};
            case STATE -> vector(state, instruction.name()).clone();
            case INPUT -> new float[] {input(instruction, inputs)};
            case COLUMN_AMAX -> columnAmax(instruction, inputs);
            case SQRT, POWER_OF_TWO -> elementwise(instruction, operand(values, instruction.a()));
            case LARGEST -> new float[] {largest(operand(values, instruction.a()))};
            case ROLL -> roll(operand(values, instruction.a()), operand(values, instruction.b()));
            case ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, GREATER ->
                elementwise(instruction, operand(values, instruction.a()), operand(values, instruction.b()));
            case SELECT ->
                elementwise(
                        instruction,
                        operand(values, instruction.a()),
                        operand(values, instruction.b()),
                        operand(values, instruction.c()));
        };
    }

    private static float[] elementwise(Instruction instruction, float[]... operands) {
        int length = 1;
        for (float[] operand : operands) {
            if (operand.length != 1 && length != 1 && operand.length != length) {
                throw new IllegalArgumentException(
                        "%s has operands of %d and %d elements, but equal lengths or 1 are needed"
                                .formatted(instruction.operation(), length, operand.length));
            }
            length = Math.max(length, operand.length);
        }
        float[] out = new float[length]; // [length]
        for (int i = 0; i < length; i++) {
            float a = at(operands[0], i);
            float b = operands.length > 1 ? at(operands[1], i) : 0;
            float c = operands.length > 2 ? at(operands[2], i) : 0;
            out[i] = switch (instruction.operation()) {
                case ADD -> a + b;
                case SUBTRACT -> a - b;
                case MULTIPLY -> a * b;
                case DIVIDE -> a / b;
                case MAXIMUM -> Math.max(a, b);
                case SQRT -> (float) Math.sqrt(a);
                case GREATER -> a > b ? 1 : 0;
                case SELECT -> a != 0 ? b : c;
                case POWER_OF_TWO -> Float.intBitsToFloat(Float.floatToRawIntBits(a) & 0xFF800000);
                case CONSTANT, STATE, INPUT, LARGEST, ROLL, COLUMN_AMAX ->
                    throw new IllegalStateException("not elementwise");
            };
        }
        return out;
    }

    private static float largest(float[] vector) {
        float largest = vector[0];
        for (float element : vector) {
            largest = Math.max(largest, element); // NaN stays
        }
        return largest;
    }

    private static float[] roll(float[] vector, float[] first) {
        if (first.length != 1) {
            throw new IllegalArgumentException(
                    "ROLL puts a vector of " + first.length + " elements in front, but 1 is needed");
        }
        float[] rolled = new float[vector.length]; // [length]
        rolled[0] = first[0];
        System.arraycopy(vector, 0, rolled, 1, vector.length - 1);
        return rolled;
    }

    private static float at(float[] vector, int i) {
        return vector[vector.length == 1 ? 0 : i];
    }

    private static float[] operand(List<float[]> values, int index) {
        if (index < 0 || index >= values.size()) {
            throw new IllegalArgumentException(
                    "an instruction uses value %d, but only %d values come before it".formatted(index, values.size()));
        }
        return values.get(index);
    }

    private static float[] vector(Map<String, float[]> state, String name) {
        float[] vector = state.get(name);
        if (vector == null) {
            throw new IllegalArgumentException(
                    "no state vector is named '" + name + "'; the layer has " + state.keySet());
        }
        return vector;
    }

    private static float[] columnAmax(Instruction instruction, Map<StateInput, float[]> inputs) {
        float[] matrix = named(instruction, inputs); // [rows, columns]
        int columns = instruction.element();
        if (columns < 1 || matrix.length % columns != 0) {
            throw new IllegalArgumentException("input %s has %d elements, but rows of %d are needed"
                    .formatted(instruction.name(), matrix.length, columns));
        }
        float[] amax = new float[columns]; // [columns]
        for (int i = 0; i < matrix.length; i++) {
            amax[i % columns] = Math.max(amax[i % columns], Math.abs(matrix[i])); // NaN stays
        }
        return amax;
    }

    private static float input(Instruction instruction, Map<StateInput, float[]> inputs) {
        float[] vector = named(instruction, inputs);
        if (instruction.element() < 0 || instruction.element() >= vector.length) {
            throw new IllegalArgumentException("element %d of input %s is asked for, but it has %d"
                    .formatted(instruction.element(), instruction.name(), vector.length));
        }
        return vector[instruction.element()];
    }

    private static float[] named(Instruction instruction, Map<StateInput, float[]> inputs) {
        for (Map.Entry<StateInput, float[]> entry : inputs.entrySet()) {
            if (entry.getKey().name().equals(instruction.name())) {
                return entry.getValue();
            }
        }
        throw new IllegalArgumentException(
                "no input is named '" + instruction.name() + "'; the program was given " + inputs.keySet());
    }
}
