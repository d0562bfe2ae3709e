package dev.nibble.cli;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.Sha256;
import java.io.BufferedInputStream;
import java.io.IOException;
import java.io.InputStream;
import java.io.OutputStream;
import java.net.SocketTimeoutException;
import java.net.UnknownHostException;
import java.nio.charset.StandardCharsets;
import java.nio.file.AtomicMoveNotSupportedException;
import java.nio.file.Files;
import java.nio.file.NoSuchFileException;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.DigestInputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;
import java.util.function.Consumer;
import java.util.zip.GZIPInputStream;

/**
 * Brings the files of a data set into a folder. A file gets its name when it is whole and its contents have the right hash; what has
 * come of it before is kept under a hidden name, and the next try goes on from there.
 *
 * @param set what to bring
 * @param sources where from, tried in this order
 * @param folder where to
 * @param progress hears what happens, in lines
 */
record DataFetch(DataSet set, List<DataSource> sources, Path folder, Consumer<String> progress) {
    static final String LICENCE = "LICENSE.txt";
    static final String SUMS = "SHA256SUMS";

    private static final int CHUNK = 1 << 16; // bytes
    private static final long SLACK = 1 << 16; // bytes that a file may have beyond its contents: a header of gzip
    private static final List<String> ENDINGS = List.of(".gz", "");

    /** Copies the list. */
    DataFetch {
        sources = List.copyOf(sources);
    }

    /**
     * Brings what is not there yet, the licence and the hashes of the files.
     *
     * @return how many files were there already
     * @throws NibbleException if a file can be had nowhere, or not be written; what is whole stays
     */
    int run() {
        boolean made = !Files.exists(folder);
        try {
            Files.createDirectories(folder);
        } catch (IOException e) {
            throw new NibbleException("folder %s cannot be made: %s".formatted(folder, IoReason.of(e)), e);
        }
        try {
            return fetchAll();
        } catch (NibbleException e) {
            if (made) {
                deleteIfEmpty();
            }
            throw e;
        }
    }

    private void deleteIfEmpty() {
        try {
            Files.deleteIfExists(folder);
        } catch (IOException _) {
            // something is in it
        }
    }

    private int fetchAll() {
        int before = 0;
        StringBuilder sums = new StringBuilder();
        for (DataSet.Part part : set.parts()) {
            Optional<Path> there = existing(part);
            if (there.isPresent()) {
                progress.accept(there.get().getFileName() + " is there already");
                before++;
            }
            Path file = there.isPresent() ? there.get() : fetch(part);
            sums.append(hash(file)).append("  ").append(file.getFileName()).append('\n');
        }
        AtomicFile.write(folder.resolve(LICENCE), licence());
        AtomicFile.write(folder.resolve(SUMS), sums.toString());
        return before;
    }

    private static String hash(Path file) {
        try {
            return Sha256.of(file);
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(file, IoReason.of(e)), e);
        }
    }

    private String licence() {
        try (InputStream stream = DataFetch.class.getResourceAsStream("data/" + set.licenceResource())) {
            if (stream == null) {
                throw new IllegalStateException(
                        "resource data/" + set.licenceResource() + " is missing from this build");
            }
            return new String(stream.readAllBytes(), StandardCharsets.UTF_8);
        } catch (IOException e) {
            throw new NibbleException("the licence of " + set.name() + " cannot be read: " + e.getMessage(), e);
        }
    }

    /** {@return the file of a part in the folder, if there is one} Another file of that name is nobody's to replace. */
    private Optional<Path> existing(DataSet.Part part) {
        for (String ending : ENDINGS) {
            Path file = folder.resolve(part.name() + ending);
            if (Files.exists(file)) {
                Optional<String> problem = problem(part, file);
                if (problem.isPresent()) {
                    throw new FormatException(
                            "%s %s; delete it, or name another folder with --out".formatted(file, problem.get()));
                }
                return Optional.of(file);
            }
        }
        return Optional.empty();
    }

    private Path fetch(DataSet.Part part) {
        List<String> problems = new ArrayList<>();
        for (DataSource source : sources) {
            List<String> found = new ArrayList<>();
            for (String name : source.names(part.name())) {
                try {
                    return fetch(part, source, name);
                } catch (NoSuchFileException _) {
                    // nor under this name
                } catch (FormatException e) {
                    found.add(e.getMessage());
                } catch (IOException e) {
                    found.add(source.place(name) + ": " + reason(e));
                    break; // what cannot be reached has no other name either
                }
            }
            problems.addAll(
                    found.isEmpty() ? List.of(source.place(part.name()) + " does not exist, nor with .gz") : found);
        }
        throw new NibbleException("%s of %s cannot be had: %s. Without a network: %s"
                .formatted(part.name(), set.name(), String.join("; ", problems), set.offline()));
    }

    private static String reason(IOException e) {
        return switch (e) {
            case UnknownHostException u -> "the host " + u.getMessage() + " is not known";
            case SocketTimeoutException _ -> "no answer in time";
            default -> IoReason.of(e);
        };
    }

    private Path fetch(DataSet.Part part, DataSource source, String name) throws IOException {
        Path file = folder.resolve(part.name() + (name.endsWith(".gz") ? ".gz" : ""));
        Path partial = folder.resolve("." + file.getFileName() + ".part");
        long have = Files.exists(partial) ? Files.size(partial) : 0;
        DataSource.Content content = source.open(name, have);
        progress.accept((content.from() > 0 ? "going on with " : "fetching ") + source.place(name));
        try (InputStream in = content.stream();
                OutputStream out = Files.newOutputStream(
                        partial,
                        StandardOpenOption.CREATE,
                        content.from() > 0 ? StandardOpenOption.APPEND : StandardOpenOption.TRUNCATE_EXISTING,
                        StandardOpenOption.WRITE)) {
            copy(part, source.place(name), in, out, content.from());
        } catch (FormatException e) {
            Files.deleteIfExists(partial);
            throw e;
        }
        Optional<String> problem = problem(part, partial);
        if (problem.isPresent()) {
            Files.deleteIfExists(partial);
            if (content.from() > 0) { // its beginning was of another file, perhaps
                return fetch(part, source, name);
            }
            throw new FormatException(source.place(name) + " " + problem.get());
        }
        move(partial, file);
        progress.accept("%s: %s, its contents have the right hash"
                .formatted(file.getFileName(), Figures.bytes(Files.size(file))));
        return file;
    }

    private void copy(DataSet.Part part, String place, InputStream in, OutputStream out, long from) throws IOException {
        byte[] chunk = new byte[CHUNK];
        long done = from;
        long told = 0;
        int read = in.read(chunk);
        while (read >= 0) {
            done += read;
            if (done > part.bytes() + SLACK) {
                throw new FormatException("%s has more than the %d bytes of %s".formatted(place, done, part.name()));
            }
            out.write(chunk, 0, read);
            if (done / (8 << 20) > told) {
                told = done / (8 << 20);
                progress.accept("%s: %s".formatted(part.name(), Figures.bytes(done)));
            }
            read = in.read(chunk);
        }
    }

    /** {@return what is wrong with the contents of a file, if something is} */
    private static Optional<String> problem(DataSet.Part part, Path file) {
        MessageDigest digest = Sha256.digest();
        long bytes = 0;
        byte[] chunk = new byte[CHUNK];
        try (InputStream in = new DigestInputStream(contents(file), digest)) {
            int read = in.read(chunk);
            while (read >= 0 && bytes <= part.bytes()) { // no more than that, whatever a damaged file would unpack to
                bytes += read;
                read = in.read(chunk);
            }
        } catch (IOException e) {
            return Optional.of("is damaged: " + e.getMessage());
        }
        if (Sha256.hex(digest).equals(part.sha256())) {
            return Optional.empty();
        }
        return Optional.of(
                isPage(file)
                        ? "is a page for a browser, and not the file: does a proxy or a login answer here?"
                        : "does not have the contents of " + part.name() + ": its hash is another one");
    }

    private static boolean isPage(Path file) {
        try (InputStream in = Files.newInputStream(file)) {
            return new String(in.readNBytes(CHUNK), StandardCharsets.ISO_8859_1)
                    .stripLeading()
                    .startsWith("<");
        } catch (IOException _) {
            return false; // the hash is wrong in any case
        }
    }

    private static InputStream contents(Path file) throws IOException {
        InputStream in = new BufferedInputStream(Files.newInputStream(file), CHUNK);
        try {
            in.mark(2);
            boolean gzip = in.read() == 0x1F && in.read() == 0x8B;
            in.reset();
            return gzip ? new GZIPInputStream(in, CHUNK) : in;
        } catch (IOException e) {
            in.close();
            throw e;
        }
    }

    private static void move(Path from, Path to) throws IOException {
        try {
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (AtomicMoveNotSupportedException _) {
            Files.move(from, to);
        }
    }
}
