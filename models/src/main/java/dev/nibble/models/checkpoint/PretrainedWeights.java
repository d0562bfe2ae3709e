package dev.nibble.models.checkpoint;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.TensorEntry;
import dev.nibble.spi.Backend;
import dev.nibble.tensor.Shape;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.stream.Collectors;

/**
 * The values of a decoder in a safetensors file with the names of Hugging Face's transformers, as {@link ModelExport} writes it; the
 * first part of the names, {@code transformer.} or {@code model.}, may be missing. What else the file holds is passed over.
 */
public final class PretrainedWeights {
    private static final String POSITIONS = "positions.weight";

    private final SafetensorsFile file;
    private final ModelNames family;

    private PretrainedWeights(SafetensorsFile file, ModelNames family) {
        this.file = file;
        this.family = family;
    }

    /**
     * Writes the values of a file into the parameters of a model.
     *
     * @param path ends with .safetensors
     * @param settings those of the model: a config.json beside the file must say the same
     * @param parameters all of a decoder
     * @throws FormatException naming a tensor that is missing or has another shape, or a field of config.json
     * @throws dev.nibble.error.NibbleException if the file cannot be read
     */
    public static void load(Path path, Map<String, String> settings, Backend backend, List<Parameter> parameters) {
        Set<String> names = parameters.stream().map(Parameter::name).collect(Collectors.toSet());
        ModelNames family = ModelExport.family(names).orElseThrow();
        try (SafetensorsFile file = SafetensorsFile.open(path)) {
            PretrainedConfig.of(path, file.metadata()).ifPresent(config -> config.require(family.arithmetic(settings)));
            PretrainedWeights weights = new PretrainedWeights(file, family);
            parameters.forEach(parameter -> backend.write(
                    parameter.value(),
                    weights.values(parameter.name(), parameter.value().shape())));
        }
    }

    private float[] values(String parameter, Shape shape) {
        if (family.transposed(parameter)) {
            Shape there = Shape.of(shape.cols(), shape.rows());
            return ModelExport.transposed(
                    file.floats(
                            entry(family.of(parameter).getFirst(), there, false).name()),
                    shape);
        }
        List<String> names = family.of(parameter);
        int length = Math.toIntExact(shape.elements()) / names.size();
        Shape part = names.size() == 1 ? shape : Shape.of(shape.rows() / names.size(), shape.cols());
        float[] all = new float[Math.toIntExact(shape.elements())]; // [shape]
        for (int i = 0; i < names.size(); i++) {
            float[] values = file.floats(
                    entry(names.get(i), part, parameter.equals(POSITIONS)).name());
            System.arraycopy(Arrays.copyOf(values, length), 0, all, i * length, length);
        }
        return all;
    }

    /** {@return a tensor} A table of positions may have more of them than a sequence needs. */
    private TensorEntry entry(String name, Shape shape, boolean more) {
        String bare = name.substring(name.indexOf('.') + 1);
        TensorEntry entry = Optional.ofNullable(file.tensors().get(name))
                .or(() -> Optional.ofNullable(file.tensors().get(bare)))
                .orElseThrow(() -> new FormatException("%s holds no tensor %s, which a %s of these sizes has"
                        .formatted(file.path(), JsonTree.quoted(name), family.family())));
        Shape there = entry.shape();
        boolean longer = more && there.rank() == 2 && there.rows() > shape.rows() && there.cols() == shape.cols();
        if (!there.equals(shape) && !longer) {
            throw new FormatException("%s: tensor %s is %s, but the settings of the model say %s"
                    .formatted(file.path(), JsonTree.quoted(entry.name()), there, shape));
        }
        return entry;
    }
}
