package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import java.util.List;

/**
 * A quantized tensor on the device.
 *
 * @param operands one for each contraction that was asked for
 * @param statistics side results
 */
record CudaQuantized(List<CudaOperand> operands, CudaTensor statistics) implements Quantized {
    @Override
    public Operand operand(Contraction contraction) {
        return operands.stream()
                .filter(o -> o.spec().contraction() == contraction)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException("no operand contracts " + contraction));
    }

    @Override
    public void close() {
        operands.forEach(CudaOperand::close);
        statistics.close();
    }
}
