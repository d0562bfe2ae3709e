package dev.nibble.backend.cpu;

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
import dev.nibble.reference.BlockMetric;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.ScaleGrid;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * Quantizes one matrix. Codes lie as the matrix does; an operand that contracts the rows reads them transposed, and
 * only its scales have an order of their own.
 */
final class MatrixQuantizer {
    private final StepScope scope;
    private final Workers workers;
    private final QuantizeSpec spec;
    private final Site site;
    private final DeviceState state;
    private final BlockRounding rounding;
    private final HostTensor x; // [rows, cols]
    private final int rows;
    private final int cols;

    /** Codes of one plane, with scales and mask in the grid's order; either may be empty. */
    private record Plane(
            PlaneSpec spec, BlockGrid grid, HostTensor codes, float[] scales, byte[] mask, float threshold) {
        int flagged() {
            int flagged = 0;
            for (byte present : mask) {
                flagged += present;
            }
            return flagged;
        }
    }

    MatrixQuantizer(
            StepScope scope,
            Workers workers,
            QuantizeSpec spec,
            Site site,
            HostTensor x,
            DeviceState state,
            BlockRounding rounding) {
        this.scope = scope;
        this.workers = workers;
        this.spec = spec;
        this.site = site;
        this.state = state;
        this.rounding = rounding;
        this.x = x;
        rows = Math.toIntExact(x.shape().rows());
        cols = Math.toIntExact(x.shape().cols());
    }

    HostQuantized quantize() {
        // The operand that contracts the columns comes first: its blocks decide about the other one's, too.
        List<OperandSpec> specs = spec.operands().stream()
                .sorted(Comparator.comparing(OperandSpec::contraction))
                .toList();
        float[] decisive = amaxes(grid(specs.getFirst())); // [blocks of the first operand]
        HostTensor statistics = allocate("statistics", DType.FP32, Shape.of(Statistic.count()));
        BlockMetric.write(largest(decisive), HostTensor.floats(statistics));
        List<HostOperand> operands = new ArrayList<>();
        Map<PlaneSpec, Plane> residuals = new HashMap<>(); // of the current first plane
        float[] amaxes = decisive; // [blocks of the current first plane]
        Plane first = first(specs.getFirst(), amaxes);
        boolean decided = false;
        for (OperandSpec operand : specs) {
            if (!operands.isEmpty() && !spec.sharesCodes()) {
                release(first, residuals);
                amaxes = amaxes(grid(operand));
                first = first(operand, amaxes);
            }
            List<Plane> planes = new ArrayList<>(List.of(first));
            for (PlaneSpec plane : operand.planes().subList(1, operand.planes().size())) {
                Plane residual = residuals.get(plane);
                if (residual == null) {
                    residual = residual(plane, first, amaxes, threshold(plane, decisive));
                    residuals.put(plane, residual);
                }
                planes.add(residual);
                if (!decided) {
                    BlockMetric.write(amaxes, residual.flagged(), residual.threshold(), HostTensor.floats(statistics));
                    decided = true;
                }
            }
            if (operands.isEmpty() && first.scales().length == 1) {
                HostTensor.floats(statistics)[Statistic.SCALE.ordinal()] = first.scales()[0];
            }
            operands.add(operand(operand, planes));
        }
        release(first, residuals);
        return new HostQuantized(operands, statistics);
    }

    private BlockGrid grid(OperandSpec operand) {
        ScaleGrid scales =
                ScaleGrid.of(operand.contraction(), operand.planes().getFirst().granularity(), rows, cols);
        return BlockGrid.of(scales, rows, cols);
    }

    private float[] amaxes(BlockGrid grid) {
        return BlockAmax.of(workers, grid, HostTensor.floats(x));
    }

    private static float largest(float[] amaxes) {
        float largest = 0;
        for (float amax : amaxes) {
            largest = Math.max(largest, amax); // NaN stays
        }
        return largest;
    }

    private Plane first(OperandSpec operand, float[] amaxes) {
        PlaneSpec plane = operand.planes().getFirst();
        BlockGrid grid = grid(operand);
        if (plane.format() == DType.FP32) {
            return new Plane(plane, grid, x.share(), new float[0], new byte[0], 0);
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
        HostTensor codes = allocate("codes", plane.format(), Shape.of(rows, cols));
        int purpose = spec.purpose(operand.contraction());
        rounding.round(plane, grid, HostTensor.floats(x), amaxes, multipliers, purpose, codes);
        return new Plane(plane, grid, codes, scales, new byte[0], 0);
    }

    private float threshold(PlaneSpec plane, float[] decisive) {
        return switch (((PlaneSource.Residual) plane.source()).threshold()) {
            case Threshold.Delayed delayed -> HostTensor.floats(state.get(delayed.state()))[0];
            case Threshold.ExactQuantile exact -> BlockMetric.quantile(decisive, exact.quantile());
            case Threshold.Capped capped ->
                Math.max(
                        HostTensor.floats(state.get(capped.state()))[0],
                        BlockMetric.quantile(decisive, 1 - capped.largestRate()));
        };
    }

    private Plane residual(PlaneSpec plane, Plane first, float[] amaxes, float threshold) {
        BlockGrid grid = first.grid();
        HostTensor codes = allocate("codes", plane.format(), Shape.of(rows, cols));
        float[] scales = new float[grid.groups()]; // [kGroups][rowGroups]
        byte[] mask = new byte[grid.groups()]; // [kGroups][rowGroups]
        rounding.roundResidual(
                plane,
                grid,
                HostTensor.floats(x),
                amaxes,
                first.codes(),
                first.scales(),
                threshold,
                codes,
                scales,
                mask);
        return new Plane(plane, grid, codes, scales, mask, threshold);
    }

    private HostOperand operand(OperandSpec operand, List<Plane> planes) {
        boolean columns = operand.contraction() == Contraction.COLUMNS;
        List<HostPlane> stored = new ArrayList<>();
        for (Plane plane : planes) {
            stored.add(stored(plane, operand.contraction()));
        }
        return new HostOperand(operand, columns ? rows : cols, columns ? cols : rows, stored);
    }

    private HostPlane stored(Plane plane, Contraction contraction) {
        ScaleGrid grid = plane.grid().scales();
        boolean own = grid.contraction() == contraction;
        Shape shape = own ? Shape.of(grid.kGroups(), grid.rowGroups()) : Shape.of(grid.rowGroups(), grid.kGroups());
        HostTensor scales = allocate("scales", DType.FP32, plane.scales().length == 0 ? Shape.of(0) : shape);
        HostTensor mask = allocate("mask", DType.INT8, plane.mask().length == 0 ? Shape.of(0) : shape);
        for (int i = 0; i < grid.groups(); i++) {
            int to = own ? i : i % grid.rowGroups() * grid.kGroups() + i / grid.rowGroups();
            if (plane.scales().length > 0) {
                HostTensor.floats(scales)[to] = plane.scales()[i];
            }
            if (plane.mask().length > 0) {
                mask.bytes()[to] = plane.mask()[i];
            }
        }
        boolean transposed = contraction == Contraction.ROWS;
        return new HostPlane(plane.spec(), plane.codes().share(), transposed, scales, mask);
    }

    private static void release(Plane first, Map<PlaneSpec, Plane> residuals) {
        first.codes().close();
        residuals.values().forEach(residual -> residual.codes().close());
        residuals.clear();
    }

    private HostTensor allocate(String what, DType dtype, Shape shape) {
        return HostTensor.of(scope.allocate(site.name() + " " + spec.role().label() + " " + what, dtype, shape));
    }
}
