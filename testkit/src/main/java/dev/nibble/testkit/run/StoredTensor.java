package dev.nibble.testkit.run;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Statistic;
import java.util.List;

/**
 * A quantized tensor as a backend reads it out.
 *
 * @param operands in the order of the spec
 * @param statistics the {@link Statistic}s
 */
public record StoredTensor(List<StoredOperand> operands, float[] statistics) {
    /** Copies the list. */
    public StoredTensor {
        operands = List.copyOf(operands);
    }

    /** {@return the operand for a contraction} */
    public StoredOperand operand(Contraction contraction) {
        return operands.stream()
                .filter(o -> o.spec().contraction() == contraction)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no operand contracts " + contraction));
    }

    /** {@return one of the statistics} */
    public float statistic(Statistic statistic) {
        return statistics[statistic.ordinal()];
    }
}
