package dev.nibble.backend.cpu;

import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Epilogue;
import dev.nibble.gemm.GemmSpec;
import dev.nibble.gemm.Product;
import dev.nibble.host.HostOperand;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

/**
 * A kernel whose vectors C2 leaves on the heap is ten to a hundred times slower, with the same results. It happens when
 * several kernels ran in one JVM, so all run here; a machine that others use is far from a factor of five.
 */
class KernelRateTests {
    private static final int SIZE = 384;
    private static final int ROUNDS = 30;
    private static final long WARM_UP_NANOS = 5_000_000_000L; // for a loaded machine that compiles late

    @Test
    void noFormatIsAFifthAsFastAsFp32() {
        Map<String, PlaneSpec> planes = new LinkedHashMap<>();
        planes.put("fp32", PlaneSpec.unscaled(DType.FP32));
        planes.put("bf16", PlaneSpec.unscaled(DType.BF16));
        planes.put("int8 block", Fixture.int8(new Granularity.PerBlock(128, 128)));
        planes.put("int8 row", Fixture.int8(new Granularity.PerRow()));
        planes.put("e4m3", Fixture.fp8(DType.E4M3, new Granularity.PerTensor()));
        planes.put("e5m2", Fixture.fp8(DType.E5M2, new Granularity.PerBlock(1, 128)));
        Map<String, Double> seconds = new LinkedHashMap<>();
        try (Fixture fixture = new Fixture(1)) {
            Tensor x = fixture.tensor(SIZE, SIZE, Fixture.normal(SIZE * SIZE, 1));
            Tensor d = fixture.zeros(SIZE, SIZE);
            for (Product product : Product.values()) {
                planes.forEach((name, plane) -> {
                    HostOperand a = fixture.operand(product.roleA(), Fixture.spec(product.contractionA(), plane), x);
                    HostOperand b = fixture.operand(product.roleB(), Fixture.spec(product.contractionB(), plane), x);
                    seconds.merge(product.label() + " " + name, best(fixture, product, a, b, d), Math::min);
                });
            }
        }
        for (Product product : Product.values()) {
            double fp32 = seconds.get(product.label() + " fp32");
            planes.keySet().forEach(name -> {
                double other = seconds.get(product.label() + " " + name);
                assertTrue(other < 5 * fp32, "%s %s takes %.2g s, fp32 %.2g s".formatted(product, name, other, fp32));
            });
        }
    }

    private static double best(Fixture fixture, Product product, HostOperand a, HostOperand b, Tensor d) {
        GemmSpec spec = GemmSpec.of(product, Epilogue.STORE);
        double best = Double.POSITIVE_INFINITY;
        for (int round = 0; round < ROUNDS; round++) {
            long start = System.nanoTime();
            fixture.portable.multiply(fixture.scope, spec, Fixture.SITE, a, b, d);
            best = Math.min(best, (System.nanoTime() - start) * 1e-9);
        }
        return best;
    }

    @Test
    void quantizingFallsOffNoCliff() {
        Map<String, PlaneSpec> planes = new LinkedHashMap<>();
        planes.put("bf16", PlaneSpec.unscaled(DType.BF16));
        planes.put("int8 nearest", Fixture.int8(new Granularity.PerBlock(128, 128)));
        planes.put("int8 stochastic", Fixture.int8(new Granularity.PerRow(), Rounding.STOCHASTIC));
        planes.put("e4m3", Fixture.fp8(DType.E4M3, new Granularity.PerTensor()));
        planes.put("e5m2", Fixture.fp8(DType.E5M2, new Granularity.PerBlock(1, 128)));
        try (Fixture fixture = new Fixture(1)) {
            Tensor x = fixture.tensor(SIZE, SIZE, Fixture.normal(SIZE * SIZE, 1));
            planes.forEach((name, plane) -> {
                double fast = Double.POSITIVE_INFINITY;
                double plain = Double.POSITIVE_INFINITY;
                long end = System.nanoTime() + WARM_UP_NANOS;
                for (int round = 0; round < ROUNDS || (System.nanoTime() < end && fast >= 5 * plain); round++) {
                    fast = Math.min(fast, seconds(fixture, fixture.quantize, plane, x));
                    plain = Math.min(plain, seconds(fixture, fixture.plainQuantize, plane, x));
                }
                assertTrue(fast < 5 * plain, "%s takes %.2g s, the plain code %.2g s".formatted(name, fast, plain));
            });
        }
    }

    private static double seconds(Fixture fixture, QuantizeOps operations, PlaneSpec plane, Tensor x) {
        var spec = new QuantizeSpec(Role.INPUT, List.of(Fixture.spec(Contraction.COLUMNS, plane)));
        long start = System.nanoTime();
        operations
                .quantize(fixture.scope, spec, Fixture.SITE, x, Fixture.NO_STATE)
                .close();
        return (System.nanoTime() - start) * 1e-9;
    }
}
