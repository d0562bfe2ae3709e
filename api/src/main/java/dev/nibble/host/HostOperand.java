package dev.nibble.host;

import dev.nibble.quant.OperandSpec;
import dev.nibble.spi.Operand;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import java.util.List;

/**
 * An operand on Java arrays.
 *
 * @param spec how it was made
 * @param rows its rows
 * @param k length of its contraction
 * @param planes its planes, as many as the spec has
 */
public record HostOperand(OperandSpec spec, long rows, long k, List<HostPlane> planes) implements Operand {
    /** Copies the list. */
    public HostOperand {
        planes = List.copyOf(planes);
    }

    /**
     * {@return the operand as a host operand}
     *
     * @throws IllegalArgumentException if it lives elsewhere
     */
    public static HostOperand of(Operand operand) {
        if (operand instanceof HostOperand host) {
            return host;
        }
        throw new IllegalArgumentException("the operand belongs to another backend");
    }

    @Override
    public DType storedFormat(int plane) {
        return planes.get(plane).codes().dtype();
    }

    /** {@return the formats of the buffers as text: {@code int8+int8}} */
    public String storedLabel() {
        return String.join(
                "+", planes.stream().map(p -> p.codes().dtype().label()).toList());
    }

    void retag(MemoryTag tag) {
        planes.forEach(p -> p.retag(tag));
    }

    @Override
    public HostOperand share() {
        return new HostOperand(
                spec, rows, k, planes.stream().map(HostPlane::share).toList());
    }

    @Override
    public void close() {
        planes.forEach(HostPlane::close);
    }
}
