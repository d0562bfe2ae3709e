package dev.nibble.backend.cuda;

import dev.nibble.error.NotAvailableException;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.URL;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Stream;

/**
 * The compiled kernels beside the classes: machine code for some architectures, and an intermediate form that the driver compiles
 * for any later one.
 */
final class KernelImages {
    /** The form that the driver compiles for any device. */
    static final String INTERMEDIATE = "compute_80";

    /** Files of this name's end are compiled for {@code sm_90a} alone. */
    static final String HOPPER_ONLY = "_sm90a";

    /** Files of this name's end are compiled for 8.9 and, as what the driver compiles, for what is newer: warps of 9.0 are slow at it. */
    static final String FROM_ADA_ON = "_sm89";

    /** What names a form that the driver compiles begins with. */
    private static final String INTERMEDIATE_PREFIX = "compute_";

    // Newest first. Devices have 8-bit casts from 8.9 on.
    private static final List<String> NATIVE = List.of("sm_90a", "sm_89", "sm_80");
    private static final List<String> INTERMEDIATES = List.of("compute_89", INTERMEDIATE);
    private static final Set<String> TESTED = Set.of("sm_90a", "compute_89", INTERMEDIATE);
    private static final String PROBE = "codec"; // a file that each architecture has

    private KernelImages() {}

    /** {@return the architectures that are in this build} */
    static List<String> present() {
        return Stream.concat(NATIVE.stream(), INTERMEDIATES.stream())
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

    /**
     * {@return the architecture to load, of those that are present} Of itself, machine code of the device's own architecture, else of
     * the newest older one of the same major number, else the newest form that the driver can compile for it.
     */
    static String choose(int major, int minor, String images, List<String> present) {
        return switch (images) {
            case "auto" -> automatic(major, minor, present);
            case "ptx" -> INTERMEDIATE;
            default -> images;
        };
    }

    private static String automatic(int major, int minor, List<String> present) {
        int device = major * 10 + minor;
        Stream<String> machineCode = NATIVE.stream().filter(architecture -> runs(architecture, device));
        Stream<String> compiled = INTERMEDIATES.stream().filter(form -> number(form) <= device);
        return Stream.concat(machineCode, compiled)
                .filter(present::contains)
                .findFirst()
                .orElse(INTERMEDIATE);
    }

    /** {@return whether machine code runs on a device} What is compiled for {@code sm_90a} runs on 9.0 alone. */
    private static boolean runs(String architecture, int device) {
        int number = number(architecture);
        boolean sameMajor = number / 10 == device / 10;
        return architecture.endsWith("a") ? number == device : sameMajor && number <= device;
    }

    /** {@return 89 for {@code sm_89}} */
    private static int number(String architecture) {
        return Integer.parseInt(architecture.replaceAll("\\D", ""));
    }

    /** {@return whether a device has run this code in the tests of docs/gpu-proof.md} */
    static boolean isTested(String architecture) {
        return TESTED.contains(architecture);
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
