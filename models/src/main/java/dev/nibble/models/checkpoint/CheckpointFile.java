package dev.nibble.models.checkpoint;

import java.util.Arrays;
import java.util.Optional;

/** The files of a checkpoint. */
public enum CheckpointFile {
    /** The parameters, FP32. */
    MODEL("model.safetensors"),
    /** The moments of each parameter, and the control vector. */
    OPTIMIZER("optimizer.safetensors"),
    /** The state vectors of each layer's quantizer. */
    QUANTIZER("quantizer.safetensors"),
    /** The averages of the weights, FP32, under the names that the weights have; only of a run that keeps some. */
    AVERAGES("ema.safetensors"),
    /** Where the run stands, and its configuration. */
    STATE("state.json"),
    /** What the run has reported so far. */
    HISTORY("history.json");

    private final String fileName;

    CheckpointFile(String fileName) {
        this.fileName = fileName;
    }

    /** {@return its name in the folder} */
    public String fileName() {
        return fileName;
    }

    /** {@return whether a checkpoint may be whole without it} */
    boolean isOptional() {
        return this == AVERAGES;
    }

    /** {@return the file with this name, if there is one} */
    static Optional<CheckpointFile> of(String fileName) {
        return Arrays.stream(values())
                .filter(file -> file.fileName.equals(fileName))
                .findFirst();
    }
}
