package dev.nibble.backend.cuda;

import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.tensor.DType;

/** What of the kernels in quantize_codes.cu makes the codes of a plane. */
enum CodeKind {
    INT8_NEAREST("int8_nearest", 8),
    INT8_STOCHASTIC("int8_stochastic", 8),
    INT4_NEAREST("int4_nearest", 4),
    INT4_STOCHASTIC("int4_stochastic", 4),
    FP8_NEAREST("fp8_nearest", 8),
    FP8_STOCHASTIC("fp8_stochastic", 8),
    POWER4("power4", 4),
    POWER8("power8", 8),
    HALF("half", 16),
    FLOAT("float", 32),
    DIGIT("digit", 4);

    private static final int FLOAT_BITS = 32;
    private static final int FLOAT_TILE_ROWS = 64; // half a tile: its codes pass through shared memory
    private static final int TILE_ROWS = 128;
    private static final int MOST_SCALED_BITS = 8;

    private final String suffix;
    private final int bits;

    CodeKind(String suffix, int bits) {
        this.suffix = suffix;
        this.bits = bits;
    }

    /** {@return the kind of a plane's codes} */
    static CodeKind of(PlaneSpec plane) {
        boolean stochastic = plane.rounding() == Rounding.STOCHASTIC;
        return switch (plane.format()) {
            case INT8 -> stochastic ? INT8_STOCHASTIC : INT8_NEAREST;
            case INT4, UINT4 -> {
                if (plane.source() instanceof PlaneSource.Digit) {
                    yield DIGIT;
                }
                yield stochastic ? INT4_STOCHASTIC : INT4_NEAREST;
            }
            case E4M3, E5M2 -> stochastic ? FP8_STOCHASTIC : FP8_NEAREST;
            case E3M0 -> POWER4;
            case E4M0 -> POWER8;
            case BF16, FP16 -> HALF;
            case FP32 -> FLOAT;
            case INT32 -> throw new IllegalArgumentException(DType.INT32.label() + " cannot be the format of a plane");
        };
    }

    /** {@return what the names of its kernels end in} */
    String suffix() {
        return suffix;
    }

    /** {@return bits of a code} */
    int bits() {
        return bits;
    }

    /** {@return rows of a tile} */
    int tileRows() {
        return bits == FLOAT_BITS ? FLOAT_TILE_ROWS : TILE_ROWS;
    }

    /** {@return whether elements are scaled before they are rounded} */
    boolean scaled() {
        return bits <= MOST_SCALED_BITS;
    }
}
