package dev.nibble.testkit.run;

import dev.nibble.report.ExecutionLog;
import dev.nibble.spi.Backend;
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
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.List;

/**
 * A backend in which reading a device value inside a step throws, whether or not the backend behind it checks that itself.
 * A step on a device that is recorded and replayed cannot wait for a value.
 */
public final class StepGuard implements Backend {
    private final Backend delegate;
    private boolean stepping;

    /** A step of the backend behind, whose end the guard sees. */
    private final class GuardedScope implements StepScope {
        private final StepScope inner;

        GuardedScope(StepScope inner) {
            this.inner = inner;
        }

        @Override
        public StepContext context() {
            return inner.context();
        }

        @Override
        public Tensor allocate(String label, DType dtype, Shape shape) {
            return inner.allocate(label, dtype, shape);
        }

        @Override
        public void save(Tensor tensor) {
            inner.save(tensor);
        }

        @Override
        public void save(Operand operand) {
            inner.save(operand);
        }

        @Override
        public void close() {
            inner.close();
            stepping = false;
        }
    }

    /**
     * Takes ownership of a backend.
     *
     * @param delegate what computes
     */
    public StepGuard(Backend delegate) {
        this.delegate = delegate;
    }

    /** Hands the backend's own scope to its operations: they need not know others. */
    private static <T> T unwrapping(Class<T> type, T operations) {
        Object proxy = Proxy.newProxyInstance(type.getClassLoader(), new Class<?>[] {type}, (_, method, arguments) -> {
            Object[] own = arguments == null ? new Object[0] : arguments.clone();
            for (int i = 0; i < own.length; i++) {
                own[i] = own[i] instanceof GuardedScope scope ? scope.inner : own[i];
            }
            try {
                return method.invoke(operations, own);
            } catch (InvocationTargetException e) {
                throw e.getTargetException();
            }
        });
        return type.cast(proxy);
    }

    private void requireOutsideAStep(String what) {
        if (stepping) {
            throw new IllegalStateException(what + " is read inside a step; a device value can be read after it");
        }
    }

    @Override
    public StepScope beginStep(StepContext context) {
        GuardedScope scope = new GuardedScope(delegate.beginStep(context));
        stepping = true;
        return scope;
    }

    @Override
    public float[] readFloats(Tensor tensor) {
        requireOutsideAStep(tensor.label());
        return delegate.readFloats(tensor);
    }

    @Override
    public byte[] readCodes(Operand operand, int plane) {
        requireOutsideAStep("an operand");
        return delegate.readCodes(operand, plane);
    }

    @Override
    public float[] readScales(Operand operand, int plane) {
        requireOutsideAStep("an operand");
        return delegate.readScales(operand, plane);
    }

    @Override
    public List<NonFinite> takeNonFinite() {
        requireOutsideAStep("the list of operands that are not finite");
        return delegate.takeNonFinite();
    }

    @Override
    public QuantizeOps quantization() {
        return unwrapping(QuantizeOps.class, delegate.quantization());
    }

    @Override
    public GemmBackend gemm() {
        return unwrapping(GemmBackend.class, delegate.gemm());
    }

    @Override
    public NeuralOps neural() {
        return unwrapping(NeuralOps.class, delegate.neural());
    }

    @Override
    public ConvolutionOps convolution() {
        return unwrapping(ConvolutionOps.class, delegate.convolution());
    }

    @Override
    public CodecOps codec() {
        return unwrapping(CodecOps.class, delegate.codec());
    }

    @Override
    public OptimizerOps optimizer() {
        return unwrapping(OptimizerOps.class, delegate.optimizer());
    }

    @Override
    public String name() {
        return delegate.name();
    }

    @Override
    public String description() {
        return delegate.description();
    }

    @Override
    public Tensor allocate(String label, DType dtype, Shape shape, MemoryTag tag) {
        return delegate.allocate(label, dtype, shape, tag);
    }

    @Override
    public DeviceState allocateState(List<StateVector> vectors) {
        return delegate.allocateState(vectors);
    }

    @Override
    public void write(Tensor tensor, float[] values) {
        delegate.write(tensor, values);
    }

    @Override
    public void write(Tensor tensor, int[] values) {
        delegate.write(tensor, values);
    }

    @Override
    public ExecutionLog log() {
        return delegate.log();
    }

    @Override
    public MemoryLayout memoryLayout() {
        return delegate.memoryLayout();
    }

    @Override
    public MemoryUse memory() {
        return delegate.memory();
    }

    @Override
    public void close() {
        stepping = false;
        delegate.close();
    }
}
