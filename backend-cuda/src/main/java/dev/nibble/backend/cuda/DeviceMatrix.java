package dev.nibble.backend.cuda;

/**
 * An FP32 matrix [rows, cols] on the device, dense.
 *
 * @param tensor whose memory it is
 */
record DeviceMatrix(CudaTensor tensor) {
    private static final int VECTOR = 4; // elements that a thread loads at once

    /** {@return where it begins} */
    long address() {
        return CudaTensor.floats(tensor);
    }

    /** {@return its rows} */
    long rows() {
        return tensor.rows();
    }

    /** {@return its columns} */
    long cols() {
        return tensor.cols();
    }

    /** {@return rows · columns} */
    long elements() {
        return rows() * cols();
    }

    /** {@return whether every row begins on 16 bytes} */
    boolean vector() {
        return cols() % VECTOR == 0;
    }
}
