package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.DType;
import java.util.EnumMap;
import java.util.EnumSet;
import java.util.List;
import java.util.Map;
import java.util.Set;

/**
 * The planes that operands made alike share.
 *
 * @param contraction in whose order scales are made
 * @param grid which elements share a scale
 * @param purpose of the draws
 * @param amaxes where the bits of the amax of each group lie
 * @param operands that share the planes
 * @param planes those that are made
 */
record MadePlanes(
        Contraction contraction,
        GroupGrid grid,
        int purpose,
        long amaxes,
        List<OperandSpec> operands,
        Map<PlaneSpec, Plane> planes) {
    /**
     * One plane in the orientations that are wanted.
     *
     * @param codes by orientation
     * @param scales in the order of each orientation, and always in the order in which they are made
     * @param masks likewise
     */
    record Plane(
            Map<Contraction, CudaTensor> codes,
            Map<Contraction, CudaTensor> scales,
            Map<Contraction, CudaTensor> masks) {
        Plane() {
            this(new EnumMap<>(Contraction.class), new EnumMap<>(Contraction.class), new EnumMap<>(Contraction.class));
        }

        /** {@return where the codes of each orientation go} */
        Map<Contraction, CodeSide.Target> targets() {
            Map<Contraction, CodeSide.Target> targets = new EnumMap<>(Contraction.class);
            codes.forEach((orientation, tensor) -> targets.put(orientation, CodeSide.Target.of(tensor)));
            return targets;
        }
    }

    /** {@return the first plane of the operands} */
    PlaneSpec first() {
        return operands.getFirst().planes().getFirst();
    }

    /** {@return whether a scale arises from an amax} */
    boolean needsAmaxes() {
        return operands.stream()
                .flatMap(operand -> operand.planes().stream())
                .anyMatch(plane -> !(plane.scaleRule() instanceof ScaleRule.Unit));
    }

    /** {@return whether there is one plane, rounded from the values themselves with scales from amaxes} */
    boolean plain() {
        PlaneSpec first = first();
        return operands.stream().allMatch(operand -> operand.planes().equals(List.of(first)))
                && !(first.source() instanceof PlaneSource.Digit)
                && CodeKind.of(first).scaled()
                && !PlaneStructs.needsMoments(first.scaleRule())
                && !(first.scaleRule() instanceof ScaleRule.Given);
    }

    /**
     * {@return the state that gives the scale of every plane, so that the pass that rounds finds the amax; 0 if there is none}
     *
     * @param state of the layer
     */
    long settledBy(DeviceState state) {
        boolean values = operands.stream()
                .flatMap(operand -> operand.planes().stream())
                .allMatch(plane -> plane.scaleRule() instanceof ScaleRule.Given);
        return values && first().scaleRule() instanceof ScaleRule.Given given
                ? CudaTensor.floats(state.get(given.state()))
                : 0;
    }

    /** Makes the memory of a plane's codes and scales. */
    Plane allocate(PlaneSpec plane, PlaneMemory memory) {
        Plane target = new Plane();
        boolean unscaled = plane.scaleRule() instanceof ScaleRule.Unit;
        for (Contraction orientation : wanted(plane)) {
            target.codes().put(orientation, memory.codes(plane, orientation));
            if (!unscaled) {
                target.scales().put(orientation, memory.groups("scales", DType.FP32, grid, orientation));
            }
        }
        if (!unscaled && !target.scales().containsKey(contraction)) {
            CudaTensor own = memory.groups("scales", DType.FP32, grid, contraction);
            target.scales().put(contraction, memory.passing(own));
        }
        return target;
    }

    private Set<Contraction> wanted(PlaneSpec plane) {
        Set<Contraction> wanted = EnumSet.noneOf(Contraction.class);
        operands.stream()
                .filter(operand -> operand.planes().contains(plane))
                .forEach(operand -> wanted.add(operand.contraction()));
        return wanted;
    }

    /** {@return the address of a plane's scales or masks in the order in which they are made; 0 if there are none} */
    long own(Map<Contraction, CudaTensor> groups) {
        return address(groups, contraction);
    }

    /** {@return the address of a plane's scales or masks in the order of the transpose; 0 if it is not wanted} */
    long other(Map<Contraction, CudaTensor> groups) {
        return address(groups, contraction == Contraction.COLUMNS ? Contraction.ROWS : Contraction.COLUMNS);
    }

    private static long address(Map<Contraction, CudaTensor> groups, Contraction orientation) {
        return groups.containsKey(orientation) ? groups.get(orientation).address() : 0;
    }
}
