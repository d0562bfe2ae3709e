package dev.nibble.backend.cuda;

import java.util.HashMap;
import java.util.Map;
import java.util.Set;

/** The compiled kernels of a backend, loaded file by file when first asked for. */
final class Kernels {
    private final CudaDevice device;
    private final CudaStream stream;
    private final CudaSettings settings;
    private final Map<String, Kernel> kernels = new HashMap<>();

    Kernels(CudaDevice device, CudaStream stream, CudaSettings settings) {
        this.device = device;
        this.stream = stream;
        this.settings = settings;
    }

    /**
     * {@return a kernel; the same object every time}
     *
     * @param file name of the source without {@code .cu}
     * @param function name of the {@code extern "C"} function
     */
    Kernel get(String file, String function) {
        return kernels.computeIfAbsent(file + '.' + function, name -> {
            stream.bind();
            return new Kernel(name, device.function(file, function, settings.images()), stream);
        });
    }

    /** {@return file and function of the kernels that were asked for so far: for tests} */
    Set<String> names() {
        return Set.copyOf(kernels.keySet());
    }

    /** {@return the architecture whose code runs, as {@link KernelImages#choose} says} */
    String architecture() {
        return KernelImages.choose(device.major(), device.minor(), settings.images());
    }
}
