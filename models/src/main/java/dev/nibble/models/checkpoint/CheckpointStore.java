package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.io.OutputStream;
import java.io.UncheckedIOException;
import java.nio.channels.FileChannel;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.LinkOption;
import java.nio.file.Path;
import java.nio.file.StandardCopyOption;
import java.nio.file.StandardOpenOption;
import java.security.DigestOutputStream;
import java.security.MessageDigest;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalInt;
import java.util.Set;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import java.util.stream.Stream;

/**
 * The checkpoints of a run: a folder with one folder each, {@code step-000040}. A checkpoint is written into a folder with a
 * temporary name, which is moved when the device has stored all of it: one with a right name is whole.
 *
 * @param path the folder that holds them; made by the first {@link #write}
 */
public record CheckpointStore(Path path) {
    /** Name of the folder in that of a run. */
    public static final String FOLDER = "checkpoints";

    /** Name of the file that names the checkpoint with the lowest validation loss. */
    public static final String BEST = "best";

    private static final Pattern NAME = Pattern.compile("step-(\\d{6,9})");
    private static final String NEW = "new"; // being written
    private static final String OLD = "old"; // about to be replaced
    private static final String GONE = "gone"; // being deleted
    private static final Pattern HIDDEN = Pattern.compile("\\.(step-\\d{6,9})\\.(new|old|gone)\\.\\d+\\.tmp");
    private static final String DAMAGED = ".damaged";

    /** {@return the name of the folder after some steps} */
    public static String name(int step) {
        return "step-%06d".formatted(step);
    }

    /**
     * {@return the step that a folder's name tells, if it is that of a checkpoint}
     *
     * @param folder any path
     */
    public static OptionalInt step(Path folder) {
        Path name = folder.getFileName();
        Matcher matcher = NAME.matcher(name == null ? "" : name.toString());
        return matcher.matches() ? OptionalInt.of(Integer.parseInt(matcher.group(1))) : OptionalInt.empty();
    }

    /**
     * {@return all checkpoints, by step; none if the folder does not exist}
     *
     * @throws NibbleException if it cannot be listed
     */
    public List<Checkpoint> all() {
        List<Checkpoint> found = new ArrayList<>();
        for (Path entry : entries()) {
            step(entry).ifPresent(step -> found.add(new Checkpoint(entry, step)));
        }
        found.sort(Comparator.comparingInt(Checkpoint::step));
        return found;
    }

    private List<Path> entries() {
        if (!Files.exists(path)) {
            return List.of();
        }
        if (!Files.isDirectory(path)) {
            throw new NibbleException(path + " is a file, but must be a folder");
        }
        try (Stream<Path> entries = Files.list(path)) {
            return entries.toList();
        } catch (UncheckedIOException e) {
            throw new NibbleException(path + " cannot be listed: " + IoReason.of(e.getCause()), e);
        } catch (IOException e) {
            throw new NibbleException(path + " cannot be listed: " + IoReason.of(e), e);
        }
    }

    /**
     * {@return the newest checkpoint whose files are what was written, if there is one}
     *
     * @param damaged takes what is wrong with each newer one
     * @throws FormatException if there are checkpoints, and all are damaged
     */
    public Optional<Checkpoint> newest(List<String> damaged) {
        List<Checkpoint> all = all();
        for (Checkpoint checkpoint : all.reversed()) {
            try {
                checkpoint.verify();
                return Optional.of(checkpoint);
            } catch (NibbleException e) {
                damaged.add(e.getMessage());
            }
        }
        if (!all.isEmpty()) {
            throw new FormatException("no checkpoint in " + path + " can be used: " + String.join("; ", damaged));
        }
        return Optional.empty();
    }

    /**
     * Deletes what runs that were killed while they wrote have left; a checkpoint that was about to be replaced gets its name
     * back.
     *
     * @throws NibbleException if the folder cannot be listed
     */
    public void clear() {
        for (Path entry : entries()) {
            Matcher matcher = HIDDEN.matcher(entry.getFileName().toString());
            if (matcher.matches()) {
                Path checkpoint = path.resolve(matcher.group(1));
                if (matcher.group(2).equals(OLD) && !Files.exists(checkpoint)) {
                    move(entry, checkpoint);
                }
                delete(entry);
            }
        }
    }

    /**
     * Writes a checkpoint; one of the same step is replaced.
     *
     * @param step optimizer steps done
     * @param contents what each file holds; one that a checkpoint may be without may be left out
     * @return the checkpoint
     * @throws NibbleException if that fails, naming the last good checkpoint; nothing else is left of it
     */
    public Checkpoint write(int step, Map<CheckpointFile, AtomicFile.Content> contents) {
        Path target = path.resolve(name(step));
        List<Checkpoint> others = new ArrayList<>(all());
        others.removeIf(other -> other.step() == step);
        Path temporary = hidden(step, NEW);
        try {
            Files.createDirectories(temporary);
            StringBuilder sums = new StringBuilder();
            for (CheckpointFile file : CheckpointFile.values()) {
                if (!file.isOptional() || contents.containsKey(file)) {
                    String hash = write(temporary.resolve(file.fileName()), contents.get(file));
                    sums.append(hash).append("  ").append(file.fileName()).append('\n');
                }
            }
            byte[] bytes = sums.toString().getBytes(StandardCharsets.US_ASCII);
            AtomicFile.writeDurably(temporary.resolve(Checkpoint.SUMS), stream -> stream.write(bytes));
            force(temporary);
            replace(temporary, target);
            force(path);
            return new Checkpoint(target, step);
        } catch (IOException e) {
            delete(temporary);
            throw new NibbleException(
                    "checkpoint " + target + " cannot be written: " + IoReason.of(e) + lastGood(others), e);
        } catch (RuntimeException | OutOfMemoryError e) {
            delete(temporary);
            throw e;
        }
    }

    private static String write(Path file, AtomicFile.Content content) throws IOException {
        MessageDigest digest = Sha256.digest();
        AtomicFile.writeDurably(file, stream -> {
            OutputStream both = new DigestOutputStream(stream, digest);
            content.writeTo(both);
            both.flush();
        });
        return Sha256.hex(digest);
    }

    private static String lastGood(List<Checkpoint> others) {
        return others.isEmpty()
                ? "; there is no other checkpoint"
                : "; the last good one is " + others.getLast().path();
    }

    /** A folder cannot be moved onto another that is not empty. */
    private void replace(Path temporary, Path target) throws IOException {
        if (Files.exists(target, LinkOption.NOFOLLOW_LINKS)) {
            Path old = hidden(step(target).orElseThrow(), OLD);
            delete(old);
            Files.move(target, old, StandardCopyOption.ATOMIC_MOVE);
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
            delete(old);
        } else {
            Files.move(temporary, target, StandardCopyOption.ATOMIC_MOVE);
        }
    }

    private Path hidden(int step, String what) {
        return path.resolve(
                "." + name(step) + "." + what + "." + ProcessHandle.current().pid() + ".tmp");
    }

    /** Has the device store the names in a folder. Not every file system can be asked for it. */
    private static void force(Path folder) {
        try (FileChannel channel = FileChannel.open(folder, StandardOpenOption.READ)) {
            channel.force(true);
        } catch (IOException _) {
            // the files themselves are stored; without this their names follow a little later
        }
    }

    /**
     * Deletes all checkpoints but the newest ones and the best one, and names the best one in the file {@link #BEST}.
     *
     * @param newest how many to keep
     * @param best step of the best one, if it is known
     * @param others steps of checkpoints that are kept, too
     * @throws NibbleException if the file cannot be written
     */
    public void prune(int newest, OptionalInt best, Set<Integer> others) {
        List<Checkpoint> all = all();
        Set<Integer> kept = new HashSet<>(others);
        all.subList(Math.max(0, all.size() - newest), all.size()).forEach(checkpoint -> kept.add(checkpoint.step()));
        best.ifPresent(kept::add);
        for (Checkpoint checkpoint : all) {
            if (!kept.contains(checkpoint.step())) {
                remove(checkpoint);
            }
        }
        Path file = path.resolve(BEST);
        if (best.isPresent() && Files.isDirectory(path.resolve(name(best.getAsInt())))) {
            AtomicFile.write(file, name(best.getAsInt()) + "\n");
        } else {
            delete(file);
        }
    }

    /** Under its own name a checkpoint is whole until the last moment. */
    private void remove(Checkpoint checkpoint) {
        Path old = hidden(checkpoint.step(), GONE);
        try {
            delete(old);
            Files.move(checkpoint.path(), old, StandardCopyOption.ATOMIC_MOVE);
            delete(old);
        } catch (IOException _) {
            // it stays, and the next time it is tried again
        }
    }

    /**
     * Gives checkpoints that are newer than another one a name that is no checkpoint's: a run goes on from before them.
     *
     * @throws NibbleException if that fails
     */
    public void setAsideAfter(Checkpoint used) {
        for (Checkpoint checkpoint : all()) {
            if (checkpoint.step() > used.step()) {
                move(checkpoint.path(), path.resolve(name(checkpoint.step()) + DAMAGED));
            }
        }
    }

    /** Deletes checkpoints that are newer than another one: the run has gone back there. */
    public void removeAfter(Checkpoint used) {
        all().stream().filter(checkpoint -> checkpoint.step() > used.step()).forEach(this::remove);
    }

    /**
     * Gives the whole folder another name, if it holds a checkpoint of a step after the first: another run begins here. One
     * of the first step is deleted.
     *
     * @return where the folder is now, if it has another name
     * @throws NibbleException if that fails
     */
    public Optional<Path> setAside() {
        List<Checkpoint> all = all();
        if (all.isEmpty() || all.getLast().step() == 0) {
            all.forEach(this::remove);
            return Optional.empty();
        }
        Path old = path.resolveSibling(path.getFileName() + ".old");
        move(path, old);
        return Optional.of(old);
    }

    private static void move(Path from, Path to) {
        try {
            delete(to);
            Files.move(from, to, StandardCopyOption.ATOMIC_MOVE);
        } catch (IOException e) {
            throw new NibbleException(from + " cannot be renamed: " + IoReason.of(e), e);
        }
    }

    /** Deletes a file or folder as far as that is possible. */
    private static void delete(Path tree) {
        if (!Files.exists(tree, LinkOption.NOFOLLOW_LINKS)) {
            return;
        }
        try (Stream<Path> all = Files.walk(tree)) {
            for (Path entry : all.sorted(Comparator.reverseOrder()).toList()) {
                Files.deleteIfExists(entry);
            }
        } catch (IOException | UncheckedIOException _) {
            // what is left has a temporary name, or the step that needs its place says why it fails
        }
    }
}
