package dev.nibble.backend.cuda;

import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.state.StateProgram.Value;
import java.util.ArrayList;
import java.util.List;
import java.util.SplittableRandom;

/** Makes state programs of all operations, valid for the vectors that it names. */
final class RandomPrograms {
    /** Length of the long state vectors. */
    static final int WIDE = 37;

    /** Columns of the input matrix. */
    static final int COLUMNS = 130;

    /** Elements of the statistics. */
    static final int STATISTICS = 6;

    private record Made(Value value, int length) {}

    private RandomPrograms() {}

    /** {@return a program over state vectors one, wide, other (WIDE) and columns (COLUMNS)} */
    static StateProgram next(SplittableRandom random, int instructions) {
        StateProgram.Builder b = StateProgram.builder();
        List<Made> made = new ArrayList<>();
        made.add(new Made(b.state("one"), 1));
        made.add(new Made(b.state("wide"), WIDE));
        made.add(new Made(b.state("other"), WIDE));
        made.add(new Made(b.columnAmax(StateInput.INPUT, COLUMNS), COLUMNS));
        for (int i = 0; i < instructions; i++) {
            Made x = made.get(random.nextInt(made.size()));
            Made y = fitting(random, made, x.length());
            Made one = fitting(random, made, 1);
            int length = Math.max(x.length(), y.length());
            made.add(
                    switch (random.nextInt(14)) {
                        case 0 -> new Made(b.constant((float) random.nextDouble(-2, 2)), 1);
                        case 1 -> new Made(b.input(StateInput.INPUT_STATISTICS, random.nextInt(STATISTICS)), 1);
                        case 2 -> new Made(b.add(x.value(), y.value()), length);
                        case 3 -> new Made(b.subtract(x.value(), y.value()), length);
                        case 4 -> new Made(b.multiply(x.value(), y.value()), length);
                        case 5 -> new Made(b.divide(x.value(), y.value()), length);
                        case 6 -> new Made(b.maximum(x.value(), y.value()), length);
                        case 7 -> new Made(b.sqrt(x.value()), x.length());
                        case 8 -> new Made(b.greater(x.value(), y.value()), length);
                        case 9 -> new Made(b.powerOfTwo(numbers(b, x.value())), x.length());
                        case 10 -> new Made(b.largest(x.value()), 1);
                        case 11 -> new Made(b.roll(x.value(), one.value()), x.length());
                        case 12 -> new Made(b.columnAmax(StateInput.INPUT, COLUMNS), COLUMNS);
                        default -> new Made(b.select(one.value(), x.value(), y.value()), length);
                    });
        }
        for (String name : List.of("wide", "other", "one", "columns")) {
            int length = name.equals("one") ? 1 : name.equals("columns") ? COLUMNS : WIDE;
            b.set(name, fitting(random, made, length).value());
        }
        return b.build();
    }

    /** {@return x, 1 where it is NaN: the sign of a NaN is the processor's choice, and POWER_OF_TWO would show it} */
    private static Value numbers(StateProgram.Builder b, Value x) {
        Value magnitude = b.maximum(x, b.subtract(b.constant(0), x));
        Value number = b.greater(b.constant(Float.POSITIVE_INFINITY), magnitude);
        return b.select(number, x, b.constant(1));
    }

    /** {@return one of the later values whose length is this or 1} */
    private static Made fitting(SplittableRandom random, List<Made> made, int length) {
        while (true) {
            Made candidate = made.get(random.nextInt(made.size()));
            if (candidate.length() == length || candidate.length() == 1) {
                return candidate;
            }
        }
    }
}
