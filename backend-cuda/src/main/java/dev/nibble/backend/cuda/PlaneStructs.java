package dev.nibble.backend.cuda;

import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.reference.ElementCode;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;

/** Writes what a plane's spec says as the kernels read it. */
final class PlaneStructs {
    private static final int SITE_SHIFT = 12;
    private static final int ROLE_SHIFT = 8;
    private static final int PURPOSE_SHIFT = 4;

    // as in scale.cuh
    private static final int UNIT = 0;
    private static final int AMAX_OVER_TOP = 1;
    private static final int TOP_OVER_AMAX = 2;
    private static final int AMAX_OVER_POWER = 3;
    private static final int SAWB = 4;
    private static final int MEAN_MAGNITUDE = 5;

    private PlaneStructs() {}

    /** {@return the part of a draw's address that is known when it is launched: see {@code RandomStream}} */
    static int drawAddress(Site site, Role role, int purpose, int sample) {
        return site.ordinal() << SITE_SHIFT | role.code() << ROLE_SHIFT | purpose << PURPOSE_SHIFT | sample;
    }

    /**
     * Writes the {@code Coder} of element_code.cuh.
     *
     * @param drawAddress of the plane's draws
     */
    static Struct coder(Struct struct, PlaneSpec plane, int drawAddress) {
        DType format = plane.format();
        boolean power = format == DType.E3M0 || format == DType.E4M0;
        boolean released = plane.source() instanceof PlaneSource.Digit digit && digit.mode() == SplitMode.RELEASED;
        return struct.i32(format.ordinal())
                .i32(plane.rounding().ordinal())
                .i32(plane.overflow().ordinal())
                .f32(plane.scaleRule().bottom(format))
                .f32(plane.scaleRule().top(format))
                .i32(power ? ElementCode.largestExponentCode(plane) : 0)
                .flag(released)
                .i32(drawAddress);
    }

    /** Writes the {@code Rule} of scale.cuh. */
    static Struct rule(Struct struct, PlaneSpec plane, DeviceState state) {
        boolean integer = plane.format().family() == DType.Family.INTEGER;
        float top = plane.source() instanceof PlaneSource.Digit digit
                ? digit.mode().top()
                : plane.format().top();
        if (plane.scaleRule() instanceof ScaleRule.Given given) {
            int application = given.application() == ScaleRule.Application.SCALE ? 1 : 2;
            return rule(struct, given.whenZero(), application, integer, top)
                    .pointer(CudaTensor.floats(state.get(given.state())));
        }
        return rule(struct, plane.scaleRule(), 0, integer, top).pointer(0);
    }

    private static Struct rule(Struct struct, ScaleRule rule, int given, boolean integer, float top) {
        return switch (rule) {
            case ScaleRule.Unit _ -> fields(struct.i32(UNIT), given, integer, false, 0, top, 0, 0, 0, 0);
            case ScaleRule.AmaxOverTop _ ->
                fields(struct.i32(AMAX_OVER_TOP), given, integer, false, 0, top, 0, 0, 0, 0);
            case ScaleRule.TopOverAmax r ->
                fields(struct.i32(TOP_OVER_AMAX), given, integer, r.powerOfTwo(), 0, top, r.eps(), 0, 0, 0);
            case ScaleRule.AmaxOverPower r ->
                fields(struct.i32(AMAX_OVER_POWER), given, integer, r.powerOfTwo(), r.exponent(), top, 0, 0, 0, 0);
            case ScaleRule.Sawb r ->
                fields(struct.i32(SAWB), given, integer, false, 0, top, 0, r.c1(), r.c2(), r.divisor());
            case ScaleRule.MeanMagnitude _ ->
                fields(struct.i32(MEAN_MAGNITUDE), given, integer, false, 0, top, 0, 0, 0, 0);
            case ScaleRule.Given _ -> throw new IllegalStateException("a given scale has no second one behind it");
        };
    }

    private static Struct fields(
            Struct struct,
            int given,
            boolean integer,
            boolean powerOfTwo,
            int exponent,
            float top,
            float eps,
            float c1,
            float c2,
            float divisor) {
        return struct.i32(given)
                .flag(integer)
                .flag(powerOfTwo)
                .i32(exponent)
                .f32(top)
                .f32(eps)
                .f32(c1)
                .f32(c2)
                .f32(divisor);
    }

    /** {@return whether a rule, or the one behind a given scale, needs the moments of the tensor} */
    static boolean needsMoments(ScaleRule rule) {
        return switch (rule) {
            case ScaleRule.Sawb _, ScaleRule.MeanMagnitude _ -> true;
            case ScaleRule.Given given -> needsMoments(given.whenZero());
            case ScaleRule.Unit _, ScaleRule.AmaxOverTop _, ScaleRule.TopOverAmax _, ScaleRule.AmaxOverPower _ -> false;
        };
    }

    /** {@return whether elements beyond the range of the codes are counted: the scale was settled before} */
    static boolean countsSaturated(PlaneSpec plane) {
        boolean first = !(plane.source() instanceof PlaneSource.Sample sample) || sample.sample() == 0;
        return plane.scaleRule() instanceof ScaleRule.Given && first;
    }
}
