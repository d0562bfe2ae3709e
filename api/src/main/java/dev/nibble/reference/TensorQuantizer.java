package dev.nibble.reference;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostQuantized;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.random.Purpose;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Quantizes one matrix. Codes always lie as the matrix does; an operand that contracts the rows reads them transposed, and
 * only its scales have an order of their own.
 */
final class TensorQuantizer {
    private final StepScope scope;
    private final QuantizeSpec spec;
    private final Site site;
    private final DeviceState state;
    private final PlaneRounding rounding;
    private final HostTensor x;
    private final float[] values; // [rows, cols], transformed
    private final int rows;
    private final int cols;
    private final float[] statistics = new float[Statistic.count()]; // [Statistic.count()]
    private boolean decided; // whether an operand had a residual
    private float threshold; // that decided about it

    /** Codes of one plane in the layout of the matrix, with scales and mask in the order of a grid. */
    private record Plane(PlaneSpec spec, ScaleGrid grid, HostTensor codes, float[] scales, float[] mask) {}

    /** The planes that operands made alike share, with the amax of each of their blocks. */
    private record Made(ScaleGrid grid, int purpose, float[] amaxes, Map<PlaneSpec, Plane> planes) {
        void release() {
            planes.values().forEach(plane -> plane.codes().close());
        }
    }

    TensorQuantizer(StepScope scope, QuantizeSpec spec, Site site, HostTensor x, DeviceState state, long seed) {
        this.scope = scope;
        this.spec = spec;
        this.site = site;
        this.state = state;
        this.x = x;
        rows = OperandChecks.rows(x);
        cols = OperandChecks.cols(x);
        values = Transforms.apply(spec.transform(), HostTensor.floats(x), rows, cols, state);
        rounding = new PlaneRounding(scope, site, spec.role(), seed, rows, cols);
    }

    HostQuantized quantize() {
        // The operand that contracts the columns comes first: its blocks decide about the other one's, too.
        List<OperandSpec> specs = spec.operands().stream()
                .sorted(Comparator.comparing(OperandSpec::contraction))
                .toList();
        Made made = made(specs.getFirst());
        BlockMetric.write(BlockMetric.quantile(made.amaxes(), 1), statistics);
        List<HostOperand> operands = new ArrayList<>();
        for (OperandSpec operand : specs) {
            if (!operands.isEmpty() && !spec.sharesCodes()) {
                made.release();
                made = made(operand);
            }
            List<Plane> planes = new ArrayList<>();
            for (PlaneSpec plane : operand.planes()) {
                if (plane.source() instanceof PlaneSource.Residual residual) {
                    addResidual(plane, residual, operand.planes().getFirst(), made);
                } else {
                    addPlane(plane, made);
                }
                planes.add(made.planes().get(plane));
            }
            if (operands.isEmpty() && planes.getFirst().scales().length == 1) {
                statistics[Statistic.SCALE.ordinal()] = planes.getFirst().scales()[0];
            }
            operands.add(operand(operand, planes));
        }
        made.release();
        HostTensor stored = allocate("statistics", DType.FP32, Shape.of(Statistic.count()));
        System.arraycopy(statistics, 0, HostTensor.floats(stored), 0, statistics.length);
        return new HostQuantized(operands, stored);
    }

    private Made made(OperandSpec operand) {
        ScaleGrid grid =
                ScaleGrid.of(operand.contraction(), operand.planes().getFirst().granularity(), rows, cols);
        return new Made(grid, spec.purpose(operand.contraction()), grid.amaxes(values, rows, cols), new HashMap<>());
    }

    private void addPlane(PlaneSpec plane, Made made) {
        if (made.planes().containsKey(plane)) {
            return;
        }
        switch (plane.source()) {
            case PlaneSource.Value _ -> made.planes().put(plane, valuePlane(plane, made, 0));
            case PlaneSource.Sample sample -> made.planes().put(plane, valuePlane(plane, made, sample.sample()));
            case PlaneSource.Digit digit -> {
                GroupScale scale = GroupScale.amaxOverTop(digit.mode().top(), made.amaxes()[0]);
                HostTensor codes = codes(plane);
                rounding.digit(digit, values, scale, made.purpose(), codes);
                float unit = digit.upper() ? digit.mode().base() * scale.scale() : scale.scale();
                made.planes().put(plane, new Plane(plane, made.grid(), codes, new float[] {unit}, new float[0]));
            }
            case PlaneSource.Residual _ -> throw new IllegalStateException("a residual needs a first plane");
        }
    }

    private Plane valuePlane(PlaneSpec plane, Made made, int sample) {
        if (plane.format() == DType.FP32) {
            HostTensor same = spec.transform() instanceof Transform.Identity ? x.share() : copy();
            return new Plane(plane, made.grid(), same, new float[0], new float[0]);
        }
        GroupScale[] scales = scales(plane, made); // [kGroups][rowGroups]
        HostTensor codes = codes(plane);
        long saturated = rounding.round(plane, made.grid(), values, scales, made.purpose(), sample, codes);
        if (plane.scaleRule() instanceof ScaleRule.Given && sample == 0) {
            statistics[Statistic.SATURATED.ordinal()] = (float) saturated / values.length;
        }
        float[] stored = new float[plane.scaleRule() instanceof ScaleRule.Unit ? 0 : scales.length];
        for (int group = 0; group < stored.length; group++) {
            stored[group] = scales[group].scale();
        }
        return new Plane(plane, made.grid(), codes, stored, new float[0]);
    }

    private HostTensor copy() {
        HostTensor copy = allocate("codes", DType.FP32, Shape.of(rows, cols));
        System.arraycopy(values, 0, HostTensor.floats(copy), 0, values.length);
        return copy;
    }

    private GroupScale[] scales(PlaneSpec plane, Made made) {
        GroupScale[] scales = new GroupScale[made.amaxes().length]; // [kGroups][rowGroups]
        for (int group = 0; group < scales.length; group++) {
            float amax = made.amaxes()[group];
            scales[group] = plane.scaleRule().needsWholeTensor()
                    ? tensorScale(plane, plane.scaleRule(), amax)
                    : GroupScale.of(plane.scaleRule(), plane.format(), amax);
        }
        return scales;
    }

    private GroupScale tensorScale(PlaneSpec plane, ScaleRule rule, float amax) {
        if (rule instanceof ScaleRule.Given given) {
            float value = HostTensor.floats(state.get(given.state()))[0];
            return value <= 0
                    ? tensorScale(plane, given.whenZero(), amax)
                    : GroupScale.given(given, plane.format(), value, amax);
        }
        return GroupScale.of(rule, plane.format(), amax, Moments.of(values, rows, cols));
    }

    private void addResidual(PlaneSpec plane, PlaneSource.Residual residual, PlaneSpec firstSpec, Made made) {
        if (made.planes().containsKey(plane)) {
            return;
        }
        Plane first = made.planes().get(firstSpec);
        float[] rest = rounding.rest(first.codes(), first.grid(), first.scales(), values); // [rows, cols]
        float[] metric =
                BlockMetric.of(residual.criterion(), made.grid(), made.amaxes(), rest, values, rows, cols); // [groups]
        boolean decides = !decided;
        if (decides) {
            threshold = threshold(residual.threshold(), metric);
            decided = true;
        }
        float[] mask = new float[made.grid().groups()]; // [kGroups][rowGroups]
        int flagged = 0;
        for (int group = 0; group < mask.length; group++) {
            boolean falls = BlockMetric.flagged(metric[group], threshold, made.amaxes()[group]);
            mask[group] = falls ? 1 : 0;
            flagged += falls ? 1 : 0;
        }
        if (decides) {
            BlockMetric.write(made.amaxes(), flagged, threshold, statistics);
        }
        made.planes().put(plane, residualPlane(plane, made.grid(), rest, mask));
    }

    private Plane residualPlane(PlaneSpec plane, ScaleGrid grid, float[] rest, float[] mask) {
        float[] largest = grid.amaxes(rest, rows, cols); // [kGroups][rowGroups]
        float[] stored = new float[grid.groups()]; // [kGroups][rowGroups]
        GroupScale[] scales = new GroupScale[grid.groups()]; // [kGroups][rowGroups]
        for (int group = 0; group < scales.length; group++) {
            scales[group] = GroupScale.residual(plane.format(), mask[group] == 0 ? 0 : largest[group]);
            stored[group] = scales[group].scale();
        }
        HostTensor codes = codes(plane);
        rounding.round(plane, grid, rest, scales, Purpose.ROUND, 0, codes);
        return new Plane(plane, grid, codes, stored, mask);
    }

    private float threshold(Threshold rule, float[] metric) {
        return switch (rule) {
            case Threshold.Delayed delayed -> HostTensor.floats(state.get(delayed.state()))[0];
            case Threshold.ExactQuantile exact -> BlockMetric.quantile(metric, exact.quantile());
            case Threshold.Capped capped ->
                Math.max(
                        HostTensor.floats(state.get(capped.state()))[0],
                        BlockMetric.quantile(metric, 1 - capped.largestRate()));
        };
    }

    private HostOperand operand(OperandSpec operand, List<Plane> planes) {
        boolean columns = operand.contraction() == Contraction.COLUMNS;
        List<HostPlane> stored = new ArrayList<>();
        for (Plane plane : planes) {
            boolean own = plane.grid().contraction() == operand.contraction();
            int kGroups = own ? plane.grid().kGroups() : plane.grid().rowGroups();
            int rowGroups = own ? plane.grid().rowGroups() : plane.grid().kGroups();
            float[] scales = own ? plane.scales() : transposed(plane.grid(), plane.scales());
            float[] mask = own ? plane.mask() : transposed(plane.grid(), plane.mask());
            HostTensor scaleTensor = allocate("scales", DType.FP32, shape(scales, kGroups, rowGroups));
            System.arraycopy(scales, 0, HostTensor.floats(scaleTensor), 0, scales.length);
            HostTensor maskTensor = allocate("mask", DType.INT8, shape(mask, kGroups, rowGroups));
            for (int group = 0; group < mask.length; group++) {
                maskTensor.bytes()[group] = (byte) mask[group];
            }
            stored.add(new HostPlane(plane.spec(), plane.codes().share(), !columns, scaleTensor, maskTensor));
        }
        return new HostOperand(operand, columns ? rows : cols, columns ? cols : rows, stored);
    }

    private static float[] transposed(ScaleGrid grid, float[] values) {
        return values.length == 0 ? values : grid.transpose(values);
    }

    private static Shape shape(float[] values, int kGroups, int rowGroups) {
        return values.length == 0 ? Shape.of(0) : Shape.of(kGroups, rowGroups);
    }

    private HostTensor codes(PlaneSpec plane) {
        HostTensor codes = allocate("codes", plane.format(), Shape.of(rows, cols));
        if (plane.format().packed() && cols % 2 != 0) {
            Arrays.fill(codes.bytes(), (byte) 0); // half a byte at the end of each row is no element
        }
        return codes;
    }

    private HostTensor allocate(String what, DType dtype, Shape shape) {
        return HostTensor.of(scope.allocate(site.name() + " " + spec.role().label() + " " + what, dtype, shape));
    }
}
