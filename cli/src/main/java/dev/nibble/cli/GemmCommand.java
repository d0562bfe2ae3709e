package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.gemm.Product;
import dev.nibble.models.files.AtomicFile;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Names;
import dev.nibble.spi.Quantizer;
import java.io.IOException;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;
import picocli.CommandLine.Parameters;

/** {@code nibble gemm}: one product under a quantizer. */
@Command(
        name = "gemm",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Computes one product of a linear layer under a quantizer, and compares it with FP64.",
            "D[M,N] = A[M,K] * B[N,K]^T; the FP64 product is that of the unquantized matrices.",
            "",
            "  output      A = X [tokens, in]      B = W [out, in]",
            "  gradInput   A = dY [tokens, out]    B = W^T [in, out]",
            "  gradWeight  A = dY^T [out, tokens]  B = X^T [in, tokens]"
        },
        footer = {
            "",
            "Example: the weight gradient in 8-bit blocks, its error, and the kernel that ran",
            "  nibble gemm dyT.npy xT.npy --product gradWeight --quantizer int8-block --out dw.npy",
            "",
            "Example: whether stochastic rounding leaves the product unbiased; d.npy is the mean of 32 products",
            "  nibble gemm dy.npy wT.npy --product gradInput --quantizer int8-row --samples 32 --out d.npy",
            "",
            "D is the mean of the draws. relative error is ||D - exact|| / ||exact|| (Frobenius), max error the largest",
            "|D - exact|, bias mean(D - exact); its standard error comes from the spread of mean(D) over the draws and",
            "needs two. Operands that are rounded to nearest have a bias of their own, which no number of draws removes."
        })
final class GemmCommand implements Action {
    @Parameters(index = "0", paramLabel = "A.npy", description = "Left matrix [M, K]: float16, float32 or float64.")
    Path fileA;

    @Parameters(index = "1", paramLabel = "B.npy", description = "Right matrix [N, K]: float16, float32 or float64.")
    Path fileB;

    @Option(
            names = "--product",
            paramLabel = "PRODUCT",
            defaultValue = "output",
            description = "output, gradInput or gradWeight (default: ${DEFAULT-VALUE}).")
    String product;

    @Mixin
    PluginOptions plugins;

    @Option(
            names = "--out",
            paramLabel = "D.npy",
            description = "Write the product [M, N] as float32: of several draws, the mean.")
    Optional<Path> out;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) throws IOException {
        Problems problems = new Problems();
        InspectCommand.refuseSafetensors(fileA, problems);
        InspectCommand.refuseSafetensors(fileB, problems);
        Quantizer quantizer = plugins.check(problems);
        Product parsed = problems.collect(() -> parseProduct(product), Product.OUTPUT);
        problems.throwIfAny();
        NpyArray a = matrix(fileA);
        NpyArray b = matrix(fileB);
        if (a.shape().cols() != b.shape().cols()) {
            throw new IllegalArgumentException(
                    "%s is %s and %s is %s, but both need the same number of columns: D[M,N] = A[M,K] * B[N,K]^T"
                            .formatted(fileA, a.shape(), fileB, b.shape()));
        }
        out.ifPresent(AtomicFile::requireWritable);
        try (Backend backend = plugins.open();
                ProductProbe probe = new ProductProbe(backend, quantizer, parsed, a, b)) {
            DrawStatistics draws = new DrawStatistics(probe.exact().length);
            for (int i = 0; i < plugins.samples; i++) {
                draws.add(probe.draw(i));
            }
            out.ifPresent(path -> NpyWriter.writeFloats(path, probe.shape(), draws.mean()));
            return answer(backend, probe, parsed, draws);
        }
    }

    private static NpyArray matrix(Path file) throws IOException {
        NpyArray array = NpyArray.read(file);
        if (array.shape().rank() != 2) {
            throw new IllegalArgumentException(file + " has shape " + array.shape() + ", but a matrix is needed");
        }
        return array.requireUsable(file.toString());
    }

    private static Product parseProduct(String text) {
        return Arrays.stream(Product.values())
                .filter(p -> p.label().equals(text))
                .findFirst()
                .orElseThrow(() -> {
                    List<String> labels =
                            Arrays.stream(Product.values()).map(Product::label).toList();
                    return new IllegalArgumentException("--product is '" + text + "'; " + Names.suggest(text, labels));
                });
    }

    private Answer answer(Backend backend, ProductProbe probe, Product parsed, DrawStatistics draws) {
        ExecutionRow row = probe.executionRow();
        ProductError error = ProductError.of(probe.exact(), draws.mean());
        double bias = draws.bias(i -> probe.exact()[i]);
        ObjectNode json = Json.object();
        json.put("product", parsed.label());
        json.put("quantizer", plugins.quantizer);
        json.put("backend", backend.name());
        json.put("seed", plugins.seed);
        json.put("samples", plugins.samples);
        json.set("shape", InspectCommand.shapeJson(probe.shape()));
        Json.put(json, "relativeError", error.relative());
        Json.put(json, "maxError", error.largest());
        Json.put(json, "bias", bias);
        Json.put(json, "standardError", draws.jointStandardError());
        json.put("requestedFormat", row.requestedFormat());
        json.put("storedFormat", row.storedFormat());
        json.put("kernel", row.kernel());
        json.put("computeType", row.computeType());
        json.put("reason", row.reason());
        String text = "%s: %s = %s * %s^T, quantized by %s on backend %s%n%n"
                .formatted(parsed.label(), probe.shape(), fileA, fileB, plugins.quantizer, backend.name());
        TextTable table = new TextTable()
                .allLeft()
                .row("relative error", Figures.significant(error.relative()))
                .row("max error", Figures.significant(error.largest()))
                .row("bias", Figures.significant(bias))
                .row("standard error of bias", Figures.significant(draws.jointStandardError()))
                .row("draws", Figures.count(plugins.samples))
                .row("requested format", row.requestedFormat())
                .row("stored format", row.storedFormat())
                .row("kernel", row.kernel())
                .row("compute type", row.computeType());
        if (!row.reason().isEmpty()) {
            table.row("reason", row.reason());
        }
        return Answer.done(json, text + table.text());
    }
}
