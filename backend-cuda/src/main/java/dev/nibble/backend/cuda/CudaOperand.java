package dev.nibble.backend.cuda;

import dev.nibble.quant.OperandSpec;
import dev.nibble.spi.Operand;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import java.util.List;

/**
 * An operand on the device.
 *
 * @param spec how it was made
 * @param rows its rows
 * @param k length of its contraction
 * @param planes its planes, as many as the spec has
 */
record CudaOperand(OperandSpec spec, long rows, long k, List<CudaPlane> planes) implements Operand {
    CudaOperand {
        planes = List.copyOf(planes);
    }

    /**
     * {@return the operand as one of this backend}
     *
     * @throws IllegalArgumentException if it lives elsewhere
     */
    static CudaOperand of(Operand operand) {
        if (operand instanceof CudaOperand cuda) {
            return cuda;
        }
        throw new IllegalArgumentException("the operand belongs to another backend");
    }

    @Override
    public DType storedFormat(int plane) {
        return planes.get(plane).dtype();
    }

    /** {@return the formats of the buffers as text: {@code int8+int8}} */
    String storedLabel() {
        return String.join("+", planes.stream().map(p -> p.dtype().label()).toList());
    }

    void retag(MemoryTag tag) {
        planes.forEach(p -> p.retag(tag));
    }

    @Override
    public CudaOperand share() {
        return new CudaOperand(
                spec, rows, k, planes.stream().map(CudaPlane::share).toList());
    }

    @Override
    public void close() {
        planes.forEach(CudaPlane::close);
    }
}
