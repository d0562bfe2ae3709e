package dev.nibble.backend.cuda;

import jcuda.driver.CUfunction;
import jcuda.driver.CUfunction_attribute;
import jcuda.driver.JCudaDriver;

/** One function of a compiled file. */
final class Kernel {
    private static final int PLAIN_SHARED = 48 * 1024; // bytes; more has to be asked for
    private static final long MOST_BLOCKS_Y = 65535; // of a grid; also z

    /** A function whose handle can be seen. */
    static final class Handle extends CUfunction {
        long raw() {
            return getNativePointer();
        }
    }

    private final String name;
    private final Handle handle;
    private final CudaStream stream;
    private int allowedShared = PLAIN_SHARED;

    Kernel(String name, Handle handle, CudaStream stream) {
        this.name = name;
        this.handle = handle;
        this.stream = stream;
    }

    /** {@return file and function} */
    String name() {
        return name;
    }

    /**
     * Enqueues a launch.
     *
     * @param gridX blocks along x, 1 to 2^31 - 1
     * @param gridY blocks along y, 1 to 65535
     * @param gridZ blocks along z, 1 to 65535
     * @param blockX threads of a block
     * @param sharedBytes dynamic shared memory
     * @param args arguments in the order of the parameters
     */
    void launch(long gridX, long gridY, long gridZ, int blockX, int sharedBytes, Args args) {
        if (gridX < 1
                || gridX > Integer.MAX_VALUE
                || gridY < 1
                || gridY > MOST_BLOCKS_Y
                || gridZ < 1
                || gridZ > MOST_BLOCKS_Y) {
            throw new IllegalArgumentException(
                    "%s is launched on a grid of %d x %d x %d blocks for %s, but 1 to 2^31-1 x 1 to"
                                    .formatted(name, gridX, gridY, gridZ, args)
                            + " 65535 x 1 to 65535 are possible");
        }
        if (sharedBytes > allowedShared) {
            int code = JCudaDriver.cuFuncSetAttribute(
                    handle, CUfunction_attribute.CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES, sharedBytes);
            stream.check(code, () -> "cuFuncSetAttribute(" + name + ", shared memory " + sharedBytes + ")");
            allowedShared = sharedBytes;
        }
        stream.launch(this, (int) gridX, (int) gridY, (int) gridZ, blockX, sharedBytes, args);
    }

    /** Enqueues a launch with one row of blocks, each with so many threads, that covers {@code items} items one a thread. */
    void launch(long items, int blockX, Args args) {
        launch(Math.max(1, Math.ceilDiv(items, blockX)), 1, 1, blockX, 0, args);
    }

    long raw() {
        return handle.raw();
    }
}
