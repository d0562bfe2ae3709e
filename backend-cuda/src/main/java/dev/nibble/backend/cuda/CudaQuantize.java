package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/** Quantization on the device, bit-equal to {@code ReferenceQuantize} for any size of a grid. */
final class CudaQuantize implements QuantizeOps {
    private static final long MOST_BLOCKS = 1 << 20; // more take turns

    private final CudaRuntime runtime;
    private final QuantizeKernels kernels;
    private final CudaTransforms transforms;
    private final CudaLearnedStep learnedStep;

    CudaQuantize(CudaRuntime runtime) {
        this(runtime, MOST_BLOCKS);
    }

    /**
     * Makes the operations of one backend.
     *
     * @param runtime what it shares
     * @param mostBlocks the largest grid; changes no result
     */
    CudaQuantize(CudaRuntime runtime, long mostBlocks) {
        this.runtime = runtime;
        this.kernels = new QuantizeKernels(runtime, mostBlocks);
        this.transforms = new CudaTransforms(kernels);
        this.learnedStep = new CudaLearnedStep(kernels, transforms);
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        ReferenceQuantize.requireSupported(spec);
        ReferenceQuantize.requireNotEmpty(site, x);
        CudaScope open = CudaScope.of(scope);
        DeviceMatrix matrix = new DeviceMatrix(CudaTensor.of(x).require(DType.FP32));
        try (CudaTensor tensor = room(open, spec.transform(), matrix)) {
            DeviceMatrix values = new DeviceMatrix(tensor);
            String label = site.name() + " " + spec.role().label();
            try (PlaneMemory memory = new PlaneMemory(open, runtime.memory(), values, label)) {
                return new MatrixQuantizer(kernels, transforms, memory, spec, site, matrix, values, state).quantize();
            }
        }
    }

    /** {@return room for the matrix that is rounded, owned by the caller; the matrix itself if it is not transformed} */
    private static CudaTensor room(CudaScope scope, Transform transform, DeviceMatrix x) {
        return transform instanceof Transform.Identity
                ? x.tensor().share()
                : scope.allocate(x.tensor().label() + " transformed", DType.FP32, Shape.of(x.rows(), x.cols()));
    }

    @Override
    public Tensor dequantize(StepScope scope, Operand operand) {
        CudaOperand from = CudaOperand.of(operand);
        long rows = from.rows();
        long k = from.k();
        CudaTensor out = CudaScope.of(scope).allocate("dequantized", DType.FP32, Shape.of(rows, k));
        boolean samples = from.spec().planes().getFirst().source() instanceof PlaneSource.Sample;
        float weight = samples ? 1f / from.planes().size() : 1;
        for (int i = 0; i < from.planes().size(); i++) {
            CudaPlane plane = from.planes().get(i);
            GroupGrid grid = GroupGrid.of(Contraction.COLUMNS, plane.spec().granularity(), rows, k);
            Args args = runtime.args()
                    .pointer(plane.address())
                    .i64(plane.pitchBytes())
                    .i32(plane.dtype().ordinal())
                    .pointer(plane.scalesAddress())
                    .f32(weight)
                    .i64(rows)
                    .i64(k)
                    .i32(grid.height())
                    .i32(grid.width())
                    .i32(grid.rowBlocks())
                    .i32(i == 0 ? 1 : 0)
                    .pointer(out.address())
                    .about(plane.codes());
            kernels.launch("transform", "dequantize_plane", rows * k, QuantizeKernels.BLOCK, args);
        }
        return out;
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        CudaTensor.of(state.get(search.state())).forgetScalar();
        learnedStep.search(search, matrix(x), matrix(w), state);
    }

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        learnedStep.straightThrough(clip, matrix(gradient), matrix(x), state);
    }

    @Override
    public void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {
        state.all().values().forEach(vector -> CudaTensor.of(vector).forgetScalar());
        runtime.statePrograms().run(program, state, inputs);
    }

    private static DeviceMatrix matrix(Tensor tensor) {
        return new DeviceMatrix(CudaTensor.of(tensor).require(DType.FP32));
    }
}
