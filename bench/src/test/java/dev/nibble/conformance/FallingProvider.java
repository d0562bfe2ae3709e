package dev.nibble.conformance;

import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Spi;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.nio.charset.StandardCharsets;
import jcuda.Pointer;
import jcuda.driver.CUfunction;
import jcuda.driver.CUmodule;
import jcuda.driver.JCudaDriver;

/** The GPU, which faults in the middle of the seventh step: a kernel of the test writes to an address that is nobody's. */
public final class FallingProvider implements BackendProvider {
    static final String NAME = "cuda-that-falls";

    private static final int GOOD_STEPS = 6;
    private static final String WILD = """
        .version 7.0
        .target sm_80
        .address_size 64
        .visible .entry wild()
        {
            .reg .b64 %address;
            .reg .b32 %value;
            mov.u64 %address, 16;
            mov.u32 %value, 1;
            st.global.u32 [%address], %value;
            ret;
        }
        \0\
        """;

    /** For the service loader. */
    public FallingProvider() {}

    @Override
    public String name() {
        return NAME;
    }

    @Override
    public int spiVersion() {
        return Spi.VERSION;
    }

    @Override
    public String description() {
        return "a GPU with a fault";
    }

    private static BackendProvider cuda() {
        return Plugins.backends().get("cuda");
    }

    @Override
    public Availability availability() {
        return cuda().availability();
    }

    @Override
    public int preference() {
        return -1;
    }

    @Override
    public Backend open(BackendOptions options) {
        Backend cuda = cuda().open(options);
        int[] steps = {0};
        return (Backend) Proxy.newProxyInstance(
                Backend.class.getClassLoader(), new Class<?>[] {Backend.class}, (_, method, arguments) -> {
                    try {
                        Object result = method.invoke(cuda, arguments);
                        if (method.getName().equals("beginStep") && ++steps[0] > GOOD_STEPS) {
                            writeWildly();
                        }
                        return result;
                    } catch (InvocationTargetException e) {
                        throw e.getTargetException();
                    }
                });
    }

    private static void writeWildly() {
        CUmodule module = new CUmodule();
        CUfunction function = new CUfunction();
        int code = JCudaDriver.cuModuleLoadData(module, WILD.getBytes(StandardCharsets.US_ASCII));
        code = code == 0 ? JCudaDriver.cuModuleGetFunction(function, module, "wild") : code;
        code = code == 0
                ? JCudaDriver.cuLaunchKernel(function, 1, 1, 1, 1, 1, 1, 0, null, new Pointer(), new Pointer())
                : code;
        if (code != 0) {
            throw new IllegalStateException("the kernel of the test was refused: " + code);
        }
    }
}
