package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.TensorEntry;
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
            "Example: what 8-bit codes make of an activation, and the codes themselves",
            "  nibble inspect x.npy --quantizer int8-row --codes codes.npy --out q.npy",
            "",
            "Example: a weight of a checkpoint",
            "  nibble inspect my-run/checkpoints/step-000100/model.safetensors --tensor head.weight --role weight",
            "",
            "Example: whether the rounding of a gradient is unbiased: |bias| stays within a few standard errors, which",
            "shrink with the root of the draws; mean.npy is the mean of the 64 draws",
            "  nibble inspect grad.npy --quantizer int8-block --role gradOutput --samples 64 --out mean.npy",
            "",
            "snr is 10 log10(sum x^2 / sum (q-x)^2); zeros counts x != 0 whose code is 0; saturated counts x/scale beyond",
            "the codes; bias is mean(mean draw - x). Its standard error comes from the spread of each element over the",
            "draws (0 if nothing is random), with one draw from the spread of q-x over the elements. All other figures and",
            "the codes are of the first draw. Where the method transforms the tensor first, codes, zeros and saturated are",
            "of the result; in all else the transform is undone. A block size that a layer would search with both operands",
            "is searched with the tensor alone. An input without negative elements counts as one that never has any. A",
            "tensor with NaN or infinity is refused."
        })
final class InspectCommand implements Action {
    private static final Site SITE = new Site("inspect", 0);

    @Parameters(
            paramLabel = "FILE",
            description =
                    "A .npy file of any version: float16, float32 or float64, in C or Fortran order; or a .safetensors file"
                            + " with --tensor.")
    Path file;

    @Mixin
    PluginOptions plugins;

    @Option(
            names = "--role",
            paramLabel = "ROLE",
            defaultValue = "input",
            description = "What the tensor is to the layer: input, weight or gradOutput (default: ${DEFAULT-VALUE}).")
    String role;

    @Option(
            names = "--out",
            paramLabel = "F.npy",
            description = "Write what the codes mean, as float32: of several draws, the mean.")
    Optional<Path> out;

    @Option(
            names = "--codes",
            paramLabel = "F.npy",
            description =
                    "Write the codes: signed integers as int8, all others as uint8 bit patterns, 4-bit codes in a byte"
                            + " each; [planes, ...] if there are several.")
    Optional<Path> codes;

    @Option(
            names = "--tensor",
            paramLabel = "NAME",
            description =
                    "Which tensor of a .safetensors file: F32, F16, BF16, F8_E4M3 or F8_E5M2. Without it the names are told.")
    Optional<String> tensor;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    /** A file's tensor and how it is to be quantized. */
    private record Subject(NpyArray x, Role role, LinearQuantizer layer, LinearPlan plan) {
        QuantizeSpec spec() {
            return plan.quantize(role);
        }

        OperandSpec operand() {
            return spec().operand(Contraction.COLUMNS);
        }
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) throws IOException {
        Problems problems = new Problems();
        if (tensor.isPresent() && !isSafetensors(file)) {
            problems.add("--tensor names a tensor of a .safetensors file, but FILE is " + file);
        }
        if (out.isPresent() && out.map(Path::toAbsolutePath).equals(codes.map(Path::toAbsolutePath))) {
            problems.add("--out and --codes are both " + out.get() + ", but need a file each");
        }
        Quantizer quantizer = plugins.check(problems);
        Role parsedRole = problems.collect(() -> parseRole(role), Role.INPUT);
        problems.throwIfAny();
        NpyArray x = isSafetensors(file) ? readTensor() : NpyArray.read(file).requireUsable(file.toString());
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
                backend, subject.layer(), subject.plan(), subject.role(), file.toString(), subject.x())) {
            OperandProbe.Draw first = probe.draw(0);
            statistics.add(first.values());
            for (int i = 1; i < plugins.samples; i++) {
                statistics.add(probe.draw(i).values());
            }
            Inspection result = Inspection.of(
                    subject.spec(), subject.x().matrix(), subject.x().values(), probe.transformed(), first, statistics);
            Histogram histogram =
                    Histogram.of(spec.planes().getFirst(), first.codes().getFirst());
            out.ifPresent(path -> NpyWriter.writeFloats(path, subject.x().shape(), result.mean()));
            codes.ifPresent(path -> writeCodes(path, spec, subject.x().shape(), first.codes()));
            return Answer.done(json(backend, subject, result, histogram), text(backend, subject, result, histogram));
        }
    }

    /**
     * A fresh layer of which the tensor is a part. The extent that the tensor does not tell is that of its columns; an input
     * without a negative element is taken for one that never has any.
     */
    private static Subject subject(NpyArray x, Quantizer quantizer, Role role) {
        Shape matrix = x.matrix();
        long out = role == Role.WEIGHT ? matrix.rows() : matrix.cols();
        boolean nonNegativeInput = role == Role.INPUT && x.isNonNegative();
        LinearQuantizer layer = quantizer.linear(new LinearLayer(SITE, matrix.cols(), out, nonNegativeInput));
        return new Subject(x, role, layer, layer.plan(new PlanRequest(matrix.rows(), true)));
    }

    private NpyArray readTensor() {
        try (SafetensorsFile tensors = SafetensorsFile.open(file)) {
            if (tensor.isEmpty()) {
                throw new IllegalArgumentException(file + " needs --tensor NAME; " + tensors.known(""));
            }
            TensorEntry entry = tensors.tensor(tensor.get());
            NpyArray x = new NpyArray(entry.shape(), tensors.floats(entry.name()));
            return x.requireUsable(file + ": " + JsonTree.quoted(entry.name()));
        }
    }

    private static boolean isSafetensors(Path file) {
        return file.toString().toLowerCase(Locale.ROOT).endsWith(SafetensorsFile.SUFFIX);
    }

    static void refuseSafetensors(Path file, Problems problems) {
        if (isSafetensors(file)) {
            problems.add(file + " is a safetensors file, but a .npy file is needed; save the tensor with numpy.save");
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
        if (!Codes.exist(spec)) {
            throw new IllegalArgumentException(
                    "--codes needs a format with codes, but " + spec.formatLabel() + " values are stored as they are");
        }
    }

    private static void writeCodes(Path path, OperandSpec spec, Shape shape, List<byte[]> planes) {
        List<Long> extents = new ArrayList<>(shape.dims());
        if (planes.size() > 1) {
            extents.addFirst((long) planes.size());
        }
        NpyWriter.writeBytes(path, new Shape(extents), planes, Codes.areSigned(spec));
    }

    private ObjectNode json(Backend backend, Subject subject, Inspection result, Histogram histogram) {
        ObjectNode json = Json.object();
        json.put("file", file.toString());
        tensor.ifPresent(name -> json.put("tensor", name));
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
                        + (histogram.magnitudes() ? "magnitudes, at scale 1" : "at scale 1")
                        + ")\n" + histogram.text();
        return title + "\n" + table.text() + codeTable;
    }

    private static String share(long count, long elements) {
        return Figures.count(count) + String.format(Locale.ROOT, " (%.2f %%)", 100.0 * count / elements);
    }
}
