package dev.nibble.backend.cuda;

import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.net.JarURLConnection;
import java.net.URISyntaxException;
import java.net.URL;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Objects;
import java.util.Set;
import java.util.TreeSet;
import java.util.jar.JarEntry;
import java.util.jar.JarFile;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * Which kernels tests have used, over several JVMs: each writes its own into a folder that the system property
 * {@code nibble.test.kernels} names. As a program, it says which kernels of the build none has used.
 */
final class UsedKernels {
    private static final String FOLDER = System.getProperty("nibble.test.kernels", "");
    private static final List<CudaBackend> OPENED = new ArrayList<>();

    /** A kernel has a bank of constants of its own in its file of machine code. */
    private static final Pattern KERNEL = Pattern.compile("\\.nv\\.constant0\\.([A-Za-z0-9_]+)");

    private UsedKernels() {}

    /** {@return the backend; its kernels are written down when the JVM ends, if that is asked for} */
    static synchronized CudaBackend watched(CudaBackend backend) {
        if (!FOLDER.isEmpty()) {
            if (OPENED.isEmpty()) {
                Runtime.getRuntime().addShutdownHook(new Thread(UsedKernels::write));
            }
            OPENED.add(backend);
        }
        return backend;
    }

    /** {@return the provider, whose backends are watched} */
    static BackendProvider watching(CudaBackendProvider provider) {
        return new BackendProvider() {
            @Override
            public String name() {
                return provider.name();
            }

            @Override
            public int spiVersion() {
                return provider.spiVersion();
            }

            @Override
            public String description() {
                return provider.description();
            }

            @Override
            public Availability availability() {
                return provider.availability();
            }

            @Override
            public int preference() {
                return provider.preference();
            }

            @Override
            public Backend open(BackendOptions options) {
                return watched((CudaBackend) provider.open(options));
            }
        };
    }

    private static synchronized void write() {
        Set<String> names = new TreeSet<>();
        OPENED.forEach(backend -> names.addAll(backend.runtime().kernels().names()));
        try {
            Path folder = Files.createDirectories(Path.of(FOLDER));
            Files.write(Files.createTempFile(folder, "used", ".txt"), names);
        } catch (IOException e) {
            throw new UncheckedIOException(e);
        }
    }

    /** {@return all kernels that this build has machine code of, as file and function} */
    static Set<String> built() throws IOException, URISyntaxException {
        Set<String> kernels = new TreeSet<>();
        URL codec = Objects.requireNonNull(KernelImages.class.getResource("kernels/sm_90a/codec.cubin"));
        if (codec.openConnection() instanceof JarURLConnection connection) {
            String folder = connection.getEntryName().replace("codec.cubin", "");
            try (JarFile jar = connection.getJarFile()) {
                for (JarEntry entry : jar.stream().toList()) {
                    if (entry.getName().startsWith(folder)) {
                        add(entry.getName().replace(folder, ""), jar.getInputStream(entry), kernels);
                    }
                }
            }
            return kernels;
        }
        try (Stream<Path> files = Files.list(Path.of(codec.toURI()).resolveSibling("."))) {
            for (Path file : files.toList()) {
                add(String.valueOf(file.getFileName()), Files.newInputStream(file), kernels);
            }
        }
        return kernels;
    }

    private static void add(String file, InputStream in, Set<String> kernels) throws IOException {
        try (in) {
            if (file.endsWith(".cubin")) {
                Matcher found = KERNEL.matcher(new String(in.readAllBytes(), StandardCharsets.ISO_8859_1));
                while (found.find()) {
                    kernels.add(file.replace(".cubin", "") + '.' + found.group(1));
                }
            }
        }
    }

    /** Tells how many kernels were used, and which were not; the argument is the folder. */
    public static void main(String[] arguments) throws IOException, URISyntaxException {
        Set<String> unused = built();
        int all = unused.size();
        try (Stream<Path> files = Files.list(Path.of(arguments[0]))) {
            for (Path file : files.toList()) {
                unused.removeAll(Set.copyOf(Files.readAllLines(file)));
            }
        }
        System.out.printf("%d of %d kernels ran%n", all - unused.size(), all);
        unused.forEach(kernel -> System.out.println("did not run: " + kernel));
    }
}
