package dev.nibble.models.checkpoint;

import dev.nibble.models.safetensors.SafetensorsFile;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;

/** A family of models as Hugging Face's transformers know it: what its parameters are called there, and its config.json. */
interface ModelNames {
    /** {@return the name of the family, as in "Hugging Face's names for a Llama"} */
    String family();

    /**
     * {@return whether a model is of this family}
     *
     * @param parameters the names of all its parameters
     */
    boolean fit(Set<String> parameters);

    /**
     * {@return the names of the equal parts of a parameter's rows, in their order; none if the family has no such parameter}
     *
     * @param parameter its name here
     */
    List<String> of(String parameter);

    /**
     * {@return whether the family stores a matrix as [in, out]}
     *
     * @param parameter its name here, where it is [out, in]
     */
    default boolean transposed(String parameter) {
        return false;
    }

    /**
     * {@return what config.json says, but for {@code torch_dtype}}
     *
     * @param model the parameters
     * @param settings settings of the run
     * @param facts what the run knows of the model besides: see {@link dev.nibble.models.train.Task#facts}
     */
    Map<String, Object> config(SafetensorsFile model, Map<String, String> settings, Map<String, Object> facts);

    /** {@return the tokenizer.json of a model that reads bytes, empty if the family has none} */
    default Optional<String> byteTokenizer(Map<String, Object> facts) {
        return Optional.empty();
    }
}
