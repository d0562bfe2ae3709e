package dev.nibble.backend.cuda;

import dev.nibble.report.ExecutionLog;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.MemoryLayout;
import dev.nibble.spi.MemoryUse;
import dev.nibble.spi.NeuralOps;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Operand;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** A GPU that computes: memory, steps and read-out; the operations are classes of their own. */
final class CudaBackend implements Backend {
    private static final int DEVICE = 0; // of those that CUDA_VISIBLE_DEVICES shows

    private final CudaRuntime runtime;
    private final QuantizeOps quantization;
    private final GemmBackend gemm;
    private final NeuralOps neural;
    private final ConvolutionOps convolution;
    private final CodecOps codec;
    private final OptimizerOps optimizer;
    private Optional<CudaScope> step = Optional.empty();
    private boolean open = true;

    private CudaBackend(CudaRuntime runtime, DType attention) {
        this.runtime = runtime;
        this.quantization = new CudaQuantize(runtime);
        this.gemm = new CudaGemm(runtime);
        this.neural = new CudaNeural(runtime, attention);
        this.convolution = new CudaConvolution(runtime);
        this.codec = new CudaCodec(runtime);
        this.optimizer = new CudaOptimizer(runtime);
    }

    static CudaBackend open(BackendOptions options, CudaSettings settings) {
        CudaRuntime runtime = new CudaRuntime(CudaDevice.open(DEVICE), settings, options.seed(), options.strict());
        return new CudaBackend(runtime, options.attention());
    }

    /** {@return what the operations share: for tests} */
    CudaRuntime runtime() {
        return runtime;
    }

    @Override
    public String name() {
        return "cuda";
    }

    @Override
    public String description() {
        CudaDevice device = runtime.device();
        return "%s, compute capability %d.%d, %d multiprocessors, %d GiB, kernels for %s"
                .formatted(
                        device.name(),
                        device.major(),
                        device.minor(),
                        device.processors(),
                        device.memoryBytes() >> 30,
                        runtime.kernels().architecture());
    }

    @Override
    public Tensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        requireOpen();
        CudaTensor tensor = runtime.memory().allocate(label, dtype, shape, tag);
        runtime.stream().fill(tensor.address(), (byte) 0, tensor.bytes());
        return tensor;
    }

    @Override
    public DeviceState allocateState(List<StateVector> vectors) {
        requireOpen();
        Map<String, Tensor> tensors = new TreeMap<>();
        for (StateVector vector : vectors) {
            float[] values = new float[vector.initial().size()]; // [length]
            for (int i = 0; i < values.length; i++) {
                values[i] = vector.initial().get(i);
            }
            CudaTensor tensor =
                    runtime.memory().allocate(vector.name(), DType.FP32, Shape.of(values.length), MemoryTag.STATE);
            tensor.noteScalar(values);
            runtime.staging().write(tensor.address(), values, 0, values.length);
            tensors.put(vector.name(), tensor);
        }
        return new DeviceState(tensors);
    }

    @Override
    public void write(Tensor tensor, float[] values) {
        requireOpen();
        long address = CudaTensor.floats(tensor);
        requireLength(tensor, values.length);
        CudaTensor.of(tensor).noteScalar(values);
        runtime.staging().write(address, values, 0, values.length);
    }

    @Override
    public void write(Tensor tensor, int[] values) {
        requireOpen();
        long address = CudaTensor.ints(tensor);
        requireLength(tensor, values.length);
        CudaTensor.of(tensor).noteRange(values);
        runtime.staging().write(address, values, 0, values.length);
    }

    private static void requireLength(Tensor tensor, int got) {
        if (got != tensor.shape().elements()) {
            throw new IllegalArgumentException("%s %s needs %d values, but got %d"
                    .formatted(tensor.label(), tensor.shape(), tensor.shape().elements(), got));
        }
    }

    @Override
    public float[] readFloats(Tensor tensor) {
        requireReadable(tensor.label());
        long address = CudaTensor.floats(tensor);
        float[] values = new float[Math.toIntExact(tensor.shape().elements())];
        runtime.staging().read(address, values, 0, values.length);
        return values;
    }

    @Override
    public byte[] readCodes(Operand operand, int plane) {
        requireReadable("operand");
        CudaPlane stored = CudaOperand.of(operand).planes().get(plane);
        DType dtype = stored.dtype();
        int rows = Math.toIntExact(stored.rows());
        int k = Math.toIntExact(stored.k());
        int pitch = Math.toIntExact(stored.pitchBytes());
        byte[] bytes = new byte[Math.multiplyExact(rows, pitch)]; // [rows, pitch]
        runtime.staging().read(stored.address(), bytes, 0, bytes.length);
        int size = Math.max(1, dtype.bits() / Byte.SIZE); // a 4-bit code is read into a byte of its own
        int width = Math.multiplyExact(k, size);
        byte[] out = new byte[Math.multiplyExact(rows, width)]; // [rows, width]
        for (int row = 0; row < rows; row++) {
            if (dtype.packed()) {
                for (int i = 0; i < k; i++) {
                    int nibble = Nibbles.get(bytes, row * pitch * 2 + i);
                    out[row * k + i] = (byte) (dtype == DType.INT4 ? Nibbles.value(dtype, nibble) : nibble);
                }
            } else {
                System.arraycopy(bytes, row * pitch, out, row * width, width);
            }
        }
        return out;
    }

    @Override
    public float[] readScales(Operand operand, int plane) {
        requireReadable("operand");
        return readFloats(CudaOperand.of(operand).planes().get(plane).scales());
    }

    private void requireReadable(String label) {
        requireOpen();
        if (step.isPresent()) {
            throw new IllegalStateException(label + " is read inside a step; a device value can be read after it");
        }
    }

    private void requireOpen() {
        if (!open) {
            throw new IllegalStateException("backend cuda is used after it was closed");
        }
    }

    @Override
    public StepScope beginStep(StepContext context) {
        requireOpen();
        if (step.isPresent()) {
            throw new IllegalStateException("backend cuda is in a step already; close it first");
        }
        runtime.stepInfo().write(context);
        CudaScope scope = new CudaScope(context, runtime.memory(), this::endStep);
        runtime.stream().beginTape();
        step = Optional.of(scope);
        return scope;
    }

    private void endStep() {
        step = Optional.empty();
        runtime.stream().endTape();
    }

    @Override
    public List<NonFinite> takeNonFinite() {
        requireReadable("the list of operands that are not finite");
        return runtime.nonFinite().take();
    }

    @Override
    public QuantizeOps quantization() {
        requireOpen();
        return quantization;
    }

    @Override
    public GemmBackend gemm() {
        requireOpen();
        return gemm;
    }

    @Override
    public NeuralOps neural() {
        requireOpen();
        return neural;
    }

    @Override
    public ConvolutionOps convolution() {
        requireOpen();
        return convolution;
    }

    @Override
    public CodecOps codec() {
        requireOpen();
        return codec;
    }

    @Override
    public OptimizerOps optimizer() {
        requireOpen();
        return optimizer;
    }

    @Override
    public ExecutionLog log() {
        return runtime.log();
    }

    @Override
    public MemoryLayout memoryLayout() {
        return new MemoryLayout(true, CudaMemory.TILE, DeviceArena.UNIT);
    }

    @Override
    public MemoryUse memory() {
        return runtime.memory().use();
    }

    @Override
    public void close() {
        if (open) {
            step.ifPresent(CudaScope::close);
            open = false;
            runtime.close();
        }
    }
}
