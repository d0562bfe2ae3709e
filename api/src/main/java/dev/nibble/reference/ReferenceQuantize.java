package dev.nibble.reference;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostRuntime;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.HadamardSearch;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.StraightThrough;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Operand;
import dev.nibble.spi.QuantizeOps;
import dev.nibble.spi.Quantized;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Arrays;
import java.util.EnumMap;
import java.util.Map;
import java.util.TreeMap;

/** Quantization in plain loops: the specification of codes, scales and masks. */
public final class ReferenceQuantize implements QuantizeOps {
    private final HostRuntime runtime;

    /**
     * Makes the operations of one backend.
     *
     * @param runtime seed, and where what is not finite is noted
     */
    public ReferenceQuantize(HostRuntime runtime) {
        this.runtime = runtime;
    }

    @Override
    public Quantized quantize(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state) {
        requireSupported(spec);
        requireNotEmpty(site, x);
        HostQuantized quantized =
                new TensorQuantizer(scope, spec, site, HostTensor.of(x), state, runtime.seed()).quantize();
        if (!Float.isFinite(HostTensor.floats(quantized.statistics())[Statistic.AMAX.ordinal()])) {
            runtime.noteNonFinite(site, spec.role());
        }
        return quantized;
    }

    /**
     * Checks that a host backend can quantize so.
     *
     * @throws IllegalArgumentException naming what it cannot
     */
    public static void requireSupported(QuantizeSpec spec) {
        for (OperandSpec operand : spec.operands()) {
            operand.planes().forEach(plane -> requireSupported(spec, plane));
        }
    }

    private static void requireSupported(QuantizeSpec spec, PlaneSpec plane) {
        String label = spec.role().label() + " " + plane.format().label();
        if (plane.format().family() == DType.Family.FLOAT && !(plane.scaleRule() instanceof ScaleRule.Unit)) {
            throw new IllegalArgumentException(label + " has scale rule " + plane.scaleRule()
                    + ", but products of wider floats have no scales; use Unit");
        }
        Rounder.requireSupported(plane);
        boolean plain = switch (plane.source()) {
            case PlaneSource.Value _, PlaneSource.Sample _ -> true;
            case PlaneSource.Residual _ -> plainScale(plane) && plane.rounding() == Rounding.NEAREST_EVEN;
            case PlaneSource.Digit _ ->
                plane.format() == DType.INT4
                        && plane.granularity() instanceof Granularity.PerTensor
                        && plainScale(plane)
                        && plane.rounding() == Rounding.STOCHASTIC;
        };
        if (!plain) {
            throw new IllegalArgumentException(label + " " + plane.source() + " has " + plane.granularity() + ", "
                    + plane.scaleRule() + " and " + plane.rounding()
                    + ", but a residual must have AmaxOverTop and NEAREST_EVEN, and a digit be INT4 per tensor with"
                    + " AmaxOverTop and STOCHASTIC");
        }
    }

    private static boolean plainScale(PlaneSpec plane) {
        return plane.scaleRule() instanceof ScaleRule.AmaxOverTop;
    }

    /**
     * Checks that there is something to quantize.
     *
     * @throws IllegalArgumentException if a matrix has no elements
     */
    public static void requireNotEmpty(Site site, Tensor x) {
        if (x.shape().elements() == 0) {
            throw new IllegalArgumentException("%s %s of layer %s is empty, but at least one element is needed"
                    .formatted(x.label(), x.shape(), site.name()));
        }
    }

    @Override
    public Tensor dequantize(StepScope scope, Operand operand) {
        HostOperand host = HostOperand.of(operand);
        int rows = Math.toIntExact(host.rows());
        int k = Math.toIntExact(host.k());
        Tensor result = scope.allocate("dequantized", DType.FP32, Shape.of(rows, k));
        float[] out = HostTensor.floats(result); // [rows, k]
        Arrays.fill(out, 0f);
        boolean samples = host.spec().planes().getFirst().source() instanceof PlaneSource.Sample;
        float weight = samples ? 1f / host.planes().size() : 1;
        for (HostPlane plane : host.planes()) {
            CodeArray codes = new CodeArray(plane.codes());
            float[] scales = HostTensor.floats(plane.scales()); // [kGroups, rowGroups], or empty
            ScaleGrid grid = ScaleGrid.of(Contraction.COLUMNS, plane.spec().granularity(), rows, k);
            for (int row = 0; row < rows; row++) {
                for (int i = 0; i < k; i++) {
                    float scale = weight * (plane.scaled() ? scales[grid.group(row, i)] : 1);
                    float code = plane.transposed() ? codes.value(i, row) : codes.value(row, i);
                    out[row * k + i] = Math.fma(scale, code, out[row * k + i]);
                }
            }
        }
        return result;
    }

    @Override
    public void search(StepScope scope, HadamardSearch search, Tensor x, Tensor w, DeviceState state) {
        ReferenceLearnedStep.search(search, x, w, state);
    }

    @Override
    public void straightThrough(StepScope scope, StraightThrough clip, Tensor gradient, Tensor x, DeviceState state) {
        ReferenceLearnedStep.straightThrough(clip, gradient, x, state);
    }

    @Override
    public void run(StepScope scope, StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {
        Map<String, float[]> vectors = new TreeMap<>();
        state.all().forEach((name, tensor) -> vectors.put(name, HostTensor.floats(tensor)));
        Map<StateInput, float[]> given = new EnumMap<>(StateInput.class);
        inputs.forEach((name, tensor) -> given.put(name, HostTensor.floats(tensor)));
        ReferenceStateProgram.run(program, vectors, given);
    }
}
