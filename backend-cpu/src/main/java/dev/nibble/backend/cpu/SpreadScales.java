package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Granularity;
import java.util.Arrays;

/**
 * The scales and masks of a plane's blocks, one a row and segment.
 *
 * @param use the plane
 * @param order segments
 * @param firstRow the first of the rows
 * @param rows how many
 * @param width rows of a tile
 */
record SpreadScales(PlaneUse use, SumOrder order, int firstRow, int rows, int width) {
    /** No row of a tile is present in a segment. */
    static final byte ABSENT = 0;
    /** Some rows are present. */
    static final byte PARTIAL = 1;
    /** All rows are present. */
    static final byte FULL = 2;

    int tiles() {
        return Math.ceilDiv(rows, width);
    }

    int paddedRows() {
        return tiles() * width;
    }

    private int groupAt(SumOrder.Segment segment) {
        Granularity granularity = use.plane().spec().granularity();
        return (int) (segment.from() / granularity.groupK(order.k())) * (int) granularity.rowGroups(use.rows());
    }

    private int groupRows() {
        return (int) use.plane().spec().granularity().groupRows(use.rows());
    }

    /** Writes scales [segment][paddedRows] from {@code gridAt}; rows beyond the last one have 0. */
    void scales(float[] grid, int gridAt) {
        int groupRows = groupRows();
        boolean scaled = use.plane().scaled();
        float[] scales = HostTensor.floats(use.plane().scales()); // [kGroups][rowGroups], or empty
        for (int segment = 0; segment < order.segments().size(); segment++) {
            int group = groupAt(order.segments().get(segment));
            int at = gridAt + segment * paddedRows();
            Arrays.fill(grid, at + rows, at + paddedRows(), 0f);
            for (int row = 0; row < rows; row++) {
                float scale = scaled ? scales[group + (firstRow + row) / groupRows] : 1;
                grid[at + row] = use.sampleWeight(segment, firstRow + row) * (use.weight() * scale);
            }
        }
    }

    /**
     * Writes which rows are present.
     *
     * @param presence 0 or 1, [segment][paddedRows] from {@code presenceAt}
     * @param states of the tiles, [segment][tiles] from {@code statesAt}
     */
    void mask(float[] presence, int presenceAt, byte[] states, int statesAt) {
        int groupRows = groupRows();
        byte[] mask = use.plane().mask().bytes(); // [kGroups][rowGroups]
        for (int segment = 0; segment < order.segments().size(); segment++) {
            int group = groupAt(order.segments().get(segment));
            int at = presenceAt + segment * paddedRows();
            Arrays.fill(presence, at + rows, at + paddedRows(), 0f);
            for (int row = 0; row < rows; row++) {
                presence[at + row] = mask[group + (firstRow + row) / groupRows];
            }
            for (int tile = 0; tile < tiles(); tile++) {
                int present = 0;
                int real = Math.min(width, rows - tile * width);
                for (int i = 0; i < real; i++) {
                    present += presence[at + tile * width + i] == 0 ? 0 : 1;
                }
                states[statesAt + segment * tiles() + tile] = present == 0 ? ABSENT : present == real ? FULL : PARTIAL;
            }
        }
    }
}
