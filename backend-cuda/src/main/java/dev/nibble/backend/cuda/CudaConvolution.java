package dev.nibble.backend.cuda;

import static dev.nibble.reference.OperandChecks.requireMatrix;
import static dev.nibble.reference.OperandChecks.requireVector;

import dev.nibble.reference.OperandChecks;
import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.Window;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** The operations of convolutional networks on the device, to the bits of {@link dev.nibble.reference.ReferenceConvolution}. */
final class CudaConvolution implements ConvolutionOps {
    private static final int BLOCK = 256;
    private static final int QUAD = 4; // channels that a thread moves where it can

    private final CudaRuntime runtime;
    private final ColumnSums sums;
    private final Struct struct = new Struct();

    CudaConvolution(CudaRuntime runtime) {
        this.runtime = runtime;
        this.sums = new ColumnSums(runtime);
    }

    private Kernel kernel(String function) {
        return runtime.kernels().get("convolution", function);
    }

    @Override
    public Tensor unfold(StepScope scope, Tensor x, Window window) {
        int images = OperandChecks.imagesOf("x", x, window.pixels(), window.channels());
        Tensor patches =
                scope.allocate("patches", DType.FP32, Shape.of((long) images * window.places(), window.patch()));
        move("unfold", x, patches, window);
        return patches;
    }

    @Override
    public Tensor fold(StepScope scope, Tensor gradPatches, Window window) {
        int images = OperandChecks.imagesOf("gradPatches", gradPatches, window.places(), window.patch());
        Tensor gradX = scope.allocate(
                "gradient of patches", DType.FP32, Shape.of((long) images * window.pixels(), window.channels()));
        move("fold", gradPatches, gradX, window);
        return gradX;
    }

    private void move(String function, Tensor source, Tensor target, Window window) {
        boolean quads = window.channels() % QUAD == 0;
        struct.clear()
                .i32(window.height())
                .i32(window.width())
                .i32(quads ? window.channels() / QUAD : window.channels())
                .i32(window.kernel())
                .i32(window.stride())
                .i32(window.padding())
                .i32(window.outHeight())
                .i32(window.outWidth());
        long threads = target.shape().elements() / (quads ? QUAD : 1);
        Args args = runtime.args()
                .floats(source)
                .floats(target)
                .i64(threads)
                .struct(struct.segment())
                .i32(quads ? 1 : 0)
                .about(target);
        kernel(function).launch(threads, BLOCK, args);
    }

    @Override
    public Tensor columnMoments(StepScope scope, Tensor x) {
        int width = OperandChecks.cols(x);
        OperandChecks.requirePositive("rows of x", OperandChecks.rows(x));
        Tensor moments = scope.allocate("moments", DType.FP32, Shape.of(2, width));
        long means = CudaTensor.floats(moments);
        try (CudaTensor partials = sums.partials(x)) {
            sums.ofRows(x, partials);
            sums.finish(x, partials, means, 0);
            Args squares = runtime.args().floats(x).pointer(means).pointer(partials.address());
            sums.ofChunks(kernel("squares_of_chunks"), x, size(squares, x));
            sums.finish(x, partials, means + (long) width * Float.BYTES, 0);
        }
        return moments;
    }

    private static Args size(Args args, Tensor x) {
        return args.i64(x.shape().rows()).i32(OperandChecks.cols(x)).about(x);
    }

    @Override
    public Tensor batchNorm(StepScope scope, Tensor x, Tensor moments, Tensor weight, Tensor bias, float epsilon) {
        int width = OperandChecks.cols(x);
        requireMatrix("moments", moments, 2, width);
        requireVector("weight", weight, width);
        requireVector("bias", bias, width);
        Tensor y = scope.allocate("batchNorm", DType.FP32, x.shape());
        Args args = runtime.args()
                .floats(x)
                .floats(moments)
                .floats(weight)
                .floats(bias)
                .floats(y);
        kernel("batch_norm").launch(x.shape().elements(), BLOCK, size(args, x).f32(epsilon));
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
        int width = OperandChecks.cols(x);
        OperandChecks.requirePositive("rows of x", OperandChecks.rows(x));
        requireMatrix("gradOutput", gradOutput, x.shape().rows(), width);
        requireMatrix("moments", moments, 2, width);
        requireVector("weight", weight, width);
        requireVector("gradWeight", gradWeight, width);
        requireVector("gradBias", gradBias, width);
        Tensor gradX = scope.allocate("gradient of batchNorm", DType.FP32, x.shape());
        try (CudaTensor forBias = sums.partials(x);
                CudaTensor forWeight = sums.partials(x);
                CudaTensor means = runtime.memory().scratch("mean gradients", Math.max(1, 2L * width) * Float.BYTES)) {
            long meanWeight = means.address() + (long) width * Float.BYTES;
            Args gradients = runtime.args()
                    .floats(gradOutput)
                    .floats(x)
                    .floats(moments)
                    .pointer(forBias.address())
                    .pointer(forWeight.address());
            sums.ofChunks(kernel("gradients_of_chunks"), x, size(gradients, x).f32(epsilon));
            sums.finish(x, forBias, means.address(), CudaTensor.floats(gradBias));
            sums.finish(x, forWeight, meanWeight, CudaTensor.floats(gradWeight));
            Args args = runtime.args()
                    .floats(gradOutput)
                    .floats(x)
                    .floats(moments)
                    .floats(weight)
                    .pointer(means.address())
                    .pointer(meanWeight)
                    .floats(gradX);
            kernel("batch_norm_backward")
                    .launch(x.shape().elements(), BLOCK, size(args, x).f32(epsilon));
        }
        return gradX;
    }

    @Override
    public void moveAverage(StepScope scope, Tensor average, Tensor sample, float share) {
        requireMatrix("sample", sample, average.shape().rows(), average.shape().cols());
        OperandChecks.requireShare("share", share);
        long elements = average.shape().elements();
        Args args = runtime.args()
                .floats(average)
                .floats(sample)
                .i64(elements)
                .f32(share)
                .about(average);
        kernel("move_average").launch(elements, BLOCK, args);
    }
}
