package dev.nibble.backend.cuda;

import dev.nibble.report.ExecutionLog;

/** What the operations of one backend share: device, stream, memory, kernels, seed, log, and what was not finite. */
final class CudaRuntime implements AutoCloseable {
    private final CudaDevice device;
    private final CudaSettings settings;
    private final long seed;
    private final boolean strict;
    private final ExecutionLog log;
    private final CudaStream stream;
    private final CudaMemory memory;
    private final Kernels kernels;
    private final Staging staging;
    private final StepInfo stepInfo;
    private final NonFiniteRecord nonFinite;
    private final TensorMaps tensorMaps;
    private final StatePrograms statePrograms;
    private final Args args = new Args();

    CudaRuntime(CudaDevice device, CudaSettings settings, long seed, boolean strict) {
        this.device = device;
        this.settings = settings;
        this.seed = seed;
        this.strict = strict;
        this.log = new ExecutionLog(strict);
        this.stream = new CudaStream(device, settings);
        this.memory = new CudaMemory(stream, settings);
        this.kernels = new Kernels(device, stream, settings);
        this.tensorMaps = new TensorMaps(stream);
        this.staging = new Staging(stream);
        this.stepInfo = new StepInfo(memory, staging, seed);
        this.statePrograms = new StatePrograms(this);
        this.nonFinite = new NonFiniteRecord(memory, stream, staging);
    }

    /** {@return the device} */
    CudaDevice device() {
        return device;
    }

    /** {@return ways to run} */
    CudaSettings settings() {
        return settings;
    }

    /** {@return the stream on which everything is enqueued} */
    CudaStream stream() {
        return stream;
    }

    /** {@return the allocator} */
    CudaMemory memory() {
        return memory;
    }

    /** {@return the compiled kernels} */
    Kernels kernels() {
        return kernels;
    }

    /** {@return the argument list for the next launch, empty; the same object every time} */
    Args args() {
        return args.clear();
    }

    /** {@return descriptions of matrices for the tensor memory accelerator} */
    TensorMaps tensorMaps() {
        return tensorMaps;
    }

    /** {@return copies between arrays and the device} */
    Staging staging() {
        return staging;
    }

    /** {@return seed of every random draw; kernels find it in the {@code StepInfo}, too} */
    long seed() {
        return seed;
    }

    /** {@return whether a product that does not run as asked for is an error} */
    boolean strict() {
        return strict;
    }

    /** {@return what ran} */
    ExecutionLog log() {
        return log;
    }

    /** {@return the numbers of the open step on the device} */
    StepInfo stepInfo() {
        return stepInfo;
    }

    /** {@return what runs state programs: {@code QuantizeOps.run}} */
    StatePrograms statePrograms() {
        return statePrograms;
    }

    /** {@return the record of operands that were not finite} */
    NonFiniteRecord nonFinite() {
        return nonFinite;
    }

    /** Waits, and frees everything. A device that is lost has freed it already, and the failure has been told. */
    @Override
    public void close() {
        if (!device.lost().isEmpty()) {
            return;
        }
        stream.synchronize("close");
        staging.close();
        memory.close();
        stream.close();
    }
}
