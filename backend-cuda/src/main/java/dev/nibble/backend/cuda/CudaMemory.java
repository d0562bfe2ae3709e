package dev.nibble.backend.cuda;

import dev.nibble.spi.MemoryUse;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import jcuda.driver.CUdeviceptr;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * Allocates tensors on the device and counts live bytes by tag. Memory that was freed is used again at once: all work is enqueued
 * on one stream, so whoever gets it comes later. What lives for a step lies apart from what stays, so that each
 * step finds the same free memory and gets the same addresses.
 */
final class CudaMemory implements AutoCloseable {
    /** Rows and the contraction of an operand are padded to a multiple of this. */
    static final long TILE = 128;

    private static final byte POISON = (byte) 0xFF;
    private static final long MIB = 1 << 20;

    private static final class Block extends CUdeviceptr {
        long raw() {
            return getNativePointer();
        }
    }

    private final CudaStream stream;
    private final CudaSettings settings;
    private final Map<Long, Block> blocks = new HashMap<>(); // by address
    private final List<MappedMemory> mapped = new ArrayList<>();
    private final DeviceArena lasting;
    private final DeviceArena passing;
    private final EnumMap<MemoryTag, Long> live = new EnumMap<>(MemoryTag.class);
    private final Canaries canaries;
    private long liveBytes;
    private long peakBytes;
    private long heldBytes; // of arenas
    private long openTensors;
    private boolean open = true;

    CudaMemory(CudaStream stream, CudaSettings settings) {
        this.stream = stream;
        this.settings = settings;
        this.canaries = new Canaries(stream, settings.canaries());
        this.lasting = new DeviceArena(source());
        this.passing = new DeviceArena(source());
    }

    private DeviceArena.Source source() {
        CudaDevice device = stream.device();
        if (!settings.arena() || !MappedMemory.isSupported(device.driver(), device.ordinal())) {
            return new Blocks();
        }
        MappedMemory memory = MappedMemory.reserve(stream, device.ordinal());
        mapped.add(memory);
        return new Pieces(memory);
    }

    /** Memory that lies anywhere. */
    private final class Blocks implements DeviceArena.Source {
        @Override
        public boolean joins() {
            return false;
        }

        @Override
        public long acquire(long bytes) {
            return acquireBlock(bytes);
        }

        @Override
        public void release(long address) {
            releaseBlock(address);
        }
    }

    /** Memory of which each piece lies behind the last. */
    private static final class Pieces implements DeviceArena.Source {
        private final MappedMemory memory;

        Pieces(MappedMemory memory) {
            this.memory = memory;
        }

        @Override
        public boolean joins() {
            return true;
        }

        @Override
        public long acquire(long bytes) {
            return memory.add(bytes);
        }

        @Override
        public void release(long address) {
            memory.remove(address);
        }
    }

    /**
     * {@return a new dense tensor; its contents are undefined}
     *
     * @param label name used in messages
     * @param dtype element type
     * @param shape extents
     * @param tag what it is for
     */
    CudaTensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        long pitch = dtype.pitch(shape.cols()) * dtype.bits() / Byte.SIZE;
        return tensor(label, dtype, shape, pitch, dtype.bytes(shape), tag, true);
    }

    /** {@return a tensor that the backend needs itself: not counted, and freed with the backend} */
    CudaTensor allocateOwn(String label, DType dtype, Shape shape) {
        long pitch = dtype.pitch(shape.cols()) * dtype.bits() / Byte.SIZE;
        return tensor(label, dtype, shape, pitch, dtype.bytes(shape), MemoryTag.STATE, false);
    }

    /**
     * {@return memory for the codes of a plane [rows, k]; its contents, padding included, are undefined} Rows are a
     * multiple of 128 bytes apart, and as many as the next multiple of 128.
     */
    CudaTensor allocateCodes(String label, DType format, long rows, long k, MemoryTag tag) {
        long pitch = codesPitch(format, k);
        return tensor(label, format, Shape.of(rows, k), pitch, pitch * padded(rows), tag, true);
    }

    /** {@return bytes from one row of codes to the next: k padded to 128 elements and to 128 bytes} */
    static long codesPitch(DType format, long k) {
        long bytes = padded(k) * format.bits() / Byte.SIZE;
        return Math.ceilDiv(bytes, TILE) * TILE;
    }

    /** {@return the next multiple of 128} */
    static long padded(long extent) {
        return Math.ceilDiv(extent, TILE) * TILE;
    }

    /** {@return bytes for one operation to work in; whoever asks closes it, as soon as what uses it is enqueued} */
    CudaTensor scratch(String label, long bytes) {
        return allocate(label, DType.INT8, Shape.of(bytes), MemoryTag.SCRATCH);
    }

    private CudaTensor tensor(
            String label, DType dtype, Shape shape, long pitch, long bytes, MemoryTag tag, boolean counted) {
        requireOpen(label);
        long size = DeviceArena.rounded(bytes);
        long address = 0;
        if (size > 0) {
            try {
                address = take(size + canaries.bytes(), tag);
            } catch (CudaException e) {
                throw outOfMemory(label, dtype, shape, size, e);
            }
            if (settings.poison()) {
                stream.fill(address, POISON, size);
            }
            canaries.plant(address + size);
        }
        if (counted) {
            count(tag, size);
            openTensors++;
        }
        boolean passing = tag == MemoryTag.SCRATCH;
        return new CudaTensor(label, dtype, shape, pitch, new CudaStorage(this, address, size, tag, passing, counted));
    }

    private long take(long bytes, MemoryTag tag) {
        if (!settings.arena()) {
            return acquireBlock(bytes);
        }
        DeviceArena arena = tag == MemoryTag.SCRATCH ? passing : lasting;
        long address = take(arena, bytes);
        heldBytes = Math.max(heldBytes, lasting.reserved() + passing.reserved());
        return address;
    }

    private long take(DeviceArena arena, long bytes) {
        try {
            return arena.allocate(bytes);
        } catch (CudaException e) {
            if (e.code() != CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
                throw e;
            }
            stream.synchronize("wait for memory"); // what holds nothing is given back, and asked for again
            boolean passed = passing.trim();
            if (!lasting.trim() && !passed) {
                throw e;
            }
            return arena.allocate(bytes);
        }
    }

    private long acquireBlock(long bytes) {
        stream.bind();
        Block block = new Block();
        stream.check(JCudaDriver.cuMemAlloc(block, bytes), () -> "cuMemAlloc(" + bytes + ")");
        blocks.put(block.raw(), block);
        return block.raw();
    }

    private void releaseBlock(long address) {
        Block block = blocks.remove(address);
        stream.bind();
        stream.check(JCudaDriver.cuMemFree(block), () -> "cuMemFree");
    }

    private CudaException outOfMemory(String label, DType dtype, Shape shape, long bytes, CudaException e) {
        if (e.code() != CUresult.CUDA_ERROR_OUT_OF_MEMORY) {
            return e;
        }
        CudaDevice device = stream.device();
        return new CudaException(
                e.code(),
                ("%s %s%s needs %d MiB, but %s has %d MiB free of %d (live tensors: %d MiB, held for others: %d MiB); lower the"
                                + " batch, the sequence length or the width of the model, or free the memory that other"
                                + " processes hold")
                        .formatted(
                                label,
                                dtype.label(),
                                shape,
                                Math.ceilDiv(bytes, MIB),
                                device.name(),
                                device.freeBytes() / MIB,
                                device.memoryBytes() / MIB,
                                liveBytes / MIB,
                                (lasting.reserved() + passing.reserved() - liveBytes) / MIB));
    }

    void free(CudaStorage storage) {
        if (!open) {
            return;
        }
        if (storage.counted) {
            count(storage.tag, -storage.bytes);
            openTensors--;
        }
        if (storage.bytes == 0) {
            return;
        }
        canaries.check(storage.address + storage.bytes);
        if (settings.arena()) {
            (storage.passing ? passing : lasting).free(storage.address, storage.bytes + canaries.bytes());
        } else {
            releaseBlock(storage.address); // waits for the device
        }
    }

    void retag(CudaStorage storage, MemoryTag tag) {
        count(storage.tag, -storage.bytes);
        storage.tag = tag;
        count(tag, storage.bytes);
    }

    private void count(MemoryTag tag, long bytes) {
        live.merge(tag, bytes, Long::sum);
        liveBytes += bytes;
        peakBytes = Math.max(peakBytes, liveBytes);
    }

    void requireOpen(String label) {
        if (!open) {
            throw new IllegalStateException(label + " is used after its backend was closed");
        }
    }

    /** {@return live bytes by tag, the peak of their sum, and the most that was taken from the device} */
    MemoryUse use() {
        return new MemoryUse(live, peakBytes, Math.max(peakBytes, heldBytes));
    }

    /** {@return tensors whose memory has an open handle: what a leak test counts} */
    long openTensors() {
        return openTensors;
    }

    @Override
    public void close() {
        if (open) {
            open = false;
            live.clear();
            mapped.forEach(MappedMemory::close);
            for (long address : blocks.keySet().toArray(Long[]::new)) {
                releaseBlock(address);
            }
        }
    }
}
