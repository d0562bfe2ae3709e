package dev.nibble.backend.cuda;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecTable;
import java.util.ArrayList;
import java.util.List;

/** Products of operands that the plain code made, by the plain code and on the device. */
final class ProductDuel implements AutoCloseable {
    static final Site SITE = new Site("blocks.0.mlp.down", 5);
    static final StepContext CONTEXT = StepContext.train(3, 0.1f);

    private static final long SEED = 42;

    private final CudaBackend cuda;
    private final Backend plain = new ReferenceBackendProvider().open(BackendOptions.withSeed(SEED));
    private int padding = OperandCopies.POISON;

    /** A product on both sides. */
    record Outcome(float[] expected, float[] actual) {}

    /** Takes ownership. */
    ProductDuel(CudaBackend cuda) {
        this.cuda = cuda;
    }

    CudaBackend cuda() {
        return cuda;
    }

    Backend plain() {
        return plain;
    }

    /** Takes other bits behind the codes. */
    void padding(int bits) {
        padding = bits;
    }

    /** {@return an operand by the plain code, owned by the caller} */
    HostOperand operand(QuantizeSpec spec, Matrix x, Product product, boolean left) {
        try (Tensor tensor = plain.allocate("x", DType.FP32, Shape.of(x.rows(), x.cols()), MemoryTag.SCRATCH);
                DeviceState state = plain.allocateState(state(x.cols()))) {
            plain.write(tensor, x.values());
            try (StepScope scope = plain.beginStep(CONTEXT);
                    Quantized quantized = plain.quantization().quantize(scope, spec, SITE, tensor, state)) {
                return HostOperand.of(quantized.operand(left ? product.contractionA() : product.contractionB()))
                        .share();
            }
        }
    }

    private static List<StateVector> state(int cols) {
        List<StateVector> state = new ArrayList<>(SpecTable.state(cols));
        state.add(StateVector.scalar("below-all", -1));
        return state;
    }

    /** {@return a copy on the device, owned by the caller} */
    CudaOperand copy(HostOperand operand) {
        return OperandCopies.of(cuda.runtime(), operand, padding);
    }

    /** Multiplies [M, K] and [N, K]. */
    Outcome multiply(CudaGemm gemm, GemmSpec spec, QuantizeSpec a, QuantizeSpec b, Matrix left, Matrix right) {
        Product product = spec.product();
        Matrix x = product == Product.GRAD_WEIGHT ? left.transposed() : left;
        Matrix w = product == Product.OUTPUT ? right : right.transposed();
        try (HostOperand hostA = operand(a, x, product, true);
                HostOperand hostB = operand(b, w, product, false)) {
            return multiply(gemm, spec, hostA, hostB);
        }
    }

    Outcome multiply(CudaGemm gemm, GemmSpec spec, HostOperand a, HostOperand b) {
        return multiply(gemm, spec, a, b, a);
    }

    /** @param other what the device has in place of a */
    Outcome multiply(CudaGemm gemm, GemmSpec spec, HostOperand a, HostOperand b, HostOperand other) {
        int m = (int) a.rows();
        int n = (int) b.rows();
        Matrix d = Matrix.normal(4, m, n, 1);
        try (Tensor expected = plain.allocate("d", DType.FP32, Shape.of(m, n), MemoryTag.SCRATCH);
                CudaOperand left = copy(other);
                CudaOperand right = copy(b);
                Tensor actual = cuda.allocate("d", DType.FP32, Shape.of(m, n), MemoryTag.SCRATCH)) {
            plain.write(expected, d.values());
            cuda.write(actual, d.values());
            try (StepScope scope = plain.beginStep(CONTEXT)) {
                plain.gemm().multiply(scope, spec, SITE, a, b, expected);
            }
            try (StepScope scope = cuda.beginStep(CONTEXT)) {
                gemm.multiply(scope, spec, SITE, left, right, actual);
            }
            return new Outcome(HostTensor.floats(expected).clone(), cuda.readFloats(actual));
        }
    }

    @Override
    public void close() {
        cuda.close();
        plain.close();
    }
}
