package dev.nibble.cli;

import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.Optional;
import java.util.stream.Stream;

/** What a result was measured on. */
final class Machine {
    private static final Path PROCESSORS = Path.of("/proc/cpuinfo");
    private static final String MODEL = "model name";

    private Machine() {}

    /** {@return facts by name, in the order they are shown} */
    static Map<String, String> facts() {
        Runtime runtime = Runtime.getRuntime();
        Map<String, String> facts = new LinkedHashMap<>();
        facts.put("nibble", Nibble.Version.number());
        facts.put("java", Runtime.version() + " (" + System.getProperty("java.vendor") + ")");
        facts.put(
                "system",
                System.getProperty("os.name") + " " + System.getProperty("os.version") + " "
                        + System.getProperty("os.arch"));
        processorModel().ifPresent(model -> facts.put("processor", model));
        facts.put("processors", String.valueOf(runtime.availableProcessors()));
        facts.put("java heap", "at most " + Figures.bytes(runtime.maxMemory()));
        return facts;
    }

    private static Optional<String> processorModel() {
        if (!Files.isReadable(PROCESSORS)) {
            return Optional.empty();
        }
        try (Stream<String> lines = Files.lines(PROCESSORS)) {
            return lines.filter(line -> line.startsWith(MODEL) && line.contains(":"))
                    .map(line -> line.substring(line.indexOf(':') + 1).strip())
                    .findFirst();
        } catch (IOException _) {
            return Optional.empty();
        }
    }
}
