package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.SafetensorsWriter;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.models.safetensors.TensorEntry;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Tensor;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/**
 * FP32 tensors of a backend, by the names that they have in a file.
 *
 * @param backend whose tensors they are
 * @param tensors the tensors, not owned
 */
public record DeviceTensors(Backend backend, SequencedMap<String, Tensor> tensors) {
    private static final Map<String, String> METADATA = Map.of("format", "nibble", "schema", "1");

    /** {@return what a file of these tensors holds} They are read from the device one at a time. */
    public AtomicFile.Content content() {
        List<TensorContent> contents = new ArrayList<>();
        tensors.forEach((name, tensor) -> contents.add(
                TensorContent.floats(name, ElementType.F32, tensor.shape(), () -> backend.readFloats(tensor))));
        return stream -> SafetensorsWriter.write(stream, METADATA, contents);
    }

    /**
     * Writes the tensors of a file to the device.
     *
     * @param others whether the file may hold other tensors too
     * @throws FormatException naming a tensor that is missing, is not FP32, has another shape, or that nothing here has;
     *     nothing is written then
     */
    public void restore(Path file, boolean others) {
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            requireFit(file, source, others);
            tensors.forEach((name, tensor) -> backend.write(tensor, source.floats(name)));
        }
    }

    /**
     * Compares with a file, bit for bit.
     *
     * @throws FormatException naming the first tensor that differs
     */
    public void requireEqual(Path file) {
        try (SafetensorsFile source = SafetensorsFile.open(file)) {
            requireFit(file, source, false);
            tensors.forEach((name, tensor) -> {
                if (!Arrays.equals(bits(source.floats(name)), bits(backend.readFloats(tensor)))) {
                    throw new FormatException("%s: tensor %s is read back other than it was written"
                            .formatted(file, JsonTree.quoted(name)));
                }
            });
        }
    }

    private static int[] bits(float[] values) {
        int[] bits = new int[values.length]; // [elements]
        for (int i = 0; i < bits.length; i++) {
            bits[i] = Float.floatToRawIntBits(values[i]);
        }
        return bits;
    }

    private void requireFit(Path file, SafetensorsFile source, boolean others) {
        tensors.forEach((name, tensor) -> {
            TensorEntry entry = source.tensors().get(name);
            if (entry == null) {
                throw new FormatException(
                        "%s has no tensor %s, which this model has".formatted(file, JsonTree.quoted(name)));
            }
            if (entry.type() != ElementType.F32 || !entry.shape().equals(tensor.shape())) {
                throw new FormatException("%s: tensor %s is %s %s, but must be F32 %s"
                        .formatted(file, JsonTree.quoted(name), entry.type(), entry.shape(), tensor.shape()));
            }
        });
        for (String name : source.tensors().keySet()) {
            if (!others && !tensors.containsKey(name)) {
                throw new FormatException(
                        "%s has tensor %s, which this model has not".formatted(file, JsonTree.quoted(name)));
            }
        }
    }
}
