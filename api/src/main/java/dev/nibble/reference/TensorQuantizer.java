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
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Threshold;
import dev.nibble.random.Purpose;
import dev.nibble.random.RandomStream;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayList;
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
    private final long seed;
    private final HostTensor x;
    private final float[] values; // [rows, cols]
    private final int rows;
    private final int cols;

    /** Codes of one plane in the layout of the matrix, with scales and mask in the order of a grid. */
    private record Plane(
            PlaneSpec spec, ScaleGrid grid, HostTensor codes, float[] scales, float[] mask, float threshold) {
        int flagged() {
            int flagged = 0;
            for (float present : mask) {
                flagged += (int) present;
            }
            return flagged;
        }
    }

    /** What the residual planes of one or two operands start from. */
    private record First(float[] amaxes, Plane plane) {}

    TensorQuantizer(StepScope scope, QuantizeSpec spec, Site site, Tensor x, DeviceState state, long seed) {
        this.scope = scope;
        this.spec = spec;
        this.site = site;
        this.state = state;
        this.seed = seed;
        this.x = HostTensor.of(x);
        values = HostTensor.floats(x);
        rows = Math.toIntExact(x.shape().rows());
        cols = Math.toIntExact(x.shape().cols());
    }

    HostQuantized quantize() {
        // The operand that contracts the columns comes first: its blocks decide about the other one's, too.
        List<OperandSpec> specs = spec.operands().stream()
                .sorted(Comparator.comparing(OperandSpec::contraction))
                .toList();
        float[] decisive = amaxes(grid(specs.getFirst()), values); // [blocks of the first operand]
        HostTensor statistics = allocate("statistics", DType.FP32, Shape.of(Statistic.count()));
        BlockMetric.write(BlockMetric.quantile(decisive, 1), HostTensor.floats(statistics));
        List<HostOperand> operands = new ArrayList<>();
        Map<PlaneSpec, Plane> residuals = new HashMap<>(); // of the current first plane
        First first = first(specs.getFirst(), decisive);
        boolean decided = false;
        for (OperandSpec operand : specs) {
            if (!operands.isEmpty() && !spec.sharesCodes()) {
                release(first, residuals);
                first = first(operand, amaxes(grid(operand), values));
            }
            List<Plane> planes = new ArrayList<>(List.of(first.plane()));
            for (PlaneSpec plane : operand.planes().subList(1, operand.planes().size())) {
                Plane residual = residual(plane, first, decisive, residuals);
                planes.add(residual);
                if (!decided) {
                    BlockMetric.write(
                            first.amaxes(), residual.flagged(), residual.threshold(), HostTensor.floats(statistics));
                    decided = true;
                }
            }
            operands.add(operand(operand, planes));
        }
        release(first, residuals);
        return new HostQuantized(operands, statistics);
    }

    private ScaleGrid grid(OperandSpec operand) {
        return ScaleGrid.of(operand.contraction(), operand.planes().getFirst().granularity(), rows, cols);
    }

    /** {@return max|element| of each block; NaN if an element is NaN} */
    private float[] amaxes(ScaleGrid grid, float[] elements) {
        float[] amaxes = new float[grid.groups()]; // [kGroups][rowGroups]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int group = grid.group(row, col);
                amaxes[group] = Math.max(amaxes[group], Math.abs(elements[row * cols + col]));
            }
        }
        return amaxes;
    }

    private First first(OperandSpec operand, float[] amaxes) {
        PlaneSpec plane = operand.planes().getFirst();
        ScaleGrid grid = grid(operand);
        if (plane.format() == DType.FP32) {
            return new First(amaxes, new Plane(plane, grid, x.share(), new float[0], new float[0], 0));
        }
        boolean scaled = !(plane.scaleRule() instanceof ScaleRule.Unit);
        float[] scales = new float[scaled ? grid.groups() : 0]; // [kGroups][rowGroups]
        float[] multipliers = new float[grid.groups()]; // [kGroups][rowGroups]
        for (int group = 0; group < grid.groups(); group++) {
            GroupScale scale = GroupScale.of(plane.scaleRule(), plane.format(), amaxes[group]);
            multipliers[group] = scale.multiplier();
            if (scaled) {
                scales[group] = scale.scale();
            }
        }
        HostTensor codes = round(plane, grid, values, multipliers, spec.purpose(operand.contraction()));
        return new First(amaxes, new Plane(plane, grid, codes, scales, new float[0], 0));
    }

    /** Rounds each element to its code. */
    private HostTensor round(PlaneSpec plane, ScaleGrid grid, float[] elements, float[] multipliers, int purpose) {
        StepContext context = scope.context();
        RandomStream stream =
                new RandomStream(seed, context.step(), context.microBatch(), site.ordinal(), spec.role(), purpose, 0);
        HostTensor codes = allocate("codes", plane.format(), Shape.of(rows, cols));
        CodeArray out = new CodeArray(codes);
        int[] words = new int[4]; // [4], of the elements 4q .. 4q+3
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int element = row * cols + col;
                if (plane.rounding() == Rounding.STOCHASTIC && (element & 3) == 0) {
                    stream.quad(element >>> 2, words, 0);
                }
                float multiplier = multipliers[grid.group(row, col)];
                if (multiplier == 0) {
                    out.zero(element);
                } else {
                    float u = RandomStream.fromWord(words[element & 3]);
                    out.round(element, elements[element] * multiplier, plane.rounding(), u);
                }
            }
        }
        return codes;
    }

    private float threshold(PlaneSpec plane, float[] decisive) {
        return switch (((PlaneSource.Residual) plane.source()).threshold()) {
            case Threshold.Delayed delayed -> HostTensor.floats(state.get(delayed.state()))[0];
            case Threshold.ExactQuantile exact -> BlockMetric.quantile(decisive, exact.quantile());
        };
    }

    /** {@return what the first plane leaves over in the blocks above the threshold, made once for both operands} */
    private Plane residual(PlaneSpec plane, First first, float[] decisive, Map<PlaneSpec, Plane> residuals) {
        Plane residual = residuals.get(plane);
        if (residual == null) {
            residual = residual(plane, first, threshold(plane, decisive));
            residuals.put(plane, residual);
        }
        return residual;
    }

    private Plane residual(PlaneSpec plane, First first, float threshold) {
        ScaleGrid grid = first.plane().grid();
        float[] mask = new float[grid.groups()]; // [kGroups][rowGroups]
        for (int group = 0; group < grid.groups(); group++) {
            mask[group] = BlockMetric.flagged(first.amaxes()[group], threshold) ? 1 : 0;
        }
        float[] rest = rest(first.plane()); // [rows, cols]
        float[] largest = amaxes(grid, rest); // [kGroups][rowGroups]
        float[] scales = new float[grid.groups()]; // [kGroups][rowGroups]
        float[] multipliers = new float[grid.groups()]; // [kGroups][rowGroups]
        for (int group = 0; group < grid.groups(); group++) {
            if (mask[group] != 0) {
                GroupScale scale = GroupScale.residual(plane.format(), largest[group]);
                scales[group] = scale.scale();
                multipliers[group] = scale.multiplier();
            }
        }
        HostTensor codes = round(plane, grid, rest, multipliers, Purpose.ROUND);
        return new Plane(plane, grid, codes, scales, mask, threshold);
    }

    /** {@return fma(-scale, code, x)} The stored scale counts: with another one the error would be its own. */
    private float[] rest(Plane plane) {
        CodeArray codes = new CodeArray(plane.codes());
        float[] rest = new float[values.length]; // [rows, cols]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                int element = row * cols + col;
                float scale = plane.scales().length == 0
                        ? 1
                        : plane.scales()[plane.grid().group(row, col)];
                rest[element] = Math.fma(-scale, codes.value(element), values[element]);
            }
        }
        return rest;
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

    private static void release(First first, Map<PlaneSpec, Plane> residuals) {
        first.plane().codes().close();
        residuals.values().forEach(residual -> residual.codes().close());
        residuals.clear();
    }

    private HostTensor allocate(String what, DType dtype, Shape shape) {
        return HostTensor.of(scope.allocate(site.name() + " " + spec.role().label() + " " + what, dtype, shape));
    }
}
