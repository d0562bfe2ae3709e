package dev.nibble.cli;

import dev.nibble.error.NonFiniteException;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** One product of a fresh layer, on a backend, as often as asked. */
final class ProductProbe implements AutoCloseable {
    private static final Site SITE = new Site("gemm", 0);

    private final Backend backend;
    private final Product product;
    private final LinearPlan plan;
    private final Shape shape;
    private final double[] exact; // [M, N]
    private final Tensor left;
    private final Tensor right;
    private final DeviceState state;

    /**
     * Writes the matrices to the backend as the layer would hold them: random draws count in those.
     *
     * @param a left matrix [M, K] as it enters the product
     * @param b right matrix [N, K] as it enters the product
     */
    ProductProbe(Backend backend, Quantizer quantizer, Product product, NpyArray a, NpyArray b) {
        this.backend = backend;
        this.product = product;
        this.shape = Shape.of(a.shape().rows(), b.shape().rows());
        this.exact = ExactProduct.of(a, b);
        long m = a.shape().rows();
        long n = b.shape().rows();
        long k = a.shape().cols();
        long tokens = product == Product.GRAD_WEIGHT ? k : m;
        long in = product == Product.OUTPUT ? k : n;
        long out = switch (product) {
            case OUTPUT -> n;
            case GRAD_INPUT -> k;
            case GRAD_WEIGHT -> m;
        };
        LinearQuantizer layer = quantizer.linear(new LinearLayer(SITE, in, out));
        this.plan = layer.plan(new PlanRequest(tokens, true));
        this.left = write("A", a, product.contractionA());
        this.right = write("B", b, product.contractionB());
        this.state = backend.allocateState(layer.state());
    }

    private Tensor write(String label, NpyArray operand, Contraction contraction) {
        NpyArray logical = contraction == Contraction.COLUMNS ? operand : ExactProduct.transpose(operand);
        Tensor tensor = backend.allocate(label, DType.FP32, logical.shape(), MemoryTag.SCRATCH);
        backend.write(tensor, logical.values());
        return tensor;
    }

    /** {@return extents of D: [M, N]} */
    Shape shape() {
        return shape;
    }

    /** {@return the product of the matrices as they were given, in FP64, [M, N]} */
    double[] exact() {
        return exact;
    }

    /** {@return D, [M, N], with the random numbers of one step} */
    float[] draw(int step) {
        try (Tensor d = backend.allocate("D", DType.FP32, shape, MemoryTag.SCRATCH)) {
            try (StepScope scope = backend.beginStep(StepContext.train(step, 0));
                    Quantized a =
                            backend.quantization().quantize(scope, plan.quantize(product.roleA()), SITE, left, state);
                    Quantized b = backend.quantization()
                            .quantize(scope, plan.quantize(product.roleB()), SITE, right, state)) {
                backend.gemm()
                        .multiply(
                                scope,
                                plan.gemm(product),
                                SITE,
                                a.operand(product.contractionA()),
                                b.operand(product.contractionB()),
                                d);
            }
            if (!backend.takeNonFinite().isEmpty()) {
                throw new NonFiniteException("A or B holds values that are not finite");
            }
            return backend.readFloats(d);
        }
    }

    /** {@return what ran, as the backend noted it} */
    ExecutionRow executionRow() {
        return backend.log().rows().stream()
                .filter(row -> row.product().equals(product.label()))
                .reduce((_, later) -> later)
                .orElseThrow(() -> new IllegalStateException(
                        "backend " + backend.name() + " noted no launch for " + product.label()));
    }

    @Override
    public void close() {
        left.close();
        right.close();
        state.close();
    }
}
