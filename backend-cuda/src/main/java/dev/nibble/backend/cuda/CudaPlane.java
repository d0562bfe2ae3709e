package dev.nibble.backend.cuda;

import dev.nibble.quant.PlaneSpec;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;

/**
 * The stored form of one plane. The contraction is contiguous. Codes that {@link CudaMemory#allocateCodes} made are padded with
 * code 0, in rows to a multiple of 128 and along the contraction to whole rows of {@link #pitchBytes}; an unscaled FP32 plane
 * may be a dense tensor instead, which has no padding.
 *
 * @param spec how it was made
 * @param codes [rows, k]
 * @param scales FP32 [kGroups, rowGroups]; no elements if the plane is unscaled
 * @param mask bytes 0 or 1, [kGroups, rowGroups]; no elements if every block is present
 */
record CudaPlane(PlaneSpec spec, CudaTensor codes, CudaTensor scales, CudaTensor mask) implements AutoCloseable {
    /** {@return where the codes begin} */
    long address() {
        return codes.address();
    }

    /** {@return the format of the codes} */
    DType dtype() {
        return codes.dtype();
    }

    /** {@return rows of the operand} */
    long rows() {
        return codes.rows();
    }

    /** {@return length of the contraction} */
    long k() {
        return codes.cols();
    }

    /** {@return bytes from one row of codes to the next} */
    long pitchBytes() {
        return codes.pitchBytes();
    }

    /** {@return whether the plane has scales} */
    boolean scaled() {
        return scales.elements() > 0;
    }

    /** {@return whether blocks may be absent} */
    boolean masked() {
        return mask.elements() > 0;
    }

    /** {@return where the scales begin; 0 if there are none} */
    long scalesAddress() {
        return scaled() ? scales.address() : 0;
    }

    /** {@return where the mask begins; 0 if there is none} */
    long maskAddress() {
        return masked() ? mask.address() : 0;
    }

    /** {@return scales down the rows} */
    long rowGroups() {
        return spec.granularity().rowGroups(rows());
    }

    /** {@return scales along the contraction} */
    long kGroups() {
        return spec.granularity().kGroups(k());
    }

    /** {@return rows that share a scale} */
    long groupRows() {
        return spec.granularity().groupRows(rows());
    }

    /** {@return how far along the contraction a scale reaches} */
    long groupK() {
        return spec.granularity().groupK(k());
    }

    CudaPlane share() {
        return new CudaPlane(spec, codes.share(), scales.share(), mask.share());
    }

    void retag(MemoryTag tag) {
        codes.retag(tag);
        scales.retag(tag);
        mask.retag(tag);
    }

    @Override
    public void close() {
        codes.close();
        scales.close();
        mask.close();
    }
}
