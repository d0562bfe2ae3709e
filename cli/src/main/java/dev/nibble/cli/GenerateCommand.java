package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.GenerationSpec;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.Runs;
import dev.nibble.models.TextGenerator;
import dev.nibble.models.TextGenerator.End;
import dev.nibble.models.TextGenerator.Generation;
import dev.nibble.models.TextListener;
import dev.nibble.models.TokenSampling;
import dev.nibble.models.checkpoint.Checkpoint;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
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
            "Example: three answers to a prompt from a pipe, each until an empty line",
            "  echo 'To be' | nibble generate my-run --prompt-file - --samples 3 --stop $'\\n\\n'",
            "",
            "Each layer runs under the quantizer that it had in the last step, with what that had learned; another",
            "one, by --quantizer, begins as in a new run. The model sees as many tokens as a sequence had in",
            "training (data.sequence); when they are full, the older half leaves. Keys and values of tokens that it",
            "has seen are kept, so a new token is one row; in fp32 that has the bits of the whole window. A quantizer",
            "that shares scales between rows gives a row that is alone a scale of its own; with --no-cache it gets",
            "whole windows, as in training. Attention that is quantized has no cache. The same seed gives the same",
            "text, on backends whose bits are the same."
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
            names = "--prompt-file",
            paramLabel = "FILE",
            description = "A file in UTF-8 with that text, taken as it is; - for standard input.")
    Optional<String> promptFile;

    @Option(
            names = {"--tokens", "--max-tokens"},
            paramLabel = "N",
            defaultValue = "200",
            description =
                    "New tokens, at most: bytes, unless the run has a tokenizer, whose end of text ends it (default: ${DEFAULT-VALUE}).")
    int tokens;

    @Option(
            names = "--samples",
            paramLabel = "N",
            defaultValue = "1",
            description = "Texts, computed side by side (default: ${DEFAULT-VALUE}).")
    int samples;

    @Option(
            names = "--stop",
            paramLabel = "TEXT",
            description = "End a text where this would begin; may be given several times.")
    List<String> stops = new ArrayList<>();

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
            names = "--no-cache",
            description =
                    "Compute the whole window for each token, as in training, instead of keeping keys and values.")
    boolean noCache;

    @Option(
            names = "--tokenizer",
            paramLabel = "FILE",
            description = "Where the run's tokenizer.json is now (default: where it was).")
    Optional<Path> tokenizer;

    @Mixin
    BackendOption backend;

    @Option(
            names = "--threads",
            paramLabel = "N",
            defaultValue = "0",
            description =
                    "Processor threads that compute; 0 for all. Never changes a number (default: ${DEFAULT-VALUE}).")
    int threads;

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
        Problems problems = new Problems();
        problems.requireThreads(threads);
        backend.check(problems);
        if (prompt.isPresent() && promptFile.isPresent()) {
            problems.add("--prompt and --prompt-file are both given, but a text begins with one of them");
        }
        Optional<TokenSampling> sampling =
                problems.collect(() -> Optional.of(new TokenSampling(temperature, topK, topP, seed)), Optional.empty());
        TokenSampling any = sampling.orElse(new TokenSampling(0, 0, 1, 0));
        Optional<GenerationSpec> spec = problems.collect(
                () -> Optional.of(new GenerationSpec(tokens, samples, any, !noCache, stops)), Optional.empty());
        Optional<QuantizerChoice> choice =
                problems.collect(() -> quantizer.map(QuantizerChoice::parse), Optional.<QuantizerChoice>empty());
        problems.throwIfAny();
        Checkpoint checkpoint = weights.find(source, terminal);
        String begin = promptFile.map(PromptText::read).or(() -> prompt).orElse("\n");
        try (TextGenerator generator = Runs.create().generator(checkpoint, backend.name, threads, choice, tokenizer)) {
            return generate(terminal, checkpoint, generator, begin, spec.orElseThrow());
        }
    }

    private Answer generate(
            Terminal terminal, Checkpoint checkpoint, TextGenerator generator, String begin, GenerationSpec spec) {
        boolean streams = !common.json && samples == 1;
        if (spec.cached() && !generator.isCacheable() && !common.quiet) {
            terminal.err().println("attention of this run is quantized, so each token computes the whole window");
        }
        TextListener listener = new TextListener() {
            private boolean begun;

            @Override
            public void text(int sample, String part) {
                if (streams) {
                    write(terminal.out(), begun ? part : begin + part);
                    begun = true;
                }
            }

            @Override
            public boolean stopRequested() {
                return terminal.interruption().requested();
            }
        };
        long start = System.nanoTime();
        Generation generation = generator.generate(begin, spec, listener);
        double seconds = (System.nanoTime() - start) * 1e-9;
        int written = generation.samples().stream()
                .mapToInt(text -> text.tokens().size())
                .sum();
        if (!common.json && !common.quiet) {
            terminal.err()
                    .printf(
                            "%n%s tokens in %s s, %s tokens/s, step %d on backend %s, %s%n",
                            Figures.count(written),
                            Figures.fixed(seconds, 1),
                            Figures.fixed(written / seconds, 1),
                            checkpoint.step(),
                            generator.backend(),
                            generation.cacheBytes() == 0
                                    ? "no cache"
                                    : Figures.bytes(generation.cacheBytes()) + " of keys and values");
        }
        boolean whole = generation.samples().stream().noneMatch(text -> text.end() == End.INTERRUPTED);
        ObjectNode json = json(checkpoint, generator, begin, generation);
        Json.put(json, "tokensPerSecond", written / seconds);
        return new Answer(
                whole ? Failure.DONE : Failure.INTERRUPTED,
                json,
                streams ? "\n" : blocks(begin, generation),
                whole ? "" : "interrupted after " + written + " tokens");
    }

    /** {@return several texts, each below a line with its number} */
    private static String blocks(String begin, Generation generation) {
        StringBuilder blocks = new StringBuilder();
        for (int i = 0; i < generation.samples().size(); i++) {
            String text = begin + generation.samples().get(i).text();
            blocks.append("=== sample %d of %d ===\n"
                            .formatted(i + 1, generation.samples().size()))
                    .append(text)
                    .append(text.endsWith("\n") ? "" : "\n");
        }
        return blocks.toString();
    }

    private static void write(PrintStream out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8); // whatever the locale says
        out.write(bytes, 0, bytes.length);
        out.flush();
    }

    private ObjectNode json(Checkpoint checkpoint, TextGenerator generator, String begin, Generation generation) {
        ObjectNode json = Json.object();
        json.put("checkpoint", checkpoint.path().toString());
        json.put("step", checkpoint.step());
        quantizer.ifPresent(label -> json.put("quantizer", label));
        json.put("backend", generator.backend());
        json.put("context", generator.context());
        json.put("cacheBytes", generation.cacheBytes());
        json.put("temperature", temperature);
        json.put("topK", topK);
        json.put("topP", topP);
        json.put("seed", seed);
        json.put("prompt", begin);
        TextGenerator.Continuation first = generation.samples().getFirst();
        put(json, first);
        ArrayNode promptTokens = json.putArray("promptTokens");
        first.prompt().forEach(promptTokens::add);
        if (samples > 1) {
            ArrayNode all = json.putArray("samples");
            generation.samples().forEach(text -> put(all.addObject(), text));
        }
        return json;
    }

    private static void put(ObjectNode json, TextGenerator.Continuation text) {
        json.put("text", text.text());
        json.put("end", text.end().name().toLowerCase(Locale.ROOT).replace('_', '-'));
        ArrayNode tokens = json.putArray("tokens");
        text.tokens().forEach(tokens::add);
    }
}
