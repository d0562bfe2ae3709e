package dev.nibble.backend.cuda;

import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Instruction;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;

/**
 * A state program as the words that state.cu interprets.
 *
 * @param words instructions of {@link #WORDS} words, [count · WORDS]
 * @param vectors what the program reads and writes, in the order of their numbers: a kind, then a name or a place
 * @param amaxes column maxima that are found before it runs
 * @param floats of all its values
 */
record StateCode(int[] words, List<String> vectors, List<Amax> amaxes, int floats) {
    /** Kind of a state vector. */
    static final char STATE = 's';

    /** Kind of an input. */
    static final char INPUT = 'i';

    private static final char AMAX = 'a';
    private static final int WORDS = 12; // of an instruction, as in state.cu
    private static final int RESULT =
            StateProgram.Operation.values().length; // the operation that comes after all others

    /**
     * The maxima of an input's columns.
     *
     * @param input name
     * @param columns that it has
     * @param at where they begin among all maxima
     */
    record Amax(String input, int columns, int at) {}

    /** {@return the number of instructions} */
    int count() {
        return words.length / WORDS;
    }

    /** {@return column maxima of all inputs together} */
    int amaxFloats() {
        return amaxes.stream().mapToInt(Amax::columns).sum();
    }

    /**
     * {@return the translation}
     *
     * @param program what to translate
     * @param lengths elements of each state vector and input, by kind and name
     * @throws IllegalArgumentException if a name is unknown, an element is out of range, or lengths do not fit
     */
    static StateCode of(StateProgram program, Map<String, Long> lengths) {
        Translation translation = new Translation(lengths);
        program.instructions().forEach(translation::add);
        translation.results(program.results());
        return translation.code();
    }

    /** Where a value lies among all values, and its length. */
    private record Place(int at, int length) {}

    private static final class Translation {
        private static final Place NONE = new Place(0, 0);

        private final Map<String, Long> lengths;
        private final List<int[]> words = new ArrayList<>(); // WORDS each
        private final List<Place> values = new ArrayList<>(); // of each instruction
        private final List<String> vectors = new ArrayList<>();
        private final List<Amax> amaxes = new ArrayList<>();
        private int floats;
        private int amaxFloats;

        Translation(Map<String, Long> lengths) {
            this.lengths = lengths;
        }

        StateCode code() {
            int[] all = new int[words.size() * WORDS]; // [count, WORDS]
            for (int i = 0; i < words.size(); i++) {
                System.arraycopy(words.get(i), 0, all, i * WORDS, WORDS);
            }
            return new StateCode(all, List.copyOf(vectors), List.copyOf(amaxes), floats);
        }

        void add(Instruction in) {
            switch (in.operation()) {
                case CONSTANT -> value(in, 1, NONE, NONE, NONE, 0);
                case STATE -> value(in, stateLength(in.name()), NONE, NONE, NONE, vector(STATE + in.name()));
                case INPUT -> {
                    requireElement(in);
                    value(in, 1, NONE, NONE, NONE, vector(INPUT + in.name()));
                }
                case COLUMN_AMAX -> columnAmax(in);
                case LARGEST -> value(in, 1, operand(in.a()), NONE, NONE, 0);
                case ROLL -> roll(in);
                case SQRT, POWER_OF_TWO -> elementwise(in, operand(in.a()), NONE, NONE);
                case ADD, SUBTRACT, MULTIPLY, DIVIDE, MAXIMUM, GREATER ->
                    elementwise(in, operand(in.a()), operand(in.b()), NONE);
                case SELECT -> elementwise(in, operand(in.a()), operand(in.b()), operand(in.c()));
            }
        }

        private void elementwise(Instruction in, Place a, Place b, Place c) {
            int length = 1;
            for (Place operand : List.of(a, b, c)) {
                if (operand.length() > 1 && length != 1 && operand.length() != length) {
                    throw new IllegalArgumentException(
                            "%s has operands of %d and %d elements, but equal lengths or 1 are needed"
                                    .formatted(in.operation(), length, operand.length()));
                }
                length = Math.max(length, operand.length());
            }
            value(in, length, a, b, c, 0);
        }

        private void roll(Instruction in) {
            Place first = operand(in.b());
            if (first.length() != 1) {
                throw new IllegalArgumentException(
                        "ROLL puts a vector of " + first.length() + " elements in front, but 1 is needed");
            }
            Place vector = operand(in.a());
            value(in, vector.length(), vector, first, NONE, 0);
        }

        private void columnAmax(Instruction in) {
            long elements = inputLength(in.name());
            int columns = in.element();
            if (columns < 1 || elements % columns != 0) {
                throw new IllegalArgumentException(
                        "input %s has %d elements, but rows of %d are needed".formatted(in.name(), elements, columns));
            }
            amaxes.add(new Amax(in.name(), columns, amaxFloats));
            value(in, columns, NONE, NONE, NONE, vector(AMAX + Integer.toString(amaxFloats)));
            amaxFloats += columns;
        }

        private void requireElement(Instruction in) {
            long length = inputLength(in.name());
            if (in.element() < 0 || in.element() >= length) {
                throw new IllegalArgumentException("element %d of input %s is asked for, but it has %d"
                        .formatted(in.element(), in.name(), length));
            }
        }

        void results(Map<String, Integer> results) {
            results.forEach((name, index) -> {
                int target = stateLength(name);
                Place value = operand(index);
                if (value.length() != target && value.length() != 1) {
                    throw new IllegalArgumentException(
                            "the result for state vector '%s' has %d elements, but %d or 1 are needed"
                                    .formatted(name, value.length(), target));
                }
                words.add(words(RESULT, 0, target, List.of(value, NONE, NONE), vector(STATE + name), 0, 0));
            });
        }

        private void value(Instruction in, int length, Place a, Place b, Place c, int vector) {
            int operation = in.operation().ordinal();
            words.add(words(operation, floats, length, List.of(a, b, c), vector, in.element(), in.constant()));
            values.add(new Place(floats, length));
            floats = Math.addExact(floats, length);
        }

        private static int[] words(
                int operation, int out, int length, List<Place> operands, int vector, int element, float constant) {
            int[] words = new int[WORDS]; // the structure Instruction in state.cu
            words[0] = operation;
            words[1] = out;
            words[2] = length;
            for (int i = 0; i < operands.size(); i++) {
                words[3 + 2 * i] = operands.get(i).at();
                words[4 + 2 * i] = operands.get(i).length();
            }
            words[9] = vector;
            words[10] = element;
            words[11] = Float.floatToRawIntBits(constant);
            return words;
        }

        private Place operand(int index) {
            if (index < 0 || index >= values.size()) {
                throw new IllegalArgumentException("an instruction uses value %d, but only %d values come before it"
                        .formatted(index, values.size()));
            }
            return values.get(index);
        }

        private int vector(String name) {
            int known = vectors.indexOf(name);
            if (known >= 0) {
                return known;
            }
            vectors.add(name);
            return vectors.size() - 1;
        }

        private int stateLength(String name) {
            Long length = lengths.get(STATE + name);
            if (length == null) {
                throw new IllegalArgumentException(
                        "no state vector is named '" + name + "'; the layer has " + names(STATE));
            }
            return Math.toIntExact(length);
        }

        private long inputLength(String name) {
            Long length = lengths.get(INPUT + name);
            if (length == null) {
                throw new IllegalArgumentException(
                        "no input is named '" + name + "'; the program was given " + names(INPUT));
            }
            return length;
        }

        private List<String> names(char kind) {
            return lengths.keySet().stream()
                    .filter(name -> name.charAt(0) == kind)
                    .map(name -> name.substring(1))
                    .toList();
        }
    }
}
