package dev.nibble.host;

import dev.nibble.error.NibbleException;
import dev.nibble.spi.MemoryUse;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.lang.reflect.Array;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.EnumMap;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SequencedMap;

/**
 * Allocates tensors as Java arrays, counts live bytes by tag, and keeps freed arrays for the next tensor of the same
 * type and length: a training step asks for the same sizes again and again. Live and kept arrays together stay within twice the peak of
 * what was live, or sizes that are new in each step, such as those of sampled rows, would fill the heap: the sizes that were used
 * least recently go.
 */
public final class HostMemory {
    private static final int LARGEST_ARRAY = Integer.MAX_VALUE - 8; // what every JVM can allocate

    private record Key(Class<?> type, int length) {
        long bytes() {
            return length
                    * (long) (type == byte.class ? Byte.BYTES : type == short.class ? Short.BYTES : Integer.BYTES);
        }
    }

    private final SequencedMap<Key, Deque<Object>> spare = // none is empty; by use, the latest last
            new LinkedHashMap<>(16, 0.75f, true);
    private long spareBytes;
    private final EnumMap<MemoryTag, Long> live = new EnumMap<>(MemoryTag.class);
    private long liveBytes;
    private long peakBytes;
    private long heldBytes;
    private long openTensors;

    /** Makes an allocator that holds nothing. */
    public HostMemory() {}

    /**
     * {@return a new tensor; its contents are undefined}
     *
     * @param label name used in messages
     * @param dtype element type
     * @param shape extents
     * @param tag what it is for
     * @throws IllegalArgumentException if it has more elements than an array can
     */
    public HostTensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        if (shape.elements() > LARGEST_ARRAY) {
            throw new IllegalArgumentException(label + " " + shape + " has " + shape.elements()
                    + " elements, but a tensor on the host can have at most " + LARGEST_ARRAY);
        }
        int length = (int) (dtype.packed() ? dtype.bytes(shape) : shape.elements());
        HostStorage storage = new HostStorage(this, array(label, dtype, length), dtype, length, tag);
        count(tag, storage.byteSize());
        openTensors++;
        return new HostTensor(label, shape, storage);
    }

    private Object array(String label, DType dtype, int length) {
        Key key = new Key(arrayType(dtype), length);
        Deque<Object> free = spare.get(key);
        if (free != null) {
            Object array = free.pop();
            spareBytes -= key.bytes();
            if (free.isEmpty()) {
                spare.remove(key);
            }
            return array;
        }
        try {
            return Array.newInstance(key.type(), length);
        } catch (OutOfMemoryError _) {
            trim();
        }
        try {
            return Array.newInstance(key.type(), length);
        } catch (OutOfMemoryError e) {
            throw new NibbleException(
                    label + " needs " + HostStorage.bytes(dtype, length) + " bytes more than the Java heap has (live: "
                            + liveBytes + " bytes); lower the batch or raise -Xmx",
                    e);
        }
    }

    private static Class<?> arrayType(DType dtype) {
        return switch (dtype) {
            case FP32 -> float.class;
            case BF16, FP16 -> short.class;
            case INT8, E4M3, E5M2, E4M0, INT4, UINT4, E3M0 -> byte.class;
            case INT32 -> int.class;
        };
    }

    void free(HostStorage storage) {
        count(storage.tag, -storage.byteSize());
        openTensors--;
        Key key = new Key(arrayType(storage.dtype), storage.length);
        spare.computeIfAbsent(key, _ -> new ArrayDeque<>()).push(storage.array);
        spareBytes += key.bytes();
        while (liveBytes + spareBytes > 2 * peakBytes) {
            Map.Entry<Key, Deque<Object>> oldest = spare.pollFirstEntry();
            spareBytes -= oldest.getKey().bytes() * oldest.getValue().size();
        }
    }

    void retag(HostStorage storage, MemoryTag tag) {
        count(storage.tag, -storage.byteSize());
        storage.tag = tag;
        count(tag, storage.byteSize());
    }

    /**
     * Counts memory outside the heap that an operation holds.
     *
     * @param tag what it is for
     * @param bytes how many more, or less if negative
     */
    public void countOutside(MemoryTag tag, long bytes) {
        count(tag, bytes);
    }

    private void count(MemoryTag tag, long bytes) {
        live.merge(tag, bytes, Long::sum);
        liveBytes += bytes;
        peakBytes = Math.max(peakBytes, liveBytes);
        heldBytes = Math.max(heldBytes, liveBytes + spareBytes);
    }

    /** {@return live bytes by tag, the peak of their sum, and of that with the arrays that wait to be used again} */
    public MemoryUse use() {
        return new MemoryUse(live, peakBytes, heldBytes);
    }

    /** {@return tensors whose memory has an open handle: what a leak test counts} */
    public long openTensors() {
        return openTensors;
    }

    /** Gives the arrays that no tensor uses back to the garbage collector. */
    public void trim() {
        spare.clear();
        spareBytes = 0;
    }

    /** {@return bytes of the arrays that no tensor uses: with the live ones, at most twice the peak of those} */
    public long spareBytes() {
        return spareBytes;
    }
}
