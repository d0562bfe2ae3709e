package dev.nibble.bench;

import static java.lang.foreign.ValueLayout.ADDRESS;
import static java.lang.foreign.ValueLayout.JAVA_BYTE;
import static java.lang.foreign.ValueLayout.JAVA_FLOAT;
import static java.lang.foreign.ValueLayout.JAVA_INT;
import static java.lang.foreign.ValueLayout.JAVA_LONG;

import java.io.IOException;
import java.io.InputStream;
import java.io.UncheckedIOException;
import java.lang.foreign.Arena;
import java.lang.foreign.FunctionDescriptor;
import java.lang.foreign.Linker;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.SymbolLookup;
import java.lang.invoke.MethodHandle;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Optional;

/** oneDNN's FP32 matrix product, from the natives jar on the class path, on Java arrays as they are. */
final class OneDnn {
    private static final String FOLDER = "org/bytedeco/dnnl/linux-x86_64/";
    private static final String OPENMP = "libgomp.so.1";
    private static final String LIBRARY = "libdnnl.so.3";

    private final MethodHandle sgemm;

    private OneDnn(MethodHandle sgemm) {
        this.sgemm = sgemm;
    }

    /** {@return why it cannot be used, if so} */
    static Optional<String> missing() {
        if (ClassLoader.getSystemResource(FOLDER + LIBRARY) == null) {
            return Optional.of("org.bytedeco:dnnl with classifier linux-x86_64 is not on the class path");
        }
        return OneDnn.class.getModule().isNativeAccessEnabled()
                ? Optional.empty()
                : Optional.of("native access is off; start java with --enable-native-access=ALL-UNNAMED");
    }

    /** The functions, loaded when they are first asked for. */
    @SuppressWarnings("restricted") // whoever asks has looked at missing() before
    private static final class Loaded {
        static final MethodHandle SET_THREADS;
        static final MethodHandle SGEMM;

        static {
            try {
                Path folder = Files.createTempDirectory("nibble-onednn-");
                try {
                    SymbolLookup openMp = library(folder, OPENMP); // first: the other one needs it
                    SymbolLookup library = library(folder, LIBRARY);
                    SET_THREADS = Linker.nativeLinker()
                            .downcallHandle(
                                    openMp.findOrThrow("omp_set_num_threads"), FunctionDescriptor.ofVoid(JAVA_INT));
                    SGEMM = Linker.nativeLinker()
                            .downcallHandle(
                                    library.findOrThrow("dnnl_sgemm"),
                                    FunctionDescriptor.of(
                                            JAVA_INT,
                                            JAVA_BYTE,
                                            JAVA_BYTE,
                                            JAVA_LONG,
                                            JAVA_LONG,
                                            JAVA_LONG,
                                            JAVA_FLOAT,
                                            ADDRESS,
                                            JAVA_LONG,
                                            ADDRESS,
                                            JAVA_LONG,
                                            JAVA_FLOAT,
                                            ADDRESS,
                                            JAVA_LONG),
                                    Linker.Option.critical(true));
                } finally {
                    Files.deleteIfExists(folder.resolve(OPENMP));
                    Files.deleteIfExists(folder.resolve(LIBRARY));
                    Files.deleteIfExists(folder);
                }
            } catch (IOException e) {
                throw new UncheckedIOException(e);
            }
        }
    }

    /** Loads the library; its number of threads is that of the process. */
    static OneDnn load(int threads) {
        try {
            Loaded.SET_THREADS.invokeExact(threads);
            return new OneDnn(Loaded.SGEMM);
        } catch (Throwable e) {
            throw new IllegalStateException("oneDNN cannot be loaded", e);
        }
    }

    @SuppressWarnings("restricted")
    private static SymbolLookup library(Path folder, String name) throws IOException {
        Path file = folder.resolve(name);
        try (InputStream in = ClassLoader.getSystemResourceAsStream(FOLDER + name)) {
            Files.copy(in, file);
        }
        return SymbolLookup.libraryLookup(file, Arena.global());
    }

    /**
     * Computes {@code D = A · Bᵀ} or {@code D += A · Bᵀ}.
     *
     * @param transposedA whether A lies [k, m]
     * @param transposedB whether B lies [k, n]
     * @param d [m, n]
     */
    void multiply(
            int m,
            int n,
            int k,
            float[] a,
            boolean transposedA,
            float[] b,
            boolean transposedB,
            boolean add,
            float[] d) {
        try {
            int status = (int) sgemm.invokeExact(
                    (byte) (transposedA ? 'T' : 'N'),
                    (byte) (transposedB ? 'N' : 'T'),
                    (long) m,
                    (long) n,
                    (long) k,
                    1f,
                    MemorySegment.ofArray(a),
                    (long) (transposedA ? m : k),
                    MemorySegment.ofArray(b),
                    (long) (transposedB ? n : k),
                    add ? 1f : 0f,
                    MemorySegment.ofArray(d),
                    (long) n);
            if (status != 0) {
                throw new IllegalStateException("dnnl_sgemm returned " + status);
            }
        } catch (RuntimeException | Error e) {
            throw e;
        } catch (Throwable e) {
            throw new IllegalStateException("dnnl_sgemm threw", e);
        }
    }
}
