package dev.nibble.backend.cuda;

import java.lang.foreign.MemorySegment;
import java.util.ArrayDeque;
import java.util.Deque;
import java.util.LinkedHashSet;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.function.Consumer;
import java.util.function.Supplier;
import jcuda.driver.CUresult;
import jcuda.driver.CUstream;
import jcuda.driver.CUstream_flags;
import jcuda.driver.JCudaDriver;

/** The stream of one backend: everything it does is enqueued here, in order. */
final class CudaStream implements AutoCloseable {
    private static final int REMEMBERED = 32; // kernels that a late error may have come from

    /** A kernel, and what it works on. */
    private record Launched(String name, Object about) {
        @Override
        public String toString() {
            String what = String.valueOf(about);
            return what.isEmpty() ? name : name + " for " + what;
        }
    }

    private static final class Handle extends CUstream {
        long raw() {
            return getNativePointer();
        }
    }

    private final CudaDevice device;
    private final boolean synchronous;
    private final Handle handle = new Handle();
    private final long raw;
    private final Deque<Launched> recent = new ArrayDeque<>(); // launched since the last wait, newest last
    private final LaunchTape tape;
    private final boolean graphs;
    private Optional<Consumer<String>> watcher = Optional.empty();
    private boolean taping;
    private long bound; // number of the thread that has the device's context

    CudaStream(CudaDevice device, CudaSettings settings) {
        this.device = device;
        this.synchronous = settings.synchronous();
        this.bound = Thread.currentThread().threadId();
        device.makeCurrent();
        check(JCudaDriver.cuStreamCreate(handle, CUstream_flags.CU_STREAM_NON_BLOCKING), () -> "cuStreamCreate");
        raw = handle.raw();
        tape = new LaunchTape(this);
        // Memory that goes back to the driver with its tensor must not be waited for by a launch that is held back.
        graphs = settings.graphs() && settings.arena() && !synchronous;
    }

    CudaDevice device() {
        return device;
    }

    /** {@return the driver's handle} */
    long raw() {
        return raw;
    }

    CUstream handle() {
        return handle;
    }

    /** Makes the device's context that of the calling thread, if it is not. */
    void bind() {
        long current = Thread.currentThread().threadId();
        if (bound != current) {
            device.makeCurrent();
            bound = current;
        }
    }

    /** Holds launches back from now on, to enqueue them as graphs where they repeat. */
    void beginTape() {
        taping = graphs && watcher.isEmpty();
    }

    /** Tells the name of each kernel after its launch, from the next step on; nothing goes to the device as a graph meanwhile. */
    void watch(Optional<Consumer<String>> newWatcher) {
        watcher = newWatcher;
    }

    /** Enqueues what was held back, and holds nothing back any more. */
    void endTape() {
        flush();
        taping = false;
    }

    private void flush() {
        bind();
        tape.flush();
    }

    /** {@return graphs that were launched so far: for tests} */
    long graphLaunches() {
        return tape.graphLaunches();
    }

    void launch(Kernel kernel, int gridX, int gridY, int gridZ, int blockX, int shared, Args args) {
        bind();
        if (taping) {
            tape.launch(kernel, gridX, gridY, gridZ, blockX, shared, args);
        } else {
            MemorySegment pointers = args.pointers();
            launchNow(kernel.raw(), kernel.name(), gridX, gridY, gridZ, blockX, shared, pointers, args.what());
        }
    }

    void launchNow(
            long function,
            String name,
            int gridX,
            int gridY,
            int gridZ,
            int blockX,
            int shared,
            MemorySegment pointers,
            Object about) {
        int code = device.driver().launch(function, gridX, gridY, gridZ, blockX, shared, raw, pointers);
        if (code != CUresult.CUDA_SUCCESS) {
            throw failure(
                    code,
                    "launch of %s for %s, %d x %d x %d blocks of %d threads with %d bytes of shared memory"
                            .formatted(name, about, gridX, gridY, gridZ, blockX, shared));
        }
        remember(name, about);
        watcher.ifPresent(told -> told.accept(name));
        if (synchronous) {
            int late = device.driver().synchronize(raw);
            if (late != CUresult.CUDA_SUCCESS) {
                throw failure(late, name + " for " + about);
            }
            recent.clear();
        }
    }

    /** Enqueues a graph of kernels, each with what it works on. */
    void launchGraph(long graph, List<String> names, List<Object> abouts) {
        int code = device.driver().launchGraph(graph, raw);
        check(code, () -> "launch of a graph of " + names);
        for (int i = Math.max(0, names.size() - REMEMBERED); i < names.size(); i++) {
            remember(names.get(i), abouts.get(i));
        }
    }

    private void remember(String name, Object about) {
        if (recent.size() == REMEMBERED) {
            recent.removeFirst();
        }
        recent.addLast(new Launched(name, about));
    }

    /** Enqueues setting bytes. */
    void fill(long address, byte value, long bytes) {
        if (bytes > 0) {
            bind();
            if (taping) {
                tape.fill(address, value, bytes);
            } else {
                fillNow(address, value, bytes);
            }
        }
    }

    void fillNow(long address, byte value, long bytes) {
        check(device.driver().fill(address, value, bytes, raw), () -> "cuMemsetD8Async of " + bytes + " bytes");
        watcher.ifPresent(told -> told.accept("fill"));
    }

    /** Enqueues a copy from memory that the device reaches, which must stay as it is until the copy has been done. */
    void copyToDevice(long to, MemorySegment from) {
        flush();
        long bytes = from.byteSize();
        check(device.driver().copyToDevice(to, from, bytes, raw), () -> "copy of " + bytes + " bytes to the device");
    }

    /** Copies from the device, and waits. */
    void copyToHost(MemorySegment to, long from) {
        flush();
        long bytes = to.byteSize();
        check(device.driver().copyToHost(to, from, bytes, raw), () -> "copy of " + bytes + " bytes to the host");
        synchronize("copy of " + bytes + " bytes to the host");
    }

    /** Marks the place that the stream has come to. */
    void record(long event) {
        flush();
        check(device.driver().recordEvent(event, raw), () -> "cuEventRecord");
    }

    /** Waits for everything that was enqueued. */
    void synchronize(String why) {
        flush();
        check(device.driver().synchronize(raw), () -> why);
        recent.clear();
    }

    /**
     * Checks a result code.
     *
     * @param call says what was called, with its arguments
     */
    void check(int code, Supplier<String> call) {
        if (code != CUresult.CUDA_SUCCESS) {
            throw failure(code, call.get());
        }
    }

    /** {@return an exception that names the device and what may have caused a late failure} */
    CudaException failure(int code, String call) {
        if (!device.lost().isEmpty()) {
            return new CudaException(code, call + " failed, since " + device.lost());
        }
        Set<String> names = new LinkedHashSet<>();
        recent.descendingIterator().forEachRemaining(launched -> names.add(launched.toString()));
        String late = names.isEmpty()
                ? ""
                : "; launched since the last wait, newest first: " + String.join(", ", names)
                        + "; with -Dnibble.cuda.synchronous=true the message names the one that failed";
        String what = "%s failed on %s: %s (%d)".formatted(call, device.name(), CUresult.stringFor(code), code);
        device.noteFailure(code, what);
        return new CudaException(code, what + late);
    }

    @Override
    public void close() {
        bind();
        tape.close();
        check(JCudaDriver.cuStreamDestroy(handle), () -> "cuStreamDestroy");
    }
}
