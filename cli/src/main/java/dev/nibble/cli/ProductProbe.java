package dev.nibble.cli;

import dev.nibble.error.NonFiniteException;
import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Transform;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/** One product of a fresh layer, on a backend, as often as asked. */
final class ProductProbe implements AutoCloseable {
    private static final Site SITE = new Site("gemm", 0);

    private final Backend backend;
    private final Product product;
    private final FreshLayer layer;
    private final Shape shape;
    private final NpyArray a;
    private final NpyArray b;
    private double[] exact = {}; // [M, N], once it is asked for
    private final Tensor left;
    private final Tensor right;

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
        this.a = a;
        this.b = b;
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
        LinearQuantizer linear = quantizer.linear(new LinearLayer(SITE, in, out, nonNegativeInput(product, a, b)));
        this.layer = new FreshLayer(backend, SITE, linear, linear.plan(new PlanRequest(tokens, true)));
        this.left = write("A", a, product.contractionA());
        this.right = write("B", b, product.contractionB());
        layer.measure(known(Role.INPUT), known(Role.WEIGHT));
    }

    private static boolean nonNegativeInput(Product product, NpyArray a, NpyArray b) {
        return switch (product) {
            case OUTPUT -> a.isNonNegative();
            case GRAD_INPUT -> false;
            case GRAD_WEIGHT -> b.isNonNegative();
        };
    }

    private Optional<Tensor> known(Role role) {
        if (product.roleA() == role) {
            return Optional.of(left);
        }
        return product.roleB() == role ? Optional.of(right) : Optional.empty();
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
        if (exact.length == 0) {
            exact = ExactProduct.of(a, b);
        }
        return exact;
    }

    /**
     * {@return D, [M, N], finite}
     *
     * @param step optimizer step that addresses the random numbers
     * @throws NonFiniteException if an operand or D leaves the range of FP32
     */
    float[] draw(int step) {
        Tensor result;
        try (StepScope scope = backend.beginStep(StepContext.train(step, 0));
                Quantized a = layer.quantize(scope, layer.plan().quantize(product.roleA()), left);
                Quantized b = layer.quantize(scope, layer.plan().quantize(product.roleB()), right)) {
            Tensor d = scope.allocate("D", DType.FP32, shape);
            backend.neural().zero(scope, d); // the weight gradient is added
            backend.gemm()
                    .multiply(
                            scope,
                            layer.plan().gemm(product),
                            SITE,
                            a.operand(product.contractionA()),
                            b.operand(product.contractionB()),
                            d);
            try (Tensor through = layer.apply(scope, transform(), d)) {
                result = through.share();
            }
        }
        try (result) {
            if (!backend.takeNonFinite().isEmpty()) {
                throw new NonFiniteException(
                        "A, B or D leaves the range of FP32 when the product is computed; scale A or B down");
            }
            return requireFinite(backend.readFloats(result));
        }
    }

    /** A transform cancels in the output; a gradient has to pass through that of the operand it is a gradient of. */
    private Transform transform() {
        return switch (product) {
            case OUTPUT -> new Transform.Identity();
            case GRAD_INPUT -> layer.plan().input().transform();
            case GRAD_WEIGHT -> layer.plan().weight().transform();
        };
    }

    private float[] requireFinite(float[] d) {
        int first = NpyArray.firstNotFinite(d);
        if (first >= 0) {
            throw new NonFiniteException("D%s is %s, but the exact product is %s; scale A or B down"
                    .formatted(NpyArray.position(shape, first), d[first], Figures.significant(exact()[first])));
        }
        return d;
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
        layer.close();
    }
}
