package dev.nibble.quant.fp8;

import dev.nibble.quant.Granularity;
import dev.nibble.tensor.Role;
import java.util.Arrays;
import java.util.List;

/** Which elements share a scale, and where it comes from. */
enum Scaling {
    /** One scale a tensor, from its own amax. */
    TENSOR("tensor"),
    /** One scale a tensor, from the amaxes of earlier steps: see {@link DelayedScaling}. */
    DELAYED("delayed"),
    /** One scale a row of each operand: along the contraction of each product. */
    ROW("row"),
    /** X and dY: 128 elements along the contraction of each product; W: squares (DeepSeek-V3, arXiv:2412.19437). */
    BLOCK_1X128("1x128"),
    /** Squares of 128 in all three tensors, so that a tensor and its transpose have the same codes. */
    BLOCK_128X128("128x128");

    private static final int BLOCK = 128; // after so many products a sum is promoted to FP32

    private final String label;

    Scaling(String label) {
        this.label = label;
    }

    /** {@return the values of the option, the default first} */
    static List<String> labels() {
        return Arrays.stream(values()).map(Scaling::label).toList();
    }

    /** {@return the scaling with this label} */
    static Scaling of(String label) {
        return Arrays.stream(values())
                .filter(s -> s.label.equals(label))
                .findFirst()
                .orElseThrow();
    }

    /** {@return the value of the option} */
    String label() {
        return label;
    }

    /** {@return which elements of an operand share a scale} */
    Granularity granularity(Role role) {
        return switch (this) {
            case TENSOR, DELAYED -> new Granularity.PerTensor();
            case ROW -> new Granularity.PerRow();
            case BLOCK_1X128 -> new Granularity.PerBlock(role == Role.WEIGHT ? BLOCK : 1, BLOCK);
            case BLOCK_128X128 -> new Granularity.PerBlock(BLOCK, BLOCK);
        };
    }
}
