package dev.nibble.backend.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.LinkedHashMap;
import java.util.Map;

/**
 * Descriptions of matrices for Hopper's tensor memory accelerator: boxes of a row-major matrix, swizzled over 128 bytes.
 * They are kept: addresses repeat from step to step.
 */
final class TensorMaps {
    private static final int MOST = 4096; // kept
    private static final long BYTES = 128;
    private static final int SWIZZLE_128B = 3;
    private static final int PROMOTE_256B = 3;

    /** Element types, with the driver's numbers. */
    enum Element {
        BYTES(0, 1),
        BF16(9, 2),
        FP32(7, 4);

        private final int code;
        private final int bytes;

        Element(int code, int bytes) {
            this.code = code;
            this.bytes = bytes;
        }
    }

    private record Key(long address, Element element, long rows, long cols, long pitch, int boxRows, int boxCols) {}

    private final CudaStream stream;
    private final Map<Key, MemorySegment> maps = new LinkedHashMap<>();

    TensorMaps(CudaStream stream) {
        this.stream = stream;
    }

    /**
     * {@return the description, 128 bytes: an argument for {@link Args#struct}}
     *
     * @param address of the matrix, a multiple of 16
     * @param element type
     * @param rows extent; boxes beyond it are filled with 0
     * @param cols extent of a row, in elements
     * @param pitchBytes from row to row, a multiple of 16
     * @param boxRows rows of a box, at most 256
     * @param boxCols elements of a row of a box: 128 bytes
     */
    MemorySegment matrix(
            long address, Element element, long rows, long cols, long pitchBytes, int boxRows, int boxCols) {
        Key key = new Key(address, element, rows, cols, pitchBytes, boxRows, boxCols);
        MemorySegment known = maps.get(key);
        if (known != null) {
            return known;
        }
        if (maps.size() == MOST) {
            maps.clear();
        }
        MemorySegment map = encode(key);
        maps.put(key, map);
        return map;
    }

    private MemorySegment encode(Key key) {
        MemorySegment map = Arena.ofAuto().allocate(BYTES, BYTES);
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment extents = arena.allocateFrom(ValueLayout.JAVA_LONG, key.cols, key.rows);
            MemorySegment strides = arena.allocateFrom(ValueLayout.JAVA_LONG, key.pitch);
            MemorySegment box = arena.allocateFrom(ValueLayout.JAVA_INT, key.boxCols, key.boxRows);
            MemorySegment steps = arena.allocateFrom(ValueLayout.JAVA_INT, 1, 1);
            stream.bind();
            int code = stream.device()
                    .driver()
                    .encodeTiled(
                            map,
                            key.element.code,
                            2,
                            key.address,
                            extents,
                            strides,
                            box,
                            steps,
                            0,
                            SWIZZLE_128B,
                            PROMOTE_256B,
                            0);
            stream.check(code, () -> "cuTensorMapEncodeTiled(" + key + ", " + key.element.bytes + "-byte elements)");
        }
        return map;
    }
}
