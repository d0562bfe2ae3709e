package dev.nibble.models;

import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.StraightThrough;
import dev.nibble.quant.Transform;
import dev.nibble.spi.Backend;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.lang.reflect.InvocationTargetException;
import java.lang.reflect.Proxy;
import java.util.EnumMap;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.TreeMap;
import java.util.function.Consumer;

/** Quantizes as a backend does, and keeps a copy of what each layer quantizes first in each role. */
final class SampledOperands implements QuantizeOps, AutoCloseable {
    private static final Set<Role> ROLES = Set.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT);

    private final QuantizeOps delegate;
    private final Map<String, Map<Role, Tensor>> kept = new TreeMap<>(); // by layer
    private boolean sampling;

    private SampledOperands(QuantizeOps delegate) {
        this.delegate = delegate;
    }

    /** {@return what quantizes in the place of the backend's own operations} */
    static SampledOperands of(Backend backend) {
        return new SampledOperands(backend.quantization());
    }

    /** {@return the backend, which quantizes by this} */
    Backend replacing(Backend backend) {
        return replacing(backend, _ -> {});
    }

    /**
     * {@return the backend, which quantizes by this}
     *
     * @param beginning hears which step is about to begin
     */
    Backend replacing(Backend backend, Consumer<StepContext> beginning) {
        return (Backend) Proxy.newProxyInstance(
                Backend.class.getClassLoader(), new Class<?>[] {Backend.class}, (_, method, arguments) -> {
                    if (method.getName().equals("quantization")) {
                        return this;
                    }
                    if (method.getName().equals("beginStep")) {
                        beginning.accept((StepContext) arguments[0]);
                    }
                    try {
                        return method.invoke(backend, arguments);
                    } catch (InvocationTargetException e) {
                        throw e.getCause();
                    }
                });
    }

    /** From now on, copies are kept or not. */
    void sample(boolean value) {
        sampling = value;
    }

    /** {@return whether there is a copy} */
    boolean hasSamples() {
        return !kept.isEmpty();
    }

    /**
     * {@return the copies of a layer on the host, if there is one of each operand of its products}
     *
     * @param label of its quantizer
     */
    Optional<LayerSample> read(Backend backend, LinearLayer layer, String label) {
        Map<Role, LayerSample.Matrix> matrices = new EnumMap<>(Role.class);
        of(layer.site().name()).forEach((role, tensor) -> {
            if (ROLES.contains(role)) {
                matrices.put(role, new LayerSample.Matrix(tensor.shape(), backend.readFloats(tensor)));
            }
        });
        return matrices.keySet().equals(ROLES)
                ? Optional.of(new LayerSample(layer, label, matrices))
                : Optional.empty();
    }

    /** {@return the copies of a layer by role, owned by this} */
    private Map<Role, Tensor> of(String layer) {
        return kept.getOrDefault(layer, Map.of());
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        if (sampling) {
            Map<Role, Tensor> layer = kept.computeIfAbsent(site.name(), _ -> new EnumMap<>(Role.class));
            if (!layer.containsKey(spec.role())) {
                try (Tensor copy = delegate.transform(scope, new Transform.Identity(), site, x, state)) {
                    layer.put(spec.role(), copy.share());
                }
            }
        }
        return delegate.quantize(scope, spec, site, x, state);
    }

    @Override
    public Tensor dequantize(StepScope scope, Operand operand) {
        return delegate.dequantize(scope, operand);
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        delegate.search(scope, search, x, w, state);
    }

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        delegate.straightThrough(scope, clip, gradient, x, state);
    }

    @Override
    public Tensor transform(StepScope scope, Transform transform, Site site, Tensor x, DeviceState state) {
        return delegate.transform(scope, transform, site, x, state);
    }

    @Override
    public void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {
        delegate.run(scope, program, state, inputs);
    }

    /** Gives all copies back. */
    void clear() {
        kept.values().forEach(layer -> layer.values().forEach(Tensor::close));
        kept.clear();
    }

    @Override
    public void close() {
        clear();
    }
}
