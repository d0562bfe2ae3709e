package dev.nibble.backend.cuda;

import dev.nibble.error.NotAvailableException;
import java.util.HashMap;
import java.util.Map;
import java.util.Set;
import jcuda.driver.CUcontext;
import jcuda.driver.CUdevice;
import jcuda.driver.CUdevice_attribute;
import jcuda.driver.CUmodule;
import jcuda.driver.CUresult;
import jcuda.driver.JCudaDriver;

/**
 * A GPU with its primary context and the modules loaded into it. One object serves all backends of a process and lives as long as
 * that: making a context takes a fifth of a second.
 */
final class CudaDevice {
    private static final Map<Integer, CudaDevice> OPEN = new HashMap<>();
    private static final Set<Integer> FATAL = Set.of(
            CUresult.CUDA_ERROR_ECC_UNCORRECTABLE,
            CUresult.CUDA_ERROR_NVLINK_UNCORRECTABLE,
            CUresult.CUDA_ERROR_CONTEXT_IS_DESTROYED,
            CUresult.CUDA_ERROR_EXTERNAL_DEVICE,
            CUresult.CUDA_ERROR_ILLEGAL_ADDRESS,
            CUresult.CUDA_ERROR_LAUNCH_TIMEOUT,
            CUresult.CUDA_ERROR_ASSERT,
            CUresult.CUDA_ERROR_HARDWARE_STACK_ERROR,
            CUresult.CUDA_ERROR_ILLEGAL_INSTRUCTION,
            CUresult.CUDA_ERROR_MISALIGNED_ADDRESS,
            CUresult.CUDA_ERROR_INVALID_ADDRESS_SPACE,
            CUresult.CUDA_ERROR_INVALID_PC,
            CUresult.CUDA_ERROR_LAUNCH_FAILED,
            CUresult.CUDA_ERROR_UNKNOWN); // the last: a device that is gone from its bus

    private final Driver driver;
    private final int ordinal;
    private final String name;
    private final int major;
    private final int minor;
    private final int processors;
    private final int largestShared;
    private final long memoryBytes;
    private final CUcontext context = new CUcontext();
    private final Map<String, CUmodule> modules = new HashMap<>();
    private String lost = ""; // what went wrong with it for good; empty while it works

    private CudaDevice(Driver driver, int ordinal) {
        this.driver = driver;
        this.ordinal = ordinal;
        NativeLoader.load();
        int started = driver.start();
        if (started != CUresult.CUDA_SUCCESS) {
            throw new NotAvailableException("backend cuda is not available: cuInit gives " + CUresult.stringFor(started)
                    + " (" + started + ")");
        }
        name = driver.deviceName(ordinal);
        major = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR);
        minor = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR);
        processors = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT);
        largestShared = attribute(CUdevice_attribute.CU_DEVICE_ATTRIBUTE_MAX_SHARED_MEMORY_PER_BLOCK_OPTIN);
        CUdevice device = new CUdevice();
        check(JCudaDriver.cuDeviceGet(device, ordinal), "cuDeviceGet");
        check(JCudaDriver.cuDevicePrimaryCtxRetain(context, device), "cuDevicePrimaryCtxRetain");
        makeCurrent();
        long[] free = new long[1];
        long[] total = new long[1];
        check(JCudaDriver.cuMemGetInfo(free, total), "cuMemGetInfo");
        memoryBytes = total[0];
    }

    /** {@return the device with this number, opened once in a process} */
    static synchronized CudaDevice open(int ordinal) {
        Driver driver = Driver.find()
                .orElseThrow(() -> new NotAvailableException("backend cuda is not available: no NVIDIA driver"));
        CudaDevice device = OPEN.computeIfAbsent(ordinal, number -> new CudaDevice(driver, number));
        if (!device.lost.isEmpty()) {
            throw new NotAvailableException("backend cuda is not available in this process any more, since "
                    + device.lost + "; start a new one");
        }
        return device;
    }

    /**
     * Notes that a call failed. After a fault of a kernel, such as a wrong address, the driver refuses all further work of the
     * process on this device.
     *
     * @param code the driver's result code
     * @param what what failed, in words
     */
    void noteFailure(int code, String what) {
        if (lost.isEmpty() && FATAL.contains(code)) {
            lost = what;
        }
    }

    /** {@return what went wrong with it for good; empty while it works} */
    String lost() {
        return lost;
    }

    Driver driver() {
        return driver;
    }

    /** {@return its number among the devices that the process sees} */
    int ordinal() {
        return ordinal;
    }

    /** {@return its name, such as NVIDIA H100 80GB HBM3} */
    String name() {
        return name;
    }

    /** {@return the architecture's first number: 9 of 9.0} */
    int major() {
        return major;
    }

    /** {@return the architecture's second number: 0 of 9.0} */
    int minor() {
        return minor;
    }

    /** {@return the number of streaming multiprocessors} */
    int processors() {
        return processors;
    }

    /** {@return the most dynamic shared memory that a block can ask for, in bytes} */
    int largestShared() {
        return largestShared;
    }

    /** {@return all of its memory, in bytes} */
    long memoryBytes() {
        return memoryBytes;
    }

    /** Makes its context that of the calling thread. */
    void makeCurrent() {
        check(JCudaDriver.cuCtxSetCurrent(context), "cuCtxSetCurrent");
    }

    /** {@return bytes that are free now} */
    long freeBytes() {
        long[] free = new long[1];
        long[] total = new long[1];
        return JCudaDriver.cuMemGetInfo(free, total) == CUresult.CUDA_SUCCESS ? free[0] : 0;
    }

    /** {@return a function, its file loaded when first asked for} */
    synchronized Kernel.Handle function(String file, String function, String images) {
        String architecture = KernelImages.choose(major, minor, images);
        CUmodule module = modules.computeIfAbsent(architecture + '/' + file, _ -> load(architecture, file));
        Kernel.Handle handle = new Kernel.Handle();
        check(
                JCudaDriver.cuModuleGetFunction(handle, module, function),
                "cuModuleGetFunction(%s of %s for %s)".formatted(function, file, architecture));
        return handle;
    }

    private CUmodule load(String architecture, String file) {
        CUmodule module = new CUmodule();
        check(
                JCudaDriver.cuModuleLoadData(module, KernelImages.image(architecture, file)),
                "cuModuleLoadData(%s for %s)".formatted(file, architecture));
        return module;
    }

    private int attribute(int number) {
        int value = driver.attribute(number, ordinal);
        check(Math.max(0, -value), "cuDeviceGetAttribute(" + number + ")");
        return value;
    }

    private void check(int code, String call) {
        if (code != CUresult.CUDA_SUCCESS) {
            throw new CudaException(
                    code, "%s failed on %s: %s (%d)".formatted(call, name, CUresult.stringFor(code), code));
        }
    }
}
