package dev.nibble.state;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * An immutable straight-line program over small FP32 vectors. Every backend runs it where the vectors live.
 *
 * <p>Each instruction makes one value, elementwise unless it says otherwise, in FP32, rounded once; a vector of length 1 stretches to the other's
 * length. State vectors are read as they were before the program, and written when it has ended.
 *
 * @param instructions in order; operands refer to earlier ones
 * @param results state vector name to the number of the instruction that gives its new value
 */
public record StateProgram(List<Instruction> instructions, Map<String, Integer> results) {
    /** The program that does nothing. */
    public static final StateProgram EMPTY = new StateProgram(List.of(), Map.of());

    /** What an instruction does with its operands a, b, c. */
    public enum Operation {
        /** The number {@code constant}. */
        CONSTANT,
        /** A state vector. */
        STATE,
        /** Element {@code element} of an input vector. */
        INPUT,
        /** a + b. */
        ADD,
        /** a - b. */
        SUBTRACT,
        /** a · b. */
        MULTIPLY,
        /** a / b. */
        DIVIDE,
        /** The larger of a and b. */
        MAXIMUM,
        /** The square root of a, correctly rounded. */
        SQRT,
        /** 1 where a &gt; b, else 0; 0 if one is NaN. */
        GREATER,
        /** The largest power of two that is not above a, for a &gt; 0: the mantissa bits of a cleared. */
        POWER_OF_TWO,
        /** The largest element of a, a vector of length 1; NaN if one is NaN. */
        LARGEST,
        /** a moved by one element: element 0 becomes b, element i becomes a[i-1]. */
        ROLL,
        /** b where a is not 0, else c. */
        SELECT,
        /** The largest magnitude in each column of an input matrix with {@code element} columns; NaN if one is NaN. */
        COLUMN_AMAX
    }

    /**
     * One instruction. Fields that the operation does not use are 0 or empty.
     *
     * @param operation what it does
     * @param a number of the first operand's instruction
     * @param b number of the second operand's instruction
     * @param c number of the third operand's instruction
     * @param name state or input vector
     * @param element element of the input vector, or columns of the input matrix
     * @param constant the number
     */
    public record Instruction(Operation operation, int a, int b, int c, String name, int element, float constant) {}

    /** Copies the collections. */
    public StateProgram {
        instructions = List.copyOf(instructions);
        results = Map.copyOf(results);
    }

    /** {@return a new, empty builder} */
    public static Builder builder() {
        return new Builder();
    }

    /** {@return whether running it changes nothing} */
    public boolean isEmpty() {
        return results.isEmpty();
    }

    /** A value of a program under construction. */
    public static final class Value {
        private final int index;

        private Value(int index) {
            this.index = index;
        }
    }

    /** Builds a program, one instruction a call. */
    public static final class Builder {
        private final List<Instruction> instructions = new ArrayList<>();
        private final Map<String, Integer> results = new TreeMap<>();

        private Builder() {}

        private Value add(Instruction instruction) {
            instructions.add(instruction);
            return new Value(instructions.size() - 1);
        }

        private Value binary(Operation operation, Value a, Value b) {
            return add(new Instruction(operation, a.index, b.index, 0, "", 0, 0));
        }

        /** {@return the number} */
        public Value constant(float value) {
            return add(new Instruction(Operation.CONSTANT, 0, 0, 0, "", 0, value));
        }

        /** {@return a state vector's value before the program} */
        public Value state(String name) {
            return add(new Instruction(Operation.STATE, 0, 0, 0, name, 0, 0));
        }

        /** {@return one element of an input vector} */
        public Value input(StateInput input, int element) {
            return add(new Instruction(Operation.INPUT, 0, 0, 0, input.name(), element, 0));
        }

        /** {@return a + b} */
        public Value add(Value a, Value b) {
            return binary(Operation.ADD, a, b);
        }

        /** {@return a - b} */
        public Value subtract(Value a, Value b) {
            return binary(Operation.SUBTRACT, a, b);
        }

        /** {@return a · b} */
        public Value multiply(Value a, Value b) {
            return binary(Operation.MULTIPLY, a, b);
        }

        /** {@return a / b} */
        public Value divide(Value a, Value b) {
            return binary(Operation.DIVIDE, a, b);
        }

        /** {@return the larger of a and b} */
        public Value maximum(Value a, Value b) {
            return binary(Operation.MAXIMUM, a, b);
        }

        /** {@return the square root of a} */
        public Value sqrt(Value a) {
            return add(new Instruction(Operation.SQRT, a.index, 0, 0, "", 0, 0));
        }

        /** {@return 1 where a &gt; b, else 0} */
        public Value greater(Value a, Value b) {
            return binary(Operation.GREATER, a, b);
        }

        /** {@return the largest power of two not above a, for a &gt; 0} */
        public Value powerOfTwo(Value a) {
            return add(new Instruction(Operation.POWER_OF_TWO, a.index, 0, 0, "", 0, 0));
        }

        /** {@return the largest element of a} */
        public Value largest(Value a) {
            return add(new Instruction(Operation.LARGEST, a.index, 0, 0, "", 0, 0));
        }

        /** {@return a moved by one element, with b, of length 1, at its front} */
        public Value roll(Value a, Value b) {
            return binary(Operation.ROLL, a, b);
        }

        /** {@return b where the condition is not 0, else c} */
        public Value select(Value condition, Value b, Value c) {
            return add(new Instruction(Operation.SELECT, condition.index, b.index, c.index, "", 0, 0));
        }

        /**
         * {@return max|x| of each column of an input matrix, a vector with an element a column}
         *
         * @param input which
         * @param columns columns that it has
         */
        public Value columnAmax(StateInput input, int columns) {
            return add(new Instruction(Operation.COLUMN_AMAX, 0, 0, 0, input.name(), columns, 0));
        }

        /** Gives a state vector its new value. */
        public Builder set(String state, Value value) {
            results.put(state, value.index);
            return this;
        }

        /** {@return the program} */
        public StateProgram build() {
            return new StateProgram(instructions, results);
        }
    }
}
