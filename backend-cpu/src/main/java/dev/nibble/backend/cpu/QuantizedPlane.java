package dev.nibble.backend.cpu;

import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.reference.ScaleGrid;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;

/**
 * One plane in the layout of the matrix.
 *
 * @param spec what it is
 * @param grid blocks of the matrix
 * @param codes [rows, cols]
 * @param scales of the blocks, in the grid's order; empty if unscaled
 * @param mask of the blocks, in the grid's order; empty if all are present
 */
record QuantizedPlane(PlaneSpec spec, BlockGrid grid, HostTensor codes, float[] scales, byte[] mask) {
    /** {@return the plane of an operand, with scales and mask in that operand's order} */
    HostPlane store(QuantizeCall call, Contraction contraction) {
        ScaleGrid own = grid.scales();
        boolean same = own.contraction() == contraction;
        Shape shape = same ? Shape.of(own.kGroups(), own.rowGroups()) : Shape.of(own.rowGroups(), own.kGroups());
        HostTensor storedScales = call.allocate("scales", DType.FP32, scales.length == 0 ? Shape.of(0) : shape);
        HostTensor storedMask = call.allocate("mask", DType.INT8, mask.length == 0 ? Shape.of(0) : shape);
        for (int i = 0; i < own.groups(); i++) {
            int to = same ? i : i % own.rowGroups() * own.kGroups() + i / own.rowGroups();
            if (scales.length > 0) {
                HostTensor.floats(storedScales)[to] = scales[i];
            }
            if (mask.length > 0) {
                storedMask.bytes()[to] = mask[i];
            }
        }
        return new HostPlane(spec, codes.share(), contraction == Contraction.ROWS, storedScales, storedMask);
    }
}
