package dev.nibble.quant.int8.fallback;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Map;

/** One layer in one open step of the reference backend. */
final class Step implements AutoCloseable {
    static final Site SITE = new Site("blocks.0.mlp.down", 5);

    private final Backend backend = new ReferenceBackendProvider().open(BackendOptions.withSeed(42));
    private final StepScope scope;
    private final DeviceState state;
    private final LinearPlan plan;

    Step(LinearQuantizer quantizer, int step, boolean fresh) {
        this(quantizer, step, fresh, 1);
    }

    Step(LinearQuantizer quantizer, int step, boolean fresh, long tokens) {
        scope = backend.beginStep(StepContext.train(step, 0));
        state = backend.allocateState(quantizer.state());
        plan = quantizer.plan(new PlanRequest(tokens, fresh));
    }

    /** {@return a layer's quantizer by name} */
    static LinearQuantizer quantizer(String name, Map<String, String> options) {
        return quantizer(name, options, new LinearLayer(SITE, 1, 1));
    }

    static LinearQuantizer quantizer(String name, Map<String, String> options, LinearLayer layer) {
        QuantizerProvider provider = Plugins.quantizers().get(name);
        return provider.create(OptionValues.of(name, provider.options(), options))
                .linear(layer);
    }

    /** Gives a state vector of length 1 another value. */
    void set(String name, float value) {
        backend.write(state.get(name), new float[] {value});
    }

    LinearPlan plan() {
        return plan;
    }

    HostQuantized quantize(QuantizeSpec spec, Matrix x) {
        return (HostQuantized) backend.quantization().quantize(scope, spec, SITE, tensor(x), state);
    }

    private Tensor tensor(Matrix x) {
        Tensor tensor = scope.allocate("x", DType.FP32, Shape.of(x.rows(), x.cols()));
        backend.write(tensor, x.values());
        return tensor;
    }

    static float statistic(HostQuantized quantized, Statistic statistic) {
        return HostTensor.floats(quantized.statistics())[statistic.ordinal()];
    }

    /** {@return what codes and scales mean, [rows, k] of the operand} */
    Matrix dequantize(Operand operand) {
        Tensor tensor = backend.quantization().dequantize(scope, operand);
        return new Matrix(HostTensor.floats(tensor).clone(), (int) operand.rows(), (int) operand.k());
    }

    Matrix multiply(GemmSpec spec, Operand a, Operand b) {
        try (Tensor d = backend.allocate("d", DType.FP32, Shape.of(a.rows(), b.rows()), MemoryTag.SCRATCH)) {
            backend.gemm().multiply(scope, spec, SITE, a, b, d);
            return new Matrix(HostTensor.floats(d).clone(), (int) a.rows(), (int) b.rows());
        }
    }

    /** {@return one of the three products of a layer, from unquantized tensors} */
    Matrix product(Product product, Matrix x, Matrix w, Matrix dy) {
        Map<Role, Matrix> tensors = Map.of(
                Role.INPUT, x,
                Role.WEIGHT, w,
                Role.GRAD_OUTPUT, dy);
        HostQuantized a = quantize(plan.quantize(product.roleA()), tensors.get(product.roleA()));
        HostQuantized b = quantize(plan.quantize(product.roleB()), tensors.get(product.roleB()));
        return multiply(plan.gemm(product), a.operand(product.contractionA()), b.operand(product.contractionB()));
    }

    /** {@return what an operand of X means for a contraction} */
    Matrix input(Matrix x, Contraction contraction) {
        return dequantize(quantize(plan.input(), x).operand(contraction));
    }

    @Override
    public void close() {
        state.close();
        scope.close();
        backend.close();
    }
}
