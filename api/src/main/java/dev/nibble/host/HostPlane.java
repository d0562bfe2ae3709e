package dev.nibble.host;

import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.MemoryTag;

/**
 * The stored form of one plane.
 *
 * @param spec how it was made
 * @param codes [rows, k], or [k, rows] if transposed; rows of a 4-bit format begin on a byte
 * @param transposed whether the codes lie transposed: two operands may share one array
 * @param scales [kGroups, rowGroups] of this operand; empty if the plane is unscaled
 * @param mask bytes 0 or 1, [kGroups, rowGroups]; empty if every block is present
 */
public record HostPlane(PlaneSpec spec, HostTensor codes, boolean transposed, HostTensor scales, HostTensor mask)
        implements AutoCloseable {
    /** {@return elements from one stored row to the next} */
    public int pitch() {
        return Math.toIntExact(codes.dtype().pitch(codes.shape().cols()));
    }

    /** {@return whether the plane has scales} */
    public boolean scaled() {
        return scales.shape().elements() > 0;
    }

    /** {@return whether blocks may be absent} */
    public boolean masked() {
        return mask.shape().elements() > 0;
    }

    HostPlane share() {
        return new HostPlane(spec, codes.share(), transposed, scales.share(), mask.share());
    }

    void retag(MemoryTag tag) {
        codes.retag(tag);
        scales.retag(tag);
        mask.retag(tag);
    }

    @Override
    public void close() {
        codes.close();
        scales.close();
        mask.close();
    }
}
