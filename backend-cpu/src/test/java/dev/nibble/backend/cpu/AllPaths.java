package dev.nibble.backend.cpu;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.host.HostTensor;
import dev.nibble.spi.GemmBackend;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.function.Function;

/** Runs each product on every path that this machine has, and fails where they differ in a bit. */
record AllPaths(CpuGemm portable, Map<String, CpuGemm> natives) implements GemmBackend {
    /** {@return an operation for each level of the native library} */
    static Map<String, CpuGemm> natives(Function<NativeKernels, CpuGemm> operation) {
        Map<String, CpuGemm> operations = new LinkedHashMap<>();
        kernels().forEach(kernels -> operations.put(kernels.level().label, operation.apply(kernels)));
        return operations;
    }

    /** {@return the native library at each level that this machine has; none without it} */
    static List<NativeKernels> kernels() {
        List<NativeKernels> all = new ArrayList<>();
        NativeLibrary.outcome().kernels().ifPresent(kernels -> {
            for (NativeKernels.Level level : NativeKernels.Level.values()) {
                if ((kernels.levels() & level.bit) != 0) {
                    all.add(kernels.at(level));
                }
            }
        });
        return all;
    }

    @Override
    public void multiply(StepScope scope, GemmSpec spec, Site site, Operand a, Operand b, Tensor d) {
        float[] values = HostTensor.floats(d);
        float[] before = values.clone();
        portable.multiply(scope, spec, site, a, b, d);
        float[] expected = values.clone();
        natives.forEach((name, operation) -> {
            System.arraycopy(before, 0, values, 0, before.length);
            operation.multiply(scope, spec, site, a, b, d);
            Fixture.assertSameBits(expected, values, name);
            operation.close();
        });
    }
}
