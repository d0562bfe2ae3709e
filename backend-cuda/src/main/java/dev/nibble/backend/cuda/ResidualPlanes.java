package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.Threshold;
import dev.nibble.spi.DeviceState;
import dev.nibble.tensor.DType;
import java.util.List;

/** Enqueues the kernels of residual planes: what the first plane leaves over, in the blocks that fall back. */
final class ResidualPlanes {
    private static final double HALF = 0.5;
    private static final int VECTOR = 4; // columns that a thread rounds

    private final QuantizeKernels kernels;
    private final ResidualKernels residuals;
    private final PlaneMemory memory;
    private final DeviceMatrix values;
    private final DeviceState state;
    private final Findings findings;
    private long threshold; // where the one in force lies; 0 before an operand's blocks have decided

    /**
     * Makes the residuals of one matrix.
     *
     * @param kernels launches
     * @param memory of the operands
     * @param values what is rounded
     * @param state of the layer
     * @param findings where thresholds and counts lie
     */
    ResidualPlanes(
            QuantizeKernels kernels, PlaneMemory memory, DeviceMatrix values, DeviceState state, Findings findings) {
        this.kernels = kernels;
        this.residuals = new ResidualKernels(kernels);
        this.memory = memory;
        this.values = values;
        this.state = state;
        this.findings = findings;
    }

    /** {@return where the threshold in force lies} */
    long threshold() {
        return threshold;
    }

    /** Makes the memory of a residual. */
    MadePlanes.Plane allocate(PlaneSpec plane, MadePlanes made) {
        MadePlanes.Plane target = made.allocate(plane, memory);
        for (Contraction contraction : target.scales().keySet()) {
            CudaTensor mask = memory.groups("mask", DType.INT8, made.grid(), contraction);
            target.masks().put(contraction, target.codes().containsKey(contraction) ? mask : memory.passing(mask));
        }
        return target;
    }

    /** {@return whether one kernel makes both planes} */
    boolean fitTile(MadePlanes made) {
        PlaneSpec first = made.first();
        boolean nearest = first.format() == DType.INT8
                && first.source() instanceof PlaneSource.Value
                && first.scaleRule() instanceof ScaleRule.AmaxOverTop
                && first.rounding() == Rounding.NEAREST_EVEN;
        List<PlaneSpec> planes = made.operands().stream()
                .flatMap(operand -> operand.planes().stream())
                .distinct()
                .toList();
        return nearest
                && made.grid().fitsTile()
                && made.grid().width() >= VECTOR
                && planes.size() == 2
                && planes.stream()
                        .anyMatch(plane -> plane.format() == DType.INT8
                                && plane.source() instanceof PlaneSource.Residual residual
                                && residual.criterion() == Criterion.ABSMAX);
    }

    /** Makes both planes. */
    void together(MadePlanes made) {
        PlaneSpec first = made.first();
        PlaneSpec second = made.operands().stream()
                .flatMap(operand -> operand.planes().stream())
                .filter(plane -> plane.source() instanceof PlaneSource.Residual)
                .findFirst()
                .orElseThrow();
        Threshold rule = ((PlaneSource.Residual) second.source()).threshold();
        if (!(rule instanceof Threshold.Delayed)) {
            kernels.amaxes(values, List.of(made.grid()), List.of(made.amaxes()), findings.amax());
        }
        decide(rule, made.amaxes(), made);
        MadePlanes.Plane values8 = made.allocate(first, memory);
        MadePlanes.Plane rest = allocate(second, made);
        residuals.fallback(
                values, launched(made, values8), launched(made, rest), made.grid(), threshold, made.amaxes(), findings);
        findMedian(made);
        made.planes().put(first, values8);
        made.planes().put(second, rest);
    }

    private static ResidualKernels.FallbackPlane launched(MadePlanes made, MadePlanes.Plane plane) {
        return new ResidualKernels.FallbackPlane(
                CodeSide.Target.of(plane.targets(), Contraction.COLUMNS),
                CodeSide.Target.of(plane.targets(), Contraction.ROWS),
                List.of(made.own(plane.scales()), made.other(plane.scales())),
                List.of(made.own(plane.masks()), made.other(plane.masks())));
    }

    /**
     * Finds which blocks fall back and makes the scales of their residuals.
     *
     * @param plane the residual
     * @param made with the first plane
     * @param side how the residual is rounded
     * @param target its memory, with masks
     * @return what is rounded
     */
    DeviceMatrix prepare(PlaneSpec plane, MadePlanes made, CodeSide side, MadePlanes.Plane target) {
        GroupGrid grid = made.grid();
        PlaneSource.Residual source = (PlaneSource.Residual) plane.source();
        MadePlanes.Plane first = made.planes().get(made.first());
        DeviceMatrix rest = new DeviceMatrix(memory.passing(
                memory.allocate("rest", DType.FP32, values.tensor().shape())));
        boolean straight = first.codes().containsKey(Contraction.COLUMNS);
        CudaTensor codes = first.codes().get(straight ? Contraction.COLUMNS : Contraction.ROWS);
        residuals.rest(values, codes, !straight, grid, made.own(first.scales()), rest.address());
        long metric = metric(source.criterion(), grid, rest);
        long flagged = threshold == 0 ? findings.flagged() : findings.unread();
        if (threshold == 0) {
            decide(source.threshold(), metric == 0 ? made.amaxes() : metric, made);
            findMedian(made);
        }
        long bytes =
                (grid.groups() + 1L) * Float.BYTES; // the largest of all, which nobody reads, and those of the blocks
        long largest = memory.scratch("amaxes of the rest", bytes);
        kernels.runtime().stream().fill(largest, (byte) 0, bytes);
        kernels.amaxes(rest, List.of(grid), List.of(largest + Float.BYTES), largest);
        residuals.fallBack(
                plane,
                grid,
                new ResidualKernels.Fallback(
                        metric,
                        made.amaxes(),
                        largest + Float.BYTES,
                        threshold,
                        side.apply(),
                        side.scales(),
                        made.own(target.masks()),
                        side.scalesOther(),
                        made.other(target.masks()),
                        flagged));
        return rest;
    }

    /** {@return where the metric of each block lies; 0 if it is the amax} */
    private long metric(Criterion criterion, GroupGrid grid, DeviceMatrix rest) {
        if (criterion == Criterion.ABSMAX) {
            return 0;
        }
        long parts = values.rows() * grid.colBlocks() * Float.BYTES;
        long metric = memory.scratch("metric", grid.groups() * (long) Float.BYTES);
        long errors = memory.scratch("row sums", parts);
        residuals.rowMagnitudes(rest, grid, errors);
        long sizes = 0;
        if (criterion == Criterion.L1_RELATIVE) {
            sizes = memory.scratch("row sums", parts);
            residuals.rowMagnitudes(values, grid, sizes);
        }
        residuals.magnitudes(errors, sizes, values.rows(), grid, metric);
        return metric;
    }

    private void decide(Threshold rule, long metric, MadePlanes made) {
        int groups = made.grid().groups();
        switch (rule) {
            case Threshold.Delayed delayed -> threshold = state(delayed.state());
            case Threshold.ExactQuantile exact -> {
                threshold = findings.threshold();
                kernels.select(metric, groups, rank(exact.quantile(), groups), threshold);
            }
            case Threshold.Capped capped -> {
                threshold = findings.threshold();
                kernels.select(metric, groups, rank(1 - capped.largestRate(), groups), findings.quantile());
                residuals.larger(state(capped.state()), findings.quantile(), threshold);
            }
        }
    }

    private void findMedian(MadePlanes made) {
        int groups = made.grid().groups();
        kernels.select(made.amaxes(), groups, rank(HALF, groups), findings.median());
    }

    private long state(String name) {
        return CudaTensor.floats(state.get(name));
    }

    /** {@return the rank of a quantile, from 1, as {@code BlockMetric.quantile} counts} */
    private static long rank(double quantile, int groups) {
        return Math.max(1, (long) Math.ceil(quantile * groups));
    }
}
