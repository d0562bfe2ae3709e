package dev.nibble.conformance;

import java.io.File;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.concurrent.TimeUnit;
import java.util.stream.Collectors;
import java.util.stream.Stream;

/**
 * The command in a process of its own: a fault of a GPU ends all work of its process there.
 *
 * @param status exit status
 * @param out standard output
 * @param err standard error, without the JVM's warnings
 */
record Command(int status, String out, String err) {
    private static final long PATIENCE_SECONDS = 120;
    private static final String ACCESS = "--enable-native-access=ALL-UNNAMED";

    /** A command that was started. */
    record Started(Process process, Path out, Path err) {
        Command ended() throws IOException, InterruptedException {
            if (!process.waitFor(PATIENCE_SECONDS, TimeUnit.SECONDS)) {
                process.destroyForcibly();
                throw new IllegalStateException(
                        "the command runs for more than " + PATIENCE_SECONDS + " s: " + Files.readString(err));
            }
            String told = Files.readAllLines(err).stream()
                    .filter(line -> !line.startsWith("WARNING: "))
                    .collect(Collectors.joining("\n"));
            return new Command(process.exitValue(), Files.readString(out), told);
        }
    }

    /** Runs a command as the launcher starts it. */
    static Command of(Path folder, String... words) throws IOException, InterruptedException {
        return start(folder, "", List.of(ACCESS), words).ended();
    }

    /** Runs a command on a JVM with other options than the launcher's. */
    static Command with(Path folder, List<String> options, String... words) throws IOException, InterruptedException {
        return start(folder, "", options, words).ended();
    }

    /** Starts a command; more classes come first on the class path. */
    static Started start(Path folder, String moreClasses, List<String> options, String... words) throws IOException {
        String classPath = Stream.of(
                        moreClasses, System.getProperty("jdk.module.path", ""), System.getProperty("java.class.path"))
                .filter(path -> !path.isEmpty())
                .collect(Collectors.joining(File.pathSeparator));
        List<String> all = new ArrayList<>(List.of(
                Path.of(System.getProperty("java.home"), "bin", "java").toString(),
                "--add-modules",
                "jdk.incubator.vector",
                "-XX:+UseSerialGC"));
        all.addAll(options);
        all.addAll(List.of("-cp", classPath, "dev.nibble.cli.Nibble"));
        all.addAll(List.of(words));
        Path out = Files.createTempFile(folder, "command", ".out");
        Path err = Files.createTempFile(folder, "command", ".err");
        Process process = new ProcessBuilder(all)
                .directory(folder.toFile())
                .redirectOutput(out.toFile())
                .redirectError(err.toFile())
                .start();
        return new Started(process, out, err);
    }

    /** Starts a command as the launcher does. */
    static Started start(Path folder, String moreClasses, String... words) throws IOException {
        return start(folder, moreClasses, List.of(ACCESS), words);
    }
}
