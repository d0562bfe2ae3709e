package dev.nibble.models.onnx;

import java.util.List;

/**
 * An operation of an ONNX file.
 *
 * @param operation its type: {@code MatMul}
 * @param inputs names of what it reads
 * @param outputs names of what it makes
 */
public record OnnxNode(String operation, List<String> inputs, List<String> outputs) {
    /** Copies the lists. */
    public OnnxNode {
        inputs = List.copyOf(inputs);
        outputs = List.copyOf(outputs);
    }
}
