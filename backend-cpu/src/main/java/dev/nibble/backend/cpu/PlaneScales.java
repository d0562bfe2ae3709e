package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.Moments;
import dev.nibble.spi.DeviceState;
import java.util.function.Supplier;

/**
 * The scales of one plane: {@code t = x · multiplier / divisor}, as {@link GroupScale}.
 *
 * @param scales stored with the codes, in the grid's order; empty if unscaled
 * @param multipliers of the groups, in the grid's order
 * @param divisor of all groups; if it is not 1, the only multiplier is
 * @param numbers whether each t is a number, infinity included
 */
record PlaneScales(float[] scales, float[] multipliers, float divisor, boolean numbers) {
    /**
     * {@return the scales of a plane that represents the tensor}
     *
     * @param amaxes of the groups, NaN if an element is NaN
     * @param moments of the tensor, if the rule needs them
     */
    static PlaneScales of(PlaneSpec plane, float[] amaxes, Supplier<Moments> moments, DeviceState state) {
        if (plane.scaleRule().needsWholeTensor()) {
            return of(wholeTensor(plane, plane.scaleRule(), amaxes[0], moments, state), amaxes[0]);
        }
        boolean scaled = !(plane.scaleRule() instanceof ScaleRule.Unit);
        float[] scales = new float[scaled ? amaxes.length : 0]; // [groups]
        float[] multipliers = new float[amaxes.length]; // [groups]
        boolean numbers = true;
        for (int group = 0; group < amaxes.length; group++) {
            GroupScale scale = GroupScale.of(plane.scaleRule(), plane.format(), amaxes[group]);
            multipliers[group] = scale.multiplier();
            if (scaled) {
                scales[group] = scale.scale();
            }
            numbers &= isNumber(scale, amaxes[group]);
        }
        return new PlaneScales(scales, multipliers, 1, numbers);
    }

    /** {@return one scale for the tensor} */
    static PlaneScales of(GroupScale scale, float amax) {
        return new PlaneScales(
                new float[] {scale.scale()}, new float[] {scale.multiplier()}, scale.divisor(), isNumber(scale, amax));
    }

    /** {@return whether scaled elements are numbers: 0 · infinity is none} */
    static boolean isNumber(GroupScale scale, float amax) {
        return scale.multiplier() == 0 || (Float.isFinite(amax) && Float.isFinite(scale.multiplier()));
    }

    private static GroupScale wholeTensor(
            PlaneSpec plane, ScaleRule rule, float amax, Supplier<Moments> moments, DeviceState state) {
        return switch (rule) {
            case ScaleRule.Given given -> {
                float value = HostTensor.floats(state.get(given.state()))[0];
                yield value <= 0
                        ? wholeTensor(plane, given.whenZero(), amax, moments, state)
                        : GroupScale.given(given, plane.format(), value, amax);
            }
            case ScaleRule.Sawb _, ScaleRule.MeanMagnitude _ ->
                GroupScale.of(rule, plane.format(), amax, moments.get());
            case ScaleRule.Unit _, ScaleRule.AmaxOverTop _, ScaleRule.TopOverAmax _, ScaleRule.AmaxOverPower _ ->
                GroupScale.of(rule, plane.format(), amax);
        };
    }

    /** {@return whether all codes are 0, whatever the elements} */
    boolean zero() {
        return multipliers.length == 1 && multipliers[0] == 0;
    }
}
