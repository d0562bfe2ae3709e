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

    private static final List<String> NATIVE = List.of("sm_90a", "sm_89", "sm_80");
    private static final String PROBE = "codec"; // a file that each architecture has

    private KernelImages() {}

    /** {@return the architectures that are in this build} */
    static List<String> present() {
        return Stream.concat(NATIVE.stream(), Stream.of(INTERMEDIATE))
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
        String exact = switch (major * 10 + minor) {
            case 90 -> "sm_90a";
            case 89 -> "sm_89";
            case 80, 86, 87 -> "sm_80";
            default -> INTERMEDIATE;
        };
        return present.contains(exact) ? exact : INTERMEDIATE;
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
        String end = architecture.equals(INTERMEDIATE) ? ".ptx" : ".cubin";
        return Optional.ofNullable(KernelImages.class.getResource("kernels/" + architecture + '/' + file + end));
    }
}
