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

    private final Optional<Path> folder;
    private final List<Path> written = new ArrayList<>();
    private final List<String> notices = new ArrayList<>();

    /**
     * Makes the folder.
     *
     * @param folder where config.json and tokenizer.json go; empty for weights alone
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
     * Writes the tokenizer: the file that the run had, or one that makes tokens of bytes.
     *
     * @param facts what the run knows of the model
     * @param bytes the latter, if the family has one
     */
    void tokenizer(Map<String, Object> facts, Optional<String> bytes) {
        if (folder.isEmpty()) {
            return;
        }
        Path target = folder.get().resolve(TOKENIZER);
        if (facts.get("tokenizer") instanceof String path) {
            Path source = Path.of(path);
            if (Files.isRegularFile(source)) {
                copy(source, target);
            } else {
                notices.add("%s, the tokenizer of the run, does not exist any more: put it into %s"
                        .formatted(source, folder.get()));
            }
        } else {
            bytes.ifPresent(json -> write(target, json));
        }
    }

    private void copy(Path source, Path target) {
        byte[] content;
        try {
            content = Files.readAllBytes(source);
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(source, IoReason.of(e)), e);
        }
        AtomicFile.write(target, stream -> stream.write(content));
        written.add(target);
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
