package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.PlaneSpec;
import java.util.Map;

/**
 * How a set of codes is made, for a launch.
 *
 * @param plane format, rounding, scale rule
 * @param drawAddress of its draws
 * @param grid which elements share a scale
 * @param apply where the multipliers and divisors of the groups lie; 0 if the launch makes them
 * @param scales where a launch that makes scales stores them, in the grid's order; 0 if it does not
 * @param scalesOther and in the order of the transposed grid; 0 if it does not
 */
record CodeSide(PlaneSpec plane, int drawAddress, GroupGrid grid, long apply, long scales, long scalesOther) {
    /** {@return the same with multipliers and divisors that are made} */
    CodeSide withApply(long address) {
        return new CodeSide(plane, drawAddress, grid, address, scales, scalesOther);
    }

    /**
     * Where codes go.
     *
     * @param address of the first; 0 if this orientation is not asked for
     * @param pitchBytes from row to row
     * @param paddedRows rows that are written
     */
    record Target(long address, long pitchBytes, long paddedRows) {
        /** No codes. */
        static final Target NONE = new Target(0, 0, 0);

        /** {@return the padded memory of an operand's codes} */
        static Target of(CudaTensor codes) {
            return new Target(codes.address(), codes.pitchBytes(), CudaMemory.padded(codes.rows()));
        }

        /** {@return where the codes of an orientation go; {@link #NONE} if it is not among them} */
        static Target of(Map<Contraction, Target> targets, Contraction orientation) {
            return targets.getOrDefault(orientation, NONE);
        }

        /** {@return codes from row to row, padding included} */
        long pitch(CodeKind kind) {
            return pitchBytes * Byte.SIZE / kind.bits();
        }
    }
}
