package dev.nibble.backend.cuda;

import dev.nibble.spi.Availability;
import java.util.List;
import java.util.Optional;

/** Finds out, without JCuda, whether there is a GPU that this build has kernels for. */
final class DeviceProbe {
    private static final int MAJOR_ATTRIBUTE = 75; // CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR
    private static final int MINOR_ATTRIBUTE = 76;
    private static final int OLDEST_MAJOR = 8; // Ampere: the oldest with BF16
    private static final String JCUDA = "jcuda"; // the module
    private static final String NO_DEVICE_HINT = "is CUDA_VISIBLE_DEVICES set?";

    private DeviceProbe() {}

    private static final class Holder {
        static final Availability FOUND = probe();

        private Holder() {}
    }

    /** {@return whether the backend can be opened; found out once} Never throws. */
    static Availability availability() {
        Module module = DeviceProbe.class.getModule();
        if (!module.isNativeAccessEnabled() || !jcudaIsAllowed(module)) {
            String name = module.isNamed() ? module.getName() + ',' + JCUDA : "ALL-UNNAMED";
            return Availability.no("native access is not allowed; start java with --enable-native-access=" + name);
        }
        return Holder.FOUND;
    }

    /** {@return whether JCuda, which loads a library of its own, may do that} On the class path there is no layer to ask. */
    private static boolean jcudaIsAllowed(Module own) {
        return Optional.ofNullable(own.getLayer())
                .flatMap(layer -> layer.findModule(JCUDA))
                .map(Module::isNativeAccessEnabled)
                .orElse(true);
    }

    private static Availability probe() {
        try {
            Optional<Driver> driver = Driver.find();
            return driver.isEmpty()
                    ? Availability.no("no NVIDIA driver: libcuda.so.1 was not found")
                    : probe(driver.get());
        } catch (RuntimeException e) {
            return Availability.no("the NVIDIA driver cannot be used: " + e.getMessage());
        }
    }

    private static Availability probe(Driver driver) {
        int code = driver.start();
        int devices = code == 0 ? driver.deviceCount() : -code;
        if (devices < 1) {
            return Availability.no(devices == 0 ? "no device; " + NO_DEVICE_HINT : noDevice(-devices));
        }
        return judge(
                driver.deviceName(0),
                driver.attribute(MAJOR_ATTRIBUTE, 0),
                driver.attribute(MINOR_ATTRIBUTE, 0),
                driver.version(),
                KernelImages.present());
    }

    private static String noDevice(int code) {
        String name = switch (code) {
            case 100 -> "no device";
            case 803 -> "the driver is older than its library";
            case 999 -> "unknown error";
            default -> "the driver does not start";
        };
        return name + " (CUDA error " + code + "); " + NO_DEVICE_HINT;
    }

    /** {@return availability, from what was found} */
    static Availability judge(String name, int major, int minor, int version, List<String> images) {
        String device = "%s, compute capability %d.%d, driver for CUDA %d.%d"
                .formatted(name, major, minor, version / 1000, version % 1000 / 10);
        if (major < OLDEST_MAJOR) {
            return Availability.no(device + ", but " + OLDEST_MAJOR + ".0 or newer is needed");
        }
        if (images.isEmpty()) {
            return Availability.no(device + ", but this build has no kernels; build it where nvcc is");
        }
        String chosen = KernelImages.choose(major, minor, "auto", images);
        if (!images.contains(chosen)) {
            return Availability.no(device + ", but this build has kernels for " + images + " only");
        }
        List<String> others = KernelImages.others(chosen, images);
        return Availability.yes(device + ", kernels for " + chosen
                + (KernelImages.isTested(chosen) ? "" : ", which bench/gpu/run.sh has not tested on such a device yet")
                + (others.isEmpty() ? "" : " (compiled, never run here: " + String.join(", ", others) + ")"));
    }
}
