package dev.nibble.host;

import dev.nibble.quant.Contraction;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import java.util.List;

/**
 * A quantized tensor on Java arrays.
 *
 * @param operands one for each contraction that was asked for
 * @param statistics side results
 */
public record HostQuantized(List<HostOperand> operands, HostTensor statistics) implements Quantized {
    @Override
    public Operand operand(Contraction contraction) {
        return operands.stream()
                .filter(o -> o.spec().contraction() == contraction)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no operand contracts " + contraction));
    }

    @Override
    public void close() {
        operands.forEach(HostOperand::close);
        statistics.close();
    }
}
