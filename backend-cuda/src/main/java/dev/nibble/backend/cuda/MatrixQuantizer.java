package dev.nibble.backend.cuda;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Transform;
import dev.nibble.random.Purpose;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Site;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.EnumMap;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;

/**
 * Enqueues the kernels that quantize one matrix, in the order of the plain code ({@code TensorQuantizer}): amaxes, scales, codes of
 * both orientations, residuals, statistics. Where a tile holds whole blocks, one kernel does it all.
 */
final class MatrixQuantizer {
    private final QuantizeKernels kernels;
    private final CudaRuntime runtime;
    private final QuantizeSpec spec;
    private final Site site;
    private final DeviceState state;
    private final CudaTransforms transforms;
    private final DeviceMatrix x;
    private final DeviceMatrix values; // x transformed; x itself if it is not
    private final PlaneMemory memory;
    private final List<OperandSpec> specs;
    private final List<GroupGrid> grids;
    private final Findings findings;
    private final long rowSums; // room for what the moments are made of; 0 if none are needed
    private final ResidualPlanes residuals;
    private StatisticsParts statistics;
    private long settled; // the state that gives the scale of all planes; 0 if there is none
    private boolean decided; // whether a residual is among the statistics
    private int counted; // planes whose saturated elements are counted
    private StatisticsOrder order;
    private boolean told; // whether the statistics are written

    /**
     * Prepares the quantization of one matrix.
     *
     * @param kernels launches
     * @param transforms that make the transformed matrix
     * @param memory of the operands
     * @param spec how
     * @param site who asks
     * @param x the matrix
     * @param values room for the transformed matrix; x itself if it is not transformed
     * @param state of the layer
     */
    MatrixQuantizer(
            QuantizeKernels kernels,
            CudaTransforms transforms,
            PlaneMemory memory,
            QuantizeSpec spec,
            Site site,
            DeviceMatrix x,
            DeviceMatrix values,
            DeviceState state) {
        this.kernels = kernels;
        this.runtime = kernels.runtime();
        this.memory = memory;
        this.spec = spec;
        this.site = site;
        this.transforms = transforms;
        this.x = x;
        this.values = values;
        this.state = state;
        // The operand that contracts the columns comes first: its blocks decide about the other one's, too.
        this.specs = spec.operands().stream()
                .sorted(Comparator.comparing(OperandSpec::contraction))
                .toList();
        this.grids = specs.stream()
                .limit(spec.sharesCodes() ? 1 : 2)
                .map(operand -> GroupGrid.of(
                        operand.contraction(), operand.planes().getFirst().granularity(), values.rows(), values.cols()))
                .toList();
        long bytes = Findings.BYTES
                + grids.stream()
                        .mapToLong(grid -> (long) grid.groups() * Float.BYTES)
                        .sum();
        boolean moments = specs.stream()
                .limit(grids.size())
                .anyMatch(operand ->
                        PlaneStructs.needsMoments(operand.planes().getFirst().scaleRule()));
        long sums = moments ? values.rows() * 2L * Float.BYTES : 0;
        this.findings = new Findings(memory.scratch("amaxes", bytes + sums));
        this.rowSums = moments ? findings.address() + bytes : 0;
        runtime.stream().fill(findings.address(), (byte) 0, bytes + sums);
        this.residuals = new ResidualPlanes(kernels, memory, values, state, findings);
        this.statistics = StatisticsParts.of(findings.amax(), values.elements());
    }

    CudaQuantized quantize() {
        List<MadePlanes> mades = mades();
        CudaTensor stored = memory.allocate("statistics", DType.FP32, Shape.of(Statistic.count()));
        order = new StatisticsOrder(
                statistics,
                runtime.nonFinite().address(),
                runtime.nonFinite().number(site, spec.role()),
                stored.address());
        boolean together = mades.stream().allMatch(MadePlanes::plain)
                && mades.stream()
                                .map(made -> CodeKind.of(made.first()))
                                .distinct()
                                .count()
                        == 1;
        boolean atOnce = together && grids.stream().allMatch(GroupGrid::fitsTile);
        if (!(spec.transform() instanceof Transform.Identity)) {
            transforms.apply(spec.transform(), x, state, values.address(), atOnce);
        }
        if (atOnce) {
            round(mades, true);
        } else if (mades.size() == 1 && residuals.fitTile(mades.getFirst())) {
            residuals.together(mades.getFirst());
        } else {
            findAmaxes(mades);
            if (together && mades.size() > 1) {
                round(mades, false);
            }
        }
        List<CudaOperand> operands = new ArrayList<>();
        for (int i = 0; i < specs.size(); i++) {
            operands.add(operand(specs.get(i), mades.get(Math.min(i, mades.size() - 1)), operands.isEmpty()));
        }
        if (!told) {
            kernels.statistics(order.with(statistics));
        }
        return new CudaQuantized(operands, stored);
    }

    private List<MadePlanes> mades() {
        List<MadePlanes> mades = new ArrayList<>();
        long at = findings.end();
        for (int i = 0; i < grids.size(); i++) {
            GroupGrid grid = grids.get(i);
            Contraction contraction = specs.get(i).contraction();
            List<OperandSpec> operands = spec.sharesCodes() ? specs : List.of(specs.get(i));
            // The amax of a whole tensor is the one of the statistics.
            long amaxes = grid.groups() == 1 ? findings.amax() : at;
            mades.add(new MadePlanes(contraction, grid, spec.purpose(contraction), amaxes, operands, new HashMap<>()));
            at += (long) grid.groups() * Float.BYTES;
        }
        return mades;
    }

    private void findAmaxes(List<MadePlanes> mades) {
        List<MadePlanes> several = mades.stream()
                .filter(made -> made.grid().groups() > 1 && made.needsAmaxes())
                .toList();
        if (several.isEmpty()) {
            settled = mades.size() == 1 ? mades.getFirst().settledBy(state) : 0;
        } else {
            kernels.amaxes(
                    values,
                    several.stream().map(MadePlanes::grid).toList(),
                    several.stream().map(MadePlanes::amaxes).toList(),
                    findings.amax());
        }
        if (rowSums != 0) {
            kernels.moments(values, settled, rowSums, findings);
        } else if (several.isEmpty()) {
            kernels.amax(values, settled, findings.amax());
        }
    }

    /** Rounds to plain planes, of both orientations in one launch, which transforms and makes the scales, too, if it can. */
    private void round(List<MadePlanes> mades, boolean atOnce) {
        List<CodeSide> sides = new ArrayList<>();
        Map<Contraction, CodeSide.Target> targets = new EnumMap<>(Contraction.class);
        for (MadePlanes made : mades) {
            PlaneSpec plane = made.first();
            MadePlanes.Plane target = made.allocate(plane, memory);
            made.planes().put(plane, target);
            sides.add(side(made, plane, target, 0));
            targets.putAll(target.targets());
        }
        QuantizeKernels.Sides both = both(sides.getFirst(), sides.size() > 1, sides.getLast(), targets);
        boolean transformed = spec.transform() instanceof Transform.BlockHadamard && atOnce;
        Optional<AlignedKernel> aligned = transformed ? Optional.empty() : AlignedKernel.of(values, both, atOnce);
        if (aligned.isPresent()) {
            List<Long> amaxes =
                    mades.stream().map(made -> atOnce ? 0 : made.amaxes()).toList();
            kernels.aligned(aligned.get(), values, both, amaxes, findings, tell(!atOnce), state);
        } else if (!atOnce) {
            List<CodeSide> scaled = new ArrayList<>();
            for (int i = 0; i < mades.size(); i++) {
                scaled.add(scaled(mades.get(i), sides.get(i)));
            }
            kernels.codes(values, both(scaled.getFirst(), scaled.size() > 1, scaled.getLast(), targets), 0, 0, state);
        } else if (spec.transform() instanceof Transform.BlockHadamard hadamard) {
            kernels.blocks(x, CudaTensor.floats(state.get(hadamard.state())), values, both, findings.amax(), state);
        } else {
            kernels.blocks(values, 0, values, both, findings.amax(), state);
        }
    }

    /** {@return the order to write the statistics with the codes, if all that they are made of is known by then} */
    private Optional<StatisticsOrder> tell(boolean known) {
        told = known;
        return known ? Optional.of(order) : Optional.empty();
    }

    private static QuantizeKernels.Sides both(
            CodeSide side, boolean separate, CodeSide other, Map<Contraction, CodeSide.Target> targets) {
        return new QuantizeKernels.Sides(
                side,
                CodeSide.Target.of(targets, Contraction.COLUMNS),
                separate,
                other,
                CodeSide.Target.of(targets, Contraction.ROWS));
    }

    private void launch(
            DeviceMatrix from, CodeSide side, Map<Contraction, CodeSide.Target> targets, long saturated, long amax) {
        kernels.codes(from, both(side, false, side, targets), saturated, amax, state);
    }

    private CudaOperand operand(OperandSpec operand, MadePlanes made, boolean first) {
        List<CudaPlane> planes = new ArrayList<>();
        Contraction contraction = operand.contraction();
        for (PlaneSpec plane : operand.planes()) {
            boolean residual = plane.source() instanceof PlaneSource.Residual;
            if (!made.planes().containsKey(plane)) {
                if (plane.source() instanceof PlaneSource.Digit) {
                    digits(operand.planes(), made);
                } else {
                    made.planes().put(plane, residual ? residual(plane, made) : plane(plane, made));
                }
            }
            if (residual && !decided) {
                decided = true;
                statistics = statistics.decided(
                        findings.flagged(),
                        residuals.threshold(),
                        findings.median(),
                        made.grid().groups());
            }
            MadePlanes.Plane stored = made.planes().get(plane);
            planes.add(new CudaPlane(
                    plane,
                    stored.codes().get(contraction),
                    stored.scales().getOrDefault(contraction, memory.none("scales", DType.FP32)),
                    stored.masks().getOrDefault(contraction, memory.none("mask", DType.INT8))));
        }
        if (first && planes.getFirst().scales().elements() == 1) {
            statistics = statistics.withScale(planes.getFirst().scalesAddress());
        }
        boolean columns = contraction == Contraction.COLUMNS;
        return new CudaOperand(
                operand, columns ? values.rows() : values.cols(), columns ? values.cols() : values.rows(), planes);
    }

    private MadePlanes.Plane plane(PlaneSpec plane, MadePlanes made) {
        MadePlanes.Plane target = made.allocate(plane, memory);
        Map<Contraction, CodeSide.Target> targets = target.targets();
        if (plane.format() == DType.FP32) {
            targets.remove(Contraction.COLUMNS); // the matrix itself
        }
        if (targets.isEmpty()) {
            return target;
        }
        long saturated = 0;
        if (PlaneStructs.countsSaturated(plane)) {
            saturated = findings.saturated(counted++);
            statistics = statistics.withSaturated(saturated);
        }
        CodeSide side = side(made, plane, target, 0);
        Optional<AlignedKernel> aligned =
                saturated == 0 ? AlignedKernel.of(values, both(side, false, side, targets), false) : Optional.empty();
        if (aligned.isPresent()) {
            boolean alone = grids.size() == 1
                    && specs.stream().allMatch(operand -> operand.planes().equals(List.of(plane)));
            kernels.aligned(
                    aligned.get(),
                    values,
                    both(side, false, side, targets),
                    List.of(made.amaxes()),
                    findings,
                    tell(alone),
                    state);
            return target;
        }
        if (CodeKind.of(plane).scaled()) {
            side = scaled(made, side);
        }
        boolean measures = settled != 0 && made.planes().isEmpty();
        launch(values, side, targets, saturated, measures ? findings.amax() : 0);
        if (measures && plane.format().family() == DType.Family.INTEGER) {
            kernels.scales(side, state, made.amaxes(), findings.moments(), 1); // NaN if an element is not finite
        }
        return target;
    }

    /** Makes an upper and a lower digit. */
    private void digits(List<PlaneSpec> both, MadePlanes made) {
        List<CodeSide> sides = new ArrayList<>();
        for (PlaneSpec plane : both) {
            MadePlanes.Plane target = made.allocate(plane, memory);
            made.planes().put(plane, target);
            sides.add(scaled(made, side(made, plane, target, 0)));
        }
        kernels.digits(
                values,
                sides.getFirst(),
                made.planes().get(both.getFirst()).targets(),
                made.planes().get(both.getLast()).targets());
    }

    private MadePlanes.Plane residual(PlaneSpec plane, MadePlanes made) {
        MadePlanes.Plane target = residuals.allocate(plane, made);
        CodeSide side = side(made, plane, target, multipliers(made));
        DeviceMatrix rest = residuals.prepare(plane, made, side, target);
        launch(rest, side, target.targets(), 0, 0);
        return target;
    }

    private CodeSide side(MadePlanes made, PlaneSpec plane, MadePlanes.Plane target, long apply) {
        int sample = plane.source() instanceof PlaneSource.Sample s ? s.sample() : 0;
        int purpose = plane.source() instanceof PlaneSource.Residual ? Purpose.ROUND : made.purpose();
        return new CodeSide(
                plane,
                PlaneStructs.drawAddress(site, spec.role(), purpose, sample),
                made.grid(),
                apply,
                made.own(target.scales()),
                made.other(target.scales()));
    }

    private long multipliers(MadePlanes made) {
        return memory.scratch("multipliers", made.grid().groups() * 2L * Float.BYTES);
    }

    /** Makes the scales of a plane. */
    private CodeSide scaled(MadePlanes made, CodeSide unscaled) {
        CodeSide side = unscaled.withApply(multipliers(made));
        float unit = side.plane().source() instanceof PlaneSource.Digit digit && digit.upper()
                ? digit.mode().base()
                : 1;
        kernels.scales(side, state, made.amaxes(), findings.moments(), unit);
        return side;
    }
}
