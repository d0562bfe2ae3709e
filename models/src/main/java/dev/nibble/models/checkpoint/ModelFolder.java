package dev.nibble.models.checkpoint;

import dev.nibble.error.NibbleException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/** The files of an exported model: the weights alone, or a folder as transformers load it. */
final class ModelFolder {
    private static final String CONFIG = "config.json";
    private static final String TOKENIZER = "tokenizer.json";
    private static final String TOKENIZER_CONFIG = "tokenizer_config.json";

    private final Optional<Path> folder;
    private final List<Path> written = new ArrayList<>();
    private final List<String> notices = new ArrayList<>();

    /**
     * Makes the folder.
     *
     * @param folder where config.json and what belongs to the tokenizer go; empty for weights alone
     */
    ModelFolder(Optional<Path> folder) {
        this.folder = folder;
        folder.ifPresent(path -> {
            try {
                Files.createDirectories(path);
            } catch (IOException e) {
                throw new NibbleException(path + " cannot be made: " + IoReason.of(e), e);
            }
        });
    }

    void weights(Path file, Map<String, String> metadata, List<TensorContent> contents) {
        SafetensorsWriter.write(file, metadata, contents);
        written.add(file);
    }

    void config(Map<String, Object> fields) {
        folder.ifPresent(path -> write(path.resolve(CONFIG), JsonTree.text(fields)));
    }

    /**
     * Writes the tokenizer, if there is one.
     *
     * @param config the fields of tokenizer_config.json
     */
    void tokenizer(ExportedTokenizer tokenizer, Map<String, Object> config) {
        folder.ifPresent(path -> {
            tokenizer.json().ifPresent(json -> {
                AtomicFile.write(path.resolve(TOKENIZER), stream -> stream.write(json));
                written.add(path.resolve(TOKENIZER));
                write(path.resolve(TOKENIZER_CONFIG), JsonTree.text(config));
            });
            String place =
                    Files.exists(path.resolve(TOKENIZER)) ? " in place of the older %s there".formatted(TOKENIZER) : "";
            tokenizer
                    .missing()
                    .ifPresent(file ->
                            notices.add("%s, the tokenizer of the run, does not exist any more: put it into %s%s"
                                    .formatted(file, path, place)));
        });
    }

    private void write(Path file, String text) {
        AtomicFile.write(file, text);
        written.add(file);
    }

    /** {@return the files, in the order in which they were written} */
    List<Path> written() {
        return written;
    }

    /** {@return what is missing} */
    List<String> notices() {
        return notices;
    }
}
