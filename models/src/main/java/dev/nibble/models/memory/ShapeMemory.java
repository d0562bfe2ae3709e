package dev.nibble.models.memory;

import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.MemoryUse;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.util.EnumMap;
import java.util.LinkedHashSet;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/** Counts the bytes of tensors that have a shape and no memory. */
public final class ShapeMemory {
    private final MemoryLayout layout;
    private final Set<Storage> open = new LinkedHashSet<>();
    private final EnumMap<MemoryTag, Long> live = new EnumMap<>(MemoryTag.class);
    private long operandBytes;
    private long liveBytes;
    private long peakBytes;

    ShapeMemory(MemoryLayout layout) {
        this.layout = layout;
    }

    MemoryLayout layout() {
        return layout;
    }

    /** What handles share. */
    static final class Storage {
        final String label;
        final long bytes;
        final boolean operand;
        private final ShapeMemory memory;
        private MemoryTag tag;
        private int handles = 1;

        private Storage(ShapeMemory memory, String label, long bytes, MemoryTag tag, boolean operand) {
            this.memory = memory;
            this.label = label;
            this.bytes = bytes;
            this.tag = tag;
            this.operand = operand;
        }

        void retain() {
            handles++;
        }

        void release() {
            handles--;
            if (handles == 0) {
                memory.count(this, -1);
                memory.open.remove(this);
            }
        }

        void retag(MemoryTag newTag) {
            memory.count(this, -1);
            tag = newTag;
            memory.count(this, 1);
        }
    }

    ShapeTensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        return tensor(label, dtype, shape, layout.bytes(dtype, shape), tag, false);
    }

    /** {@return scales or a mask of an operand} */
    ShapeTensor allocateGroups(String label, DType dtype, Shape shape) {
        return tensor(label, dtype, shape, layout.bytes(dtype, shape), MemoryTag.SCRATCH, true);
    }

    /** {@return codes of an operand} */
    ShapeTensor allocateCodes(String label, DType dtype, Shape shape) {
        long bytes = layout.codeBytes(dtype, shape.rows(), shape.cols());
        return tensor(label, dtype, shape, bytes, MemoryTag.SCRATCH, true);
    }

    private ShapeTensor tensor(String label, DType dtype, Shape shape, long bytes, MemoryTag tag, boolean operand) {
        Storage storage = new Storage(this, label, bytes, tag, operand);
        open.add(storage);
        count(storage, 1);
        return new ShapeTensor(label, dtype, shape, storage);
    }

    private void count(Storage storage, int sign) {
        long bytes = sign * storage.bytes;
        live.merge(storage.tag, bytes, Long::sum);
        operandBytes += storage.operand && storage.tag == MemoryTag.SCRATCH ? bytes : 0;
        liveBytes += bytes;
        peakBytes = Math.max(peakBytes, liveBytes);
    }

    /** {@return live bytes by tag and the peak of their sum} */
    public MemoryUse use() {
        return new MemoryUse(live, peakBytes, peakBytes);
    }

    /** {@return live bytes of operands that are not kept for a backward pass: codes, scales and masks} */
    public long operandBytes() {
        return operandBytes;
    }

    /** {@return live bytes of a tag by the label of their tensors} */
    public SortedMap<String, Long> byLabel(MemoryTag tag) {
        SortedMap<String, Long> bytes = new TreeMap<>();
        open.stream().filter(s -> s.tag == tag).forEach(s -> bytes.merge(s.label, s.bytes, Long::sum));
        return bytes;
    }
}
