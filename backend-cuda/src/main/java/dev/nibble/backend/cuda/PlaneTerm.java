package dev.nibble.backend.cuda;

import dev.nibble.tensor.DType;

/**
 * A product of two planes as kernels see it.
 *
 * @param a left plane
 * @param b right plane
 */
record PlaneTerm(Side a, Side b) {
    /**
     * One plane.
     *
     * @param codes address
     * @param pitch bytes from row to row
     * @param format of the codes
     * @param scales address; 0 if there are none
     * @param mask address; 0 if every block is present
     * @param weight multiplies the scales
     */
    record Side(long codes, long pitch, DType format, long scales, long mask, float weight) {
        static Side of(CudaPlane plane, float weight) {
            return new Side(
                    plane.address(),
                    plane.pitchBytes(),
                    plane.dtype(),
                    plane.scalesAddress(),
                    plane.maskAddress(),
                    weight);
        }

        /** {@return the plane with its codes as bytes elsewhere} */
        Side bytes(long address, long newPitch) {
            return new Side(address, newPitch, DType.INT8, scales, mask, weight);
        }
    }
}
