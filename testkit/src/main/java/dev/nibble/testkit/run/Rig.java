package dev.nibble.testkit.run;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.Operand;
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
import dev.nibble.testkit.data.Matrix;
import java.util.ArrayList;
import java.util.List;
import java.util.function.Function;

/**
 * A backend from which each operation's results are read: every call is a step of its own, of which nothing stays open.
 */
public final class Rig implements AutoCloseable {
    /** Seed of the draws, where a test does not choose one. */
    public static final long SEED = 42;

    /** Who asks, where a test does not choose. */
    public static final Site SITE = new Site("blocks.0.mlp.down", 5);

    /** A step in the middle of a training. */
    public static final StepContext CONTEXT = StepContext.train(3, 0.1f);

    private final Backend backend;

    /**
     * A tensor that is about to be quantized.
     *
     * @param spec how
     * @param x the tensor
     * @param state state of the layer, with the values that are in force
     */
    public record Source(QuantizeSpec spec, Matrix x, List<StateVector> state) {
        /** Makes a source whose layer has no state. */
        public Source(QuantizeSpec spec, Matrix x) {
            this(spec, x, List.of());
        }
    }

    /**
     * Takes ownership of a backend.
     *
     * @param backend what computes
     */
    public Rig(Backend backend) {
        this.backend = backend;
    }

    /** {@return a rig of the plain code} */
    public static Rig reference() {
        return new Rig(new ReferenceBackendProvider().open(BackendOptions.withSeed(SEED)));
    }

    /** {@return what computes} */
    public Backend backend() {
        return backend;
    }

    /** {@return what the work returns, done in a step that is closed by then} */
    public <T> T in(StepContext context, Function<StepScope, T> work) {
        try (StepScope scope = backend.beginStep(context)) {
            return work.apply(scope);
        }
    }

    /** {@return a new tensor with these values, owned by the caller} */
    public Tensor tensor(Matrix x) {
        Tensor tensor = backend.allocate("x", DType.FP32, Shape.of(x.rows(), x.cols()), MemoryTag.SCRATCH);
        backend.write(tensor, x.values());
        return tensor;
    }

    /** {@return a new vector with these values, owned by the caller} */
    public Tensor vector(float... values) {
        Tensor tensor = backend.allocate("v", DType.FP32, Shape.of(values.length), MemoryTag.SCRATCH);
        backend.write(tensor, values);
        return tensor;
    }

    /** {@return new numbers of tokens, owned by the caller} */
    public Tensor ints(int... values) {
        Tensor tensor = backend.allocate("ids", DType.INT32, Shape.of(values.length), MemoryTag.SCRATCH);
        backend.write(tensor, values);
        return tensor;
    }

    /** {@return what tensors hold that operations of a step have made, in their order; all are closed by then} */
    public List<float[]> results(StepContext context, Function<StepScope, List<Tensor>> operations) {
        List<Tensor> kept = in(
                context,
                scope -> operations.apply(scope).stream().map(Tensor::share).toList());
        List<float[]> values = new ArrayList<>();
        for (Tensor tensor : kept) {
            try (tensor) {
                values.add(backend.readFloats(tensor));
            }
        }
        return values;
    }

    /** {@return codes, scales, meaning and statistics of a quantized tensor} */
    public StoredTensor quantize(StepContext context, Site site, Source source) {
        record Handles(List<Operand> operands, List<Tensor> meanings, Tensor statistics) {}
        try (Tensor x = tensor(source.x());
                DeviceState state = backend.allocateState(source.state())) {
            Handles handles = in(context, scope -> {
                try (Quantized quantized = backend.quantization().quantize(scope, source.spec(), site, x, state)) {
                    List<Operand> operands = new ArrayList<>();
                    List<Tensor> meanings = new ArrayList<>();
                    for (OperandSpec spec : source.spec().operands()) {
                        Operand operand = quantized.operand(spec.contraction()).share();
                        operands.add(operand);
                        meanings.add(backend.quantization()
                                .dequantize(scope, operand)
                                .share());
                    }
                    return new Handles(
                            operands, meanings, quantized.statistics().share());
                }
            });
            List<StoredOperand> operands = new ArrayList<>();
            for (int i = 0; i < handles.operands().size(); i++) {
                try (Operand operand = handles.operands().get(i);
                        Tensor meaning = handles.meanings().get(i)) {
                    operands.add(read(operand, meaning));
                }
            }
            try (Tensor statistics = handles.statistics()) {
                return new StoredTensor(operands, backend.readFloats(statistics));
            }
        }
    }

    private StoredOperand read(Operand operand, Tensor meaning) {
        List<StoredPlane> planes = new ArrayList<>();
        for (int plane = 0; plane < operand.spec().planes().size(); plane++) {
            planes.add(new StoredPlane(
                    operand.spec().planes().get(plane),
                    operand.storedFormat(plane),
                    backend.readCodes(operand, plane),
                    backend.readScales(operand, plane)));
        }
        return new StoredOperand(
                operand.spec(), (int) operand.rows(), (int) operand.k(), planes, backend.readFloats(meaning));
    }

    /**
     * {@return D after a product}
     *
     * @param a becomes the left operand
     * @param b becomes the right operand
     * @param d D before the product, [M, N]
     */
    public float[] multiply(StepContext context, GemmSpec gemm, Site site, Source a, Source b, Matrix d) {
        try (Tensor left = tensor(a.x());
                Tensor right = tensor(b.x());
                Tensor target = tensor(d);
                DeviceState stateA = backend.allocateState(a.state());
                DeviceState stateB = backend.allocateState(b.state())) {
            in(context, scope -> {
                try (Quantized qa = backend.quantization().quantize(scope, a.spec(), site, left, stateA);
                        Quantized qb = backend.quantization().quantize(scope, b.spec(), site, right, stateB)) {
                    Operand operandA = qa.operand(gemm.product().contractionA());
                    Operand operandB = qb.operand(gemm.product().contractionB());
                    backend.gemm().multiply(scope, gemm, site, operandA, operandB, target);
                    return operandA.rows();
                }
            });
            return backend.readFloats(target);
        }
    }

    /**
     * {@return a product of a plan, stored over zeros}
     *
     * @param state state of the layer, with the values that are in force
     * @param x X, W or dY, by role
     */
    public float[] product(
            StepContext context,
            LinearPlan plan,
            Product product,
            Site site,
            List<StateVector> state,
            Function<Role, Matrix> x) {
        Matrix a = x.apply(product.roleA());
        Matrix b = x.apply(product.roleB());
        int m = product == Product.GRAD_WEIGHT ? a.cols() : a.rows();
        int n = product == Product.OUTPUT ? b.rows() : b.cols();
        return multiply(
                context,
                plan.gemm(product),
                site,
                new Source(plan.quantize(product.roleA()), a, state),
                new Source(plan.quantize(product.roleB()), b, state),
                Matrix.zeros(m, n));
    }

    @Override
    public void close() {
        backend.close();
    }
}
