package dev.nibble.reference;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.host.HostBackend;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.NonFinite;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** A reference backend in an open step, for tests that look at arrays. */
final class Session implements AutoCloseable {
    static final long SEED = 42;
    static final int STEP = 3;
    static final Site SITE = new Site("blocks.0.mlp.down", 5);

    final HostBackend backend = (HostBackend) new ReferenceBackendProvider().open(new BackendOptions(SEED, 0, false));
    StepScope scope;
    private final List<AutoCloseable> open = new ArrayList<>();

    Session() {
        this(STEP);
    }

    Session(int step) {
        scope = backend.beginStep(StepContext.train(step, 0.1f));
    }

    Tensor tensor(float[] values, long... dims) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(dims), MemoryTag.SCRATCH);
        backend.write(tensor, values);
        open.add(tensor);
        return tensor;
    }

    DeviceState state(StateVector... vectors) {
        DeviceState state = backend.allocateState(List.of(vectors));
        open.add(state);
        return state;
    }

    HostQuantized quantize(QuantizeSpec spec, float[] x, int rows, int cols, StateVector... vectors) {
        Quantized quantized = backend.quantization().quantize(scope, spec, SITE, tensor(x, rows, cols), state(vectors));
        open.add(quantized);
        return (HostQuantized) quantized;
    }

    /** {@return x as an operand that contracts its columns} */
    HostOperand columns(float[] x, int rows, int k, PlaneSpec... planes) {
        QuantizeSpec spec =
                new QuantizeSpec(Role.INPUT, List.of(new OperandSpec(Contraction.COLUMNS, List.of(planes))));
        return operand(quantize(spec, x, rows, k), Contraction.COLUMNS);
    }

    /** {@return x in INT8 blocks of size x size, with a residual where their amax is above the threshold} */
    HostOperand fallback(float[] x, int rows, int k, int size, float threshold) {
        PlaneSpec first = PlaneSpec.value(
                DType.INT8, new Granularity.PerBlock(size, size), new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        QuantizeSpec spec = QuantizeSpec.both(
                Role.INPUT, List.of(first, PlaneSpec.residual(first, new Threshold.Delayed("threshold"))));
        StateVector state = StateVector.scalar("threshold", threshold);
        return operand(quantize(spec, x, rows, k, state), Contraction.COLUMNS);
    }

    static HostOperand operand(HostQuantized quantized, Contraction contraction) {
        return HostOperand.of(quantized.operand(contraction));
    }

    static float statistic(HostQuantized quantized, Statistic statistic) {
        return HostTensor.floats(quantized.statistics())[statistic.ordinal()];
    }

    /** {@return the one-byte codes of a plane in the order of the operand, [rows, k]} */
    static byte[] codes(HostOperand operand, int plane) {
        HostPlane stored = operand.planes().get(plane);
        int rows = (int) operand.rows();
        int k = (int) operand.k();
        byte[] codes = new byte[rows * k]; // [rows, k]
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < k; i++) {
                codes[row * k + i] = stored.codes().bytes()[stored.transposed() ? i * rows + row : row * k + i];
            }
        }
        return codes;
    }

    static float[] scales(HostOperand operand, int plane) {
        return HostTensor.floats(operand.planes().get(plane).scales());
    }

    static byte[] mask(HostOperand operand, int plane) {
        return operand.planes().get(plane).mask().bytes();
    }

    float[] dequantize(HostOperand operand) {
        return HostTensor.floats(backend.quantization().dequantize(scope, operand))
                .clone();
    }

    float[] multiply(GemmSpec spec, HostOperand a, HostOperand b) {
        float[] d = new float[(int) (a.rows() * b.rows())]; // [M, N]
        Arrays.fill(d, 1e30f); // must be overwritten
        return multiply(spec, a, b, d);
    }

    float[] multiply(GemmSpec spec, HostOperand a, HostOperand b, float[] d) {
        Tensor tensor = tensor(d, a.rows(), b.rows());
        backend.gemm().multiply(scope, spec, SITE, a, b, tensor);
        return HostTensor.floats(tensor).clone();
    }

    /** Ends the step, since a step cannot be asked, and begins it again. */
    List<NonFinite> takeNonFinite() {
        StepContext context = scope.context();
        scope.close();
        List<NonFinite> taken = backend.takeNonFinite();
        scope = backend.beginStep(context);
        return taken;
    }

    @Override
    public void close() {
        for (AutoCloseable closeable : open) {
            try {
                closeable.close();
            } catch (Exception e) {
                throw new AssertionError(e);
            }
        }
        scope.close();
        backend.close();
    }
}
