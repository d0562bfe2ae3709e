package dev.nibble.backend.cpu;

import java.util.HashMap;
import java.util.Locale;
import java.util.Map;
import java.util.Optional;

/**
 * Notices a kernel that runs ten to a hundred times slower than it should: C2 sometimes leaves the vectors of a kernel on
 * the heap for the whole life of a JVM. The best call counts, so a busy machine is no cliff.
 */
final class RateWatch {
    private static final System.Logger LOG = System.getLogger(RateWatch.class.getName());
    private static final long FEWEST_OPERATIONS = 1L << 24; // a smaller product is mostly packing
    private static final int CALLS = 100; // by then C2 has compiled the kernel
    private static final double LOWEST_RATE = 3; // operations a nanosecond; vectors of 128 bits reach twenty

    private final Map<String, Kernel> kernels = new HashMap<>();

    /** What was seen of a kernel. */
    private static final class Kernel {
        private int calls;
        private double best; // operations a nanosecond
    }

    /** Notes a call; says so once, if a kernel is slow. */
    void note(String kernel, long operations, long nanos) {
        cliff(kernel, operations, nanos).ifPresent(text -> LOG.log(System.Logger.Level.WARNING, text));
    }

    /** {@return what to say about the kernel; once, if it is slow} */
    Optional<String> cliff(String kernel, long operations, long nanos) {
        if (operations < FEWEST_OPERATIONS) {
            return Optional.empty();
        }
        Kernel seen = kernels.computeIfAbsent(kernel, _ -> new Kernel());
        seen.best = Math.max(seen.best, (double) operations / Math.max(1, nanos));
        seen.calls++;
        if (seen.calls != CALLS || seen.best >= LOWEST_RATE) {
            return Optional.empty();
        }
        return Optional.of(String.format(
                Locale.ROOT,
                "kernel %s reaches %.2g operations a nanosecond, but %.0f or more are usual: the JVM may have left its vectors"
                        + " on the heap. Results are right; a new start may be ten times as fast",
                kernel,
                seen.best,
                LOWEST_RATE));
    }
}
