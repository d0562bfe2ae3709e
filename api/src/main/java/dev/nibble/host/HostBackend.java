package dev.nibble.host;

import dev.nibble.report.ExecutionLog;
import dev.nibble.spi.Backend;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.ConvolutionOps;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.GemmBackend;
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
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;

/** A backend whose device is the host: memory, steps and read-out here, operations given. */
public final class HostBackend implements Backend {
    private final String name;
    private final String description;
    private final HostRuntime runtime;
    private final Operations operations;
    private Optional<HostScope> step = Optional.empty();
    private boolean open = true;

    /**
     * What a host backend computes with.
     *
     * @param quantization quantization
     * @param gemm matrix products
     * @param neural operations between the products
     * @param convolution what convolutional networks need
     * @param codec packing of tensors that are kept
     * @param optimizer weight updates
     * @param onClose frees what the operations hold, such as threads
     */
    public record Operations(
            QuantizeOps quantization,
            GemmBackend gemm,
            NeuralOps neural,
            ConvolutionOps convolution,
            CodecOps codec,
            OptimizerOps optimizer,
            Runnable onClose) {}

    /**
     * Makes a backend.
     *
     * @param name its provider's name
     * @param description the device, in words
     * @param runtime what the operations share
     * @param operations what it computes with
     */
    public HostBackend(String name, String description, HostRuntime runtime, Operations operations) {
        this.name = name;
        this.description = description;
        this.runtime = runtime;
        this.operations = operations;
    }

    @Override
    public String name() {
        return name;
    }

    @Override
    public String description() {
        return description;
    }

    @Override
    public Tensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        requireOpen();
        HostTensor tensor = runtime.memory().allocate(label, dtype, shape, tag);
        switch (dtype) {
            case FP32 -> Arrays.fill(HostTensor.floats(tensor), 0f);
            case INT32 -> Arrays.fill(HostTensor.ints(tensor), 0);
            case BF16, FP16 -> Arrays.fill(tensor.shorts(), (short) 0);
            case INT8, E4M3, E5M2, E4M0, INT4, UINT4, E3M0 -> Arrays.fill(tensor.bytes(), (byte) 0);
        }
        return tensor;
    }

    @Override
    public DeviceState allocateState(List<StateVector> vectors) {
        Map<String, Tensor> tensors = new TreeMap<>();
        for (StateVector vector : vectors) {
            int length = vector.initial().size();
            Tensor tensor = allocate(vector.name(), DType.FP32, Shape.of(length), MemoryTag.STATE);
            for (int i = 0; i < length; i++) {
                HostTensor.floats(tensor)[i] = vector.initial().get(i);
            }
            tensors.put(vector.name(), tensor);
        }
        return new DeviceState(tensors);
    }

    @Override
    public void write(Tensor tensor, float[] values) {
        requireOpen();
        float[] target = HostTensor.floats(tensor);
        requireLength(tensor, target.length, values.length);
        System.arraycopy(values, 0, target, 0, values.length);
    }

    @Override
    public void write(Tensor tensor, int[] values) {
        requireOpen();
        int[] target = HostTensor.ints(tensor);
        requireLength(tensor, target.length, values.length);
        System.arraycopy(values, 0, target, 0, values.length);
    }

    private static void requireLength(Tensor tensor, int needed, int got) {
        if (got != needed) {
            throw new IllegalArgumentException(
                    "%s %s needs %d values, but got %d".formatted(tensor.label(), tensor.shape(), needed, got));
        }
    }

    @Override
    public float[] readFloats(Tensor tensor) {
        requireReadable(tensor.label());
        return HostTensor.floats(tensor).clone();
    }

    @Override
    public byte[] readCodes(Operand operand, int plane) {
        requireReadable("operand");
        HostOperand host = HostOperand.of(operand);
        HostPlane stored = host.planes().get(plane);
        int rows = Math.toIntExact(host.rows());
        int k = Math.toIntExact(host.k());
        DType dtype = stored.codes().dtype();
        int size = Math.max(1, dtype.bits() / 8); // a 4-bit code is read into a byte of its own
        ByteBuffer out = ByteBuffer.allocate(Math.multiplyExact(Math.multiplyExact(rows, k), size))
                .order(ByteOrder.LITTLE_ENDIAN);
        int pitch = stored.pitch();
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < k; i++) {
                int at = stored.transposed() ? i * pitch + row : row * pitch + i;
                switch (dtype) {
                    case FP32 -> out.putFloat(HostTensor.floats(stored.codes())[at]);
                    case BF16, FP16 -> out.putShort(stored.codes().shorts()[at]);
                    case INT8, E4M3, E5M2, E4M0 -> out.put(stored.codes().bytes()[at]);
                    case INT4 ->
                        out.put((byte)
                                Nibbles.value(dtype, Nibbles.get(stored.codes().bytes(), at)));
                    case UINT4, E3M0 ->
                        out.put((byte) Nibbles.get(stored.codes().bytes(), at));
                    case INT32 -> throw new IllegalStateException("an operand cannot be int32");
                }
            }
        }
        return out.array();
    }

    @Override
    public float[] readScales(Operand operand, int plane) {
        requireReadable("operand");
        return HostTensor.floats(HostOperand.of(operand).planes().get(plane).scales())
                .clone();
    }

    private void requireReadable(String label) {
        requireOpen();
        if (step.isPresent()) {
            throw new IllegalStateException(label + " is read inside a step; a device value can be read after it");
        }
    }

    private void requireOpen() {
        if (!open) {
            throw new IllegalStateException("backend " + name + " is used after it was closed");
        }
    }

    @Override
    public StepScope beginStep(StepContext context) {
        requireOpen();
        if (step.isPresent()) {
            throw new IllegalStateException("backend " + name + " is in a step already; close it first");
        }
        HostScope scope = new HostScope(context, runtime.memory(), () -> step = Optional.empty());
        step = Optional.of(scope);
        return scope;
    }

    @Override
    public List<NonFinite> takeNonFinite() {
        requireReadable("the list of operands that are not finite");
        return runtime.takeNonFinite();
    }

    @Override
    public QuantizeOps quantization() {
        requireOpen();
        return operations.quantization();
    }

    @Override
    public GemmBackend gemm() {
        requireOpen();
        return operations.gemm();
    }

    @Override
    public NeuralOps neural() {
        requireOpen();
        return operations.neural();
    }

    @Override
    public ConvolutionOps convolution() {
        requireOpen();
        return operations.convolution();
    }

    @Override
    public CodecOps codec() {
        requireOpen();
        return operations.codec();
    }

    @Override
    public OptimizerOps optimizer() {
        requireOpen();
        return operations.optimizer();
    }

    @Override
    public ExecutionLog log() {
        return runtime.log();
    }

    @Override
    public MemoryUse memory() {
        return runtime.memory().use();
    }

    @Override
    public void close() {
        if (open) {
            step.ifPresent(HostScope::close);
            open = false;
            operations.onClose().run();
            runtime.memory().trim();
        }
    }
}
