package dev.nibble.models.memory;

import dev.nibble.quant.TensorCodec;
import dev.nibble.report.ExecutionLog;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Backend;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.EncodedTensor;
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
import dev.nibble.spi.UpdateRule;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/**
 * A backend that computes nothing: tensors have shapes, operations give results of the right shape, and the bytes are counted as
 * another backend's layout says. A model runs on it in no time, and shows what a step keeps and needs. What an operation works in is not
 * counted: that is each backend's affair.
 */
public final class ShapeBackend implements Backend {
    private final ShapeMemory memory;
    private final ExecutionLog log = new ExecutionLog(false);

    /**
     * Makes a backend that holds nothing.
     *
     * @param layout of the tensors of the backend that is meant
     */
    public ShapeBackend(MemoryLayout layout) {
        this.memory = new ShapeMemory(layout);
    }

    /** {@return what is counted} */
    public ShapeMemory shapes() {
        return memory;
    }

    @Override
    public String name() {
        return "shapes";
    }

    @Override
    public String description() {
        return "computes nothing";
    }

    @Override
    public Tensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        return memory.allocate(label, dtype, shape, tag);
    }

    @Override
    public DeviceState allocateState(List<StateVector> vectors) {
        Map<String, Tensor> tensors = new TreeMap<>();
        for (StateVector vector : vectors) {
            Shape shape = Shape.of(vector.initial().size());
            tensors.put(vector.name(), allocate(vector.name(), DType.FP32, shape, MemoryTag.STATE));
        }
        return new DeviceState(tensors);
    }

    @Override
    public boolean hasValues() {
        return false;
    }

    @Override
    public void write(Tensor tensor, float[] values) {}

    @Override
    public void write(Tensor tensor, int[] values) {}

    @Override
    public float[] readFloats(Tensor tensor) {
        throw noValues();
    }

    @Override
    public byte[] readCodes(Operand operand, int plane) {
        throw noValues();
    }

    @Override
    public float[] readScales(Operand operand, int plane) {
        throw noValues();
    }

    private static IllegalStateException noValues() {
        return new IllegalStateException("a tensor of backend shapes is read, but it has no values");
    }

    @Override
    public StepScope beginStep(StepContext context) {
        return new ShapeScope(context, memory);
    }

    @Override
    public List<NonFinite> takeNonFinite() {
        return List.of();
    }

    @Override
    public QuantizeOps quantization() {
        return new ShapeQuantize();
    }

    @Override
    public GemmBackend gemm() {
        return (_, _, _, _, _, _) -> {};
    }

    @Override
    public NeuralOps neural() {
        return new ShapeNeural();
    }

    @Override
    public ConvolutionOps convolution() {
        return new ShapeConvolution();
    }

    @Override
    public CodecOps codec() {
        return new Codec();
    }

    @Override
    public OptimizerOps optimizer() {
        return new Optimizing();
    }

    @Override
    public ExecutionLog log() {
        return log;
    }

    @Override
    public MemoryLayout memoryLayout() {
        return memory.layout();
    }

    @Override
    public MemoryUse memory() {
        return memory.use();
    }

    @Override
    public void close() {}

    private static final class Codec implements CodecOps {
        @Override
        public EncodedTensor encode(StepScope scope, TensorCodec codec, Tensor x) {
            long rows = x.shape().rows();
            long cols = x.shape().cols();
            return new EncodedTensor(
                    codec,
                    x.shape(),
                    scope.allocate(x.label() + " codes", DType.INT8, Shape.of(rows, codec.rowBytes(cols))),
                    scope.allocate(x.label() + " scales", DType.FP32, Shape.of(rows, codec.scales(cols))));
        }

        @Override
        public Tensor decode(StepScope scope, EncodedTensor encoded) {
            return scope.allocate("decoded", DType.FP32, encoded.shape());
        }
    }

    private static final class Optimizing implements OptimizerOps {
        @Override
        public void control(StepScope scope, List<Tensor> gradients, float maxNorm, Tensor control) {}

        @Override
        public void update(
                StepScope scope,
                UpdateRule rule,
                boolean decay,
                Tensor parameter,
                Tensor gradient,
                List<Tensor> state,
                Tensor control) {}

        @Override
        public void adamW(
                StepScope scope,
                AdamW spec,
                boolean decay,
                Tensor parameter,
                Tensor gradient,
                Tensor first,
                Tensor second,
                Tensor control) {}

        @Override
        public void moveAverages(
                StepScope scope, List<Tensor> averages, List<Tensor> values, float decay, Tensor control) {}
    }
}
