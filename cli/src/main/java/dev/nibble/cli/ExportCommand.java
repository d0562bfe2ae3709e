package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CodeFormat;
import dev.nibble.models.checkpoint.ModelExport;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.spi.Names;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import java.util.stream.Collectors;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble export}: a plain model from a checkpoint. */
@Command(
        name = "export",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = "Writes the model of a checkpoint as plain weights that other programs read.",
        footer = {
            "",
            "Example: the newest checkpoint of a run, for Hugging Face's transformers",
            "  nibble export my-run --out my-model --dtype bf16",
            "",
            "A Llama-style decoder (preset text) gets the names of LlamaForCausalLM, with q, k, v and gate, up apart;",
            "a GPT-2-style one those of GPT2LMHeadModel, the matrices of its blocks as [in, out]; an encoder (presets",
            "classify, tag) those of BertForTokenClassification. Other models keep the names of the checkpoint.",
            "A folder gets model.safetensors, config.json, tokenizer.json and tokenizer_config.json; a name that ends",
            "with .safetensors is the weights alone, whose metadata 'config' holds the text for a config.json.",
            "With --format, NAME has codes (int4: NAME_packed, the even column in the lower half of a byte) and NAME_scale",
            "one scale a row: value = code * scale. Embedding, norms and head stay as --dtype says."
        })
final class ExportCommand implements Action {
    private static final Map<String, ElementType> TYPES =
            new TreeMap<>(Map.of("fp32", ElementType.F32, "bf16", ElementType.BF16));

    @Parameters(
            paramLabel = "CHECKPOINT",
            description =
                    "A checkpoint (my-run/checkpoints/step-000100), or the folder of a run, for its newest whole checkpoint.")
    Path source;

    @Option(
            names = "--out",
            paramLabel = "OUT",
            required = true,
            description = "A folder, or a file that ends with .safetensors.")
    Path out;

    @Option(
            names = "--dtype",
            paramLabel = "TYPE",
            defaultValue = "fp32",
            description = "How weights are stored: fp32 or bf16, rounded to nearest (default: ${DEFAULT-VALUE}).")
    String dtype;

    @Option(
            names = "--format",
            paramLabel = "CODES",
            description =
                    "Write the matrices of the blocks as codes with one scale a row: int8, fp8 (E4M3) or int4 (two in a byte).")
    Optional<String> format;

    @Mixin
    WeightsOption weights;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        ElementType type = Optional.ofNullable(TYPES.get(dtype))
                .orElseThrow(() -> new IllegalArgumentException(
                        "--dtype is '" + dtype + "'; " + Names.suggest(dtype, TYPES.keySet())));
        Optional<CodeFormat> codes = format.map(ExportCommand::codeFormat);
        ModelExport.requireWritable(out);
        Checkpoint checkpoint = weights.find(source, terminal);
        ModelExport export = ModelExport.write(checkpoint, type, codes, out);
        String names = export.family()
                .map(family -> "Hugging Face's names for a " + family)
                .orElse("the names of the checkpoint");
        String text = "%s: %s tensors, %s parameters as %s, with %s, from %s%s%n"
                .formatted(
                        export.files().stream().map(Path::toString).collect(Collectors.joining(", ")),
                        Figures.count(export.tensors()),
                        Figures.count(export.parameters()),
                        dtype + codes.map(c -> " and " + c.label() + " codes").orElse(""),
                        names,
                        checkpoint.usesAverages() ? "the averages (train.ema) of " : "",
                        checkpoint.path());
        String notices = export.notices().stream().map("%s%n"::formatted).collect(Collectors.joining());
        return Answer.done(json(export), text + notices);
    }

    private static CodeFormat codeFormat(String label) {
        List<String> labels =
                Arrays.stream(CodeFormat.values()).map(CodeFormat::label).toList();
        if (!labels.contains(label)) {
            throw new IllegalArgumentException("--format is '" + label + "'; " + Names.suggest(label, labels));
        }
        return CodeFormat.values()[labels.indexOf(label)];
    }

    private ObjectNode json(ModelExport export) {
        ObjectNode json = Json.object();
        json.put("checkpoint", export.checkpoint().path().toString());
        json.put("step", export.checkpoint().step());
        json.put("out", out.toString());
        json.put("dtype", dtype);
        format.ifPresent(codes -> json.put("format", codes));
        json.put("averages", export.checkpoint().usesAverages());
        json.put("huggingFaceNames", export.family().isPresent());
        ArrayNode files = json.putArray("files");
        export.files().forEach(file -> files.add(file.toString()));
        export.notices().forEach(json.putArray("notices")::add);
        json.put("tensors", export.tensors());
        json.put("parameters", export.parameters());
        return json;
    }
}
