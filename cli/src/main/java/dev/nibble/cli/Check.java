package dev.nibble.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.List;

/**
 * One thing that the doctor looked at.
 *
 * @param name what
 * @param status how it is
 * @param detail what was found, and what to do about it
 * @param required whether training in fp32 needs it
 */
record Check(String name, Status status, String detail, boolean required) {
    private static final long SMALL_HEAP = 1L << 30; // the default preset holds weights, moments and one step's context
    private static final int NEEDED_JDK = 25;

    /** How a thing is. */
    enum Status {
        /** As it should be. */
        OK,
        /** Works, but slower or with less. */
        WARN,
        /** Does not work. */
        FAIL
    }

    /** {@return checks of the JDK and the machine} */
    static List<Check> ofMachine() {
        return List.of(jdk(), vectorModule(), processors(), heap(), temporaryFolder());
    }

    private static Check jdk() {
        int feature = Runtime.version().feature();
        String detail = Runtime.version() + " (" + System.getProperty("java.vendor") + ") at "
                + System.getProperty("java.home");
        return feature >= NEEDED_JDK
                ? new Check("jdk", Status.OK, detail, true)
                : new Check("jdk", Status.FAIL, detail + ", but " + NEEDED_JDK + " is needed", true);
    }

    private static Check vectorModule() {
        String name = "jdk.incubator.vector";
        if (ModuleLayer.boot().findModule(name).isPresent()) {
            return new Check("vector module", Status.OK, name + " is resolved", false);
        }
        return new Check(
                "vector module",
                Status.WARN,
                name + " is not resolved, so backend cpu cannot run; start with --add-modules " + name,
                false);
    }

    private static Check processors() {
        String detail = Runtime.getRuntime().availableProcessors() + " for this process, "
                + System.getProperty("os.name") + " " + System.getProperty("os.arch");
        return new Check("processors", Status.OK, detail, false);
    }

    private static Check heap() {
        long heap = Runtime.getRuntime().maxMemory();
        return heap >= SMALL_HEAP
                ? new Check("java heap", Status.OK, "at most " + Figures.bytes(heap), false)
                : new Check(
                        "java heap",
                        Status.WARN,
                        "at most " + Figures.bytes(heap) + "; the text preset wants " + Figures.bytes(SMALL_HEAP)
                                + ", set -Xmx",
                        false);
    }

    private static Check temporaryFolder() {
        Path folder = Path.of(System.getProperty("java.io.tmpdir"));
        try {
            Files.delete(Files.createTempFile(folder, "nibble", ".tmp"));
            return new Check("temporary folder", Status.OK, folder + " is writable", false);
        } catch (IOException e) {
            String why = Failure.of(e).message();
            return new Check(
                    "temporary folder",
                    Status.WARN,
                    folder + " is not writable (" + why + "); native parts are unpacked there",
                    false);
        }
    }
}
