package dev.nibble.backend.cuda;

import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import java.util.Optional;
import java.util.Set;

/**
 * A kernel of quantize_aligned.cu, which makes codes that quantize_codes.cu makes, too, but slower: of matrices whose rows begin on 16
 * bytes, in both orientations, with scales made of amaxes.
 *
 * @param name of the kernel
 * @param threads of its blocks
 */
record AlignedKernel(String name, int threads) {
    private static final int THREADS = 512;
    private static final int TWICE_DRAWN_THREADS = 256; // which have the registers for two draws an element
    private static final long MOST_ELEMENTS = 1L << 34; // a draw's address counts fours of them in 32 bits
    private static final int RUN = 128;
    private static final Set<CodeKind> LINE_KINDS =
            Set.of(CodeKind.INT8_NEAREST, CodeKind.INT8_STOCHASTIC, CodeKind.FP8_NEAREST, CodeKind.FP8_STOCHASTIC);

    /**
     * {@return the kernel of a launch, if there is one}
     *
     * @param made whether the launch makes the scales, too
     */
    static Optional<AlignedKernel> of(DeviceMatrix x, QuantizeKernels.Sides sides, boolean made) {
        CodeKind kind = CodeKind.of(sides.side().plane());
        boolean fits = x.vector()
                && x.elements() < MOST_ELEMENTS
                && sides.straight().address() != 0
                && sides.transposed().address() != 0
                && suits(kind, sides.side().plane())
                && suits(kind, sides.other().plane());
        boolean draws = kind == CodeKind.INT8_STOCHASTIC || kind == CodeKind.FP8_STOCHASTIC;
        int threads = sides.separate() && draws ? TWICE_DRAWN_THREADS : THREADS;
        return fits
                ? scales(kind, sides, made)
                        .map(scales -> new AlignedKernel("quantize_" + scales + '_' + kind.suffix(), threads))
                : Optional.empty();
    }

    private static Optional<String> scales(CodeKind kind, QuantizeKernels.Sides sides, boolean made) {
        GroupGrid grid = sides.side().grid();
        GroupGrid other = sides.other().grid();
        if (!sides.separate()) {
            return !made && grid.groups() == 1 ? Optional.of("tensor") : Optional.empty();
        }
        if (!LINE_KINDS.contains(kind)) {
            return Optional.empty();
        }
        if (made) {
            boolean runs = grid.height() == 1 && grid.width() == RUN && other.height() == RUN && other.width() == 1;
            return runs ? Optional.of("runs") : Optional.empty();
        }
        return grid.areRows() && other.areColumns() && grid.groups() > 1 && other.groups() > 1
                ? Optional.of("lines")
                : Optional.empty();
    }

    /** Whether scaled values lie in the range of the codes or are bounded, so that none of them has to be looked at twice. */
    private static boolean suits(CodeKind kind, PlaneSpec plane) {
        boolean saturates = plane.overflow() == Overflow.SATURATE || plane.overflow() == Overflow.CLAMP;
        if (plane.source() instanceof PlaneSource.Residual || !saturates) {
            return false;
        }
        ScaleRule rule = plane.scaleRule();
        return switch (kind) {
            case INT8_NEAREST, INT8_STOCHASTIC -> rule instanceof ScaleRule.AmaxOverTop;
            case FP8_NEAREST, FP8_STOCHASTIC ->
                rule instanceof ScaleRule.AmaxOverTop || rule instanceof ScaleRule.TopOverAmax;
            case INT4_NEAREST ->
                rule instanceof ScaleRule.AmaxOverTop
                        || rule instanceof ScaleRule.Sawb
                        || rule instanceof ScaleRule.MeanMagnitude;
            case POWER4 -> rule instanceof ScaleRule.AmaxOverPower && plane.rounding() == Rounding.STOCHASTIC;
            case INT4_STOCHASTIC, POWER8, HALF, FLOAT, DIGIT -> false;
        };
    }
}
