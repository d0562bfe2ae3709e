package dev.nibble.backend.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.Map;
import jcuda.driver.CUresult;

/**
 * A range of addresses that device memory is mapped into, piece after piece, so that what is added lies behind what is there:
 * pieces of an arena then have no borders between them. The driver's ordinary allocations lie anywhere.
 */
final class MappedMemory implements AutoCloseable {
    private static final int SUPPORTED_ATTRIBUTE = 102; // CU_DEVICE_ATTRIBUTE_VIRTUAL_MEMORY_MANAGEMENT_SUPPORTED
    private static final int PINNED = 1; // CU_MEM_ALLOCATION_TYPE_PINNED: it stays where it is
    private static final int ON_DEVICE = 1; // CU_MEM_LOCATION_TYPE_DEVICE
    private static final int READ_WRITE = 3; // CU_MEM_ACCESS_FLAGS_PROT_READWRITE
    private static final long PROPERTIES_BYTES = 32; // of CUmemAllocationProp: type, handle types, location, then zeros
    private static final long ACCESS_BYTES = 12; // of CUmemAccessDesc: location, flags
    private static final long PAGE = 2L << 20; // what sizes are multiples of, at least

    private record Piece(long handle, long bytes) {}

    private final CudaStream stream;
    private final Driver driver;
    private final int ordinal;
    private final long base;
    private final long capacity;
    private final Map<Long, Piece> pieces = new HashMap<>(); // by address
    private long end;

    private MappedMemory(CudaStream stream, int ordinal, long base, long capacity) {
        this.stream = stream;
        this.driver = stream.device().driver();
        this.ordinal = ordinal;
        this.base = base;
        this.capacity = capacity;
        this.end = base;
    }

    /** {@return whether a device can do this} */
    static boolean isSupported(Driver driver, int ordinal) {
        return driver.attribute(SUPPORTED_ATTRIBUTE, ordinal) == 1;
    }

    /** {@return a range of addresses with no memory behind it yet, twice as large as the device's memory} */
    static MappedMemory reserve(CudaStream stream, int ordinal) {
        CudaDevice device = stream.device();
        long capacity = Math.ceilDiv(2 * device.memoryBytes(), PAGE) * PAGE;
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment address = arena.allocate(ValueLayout.JAVA_LONG);
            int code = device.driver().reserveAddresses(address, capacity);
            stream.check(code, () -> "cuMemAddressReserve(" + capacity + ")");
            return new MappedMemory(stream, ordinal, address.get(ValueLayout.JAVA_LONG, 0), capacity);
        }
    }

    /**
     * {@return the address of memory that was added behind all other}
     *
     * @param bytes a multiple of 2 MiB
     */
    long add(long bytes) {
        stream.bind();
        long address = end;
        if (address + bytes > base + capacity) { // holds more than the device does
            throw stream.failure(CUresult.CUDA_ERROR_OUT_OF_MEMORY, "cuMemCreate(" + bytes + ")");
        }
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment properties = arena.allocate(PROPERTIES_BYTES);
            properties.set(ValueLayout.JAVA_INT, 0, PINNED);
            properties.set(ValueLayout.JAVA_INT, 8, ON_DEVICE);
            properties.set(ValueLayout.JAVA_INT, 12, ordinal);
            MemorySegment handle = arena.allocate(ValueLayout.JAVA_LONG);
            stream.check(driver.createMemory(handle, bytes, properties), () -> "cuMemCreate(" + bytes + ")");
            MemorySegment access = arena.allocate(ACCESS_BYTES, Long.BYTES);
            access.set(ValueLayout.JAVA_INT, 0, ON_DEVICE);
            access.set(ValueLayout.JAVA_INT, 4, ordinal);
            access.set(ValueLayout.JAVA_INT, 8, READ_WRITE);
            long made = handle.get(ValueLayout.JAVA_LONG, 0);
            stream.check(driver.mapMemory(address, bytes, made, access), () -> "cuMemMap(" + bytes + ")");
            pieces.put(address, new Piece(made, bytes));
        }
        end = address + bytes;
        return address;
    }

    /** Gives the piece that was added last back. Nothing may be running. */
    void remove(long address) {
        Piece piece = pieces.remove(address);
        stream.bind();
        stream.check(
                driver.unmapMemory(address, piece.bytes(), piece.handle()), () -> "cuMemUnmap(" + piece.bytes() + ")");
        if (address + piece.bytes() == end) {
            end = address;
        }
    }

    @Override
    public void close() {
        for (long address : pieces.keySet().toArray(Long[]::new)) {
            remove(address);
        }
        stream.check(driver.freeAddresses(base, capacity), () -> "cuMemAddressFree(" + capacity + ")");
    }
}
