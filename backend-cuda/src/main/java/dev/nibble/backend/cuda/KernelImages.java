package dev.nibble.backend.cuda;

import dev.nibble.error.NotAvailableException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.Stream;

/**
 * The compiled kernels beside the classes: machine code for some architectures, and an intermediate form that the driver compiles
 * for any later one.
 */
final class KernelImages {
    /** The form that the driver compiles. */
    static final String INTERMEDIATE = "compute_80";

    /** Files of this name's end are compiled for {@code sm_90a} alone. */
    static final String HOPPER_ONLY = "_sm90a";

    /** The same with the 8-bit casts of the hardware, which devices have from 8.9 on; not in every build. */
    static final String INTERMEDIATE_89 = "compute_89";

    /** What names a form that the driver compiles begins with. */
    private static final String INTERMEDIATE_PREFIX = "compute_";

    private static final List<String> NATIVE = List.of("sm_90a", "sm_89", "sm_80");
    private static final String PROBE = "codec"; // a file that each architecture has

    private KernelImages() {}

    /** {@return the architectures that are in this build} */
    static List<String> present() {
        return Stream.concat(NATIVE.stream(), Stream.of(INTERMEDIATE_89, INTERMEDIATE))
                .filter(architecture -> resource(architecture, PROBE).isPresent())
                .toList();
    }

    /**
     * {@return the architecture to load for a device}
     *
     * @param major first number of the device's architecture
     * @param minor second number
     * @param images what is asked for: see {@link CudaSettings}
     */
    static String choose(int major, int minor, String images) {
        return choose(major, minor, images, present());
    }

    /** {@return the architecture to load, of those that are present} */
    static String choose(int major, int minor, String images, List<String> present) {
        return switch (images) {
            case "auto" -> automatic(major, minor, present);
            case "ptx" -> INTERMEDIATE;
            default -> images;
        };
    }

    private static String automatic(int major, int minor, List<String> present) {
        int capability = major * 10 + minor;
        String exact = switch (capability) {
            case 90 -> "sm_90a";
            case 89 -> "sm_89";
            case 80, 86, 87 -> "sm_80";
            default -> INTERMEDIATE;
        };
        if (present.contains(exact) && !exact.equals(INTERMEDIATE)) {
            return exact;
        }
        return capability >= 89 && present.contains(INTERMEDIATE_89) ? INTERMEDIATE_89 : INTERMEDIATE;
    }

    /** {@return machine code that is present, but for other architectures than that which is chosen} */
    static List<String> others(String chosen, List<String> present) {
        return NATIVE.stream()
                .filter(present::contains)
                .filter(architecture -> !architecture.equals(chosen))
                .toList();
    }

    /** {@return whether a file is compiled for an architecture} */
    static boolean has(String architecture, String file) {
        return resource(architecture, file).isPresent();
    }

    /** {@return a compiled file, with a zero byte at its end, as the driver needs after text} */
    static byte[] image(String architecture, String file) {
        URL url = resource(architecture, file)
                .orElseThrow(() -> new NotAvailableException("kernels %s are not compiled for %s; this build has %s"
                        .formatted(file, architecture, present())));
        try (InputStream in = url.openStream()) {
            byte[] bytes = in.readAllBytes();
            return Arrays.copyOf(bytes, bytes.length + 1);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    private static Optional<URL> resource(String architecture, String file) {
        String end = architecture.startsWith(INTERMEDIATE_PREFIX) ? ".ptx" : ".cubin";
        return Optional.ofNullable(KernelImages.class.getResource("kernels/" + architecture + '/' + file + end));
    }
}
