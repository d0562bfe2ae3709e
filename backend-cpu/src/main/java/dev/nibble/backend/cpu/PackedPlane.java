package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;

/**
 * A plane of the right operand with all its panels, packed once for all threads: FP32 values {@code
 * [block][tile][k][width]}.
 */
final class PackedPlane implements AutoCloseable {
    /**
     * Where the values start. A large array begins on a cache line, with a header of 16 bytes; 12 floats further is
     * the next line. Loads that cross lines cost 7 % of the kernel's speed; with another header they would only be
     * slower.
     */
    private static final int START = 12;

    private static final int TASK_TILES = 4;

    private final OperandPlane plane;
    private final SumOrder order;
    private final HostTensor tensor;

    final float[] values; // [START], then [block][tile][k][width]

    PackedPlane(HostMemory memory, PlaneUse use, SumOrder order, int firstRow, int rows) {
        this.plane = new OperandPlane(memory, use, order, firstRow, rows, TileKernel.WIDTH);
        this.order = order;
        this.tensor =
                OperandPlane.scratch(memory, "packed operand", START + (long) this.plane.paddedRows() * order.k());
        this.values = HostTensor.floats(tensor);
    }

    OperandPlane plane() {
        return plane;
    }

    /** {@return where the panel of a tile starts} */
    int panelAt(SumOrder.Block block, int tile) {
        return START + block.from() * plane.paddedRows() + tile * TileKernel.WIDTH * block.length();
    }

    /** {@return the number of tasks that {@link #pack} knows} */
    int packTasks() {
        return Math.ceilDiv(plane.tiles(), TASK_TILES);
    }

    /** Packs some tiles along the whole contraction. */
    void pack(int task) {
        float[] stage = new float[OperandPlane.STAGE];
        int from = task * TASK_TILES;
        int to = Math.min(plane.tiles(), from + TASK_TILES);
        for (SumOrder.Block block : order.blocks()) {
            plane.pack(block, from, to, values, panelAt(block, from), stage);
        }
    }

    @Override
    public void close() {
        plane.close();
        tensor.close();
    }
}
