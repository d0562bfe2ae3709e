package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.Runs;
import dev.nibble.models.TextGenerator;
import dev.nibble.models.TextListener;
import dev.nibble.models.TokenSampling;
import dev.nibble.models.checkpoint.Checkpoint;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble generate}: a text by the language model of a checkpoint. */
@Command(
        name = "generate",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = "Goes on with a text, by the language model of a checkpoint (preset text).",
        footer = {
            "",
            "Example: 300 bytes in the manner of the training text",
            "  nibble generate my-run --prompt 'Call me ' --tokens 300",
            "Example: the most probable tokens, without chance, and all layers in FP32",
            "  nibble generate my-run --prompt 'Call me ' --temperature 0 --quantizer fp32",
            "",
            "Each layer runs under the quantizer that it had in the last step, with what that had learned; another one, by",
            "--quantizer, begins as in a new run. The model sees as many tokens as a sequence had in training (data.sequence):",
            "the last ones of the text. The same seed gives the same text, on backends whose bits are the same."
        })
final class GenerateCommand implements Action {
    @Parameters(paramLabel = "CHECKPOINT", description = "Folder of a checkpoint, or of a run, whose newest counts.")
    Path source;

    @Option(
            names = "--prompt",
            paramLabel = "TEXT",
            description = "The text to go on with, not empty (default: a line end).")
    Optional<String> prompt;

    @Option(
            names = "--tokens",
            paramLabel = "N",
            defaultValue = "200",
            description = "New tokens: bytes, unless the run has a tokenizer (default: ${DEFAULT-VALUE}).")
    int tokens;

    @Option(
            names = "--temperature",
            paramLabel = "T",
            defaultValue = "0.8",
            description =
                    "Divides the logits: less is safer; 0 takes the largest, without chance (default: ${DEFAULT-VALUE}).")
    double temperature;

    @Option(
            names = "--top-k",
            paramLabel = "K",
            defaultValue = "0",
            description = "Choose among the K most probable tokens; 0 for all (default: ${DEFAULT-VALUE}).")
    int topK;

    @Option(
            names = "--top-p",
            paramLabel = "P",
            defaultValue = "1",
            description =
                    "Choose among the most probable tokens that together have this probability (default: ${DEFAULT-VALUE}).")
    double topP;

    @Option(
            names = "--seed",
            paramLabel = "N",
            defaultValue = "0",
            description = "Seed of the choice (default: ${DEFAULT-VALUE}).")
    long seed;

    @Option(
            names = "--quantizer",
            paramLabel = "NAME[:k=v,...]",
            description =
                    "Quantizer of the projections and its options (default: as in the checkpoint); see nibble list.")
    Optional<String> quantizer;

    @Option(
            names = "--tokenizer",
            paramLabel = "FILE",
            description = "Where the run's tokenizer.json is now (default: where it was).")
    Optional<Path> tokenizer;

    @Option(
            names = "--backend",
            paramLabel = "NAME",
            defaultValue = "auto",
            description = "Backend that computes: auto, or a name from nibble list (default: ${DEFAULT-VALUE}).")
    String backend;

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "0",
            description =
                    "Processor threads that compute; 0 for all. Never changes a number (default: ${DEFAULT-VALUE}).")
    int threads;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        Problems problems = new Problems();
        problems.requirePositive("--tokens", tokens);
        problems.requireThreads(threads);
        problems.requireBackend(backend);
        Optional<TokenSampling> sampling =
                problems.collect(() -> Optional.of(new TokenSampling(temperature, topK, topP, seed)), Optional.empty());
        Optional<QuantizerChoice> choice =
                problems.collect(() -> quantizer.map(QuantizerChoice::parse), Optional.<QuantizerChoice>empty());
        problems.throwIfAny();
        Checkpoint checkpoint = CheckpointArgument.find(source, terminal);
        try (TextGenerator generator = Runs.create().generator(checkpoint, backend, threads, choice, tokenizer)) {
            return generate(terminal, checkpoint, generator, sampling.orElseThrow());
        }
    }

    private Answer generate(Terminal terminal, Checkpoint checkpoint, TextGenerator generator, TokenSampling sampling) {
        String begin = prompt.orElse("\n");
        PrintStream out = terminal.out();
        long start = System.nanoTime();
        TextListener listener = new TextListener() {
            private boolean begun;

            @Override
            public void text(String part) {
                if (!common.json) {
                    write(out, begun ? part : begin + part);
                    begun = true;
                }
            }

            @Override
            public boolean stopRequested() {
                return terminal.interruption().requested();
            }
        };
        TextGenerator.Continuation text = generator.generate(begin, tokens, sampling, listener);
        double seconds = (System.nanoTime() - start) * 1e-9;
        double speed = text.tokens().size() / seconds;
        boolean whole = text.tokens().size() == tokens;
        if (!common.json && !common.quiet) {
            terminal.err()
                    .printf(
                            "%n%s tokens in %s s, %s tokens/s, step %d on backend %s%n",
                            Figures.count(text.tokens().size()),
                            Figures.fixed(seconds, 1),
                            Figures.fixed(speed, 1),
                            checkpoint.step(),
                            generator.backend());
        }
        return new Answer(
                whole ? Failure.DONE : Failure.INTERRUPTED,
                json(checkpoint, generator, begin, text, speed),
                "\n",
                whole ? "" : "interrupted after " + text.tokens().size() + " tokens");
    }

    private static void write(PrintStream out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8); // whatever the locale says
        out.write(bytes, 0, bytes.length);
        out.flush();
    }

    private ObjectNode json(
            Checkpoint checkpoint,
            TextGenerator generator,
            String begin,
            TextGenerator.Continuation text,
            double speed) {
        ObjectNode json = Json.object();
        json.put("checkpoint", checkpoint.path().toString());
        json.put("step", checkpoint.step());
        quantizer.ifPresent(label -> json.put("quantizer", label));
        json.put("backend", generator.backend());
        json.put("context", generator.context());
        json.put("temperature", temperature);
        json.put("topK", topK);
        json.put("topP", topP);
        json.put("seed", seed);
        json.put("prompt", begin);
        json.put("text", text.text());
        ArrayNode promptTokens = json.putArray("promptTokens");
        text.prompt().forEach(promptTokens::add);
        ArrayNode newTokens = json.putArray("tokens");
        text.tokens().forEach(newTokens::add);
        Json.put(json, "tokensPerSecond", speed);
        return json;
    }
}
