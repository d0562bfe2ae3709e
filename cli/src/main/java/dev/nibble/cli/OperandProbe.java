package dev.nibble.cli;

import dev.nibble.error.NonFiniteException;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.Operand;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
import java.util.List;
import java.util.Optional;

/** Quantizes one tensor on a backend as often as asked, always as a fresh layer would, and reads the result back. */
final class OperandProbe implements AutoCloseable {
    private final Backend backend;
    private final FreshLayer layer;
    private final QuantizeSpec spec;
    private final String name;
    private final NpyArray values;
    private final Tensor x;

    /**
     * One way the tensor was quantized as a matrix [rows, cols]: the operand that contracts the columns.
     *
     * @param values what the codes mean, transforms undone, [rows, cols]
     * @param codes bytes of each plane, each [rows, cols]
     * @param scales scales of each plane, [kGroups][rowGroups]
     */
    record Draw(float[] values, List<byte[]> codes, List<float[]> scales) {}

    /**
     * Writes the tensor to the backend.
     *
     * @param quantizer of the layer
     * @param plan of the layer
     * @param role what the tensor is to the layer
     * @param name what the tensor is, for messages
     * @param values its elements, finite; all axes but the last are taken together
     */
    OperandProbe(Backend backend, LinearQuantizer quantizer, LinearPlan plan, Role role, String name, NpyArray values) {
        this.backend = backend;
        this.spec = plan.quantize(role);
        this.name = name;
        this.values = values;
        this.layer = new FreshLayer(backend, new Site("inspect", 0), quantizer, plan);
        this.x = backend.allocate(role.label(), DType.FP32, values.matrix(), MemoryTag.SCRATCH);
        backend.write(x, values.values());
        layer.measure(known(role, Role.INPUT), known(role, Role.WEIGHT));
    }

    private Optional<Tensor> known(Role role, Role wanted) {
        return role == wanted ? Optional.of(x) : Optional.empty();
    }

    /** {@return the matrix that the codes are of, [rows, cols]: the tensor after the transform} */
    float[] transformed() {
        Tensor result;
        try (StepScope scope = backend.beginStep(StepContext.train(0, 0));
                Tensor transformed = layer.apply(scope, spec.transform(), x.share())) {
            result = transformed.share();
        }
        try (result) {
            requireInRange();
            return backend.readFloats(result);
        }
    }

    /**
     * {@return the result of one draw}
     *
     * @param step optimizer step that addresses the random numbers
     * @throws NonFiniteException if quantizing it, or what the codes mean, leaves the range of FP32
     */
    Draw draw(int step) {
        Tensor decoded;
        Operand operand;
        try (StepScope scope = backend.beginStep(StepContext.train(step, 0))) {
            try (Quantized quantized = layer.quantize(scope, spec, x)) {
                operand = quantized.operand(Contraction.COLUMNS).share();
                decoded = layer.decode(scope, spec, operand).share();
            }
        }
        try (Operand kept = operand;
                Tensor keptDecoded = decoded) {
            requireInRange();
            List<byte[]> codes = new ArrayList<>();
            List<float[]> scales = new ArrayList<>();
            for (int plane = 0; plane < kept.spec().planes().size(); plane++) {
                codes.add(backend.readCodes(kept, plane));
                scales.add(backend.readScales(kept, plane));
            }
            return new Draw(requireFinite(backend.readFloats(keptDecoded)), codes, scales);
        }
    }

    /** The tensor is finite, so a transform of it, or what its codes mean, is not. */
    private void requireInRange() {
        if (!backend.takeNonFinite().isEmpty()) {
            throw new NonFiniteException("%s leaves the range of FP32 when it is quantized to %s; scale the tensor down"
                    .formatted(name, format()));
        }
    }

    /** Formats without saturation, and products code · scale near the largest FP32, round up to infinity. */
    private float[] requireFinite(float[] decoded) {
        int first = NpyArray.firstNotFinite(decoded);
        if (first >= 0) {
            throw new NonFiniteException("%s%s is %s, but as %s it is %s; scale the tensor down"
                    .formatted(
                            name,
                            NpyArray.position(values.shape(), first),
                            values.values()[first],
                            format(),
                            decoded[first]));
        }
        return decoded;
    }

    private String format() {
        return spec.operand(Contraction.COLUMNS).formatLabel();
    }

    @Override
    public void close() {
        x.close();
        layer.close();
    }
}
