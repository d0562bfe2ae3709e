package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.gemm.Product;
import dev.nibble.models.CheckpointSample;
import dev.nibble.models.LayerSample;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.Runs;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Quantizer;
import dev.nibble.tensor.Role;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble diagnose}: which layers of a checkpoint quantizing hurts. */
@Command(
        name = "diagnose",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Ranks the layers of a checkpoint by what quantizing does to their products, on a batch of the run's own data.",
            "",
            "The forward and backward pass of the run's next step give X, W and dY of each layer. Each product of the",
            "layer is compared with that of the operands as they were, computed in FP64, and each operand with what",
            "its codes mean. The weights are those of the step, also where the run keeps averages (train.ema)."
        },
        footer = {
            "",
            "Example: what hurts, and would FP8 help?",
            "  nibble diagnose my-run --quantizer fp8",
            "Example: the numbers for a script, from a certain checkpoint",
            "  nibble diagnose my-run/checkpoints/step-000500 --json",
            "",
            "The worst product comes first. 'snr dB' is signal to noise in decibels: 6 dB more are one bit more.",
            "Operands: zeros, saturated (as nibble inspect counts them), amax, bias of the mean over the draws with",
            "its standard error. Quantizers are those of a fresh layer: thresholds and maxima that a run has learned",
            "are not used."
        })
final class DiagnoseCommand implements Action {
    private static final List<Role> ROLES = List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT);

    @Parameters(paramLabel = "CHECKPOINT", description = "Folder of a checkpoint, or of a run, whose newest counts.")
    Path source;

    @Option(
            names = "--quantizer",
            paramLabel = "NAME[:k=v,...]",
            description = "What if: show every layer under this quantizer, too.")
    Optional<String> quantizer;

    @Option(names = "--data", paramLabel = "PATH", description = "Where the run's data is now (default: where it was).")
    Optional<Path> data;

    @Mixin
    BackendOption backend;

    @Option(
            names = "--samples",
            paramLabel = "N",
            defaultValue = "4",
            description = "Draws of random rounding (default: ${DEFAULT-VALUE}).")
    int samples;

    @Option(
            names = "--top",
            paramLabel = "N",
            defaultValue = "20",
            description = "Products and operands that are shown; JSON has all (default: ${DEFAULT-VALUE}).")
    int top;

    @Mixin
    CommonOptions common;

    /** A product of a layer under its quantizer and, perhaps, under another one. */
    private record ProductRow(
            LayerSample layer, Product product, ProductDiagnosis own, Optional<ProductDiagnosis> other) {}

    /** An operand of a layer under its quantizer and, perhaps, under another one. */
    private record OperandRow(LayerSample layer, Role role, OperandDiagnosis own, Optional<OperandDiagnosis> other) {}

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        Problems problems = new Problems();
        problems.requirePositive("--samples", samples);
        problems.requirePositive("--top", top);
        backend.check(problems);
        Optional<Quantizer> other =
                problems.collect(() -> quantizer.map(QuantizerName::quantizer), Optional.<Quantizer>empty());
        problems.throwIfAny();
        Checkpoint checkpoint = CheckpointArgument.find(source, terminal);
        CheckpointSample sample = Runs.create().sample(checkpoint, backend.name, data);
        List<ProductRow> products = new ArrayList<>();
        List<OperandRow> operands = new ArrayList<>();
        try (Backend opened = Plugins.openBackend(backend.name, new BackendOptions(0, 0, false))) {
            for (LayerSample layer : sample.layers()) {
                diagnose(opened, layer, other, products, operands);
            }
        }
        products.sort(Comparator.comparingDouble(row -> row.own().snrDb()));
        operands.sort(Comparator.comparingDouble(row -> row.own().figures().snrDb()));
        return Answer.done(json(checkpoint, sample, products, operands), text(checkpoint, sample, products, operands));
    }

    private void diagnose(
            Backend opened,
            LayerSample layer,
            Optional<Quantizer> other,
            List<ProductRow> products,
            List<OperandRow> operands) {
        Quantizer own = QuantizerName.quantizer(layer.quantizer());
        for (Product product : Product.values()) {
            products.add(new ProductRow(
                    layer,
                    product,
                    ProductDiagnosis.of(opened, own, product, layer, samples),
                    other.map(q -> ProductDiagnosis.of(opened, q, product, layer, samples))));
        }
        for (Role role : ROLES) {
            operands.add(new OperandRow(
                    layer,
                    role,
                    OperandDiagnosis.of(opened, own, role, layer, samples),
                    other.map(q -> OperandDiagnosis.of(opened, q, role, layer, samples))));
        }
    }

    private ObjectNode json(
            Checkpoint checkpoint, CheckpointSample sample, List<ProductRow> products, List<OperandRow> operands) {
        ObjectNode json = Json.object();
        json.put("checkpoint", checkpoint.path().toString());
        json.put("step", sample.step());
        json.put("preset", sample.preset());
        json.put("backend", sample.backend());
        json.put("samples", samples);
        ArrayNode productRows = json.putArray("products");
        for (ProductRow row : products) {
            ObjectNode node = productRows.addObject();
            node.put("layer", row.layer().layer().site().name());
            node.put("product", row.product().label());
            put(node, row.layer().quantizer(), row.own());
            row.other().ifPresent(figures -> put(node.putObject("whatIf"), quantizer.orElseThrow(), figures));
        }
        ArrayNode operandRows = json.putArray("operands");
        for (OperandRow row : operands) {
            ObjectNode node = operandRows.addObject();
            node.put("layer", row.layer().layer().site().name());
            node.put("role", row.role().label());
            put(node, row.layer().quantizer(), row.own());
            row.other().ifPresent(figures -> put(node.putObject("whatIf"), quantizer.orElseThrow(), figures));
        }
        return json;
    }

    private static void put(ObjectNode node, String label, ProductDiagnosis figures) {
        node.put("quantizer", label);
        Json.put(node, "snrDb", figures.snrDb());
        Json.put(node, "cosine", figures.cosine());
    }

    private static void put(ObjectNode node, String label, OperandDiagnosis operand) {
        Inspection figures = operand.figures();
        node.put("quantizer", label);
        Json.put(node, "snrDb", figures.snrDb());
        Json.put(node, "cosine", figures.cosine());
        node.put("elements", operand.elements());
        node.put("zeros", figures.zeros());
        node.put("saturated", figures.saturated());
        Json.put(node, "amax", operand.amax());
        Json.put(node, "bias", figures.bias());
        Json.put(node, "standardError", figures.standardError());
    }

    private String text(
            Checkpoint checkpoint, CheckpointSample sample, List<ProductRow> products, List<OperandRow> operands) {
        StringBuilder text = new StringBuilder("%s, preset %s, on backend %s: %d layers; the worst first%n%n"
                .formatted(
                        checkpoint.path(),
                        sample.preset(),
                        sample.backend(),
                        sample.layers().size()));
        TextTable table = new TextTable().allLeft();
        List<String> header = new ArrayList<>(List.of("layer", "product", "snr dB", "cosine"));
        quantizer.ifPresent(label -> header.add("snr dB under " + label));
        header.add("quantizer");
        table.row(header.toArray(String[]::new));
        for (ProductRow row : products.subList(0, Math.min(top, products.size()))) {
            List<String> cells = new ArrayList<>(List.of(
                    row.layer().layer().site().name(),
                    row.product().label(),
                    Figures.fixed(row.own().snrDb(), 1),
                    Figures.fixed(row.own().cosine(), 6)));
            row.other().ifPresent(figures -> cells.add(Figures.fixed(figures.snrDb(), 1)));
            cells.add(QuantizerChoice.parse(row.layer().quantizer()).name());
            table.row(cells.toArray(String[]::new));
        }
        return text.append(table.text())
                .append('\n')
                .append(operandTable(operands).text())
                .append(products.size() > top ? "\n--json has all of them\n" : "")
                .toString();
    }

    private TextTable operandTable(List<OperandRow> operands) {
        TextTable table = new TextTable().allLeft();
        List<String> header =
                new ArrayList<>(List.of("layer", "operand", "snr dB", "zeros", "saturated", "amax", "bias"));
        quantizer.ifPresent(label -> header.add("snr dB under " + label));
        table.row(header.toArray(String[]::new));
        for (OperandRow row : operands.subList(0, Math.min(top, operands.size()))) {
            Inspection figures = row.own().figures();
            List<String> cells = new ArrayList<>(List.of(
                    row.layer().layer().site().name(),
                    row.role().label(),
                    Figures.fixed(figures.snrDb(), 1),
                    share(figures.zeros(), row.own().elements()),
                    share(figures.saturated(), row.own().elements()),
                    Figures.significant(row.own().amax()),
                    Figures.significant(figures.bias()) + " +- " + Figures.significant(figures.standardError())));
            row.other()
                    .ifPresent(other -> cells.add(Figures.fixed(other.figures().snrDb(), 1)));
            table.row(cells.toArray(String[]::new));
        }
        return table;
    }

    private static String share(long count, long elements) {
        return Figures.fixed(100.0 * count / elements, 2) + " %";
    }
}
