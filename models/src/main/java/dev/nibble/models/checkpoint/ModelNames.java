package dev.nibble.models.checkpoint;

import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.text.ByteTokenizer;
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
     * {@return what config.json says, but for {@code torch_dtype} and the numbers of special tokens}
     *
     * @param model the parameters
     * @param settings settings of the run
     * @param facts what the run knows of the model besides: see {@link dev.nibble.models.train.Task#facts}
     */
    Map<String, Object> config(SafetensorsFile model, Map<String, String> settings, Map<String, Object> facts);

    /**
     * {@return the part of it that no tensor tells and the numbers depend on}
     *
     * @param settings settings of the run
     */
    Map<String, Object> arithmetic(Map<String, String> settings);

    /** {@return what the model reads, as transformers call it} */
    default List<String> inputs() {
        return List.of("input_ids", "attention_mask");
    }

    /** {@return the tokenizer.json of a model that reads bytes} */
    default Optional<String> byteTokenizer(Map<String, Object> facts) {
        return Optional.of(ByteTokenizer.jsonOfBytes());
    }

    /** {@return a setting that is a whole number, if it is there} */
    static Optional<Long> whole(Map<String, String> settings, String path) {
        return Optional.ofNullable(settings.get(path))
                .filter(value -> value.matches("\\d{1,9}"))
                .map(Long::valueOf);
    }
}
