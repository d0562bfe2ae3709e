package dev.nibble.models.memory;

import dev.nibble.quant.OperandSpec;
import dev.nibble.spi.Operand;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import java.util.List;

/**
 * The sizes of an operand.
 *
 * @param spec how it would be made
 * @param rows its rows
 * @param k length of its contraction
 * @param parts codes, scales and masks of its planes
 */
record ShapeOperand(OperandSpec spec, long rows, long k, List<ShapeTensor> parts) implements Operand {
    static ShapeOperand of(Operand operand) {
        if (operand instanceof ShapeOperand own) {
            return own;
        }
        throw new IllegalArgumentException("the operand belongs to another backend");
    }

    void retag(MemoryTag tag) {
        parts.forEach(part -> part.retag(tag));
    }

    @Override
    public DType storedFormat(int plane) {
        return spec.planes().get(plane).format();
    }

    @Override
    public ShapeOperand share() {
        return new ShapeOperand(
                spec, rows, k, parts.stream().map(ShapeTensor::share).toList());
    }

    @Override
    public void close() {
        parts.forEach(ShapeTensor::close);
    }
}
