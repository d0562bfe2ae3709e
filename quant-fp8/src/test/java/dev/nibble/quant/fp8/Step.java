package dev.nibble.quant.fp8;

import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
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
    private static final Site SITE = new Site("blocks.0.mlp.down", 5);

    private final Backend backend = new ReferenceBackendProvider().open(BackendOptions.withSeed(42));
    private final StepScope scope = backend.beginStep(StepContext.train(0, 0));
    private final DeviceState state;
    private final LinearPlan plan;

    Step(Map<String, String> options) {
        LinearQuantizer quantizer = quantizer(options);
        state = backend.allocateState(quantizer.state());
        plan = quantizer.plan(new PlanRequest(1, false));
    }

    /** {@return the quantizer of a layer} */
    static LinearQuantizer quantizer(Map<String, String> options) {
        QuantizerProvider provider = Plugins.quantizers().get("fp8");
        return provider.create(OptionValues.of("fp8", provider.options(), options))
                .linear(new LinearLayer(SITE, 1, 1));
    }

    /** {@return x [rows, cols] quantized for a role} */
    HostQuantized quantize(Role role, float[] x, int rows, int cols) {
        Tensor tensor = scope.allocate("x", DType.FP32, Shape.of(rows, cols));
        backend.write(tensor, x);
        return (HostQuantized) backend.quantization().quantize(scope, plan.quantize(role), SITE, tensor, state);
    }

    static float scale(Operand operand) {
        float[] scales =
                HostTensor.floats(HostOperand.of(operand).planes().getFirst().scales()); // [1]
        return scales[0];
    }

    static byte[] codes(Operand operand) {
        return HostOperand.of(operand).planes().getFirst().codes().bytes();
    }

    /** {@return what codes and scale mean, [rows, k] of the operand} */
    float[] dequantize(Operand operand) {
        return HostTensor.floats(backend.quantization().dequantize(scope, operand))
                .clone();
    }

    /** {@return a product, [a.rows, b.rows]} */
    float[] multiply(Product product, HostQuantized a, HostQuantized b) {
        Operand left = a.operand(product.contractionA());
        Operand right = b.operand(product.contractionB());
        try (Tensor d = backend.allocate("d", DType.FP32, Shape.of(left.rows(), right.rows()), MemoryTag.SCRATCH)) {
            backend.gemm().multiply(scope, plan.gemm(product), SITE, left, right, d);
            return HostTensor.floats(d).clone();
        }
    }

    @Override
    public void close() {
        state.close();
        scope.close();
        backend.close();
    }
}
