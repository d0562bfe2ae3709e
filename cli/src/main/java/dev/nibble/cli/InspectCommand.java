package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Names;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.Site;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble inspect}: what a quantizer does to a tensor. */
@Command(
        name = "inspect",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Shows what a quantizer does to a tensor: noise, zeros, saturation, bias and the codes it makes.",
            "The layer is fresh, at step 0; the product contracts the last axis; of a tensor with another rank than 2,",
            "the leading axes are taken together."
        },
        footer = {
            "",
            "Example: how much of a gradient survives in 8-bit blocks, and whether rounding is unbiased",
            "  nibble inspect grad.npy --quantizer int8-block:block=128x128 --role gradOutput --samples 64",
            "",
            "snr is 10 log10(sum x^2 / sum (q-x)^2); zeros counts x != 0 whose code is 0; saturated counts |x/scale|",
            "above the top code; bias is mean(mean draw - x). snr, cosine, zeros and saturated are of the first draw."
        })
final class InspectCommand implements Action {
    @Parameters(paramLabel = "FILE", description = "A .npy file, float32 or float64.")
    Path file;

    @Mixin
    PluginOptions plugins;

    @Option(
            names = "--role",
            paramLabel = "ROLE",
            defaultValue = "input",
            description = "What the tensor is to the layer: input, weight or gradOutput (default: ${DEFAULT-VALUE}).")
    String role;

    @Option(names = "--out", paramLabel = "F.npy", description = "Write what the codes mean, as float32.")
    Optional<Path> out;

    @Option(
            names = "--codes",
            paramLabel = "F.npy",
            description = "Write the codes: int8, or uint8 bit patterns; [planes, ...] if there are several.")
    Optional<Path> codes;

    @Option(names = "--tensor", paramLabel = "NAME", hidden = true)
    Optional<String> tensor;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    /** A file's tensor and how it is to be quantized. */
    private record Subject(NpyArray x, Shape matrix, Role role, LinearQuantizer layer, QuantizeSpec spec) {
        OperandSpec operand() {
            return spec.operand(Contraction.COLUMNS);
        }
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) throws IOException {
        Problems problems = new Problems();
        refuseSafetensors(file, problems);
        if (tensor.isPresent()) {
            problems.add("--tensor names a tensor of a safetensors file, which is not in this version");
        }
        Quantizer quantizer = plugins.check(problems);
        Role parsedRole = problems.collect(() -> parseRole(role), Role.INPUT);
        problems.throwIfAny();
        NpyArray x = NpyArray.read(file).requireUsable(file.toString());
        Subject subject = subject(x, quantizer, parsedRole);
        codes.ifPresent(_ -> requireCodes(subject.operand()));
        out.ifPresent(AtomicFile::requireWritable);
        codes.ifPresent(AtomicFile::requireWritable);
        try (Backend backend = plugins.open()) {
            return inspect(backend, subject);
        }
    }

    private Answer inspect(Backend backend, Subject subject) {
        OperandSpec spec = subject.operand();
        DrawStatistics statistics = new DrawStatistics(subject.x().values().length);
        try (OperandProbe probe = new OperandProbe(
                backend,
                new Site("inspect", 0),
                subject.layer(),
                subject.spec(),
                subject.matrix(),
                subject.x().values())) {
            OperandProbe.Draw first = probe.draw(0);
            statistics.add(first.values());
            for (int i = 1; i < plugins.samples; i++) {
                statistics.add(probe.draw(i).values());
            }
            Inspection result =
                    Inspection.of(spec, subject.matrix(), subject.x().values(), first, statistics);
            Histogram histogram = Histogram.of(
                    spec.planes().getFirst().format(), first.codes().getFirst());
            out.ifPresent(path -> NpyWriter.writeFloats(path, subject.x().shape(), result.mean()));
            codes.ifPresent(path -> writeCodes(path, spec, subject.x().shape(), first.codes()));
            return Answer.done(json(backend, subject, result, histogram), text(backend, subject, result, histogram));
        }
    }

    /** A fresh layer of which the tensor is a part; the extent that the tensor does not tell is that of its columns. */
    private static Subject subject(NpyArray x, Quantizer quantizer, Role role) {
        Shape matrix = x.shape().rank() == 2
                ? x.shape()
                : Shape.of(x.shape().rows(), x.shape().cols());
        long out = role == Role.WEIGHT ? matrix.rows() : matrix.cols();
        LinearQuantizer layer = quantizer.linear(new LinearLayer(new Site("inspect", 0), matrix.cols(), out));
        LinearPlan plan = layer.plan(new PlanRequest(matrix.rows(), true));
        return new Subject(x, matrix, role, layer, plan.quantize(role));
    }

    static void refuseSafetensors(Path file, Problems problems) {
        if (file.toString().toLowerCase(Locale.ROOT).endsWith(".safetensors")) {
            problems.add(
                    file + " is a safetensors file, which is not in this version; save the tensor with numpy.save");
        }
    }

    private static Role parseRole(String text) {
        List<Role> roles = List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT);
        return roles.stream().filter(r -> r.label().equals(text)).findFirst().orElseThrow(() -> {
            List<String> labels = roles.stream().map(Role::label).toList();
            return new IllegalArgumentException("--role is '" + text + "'; " + Names.suggest(text, labels));
        });
    }

    private static void requireCodes(OperandSpec spec) {
        DType format = spec.planes().getFirst().format();
        if (format.family() == DType.Family.FLOAT) {
            throw new IllegalArgumentException(
                    "--codes needs a format with codes, but " + format.label() + " values are stored as they are");
        }
    }

    private static void writeCodes(Path path, OperandSpec spec, Shape shape, List<byte[]> planes) {
        boolean signed = spec.planes().getFirst().format().family() == DType.Family.INTEGER;
        List<Long> extents = new ArrayList<>(shape.dims());
        if (planes.size() > 1) {
            extents.addFirst((long) planes.size());
        }
        NpyWriter.writeBytes(path, new Shape(extents), planes, signed);
    }

    private ObjectNode json(Backend backend, Subject subject, Inspection result, Histogram histogram) {
        ObjectNode json = Json.object();
        json.put("file", file.toString());
        json.set("shape", shapeJson(subject.x().shape()));
        json.put("quantizer", plugins.quantizer);
        json.put("role", subject.role().label());
        json.put("backend", backend.name());
        json.put("seed", plugins.seed);
        json.put("samples", plugins.samples);
        json.put("format", subject.operand().formatLabel());
        Json.put(json, "snrDb", result.snrDb());
        Json.put(json, "cosine", result.cosine());
        Json.put(json, "meanRelativeError", result.meanRelativeError());
        json.put("zeros", result.zeros());
        json.put("saturated", result.saturated());
        Json.put(json, "bias", result.bias());
        Json.put(json, "standardError", result.standardError());
        json.put("scales", result.scales());
        json.set("histogram", histogram.json());
        return json;
    }

    static ArrayNode shapeJson(Shape shape) {
        ArrayNode array = Json.array();
        shape.dims().forEach(array::add);
        return array;
    }

    private String text(Backend backend, Subject subject, Inspection result, Histogram histogram) {
        long elements = subject.x().values().length;
        String title = "%s %s as %s, quantized by %s to %s on backend %s%n"
                .formatted(
                        file,
                        subject.x().shape(),
                        subject.role().label(),
                        plugins.quantizer,
                        subject.operand().formatLabel(),
                        backend.name());
        TextTable table = new TextTable()
                .allLeft()
                .row("signal to noise", Figures.fixed(result.snrDb(), 2) + " dB")
                .row("cosine", Figures.fixed(result.cosine(), 8))
                .row("mean relative error", Figures.significant(result.meanRelativeError()))
                .row("zeros", share(result.zeros(), elements))
                .row("saturated", share(result.saturated(), elements))
                .row("bias", Figures.significant(result.bias()))
                .row("standard error of bias", Figures.significant(result.standardError()))
                .row("draws", Figures.count(plugins.samples))
                .row("scales", Figures.count(result.scales()));
        String codeTable = histogram.bins().isEmpty()
                ? ""
                : "\ncodes of plane 0 ("
                        + (subject.operand().planes().getFirst().format().family() == DType.Family.FP8
                                ? "magnitudes, at scale 1"
                                : "at scale 1")
                        + ")\n" + histogram.text();
        return title + "\n" + table.text() + codeTable;
    }

    private static String share(long count, long elements) {
        return Figures.count(count) + String.format(Locale.ROOT, " (%.2f %%)", 100.0 * count / elements);
    }
}
