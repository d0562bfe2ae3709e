package dev.nibble.backend.cuda;

import java.lang.foreign.AddressLayout;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemoryLayout;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.foreign.ValueLayout;
import java.lang.invoke.MethodHandle;
import java.util.List;
import java.util.Optional;

/**
 * The calls of libcuda that are made often, that JCuda lacks, or that come before JCuda is loaded. Handles and device addresses
 * are plain longs. Each call returns the driver's result code, 0 for success.
 */
final class Driver {
    private static final AddressLayout PTR = ValueLayout.ADDRESS;
    private static final ValueLayout.OfInt I32 = ValueLayout.JAVA_INT;
    private static final ValueLayout.OfLong I64 = ValueLayout.JAVA_LONG;
    private static final String LIBRARY = "libcuda.so.1";

    private final SymbolLookup library;
    private final MethodHandle launchKernel;
    private final MethodHandle copyToDevice;
    private final MethodHandle copyToHost;
    private final MethodHandle fillBytes;
    private final MethodHandle synchronize;
    private final MethodHandle recordEvent;
    private final MethodHandle waitForEvent;
    private final MethodHandle encodeTiled;
    private final MethodHandle launchGraph;

    private Driver(SymbolLookup library) {
        this.library = library;
        launchKernel = bind("cuLaunchKernel", I64, I32, I32, I32, I32, I32, I32, I32, I64, PTR, PTR);
        copyToDevice = bind("cuMemcpyHtoDAsync_v2", I64, PTR, I64, I64);
        copyToHost = bind("cuMemcpyDtoHAsync_v2", PTR, I64, I64, I64);
        fillBytes = bind("cuMemsetD8Async", I64, ValueLayout.JAVA_BYTE, I64, I64);
        synchronize = bind("cuStreamSynchronize", I64);
        recordEvent = bind("cuEventRecord", I64, I64);
        waitForEvent = bind("cuEventSynchronize", I64);
        launchGraph = bind("cuGraphLaunch", I64, I64);
        encodeTiled = bind("cuTensorMapEncodeTiled", PTR, I32, I32, I64, PTR, PTR, PTR, PTR, I32, I32, I32, I32);
    }

    private static final class Holder {
        static final Optional<Driver> DRIVER = find();

        private Holder() {}

        @SuppressWarnings("restricted") // availability asks for native access first
        private static Optional<Driver> find() {
            try {
                return Optional.of(new Driver(SymbolLookup.libraryLookup(LIBRARY, Arena.global())));
            } catch (IllegalArgumentException _) { // there is no such library
                return Optional.empty();
            }
        }
    }

    /** {@return the driver, if one is installed; looked up once} */
    static Optional<Driver> find() {
        return Holder.DRIVER;
    }

    @SuppressWarnings("restricted")
    private MethodHandle bind(String name, MemoryLayout... parameters) {
        return Linker.nativeLinker().downcallHandle(library.findOrThrow(name), FunctionDescriptor.of(I32, parameters));
    }

    /** {@return the number from a query whose only output is one int, or its result code, negated, if it fails} */
    private int query(String name, int... inputs) {
        MemoryLayout[] layouts = new MemoryLayout[inputs.length + 1];
        Object[] arguments = new Object[inputs.length + 1];
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment out = arena.allocate(I32);
            layouts[0] = PTR;
            arguments[0] = out;
            for (int i = 0; i < inputs.length; i++) {
                layouts[i + 1] = I32;
                arguments[i + 1] = inputs[i];
            }
            int code = (int) bind(name, layouts).invokeWithArguments(arguments);
            return code == 0 ? out.get(I32, 0) : -code;
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** {@return the result code of the driver's start} */
    int start() {
        try {
            return (int) bind("cuInit", I32).invokeExact(0);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** {@return the number of devices, or a result code, negated} */
    int deviceCount() {
        return query("cuDeviceGetCount");
    }

    /** {@return the driver's version, such as 13000} */
    int version() {
        return query("cuDriverGetVersion");
    }

    /** {@return an attribute of a device, or a result code, negated} */
    int attribute(int attribute, int ordinal) {
        return query("cuDeviceGetAttribute", attribute, ordinal);
    }

    /** {@return the name of a device} */
    String deviceName(int ordinal) {
        try (Arena arena = Arena.ofConfined()) {
            MemorySegment name = arena.allocate(256);
            int code = (int) bind("cuDeviceGetName", PTR, I32, I32).invokeExact(name, (int) name.byteSize(), ordinal);
            return code == 0 ? name.getString(0) : "device " + ordinal;
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int launch(
            long function, int gridX, int gridY, int gridZ, int blockX, int shared, long stream, MemorySegment args) {
        try {
            return (int) launchKernel.invokeExact(
                    function, gridX, gridY, gridZ, blockX, 1, 1, shared, stream, args, MemorySegment.NULL);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int reserveAddresses(MemorySegment address, long bytes) {
        return rare("cuMemAddressReserve", List.of(PTR, I64, I64, I64, I64), address, bytes, 0L, 0L, 0L);
    }

    int freeAddresses(long address, long bytes) {
        return rare("cuMemAddressFree", List.of(I64, I64), address, bytes);
    }

    int createMemory(MemorySegment handle, long bytes, MemorySegment properties) {
        return rare("cuMemCreate", List.of(PTR, I64, PTR, I64), handle, bytes, properties, 0L);
    }

    /** Maps memory to addresses, and allows all access. */
    int mapMemory(long address, long bytes, long handle, MemorySegment access) {
        int code = rare("cuMemMap", List.of(I64, I64, I64, I64, I64), address, bytes, 0L, handle, 0L);
        return code != 0 ? code : rare("cuMemSetAccess", List.of(I64, I64, PTR, I64), address, bytes, access, 1L);
    }

    /** Takes memory from its addresses, and frees it. */
    int unmapMemory(long address, long bytes, long handle) {
        int code = rare("cuMemUnmap", List.of(I64, I64), address, bytes);
        return code != 0 ? code : rare("cuMemRelease", List.of(I64), handle);
    }

    private int rare(String name, List<MemoryLayout> parameters, Object... arguments) {
        try {
            return (int) bind(name, parameters.toArray(MemoryLayout[]::new)).invokeWithArguments(arguments);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int launchGraph(long graph, long stream) {
        try {
            return (int) launchGraph.invokeExact(graph, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int copyToDevice(long to, MemorySegment from, long bytes, long stream) {
        try {
            return (int) copyToDevice.invokeExact(to, from, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int copyToHost(MemorySegment to, long from, long bytes, long stream) {
        try {
            return (int) copyToHost.invokeExact(to, from, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int fill(long to, byte value, long bytes, long stream) {
        try {
            return (int) fillBytes.invokeExact(to, value, bytes, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int synchronize(long stream) {
        try {
            return (int) synchronize.invokeExact(stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int recordEvent(long event, long stream) {
        try {
            return (int) recordEvent.invokeExact(event, stream);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    int waitForEvent(long event) {
        try {
            return (int) waitForEvent.invokeExact(event);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    /** Describes a matrix for the tensor memory accelerator; arguments as the driver's documentation names them. */
    int encodeTiled(
            MemorySegment map,
            int type,
            int rank,
            long address,
            MemorySegment extents,
            MemorySegment strides,
            MemorySegment box,
            MemorySegment steps,
            int interleave,
            int swizzle,
            int promotion,
            int fill) {
        try {
            return (int) encodeTiled.invokeExact(
                    map, type, rank, address, extents, strides, box, steps, interleave, swizzle, promotion, fill);
        } catch (Throwable e) {
            throw unexpected(e);
        }
    }

    private static RuntimeException unexpected(Throwable e) {
        return switch (e) {
            case RuntimeException runtime -> runtime;
            case Error error -> throw error;
            default -> new IllegalStateException(e);
        };
    }
}
