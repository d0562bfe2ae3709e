package dev.nibble.reference;

import static dev.nibble.host.HostTensor.floats;
import static dev.nibble.reference.OperandChecks.cols;
import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requireVector;
import static dev.nibble.reference.OperandChecks.rows;

import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.Window;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** The operations of convolutional networks in plain Java, cut into tasks: the specification. */
public final class ReferenceConvolution implements ConvolutionOps {
    private static final int CHUNK_PLACES = 32;

    private final HostRuntime runtime;
    private final Tasks tasks;

    /**
     * Makes operations.
     *
     * @param runtime what the operations of the backend share
     * @param tasks runs their tasks
     */
    public ReferenceConvolution(HostRuntime runtime, Tasks tasks) {
        this.runtime = runtime;
        this.tasks = tasks;
    }

    @Override
    public Tensor unfold(StepScope scope, Tensor x, Window window) {
        int images = OperandChecks.imagesOf("x", x, window.pixels(), window.channels());
        int places = Math.multiplyExact(images, window.places());
        Tensor patches = scope.allocate("patches", DType.FP32, Shape.of(places, window.patch()));
        tasks.forEachChunk(
                places,
                CHUNK_PLACES,
                (from, to) -> ReferenceWindow.unfold(floats(x), window, from, to, floats(patches)));
        return patches;
    }

    @Override
    public Tensor fold(StepScope scope, Tensor gradPatches, Window window) {
        int images = OperandChecks.imagesOf("gradPatches", gradPatches, window.places(), window.patch());
        int pixels = Math.multiplyExact(images, window.pixels());
        Tensor gradX = scope.allocate("gradient of patches", DType.FP32, Shape.of(pixels, window.channels()));
        tasks.forEachChunk(
                pixels,
                CHUNK_PLACES,
                (from, to) -> ReferenceWindow.fold(floats(gradPatches), window, from, to, floats(gradX)));
        return gradX;
    }

    @Override
    public Tensor columnMoments(StepScope scope, Tensor x) {
        int width = cols(x);
        OperandChecks.requirePositive("rows of x", rows(x));
        Tensor result = scope.allocate("moments", DType.FP32, Shape.of(2, width));
        float[] moments = floats(result); // [2, width]
        try (HostTensor partials = partials(x)) {
            float[] parts = floats(partials); // [chunks, width]
            tasks.forEachChunk(rows(x), (from, to) -> ReferenceRows.sumPartial(floats(x), width, from, to, parts));
            System.arraycopy(mean(parts, width, rows(x)), 0, moments, 0, width);
            tasks.forEachChunk(
                    rows(x), (from, to) -> ReferenceBatchNorm.squaresPartial(floats(x), moments, from, to, parts));
            System.arraycopy(mean(parts, width, rows(x)), 0, moments, width, width);
        }
        return result;
    }

    private HostTensor partials(Tensor x) {
        int chunks = Math.ceilDiv(rows(x), Tasks.CHUNK_ROWS);
        return runtime.memory().allocate("partial sums", DType.FP32, Shape.of(chunks, cols(x)), MemoryTag.SCRATCH);
    }

    private static float[] sum(float[] partials, int width) {
        float[] sums = new float[width]; // [width]
        ReferenceRmsNorm.addPartials(partials, partials.length / Math.max(1, width), sums);
        return sums;
    }

    private static float[] mean(float[] partials, int width, int rows) {
        return divided(sum(partials, width), rows);
    }

    private static float[] divided(float[] sums, int rows) {
        float[] means = new float[sums.length]; // [width]
        for (int i = 0; i < means.length; i++) {
            means[i] = sums[i] / rows;
        }
        return means;
    }

    @Override
    public Tensor batchNorm(StepScope scope, Tensor x, Tensor moments, Tensor weight, Tensor bias, float epsilon) {
        int width = cols(x);
        requireMatrix("moments", moments, 2, width);
        requireVector("weight", weight, width);
        requireVector("bias", bias, width);
        Tensor y = scope.allocate("batchNorm", DType.FP32, x.shape());
        float[] inverse = ReferenceBatchNorm.inverseDeviations(floats(moments), epsilon); // [width]
        tasks.forEachChunk(
                rows(x),
                (from, to) -> ReferenceBatchNorm.forward(
                        floats(x), floats(moments), inverse, floats(weight), floats(bias), from, to, floats(y)));
        return y;
    }

    @Override
    public Tensor batchNormBackward(
            StepScope scope,
            Tensor gradOutput,
            Tensor x,
            Tensor moments,
            Tensor weight,
            float epsilon,
            Tensor gradWeight,
            Tensor gradBias) {
        int width = cols(x);
        OperandChecks.requirePositive("rows of x", rows(x));
        requireMatrix("gradOutput", gradOutput, x.shape().rows(), width);
        requireMatrix("moments", moments, 2, width);
        requireVector("weight", weight, width);
        requireVector("gradWeight", gradWeight, width);
        requireVector("gradBias", gradBias, width);
        Tensor gradX = scope.allocate("gradient of batchNorm", DType.FP32, x.shape());
        float[] dy = floats(gradOutput); // [rows, width]
        float[] values = floats(x); // [rows, width]
        float[] mv = floats(moments); // [2, width]
        float[] inverse = ReferenceBatchNorm.inverseDeviations(mv, epsilon); // [width]
        try (HostTensor forBias = partials(x);
                HostTensor forWeight = partials(x)) {
            tasks.forEachChunk(
                    rows(x),
                    (from, to) -> ReferenceBatchNorm.gradientPartials(
                            dy, values, mv, inverse, from, to, floats(forBias), floats(forWeight)));
            float[] sumBias = sum(floats(forBias), width); // [width]
            float[] sumWeight = sum(floats(forWeight), width); // [width]
            float[] meanBias = divided(sumBias, rows(x)); // [width]
            float[] meanWeight = divided(sumWeight, rows(x)); // [width]
            tasks.forEachChunk(
                    rows(x),
                    (from, to) -> ReferenceBatchNorm.gradX(
                            dy, values, mv, inverse, floats(weight), meanBias, meanWeight, from, to, floats(gradX)));
            add(floats(gradBias), sumBias);
            add(floats(gradWeight), sumWeight);
        }
        return gradX;
    }

    private static void add(float[] target, float[] addend) {
        for (int i = 0; i < target.length; i++) {
            target[i] += addend[i];
        }
    }

    @Override
    public void moveAverage(StepScope scope, Tensor average, Tensor sample, float share) {
        requireMatrix("sample", sample, average.shape().rows(), average.shape().cols());
        OperandChecks.requireShare("share", share);
        float[] m = floats(average); // [elements]
        float[] s = floats(sample); // [elements]
        for (int i = 0; i < m.length; i++) {
            m[i] = Math.fma(s[i] - m[i], share, m[i]);
        }
    }
}
