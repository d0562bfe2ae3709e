package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import java.lang.foreign.MemorySegment;
import java.util.List;

/**
 * Some rows of the planes of one side of a product: scales and presence spread over the rows, and the packed panels,
 * which lie [plane][block][panel].
 */
final class NativeSide implements AutoCloseable {
    private static final int TASK_PANELS = 4;
    private static final int PACK_CALL = 11; // longs of PackCall in gemm.h
    private static final int PACK_BLOCK = 4; // longs of PackBlock in gemm.h

    private static final int FLOATS = 4; // the first format of floats in gemm.h
    private static final int FP8 = 6; // the first format of 8-bit floats in gemm.h

    private final List<PlaneUse> planes;
    private final SumOrder order;
    private final boolean right;
    private final int firstRow;
    private final int rows;
    private final int panels;
    private final HostTensor gridTensor;
    private final long[][] blocks; // [plane][blocks][PACK_BLOCK]

    final float[] grid; // scales [plane][segment][padded rows], then presence in the same order
    final byte[] states; // [plane][segment][panels]

    /**
     * Spreads scales and masks.
     *
     * @param right whether the panels are those of B
     */
    NativeSide(HostMemory memory, List<PlaneUse> planes, SumOrder order, boolean right, int firstRow, int rows) {
        this.planes = planes;
        this.order = order;
        this.right = right;
        this.firstRow = firstRow;
        this.rows = rows;
        this.panels = Math.ceilDiv(rows, NativeKernels.PANEL);
        int segments = order.segments().size();
        int cells = Math.multiplyExact(planes.size() * segments, paddedRows());
        boolean masked = planes.stream().anyMatch(use -> use.plane().masked());
        gridTensor = OperandPlane.scratch(memory, "spread scales", masked ? 2L * cells : cells);
        grid = HostTensor.floats(gridTensor);
        states = new byte[masked ? planes.size() * segments * panels : 0];
        blocks = new long[planes.size()][];
        for (int plane = 0; plane < planes.size(); plane++) {
            var spread = new SpreadScales(planes.get(plane), order, firstRow, rows, NativeKernels.PANEL);
            spread.scales(grid, gridAt(plane, 0));
            if (planes.get(plane).plane().masked()) {
                spread.mask(grid, cells + gridAt(plane, 0), states, (int) stateAt(plane, 0));
            }
            blocks[plane] = blocks(plane);
        }
    }

    private int paddedRows() {
        return panels * NativeKernels.PANEL;
    }

    private long[] blocks(int plane) {
        boolean masked = planes.get(plane).plane().masked();
        long[] all = new long[order.blocks().size() * PACK_BLOCK]; // [blocks][from, length, place, segment]
        long at = plane * bytesOfPlane();
        for (int i = 0; i < order.blocks().size(); i++) {
            SumOrder.Block block = order.blocks().get(i);
            all[i * PACK_BLOCK] = block.from();
            all[i * PACK_BLOCK + 1] = block.length();
            all[i * PACK_BLOCK + 2] = at;
            all[i * PACK_BLOCK + 3] = masked ? block.segment() : -1;
            at += panels
                    * panelBytes(block.length(), right, floats(planes.get(plane).plane()));
        }
        return all;
    }

    private long bytesOfPlane() {
        return panels * bytesOfPanel(planes.getFirst(), order, right);
    }

    /** {@return bytes of one panel of one plane along the whole contraction} */
    static long bytesOfPanel(PlaneUse use, SumOrder order, boolean right) {
        boolean floats = floats(use.plane());
        return order.blocks().stream()
                .mapToLong(block -> panelBytes(block.length(), right, floats))
                .sum();
    }

    /** As {@code panel_bytes} of gemm.h has it. */
    private static long panelBytes(int length, boolean right, boolean floats) {
        if (floats) {
            return (long) NativeKernels.PANEL * length * Float.BYTES;
        }
        int padded = Math.ceilDiv(length, NativeKernels.GROUP) * NativeKernels.GROUP;
        return (long) NativeKernels.PANEL * padded + (right ? 0 : NativeKernels.PANEL * Integer.BYTES);
    }

    int panels() {
        return panels;
    }

    int rows() {
        return rows;
    }

    long bytes() {
        return planes.size() * bytesOfPlane();
    }

    /** {@return where the scales of a segment start} */
    int gridAt(int plane, int segment) {
        return (plane * order.segments().size() + segment) * paddedRows();
    }

    /** {@return where the presence of rows in a segment starts} */
    int presenceAt(int plane, int segment) {
        return planes.size() * order.segments().size() * paddedRows() + gridAt(plane, segment);
    }

    /** {@return where the states of a segment start; -1 if every panel of the plane is present} */
    long stateAt(int plane, int segment) {
        return planes.get(plane).plane().masked()
                ? ((long) plane * order.segments().size() + segment) * panels
                : -1;
    }

    /** {@return where the panels of a block start} */
    long blockAt(int plane, int block) {
        return blocks[plane][block * PACK_BLOCK + 2];
    }

    /** {@return the number of tasks that {@link #pack} knows} */
    int packTasks() {
        return planes.size() * Math.ceilDiv(panels, TASK_PANELS);
    }

    /** Packs some panels of a plane along the whole contraction. */
    void pack(NativeKernels kernels, int task, MemorySegment out) {
        int tasksOfPlane = Math.ceilDiv(panels, TASK_PANELS);
        int index = task / tasksOfPlane;
        int from = task % tasksOfPlane * TASK_PANELS;
        Packing packing = packing(index, rows, from, Math.min(panels, from + TASK_PANELS));
        byte[] own = planes.get(index).plane().masked() ? statesOf(index) : states;
        kernels.pack(packing.call(), packing.blocks(), packing.codes(), own, out);
    }

    /**
     * What the library is told about packing.
     *
     * @param call {@code PackCall} of gemm.h after the level
     * @param blocks {@code PackBlock} of gemm.h, [blocks][4]
     * @param codes the array of a plane
     */
    record Packing(long[] call, long[] blocks, MemorySegment codes) {}

    /**
     * {@return how panels of a plane are packed}
     *
     * @param count rows of the operand from the first one on
     */
    Packing packing(int index, int count, int fromPanel, int toPanel) {
        HostPlane plane = planes.get(index).plane();
        long[] call = new long[PACK_CALL];
        call[1] = right ? 1 : 0;
        call[2] = format(plane.codes().dtype());
        call[3] = plane.transposed() ? 1 : 0;
        call[4] = plane.pitch();
        call[5] = firstRow;
        call[6] = count;
        call[7] = fromPanel;
        call[8] = toPanel;
        call[9] = order.blocks().size();
        call[10] = panels;
        return new Packing(call, blocks[index], array(plane.codes()));
    }

    private static MemorySegment array(HostTensor codes) {
        return switch (codes.dtype()) {
            case FP32 -> MemorySegment.ofArray(HostTensor.floats(codes));
            case BF16 -> MemorySegment.ofArray(codes.shorts());
            default -> MemorySegment.ofArray(codes.bytes());
        };
    }

    private byte[] statesOf(int plane) {
        int length = order.segments().size() * panels;
        return java.util.Arrays.copyOfRange(states, plane * length, (plane + 1) * length);
    }

    /** {@return the number of a format in gemm.h; negative if it has none} */
    static int format(DType dtype) {
        return switch (dtype) {
            case INT8 -> 0;
            case INT4 -> 1;
            case UINT4 -> 2;
            case E3M0 -> 3;
            case FP32 -> FLOATS;
            case BF16 -> FLOATS + 1;
            case E4M3 -> FP8;
            case E5M2 -> FP8 + 1;
            case E4M0, FP16, INT32 -> -1;
        };
    }

    /** {@return whether a plane's codes are 8-bit floats} */
    static boolean fp8(HostPlane plane) {
        return format(plane.codes().dtype()) >= FP8;
    }

    /** {@return whether a plane is multiplied as floats; those of 8 bits have scales} */
    static boolean floats(HostPlane plane) {
        return format(plane.codes().dtype()) >= FLOATS;
    }

    @Override
    public void close() {
        gridTensor.close();
    }
}
