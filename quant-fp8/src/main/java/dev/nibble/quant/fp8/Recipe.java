package dev.nibble.quant.fp8;

import dev.nibble.quant.Overflow;
import dev.nibble.quant.Rounding;
import dev.nibble.tensor.DType;
import java.util.Arrays;
import java.util.List;
import java.util.Locale;
import java.util.Optional;

/** The recipes of torchao, by the names they have there. */
enum Recipe {
    /** E4M3 for X and W, E5M2 for dY, one scale a tensor. */
    TENSORWISE,
    /** E4M3 for all, one power of two a row of each operand. */
    ROWWISE,
    /** As {@link #ROWWISE} in the output; in gradInput W has one scale; the weight gradient is a product in BF16. */
    ROWWISE_WITH_GW_HP;

    private static final float EPS = 1e-12f;

    /** {@return the value of the option} */
    String label() {
        return name().toLowerCase(Locale.ROOT);
    }

    /** {@return the values of the option} */
    static List<String> labels() {
        return Arrays.stream(values()).map(Recipe::label).toList();
    }

    /** {@return what it stands for} */
    Fp8Settings settings() {
        boolean rows = this != TENSORWISE;
        return new Fp8Settings(
                rows ? Scaling.ROW : Scaling.TENSOR,
                rows,
                DType.E4M3,
                rows ? DType.E4M3 : DType.E5M2,
                Overflow.CLAMP,
                EPS,
                Optional.empty(),
                Rounding.NEAREST_EVEN,
                Rounding.NEAREST_EVEN,
                Smoothing.NONE,
                this == ROWWISE_WITH_GW_HP);
    }
}
