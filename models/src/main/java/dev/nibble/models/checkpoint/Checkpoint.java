package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.files.Sha256;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.List;
import java.util.Map;
import java.util.regex.Matcher;
import java.util.regex.Pattern;

/**
 * The folder of a checkpoint.
 *
 * @param path the folder
 * @param step optimizer steps done, as its name says
 * @param averaged whether who uses the model wants the averages of its weights, where there are some
 */
public record Checkpoint(Path path, int step, boolean averaged) {
    /** Name of the file with a hash for each other file; {@code sha256sum -c} reads it. */
    public static final String SUMS = "SHA256SUMS";

    private static final int LARGEST_SUMS = 1 << 12; // bytes
    private static final long LARGEST_JSON = 1 << 28; // bytes
    private static final int JSON_DEPTH = 8;
    private static final Pattern SUM = Pattern.compile("([0-9a-f]{" + Sha256.DIGITS + "})  (\\S+)");

    /** Names the folder of a checkpoint, of whose model averages are wanted. */
    public Checkpoint(Path path, int step) {
        this(path, step, true);
    }

    /** {@return this checkpoint, of whose model the weights themselves are wanted} */
    public Checkpoint withoutAverages() {
        return new Checkpoint(path, step, false);
    }

    /** {@return the file of the model for who uses it: of the averages if they are wanted and there are some, else of the weights} */
    public Path weights() {
        return usesAverages() ? file(CheckpointFile.AVERAGES) : file(CheckpointFile.MODEL);
    }

    /** {@return whether {@link #weights} are averages} */
    public boolean usesAverages() {
        return averaged && Files.isRegularFile(file(CheckpointFile.AVERAGES));
    }

    /** {@return the path of one of its files} */
    public Path file(CheckpointFile file) {
        return path.resolve(file.fileName());
    }

    /**
     * Reads all files and compares them with their hashes.
     *
     * @throws FormatException if a file is missing, or is not what was written; naming it
     * @throws NibbleException if one cannot be read
     */
    public void verify() {
        Map<CheckpointFile, String> sums = sums();
        for (CheckpointFile file : CheckpointFile.values()) {
            if (file.isOptional() && !sums.containsKey(file) && !Files.exists(file(file))) {
                continue;
            }
            if (!Files.isRegularFile(file(file))) {
                throw new FormatException("checkpoint " + path + " is damaged: it has no file " + file.fileName());
            }
            try {
                if (!Sha256.of(file(file)).equals(sums.get(file))) {
                    throw new FormatException("checkpoint " + path + " is damaged: " + file.fileName()
                            + " is not what was written (its hash is not the one in " + SUMS + ")");
                }
            } catch (IOException e) {
                throw new NibbleException(file(file) + " cannot be read: " + IoReason.of(e), e);
            }
        }
    }

    private Map<CheckpointFile, String> sums() {
        Map<CheckpointFile, String> sums = new EnumMap<>(CheckpointFile.class);
        String text = new String(read(path.resolve(SUMS), LARGEST_SUMS), StandardCharsets.ISO_8859_1);
        List<String> lines = text.lines().toList();
        for (String line : lines) {
            Matcher matcher = SUM.matcher(line);
            if (matcher.matches()) {
                CheckpointFile.of(matcher.group(2)).ifPresent(file -> sums.put(file, matcher.group(1)));
            }
        }
        boolean complete =
                Arrays.stream(CheckpointFile.values()).allMatch(file -> file.isOptional() || sums.containsKey(file));
        if (!complete || lines.size() != sums.size() || !text.endsWith("\n")) {
            throw new FormatException("checkpoint " + path + " is damaged: " + SUMS + " is not one line for each file");
        }
        return sums;
    }

    /**
     * {@return the fields of one of its JSON files}
     *
     * @throws FormatException if it is missing, too large, or no JSON object
     * @throws NibbleException if it cannot be read
     */
    public JsonFields json(CheckpointFile file) {
        Path source = file(file);
        return new JsonFields(
                source.toString(), JsonTree.parse(source.toString(), read(source, LARGEST_JSON), JSON_DEPTH));
    }

    private byte[] read(Path file, long most) {
        if (!Files.isRegularFile(file)) {
            throw new FormatException("checkpoint " + path + " is damaged: it has no file " + file.getFileName());
        }
        try {
            long size = Files.size(file);
            if (size > most) {
                throw new FormatException("%s has %d bytes, but at most %d are read".formatted(file, size, most));
            }
            return Files.readAllBytes(file);
        } catch (IOException e) {
            throw new NibbleException(file + " cannot be read: " + IoReason.of(e), e);
        }
    }
}
