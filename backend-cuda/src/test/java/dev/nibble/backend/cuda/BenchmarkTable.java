package dev.nibble.backend.cuda;

import static dev.nibble.backend.cuda.Benchmarks.shown;

import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/** What was measured, as a page and as an object. */
final class BenchmarkTable {
    /** Name of the fact that tells which kernels ran; a test looks for it. */
    static final String HASH = "SHA-256 of backend-cuda/src/main/cuda";

    private static final int SHOWN = 14; // kernels of a step
    private static final double TERA = 1e9; // operations a millisecond
    private static final double GIBI = 1L << 30;

    /**
     * A product, or a pass of attention.
     *
     * @param what quantizer or pass
     * @param teraflops operations a second
     * @param ratio to PyTorch in BF16; NaN if unknown
     * @param floor of the ratio, or of the operations where there is no ratio; 0: none
     */
    record Row(String what, String shape, double millis, double teraflops, double ratio, double floor) {}

    /**
     * A training step in PyTorch, compiled.
     *
     * @param parameters their format: bf16, or mixed for FP32 under autocast
     * @param launched milliseconds where its kernels are launched one by one; NaN if unknown
     * @param graph milliseconds where it is replayed from one CUDA graph; NaN if unknown
     * @param uncaptured why there is no such graph; empty if there is one
     */
    record TorchStep(String model, String parameters, double launched, double graph, String uncaptured) {
        /** {@return the shorter time; NaN if none is known} */
        double millis() {
            return launched < graph || Double.isNaN(graph) ? launched : graph;
        }
    }

    private final Map<String, String> facts = new LinkedHashMap<>();
    private final List<Row> products = new ArrayList<>();
    private final List<Row> attention = new ArrayList<>();
    private final List<TorchStep> torchSteps = new ArrayList<>();
    private final StringBuilder steps = new StringBuilder();
    private final StringBuilder kernels = new StringBuilder();
    private final List<Object> stepTrees = new ArrayList<>();
    private final List<String> missed = new ArrayList<>();
    private String quantize = "";

    void fact(String name, String value) {
        facts.put(name, value);
    }

    void product(Row row) {
        products.add(row);
        check(row.what() + ' ' + row.shape(), row.ratio(), row.floor());
    }

    void attention(Row row) {
        attention.add(row);
        check("attention " + row.what(), row.teraflops(), row.floor());
    }

    /** Notes a figure below its floor. What cannot be compared misses none. */
    private void check(String what, double value, double floor) {
        if (value < floor) {
            missed.add("%s %s, but at least %s".formatted(what, shown(value, "%.2f"), shown(floor, "%.2f")));
        }
    }

    /** Notes what could not be measured. */
    void failed(String what) {
        missed.add(what);
    }

    /** Sets the table of quantization. */
    void quantize(String lines) {
        quantize = lines;
    }

    /** {@return the figures below their floors, and those that are not there} */
    List<String> missed() {
        return List.copyOf(missed);
    }

    /** Adds one of PyTorch's training steps. */
    void torch(TorchStep step) {
        torchSteps.add(step);
    }

    /**
     * Adds a training step.
     *
     * @param bf16 milliseconds of PyTorch's, all BF16, in the faster way; NaN if unknown
     * @param mixed the same with FP32 parameters
     * @param floor of the ratio to the first; 0: none
     */
    void step(StepTimes.Result result, double bf16, double mixed, double floor) {
        double millis = result.millis();
        String name = result.size().name() + ' ' + result.quantizer();
        check("step " + name, bf16 / millis, floor);
        double teraflops = result.size().operations() / millis / TERA;
        double tokens = result.size().tokens() / millis * 1e3;
        steps.append("| %s | %s | %s | %s | %s | %s | %s | %s | %s | %s | %s |%n"
                .formatted(
                        result.size().name(),
                        result.quantizer(),
                        shown(millis, "%.1f"),
                        shown(tokens, "%,.0f"),
                        shown(teraflops, "%.0f"),
                        shown(bf16 / millis, "%.2f"),
                        floor > 0 ? shown(floor, "%.2f") : "",
                        shown(mixed / millis, "%.2f"),
                        shown(result.predictedBytes() / GIBI, "%.2f"),
                        shown(result.peakBytes() / GIBI, "%.2f"),
                        shown(result.heldBytes() / GIBI, "%.2f")));
        kernels(name, result.kernels());
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("model", result.size().name());
        tree.put("quantizer", result.quantizer());
        tree.put("milliseconds", millis);
        put(tree, "ratioToBf16", bf16 / millis);
        put(tree, "ratioToMixed", mixed / millis);
        tree.put("predictedPeakBytes", result.predictedBytes());
        tree.put("peakBytes", result.peakBytes());
        tree.put("heldBytes", result.heldBytes());
        Map<String, Object> byKernel = new LinkedHashMap<>();
        result.kernels().forEach((kernel, time) -> byKernel.put(kernel, time.millis()));
        tree.put("millisecondsByKernel", byKernel);
        stepTrees.add(tree);
    }

    private static void put(Map<String, Object> tree, String name, double value) {
        if (!Double.isNaN(value)) {
            tree.put(name, value);
        }
    }

    private void kernels(String name, Map<String, KernelTimes.Time> times) {
        double all =
                times.values().stream().mapToDouble(KernelTimes.Time::millis).sum();
        SortedMap<String, Double> groups = new TreeMap<>();
        times.forEach((kernel, time) -> groups.merge(group(kernel), time.millis(), Double::sum));
        List<String> parts = new ArrayList<>();
        groups.forEach((group, millis) -> parts.add(group + ' ' + shown(millis, "%.1f") + " ms"));
        kernels.append("%n### %s%n%nBy kind: %s.%n%n| kernel | launches | ms | share |%n|---|---|---|---|%n"
                .formatted(name, String.join(", ", parts)));
        times.entrySet().stream()
                .sorted(Comparator.comparingDouble(
                        (Map.Entry<String, KernelTimes.Time> e) -> -e.getValue().millis()))
                .limit(SHOWN)
                .forEach(e -> kernels.append("| %s | %d | %s | %s |%n"
                        .formatted(
                                e.getKey(),
                                e.getValue().launches(),
                                shown(e.getValue().millis(), "%.2f"),
                                shown(e.getValue().millis() / all, "%.2f"))));
    }

    /** {@return what a kernel is for, by the name of its file} */
    private static String group(String kernel) {
        String file = kernel.contains(".") ? kernel.substring(0, kernel.indexOf('.')) : kernel;
        return switch (file.contains("_") ? file.substring(0, file.indexOf('_')) : file) {
            case "gemm" -> "products";
            case "quantize", "transform", "sampling", "learned", "state", "codec" -> "quantization";
            case "attention" -> "attention";
            case "optimizer" -> "optimizer";
            case "cross" -> "loss";
            case "fill" -> "zeros";
            default -> "the rest";
        };
    }

    /** {@return the page} */
    String markdown() {
        StringBuilder page = new StringBuilder(
                "# Benchmarks on the GPU%n%n- command: `bench/gpu/run.sh --only benchmarks`%n".formatted());
        facts.forEach((name, value) -> page.append("- %s: %s%n".formatted(name, value)));
        page.append("""

                ## Products

                `Y = X · Wᵀ` without quantization, M x N x K; from a graph, over random operands that outgrow the cache. Ratios are to PyTorch's
                BF16 product of the same run. Bound by the tensor cores (and the clock that the power allows) where K is long, by storing FP32 results
                where it is short.

                | format | shape | ms | TFLOPS | ratio | floor |
                |---|---|---|---|---|---|
                """);
        products.forEach(row -> page.append("| %s | %s | %s | %s | %s | %s |%n"
                .formatted(
                        row.what(),
                        row.shape(),
                        shown(row.millis(), "%.4f"),
                        shown(row.teraflops(), "%.0f"),
                        shown(row.ratio(), "%.2f"),
                        row.floor() > 0 ? shown(row.floor(), "%.2f") : "")));
        page.append("""

                ## Attention

                Operands in BF16, with the rounding of FP32 to BF16. TFLOPS of what the mask leaves: half. Bound by `mma.sync`, which reaches 0.6 to 0.7
                of what a warpgroup's instructions do, and by the exponentials between two products.

                | pass | shape | ms | TFLOPS | floor |
                |---|---|---|---|---|
                """);
        attention.forEach(row -> page.append("| %s | %s | %s | %s | %s |%n"
                .formatted(
                        row.what(),
                        row.shape(),
                        shown(row.millis(), "%.3f"),
                        shown(row.teraflops(), "%.0f"),
                        row.floor() > 0 ? shown(row.floor(), "%.0f") : "")));
        page.append("""

                ## Training steps

                Forward, backward, clipping by the norm, AdamW; FP32 parameters and moments; attention in BF16, head in BF16 (fp32: in FP32). 124M: 12
                layers, 768 wide, 16 x 1024 tokens; 1.0B: 16 layers, 2048 wide, 8 x 1024; 2.4B-wide: 8 layers, 4096 wide, 4 x 2048; vocabulary 50304.
                Steps are replayed from CUDA graphs. Ratios are to PyTorch's compiled step of the same run, which does not clip, in the faster of two ways
                (below): all of it BF16, and with FP32 parameters (mixed). Memory in GiB: the peak as predicted from shapes, without what operations
                work in; the peak of live tensors; what was taken from the device, gaps included. What bounds a step: see where its time goes.

                | model | quantizer | ms | tokens/s | TFLOPS | ratio | floor | ratio to mixed | predicted | live | held |
                |---|---|---|---|---|---|---|---|---|---|---|
                """);
        page.append(steps).append(torchMarkdown());
        if (!quantize.isEmpty()) {
            page.append("""

                            ## Quantization

                            Both orientations in one pass; bytes of the input and of the codes, as a share of a copy of the same run. Bound by memory,
                            and where codes are drawn by the random numbers.

                            """).append(quantize);
        }
        page.append(
                        "%n## Where the time goes%n%nA step with an event after each launch, without graphs. Quantization, norms, SwiGLU, additions, AdamW and zeros are bound by memory, optimizer.control by one thread that adds in a fixed order.%n"
                                .formatted())
                .append(kernels);
        return page.toString();
    }

    private String torchMarkdown() {
        if (torchSteps.isEmpty()) {
            return "";
        }
        StringBuilder part = new StringBuilder("""

                PyTorch's steps in ms: kernels launched one by one, and all of a step replayed from one CUDA graph.

                | model | parameters | launched | from a graph |
                |---|---|---|---|
                """);
        for (TorchStep step : torchSteps) {
            String graph = step.uncaptured().isEmpty() ? shown(step.graph(), "%.1f") : "none: " + step.uncaptured();
            part.append("| %s | %s | %s | %s |%n"
                    .formatted(step.model(), step.parameters(), shown(step.launched(), "%.1f"), graph));
        }
        return part.toString();
    }

    /** {@return the object} */
    Map<String, Object> tree() {
        Map<String, Object> tree = new LinkedHashMap<>(facts);
        tree.put("products", products.stream().map(BenchmarkTable::tree).toList());
        tree.put("attention", attention.stream().map(BenchmarkTable::tree).toList());
        tree.put("steps", stepTrees);
        tree.put("pytorchSteps", torchSteps.stream().map(BenchmarkTable::tree).toList());
        return tree;
    }

    private static Map<String, Object> tree(TorchStep step) {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("model", step.model());
        tree.put("parameters", step.parameters());
        put(tree, "millisecondsLaunched", step.launched());
        put(tree, "millisecondsFromAGraph", step.graph());
        return tree;
    }

    private static Map<String, Object> tree(Row row) {
        Map<String, Object> tree = new LinkedHashMap<>();
        tree.put("what", row.what());
        tree.put("shape", row.shape());
        tree.put("milliseconds", row.millis());
        tree.put("teraflops", row.teraflops());
        put(tree, "ratioToBf16", row.ratio());
        return tree;
    }
}
