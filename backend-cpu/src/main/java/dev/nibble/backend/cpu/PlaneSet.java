package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Statistic;
import dev.nibble.quant.Transform;
import dev.nibble.random.Purpose;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.Moments;
import dev.nibble.reference.ScaleGrid;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.function.Supplier;

/** The planes that operands made alike share, each made when it is first asked for. */
final class PlaneSet implements AutoCloseable {
    private static final byte[] NO_MASK = {};

    private final QuantizeCall call;
    private final BlockGrid grid;
    private final int purpose;
    private final MatrixSource source;
    private final float[] amaxes; // of the blocks, in the grid's order
    private final Supplier<Moments> moments;
    private final MatrixRounding matrix;
    private final Map<PlaneSpec, QuantizedPlane> planes = new HashMap<>();
    private Optional<Rounded> rounded = Optional.empty();

    /** Codes of the only plane, made while the blocks were measured. */
    private record Rounded(HostTensor codes, long beyond) {}

    /** Measures the blocks of an operand's first plane. */
    PlaneSet(QuantizeCall call, OperandSpec operand, MatrixSource source, Supplier<Moments> moments) {
        this.call = call;
        this.source = source;
        this.moments = moments;
        int rows = (int) source.x().shape().rows();
        int cols = (int) source.x().shape().cols();
        PlaneSpec first = operand.planes().getFirst();
        grid = BlockGrid.of(ScaleGrid.of(operand.contraction(), first.granularity(), rows, cols), rows, cols);
        purpose = call.spec().purpose(operand.contraction());
        matrix = new MatrixRounding(call.workers(), call.kernels());
        if (source.transformed()) {
            amaxes = transformAndRound(first);
        } else if (StripRounding.takes(first, grid)) {
            amaxes = measureAndRound(first);
        } else {
            amaxes = call.kernels()
                    .filter(_ -> grid.groups() == 1)
                    .map(library ->
                            new float[] {library.neural().largest(call.workers(), source.values(), rows * cols)})
                    .orElseGet(() -> BlockAmax.of(call.workers(), grid, source.values()));
        }
    }

    /** {@return amax of each block, in the grid's order} */
    float[] amaxes() {
        return amaxes;
    }

    /** {@return a plane of an operand} */
    QuantizedPlane plane(PlaneSpec plane, OperandSpec operand, QuantizeStatistics statistics) {
        if (!planes.containsKey(plane)) {
            switch (plane.source()) {
                case PlaneSource.Value _ -> planes.put(plane, value(plane, 0, statistics));
                case PlaneSource.Sample sample -> planes.put(plane, value(plane, sample.sample(), statistics));
                case PlaneSource.Digit digit -> addDigits(digit.mode(), operand);
                case PlaneSource.Residual residual ->
                    planes.put(
                            plane,
                            residual(
                                    plane, residual, planes.get(operand.planes().getFirst()), statistics));
            }
        }
        return planes.get(plane);
    }

    /** {@return amax of the transformed tensor, whose codes of the given scale are made in the same pass} */
    private float[] transformAndRound(PlaneSpec plane) {
        HostTensor codes = codes(plane);
        PlaneRounding rounding = PlaneRounding.of(plane, call.stream(purpose, 0), List.of(codes));
        // NaN for the amax: its elements may be anything, and no code depends on it.
        PlaneScales scales = PlaneScales.of(plane, new float[] {Float.NaN}, moments, call.state());
        MatrixRounding.Found found = matrix.roundTransformed(rounding, grid.rows(), source, scales);
        rounded = Optional.of(new Rounded(codes, found.beyond()));
        return new float[] {found.amax()};
    }

    /** {@return amax of each block; the plane is made in the same pass} */
    private float[] measureAndRound(PlaneSpec plane) {
        HostTensor codes = codes(plane);
        PlaneRounding rounding = PlaneRounding.of(plane, call.stream(purpose, 0), List.of(codes));
        var strips = new StripRounding(call, rounding, grid, source.values());
        planes.put(plane, new QuantizedPlane(plane, grid, codes, strips.scales(), NO_MASK));
        return strips.amaxes();
    }

    private QuantizedPlane value(PlaneSpec plane, int sample, QuantizeStatistics statistics) {
        if (plane.format() == DType.FP32) {
            return new QuantizedPlane(plane, grid, unchanged(), new float[0], NO_MASK);
        }
        HostTensor codes = rounded.map(Rounded::codes).orElseGet(() -> codes(plane));
        if (plane.format().bits() > 8) {
            matrix.roundToHalf(source.values(), grid.rows() * grid.cols(), codes);
            return new QuantizedPlane(plane, grid, codes, new float[0], NO_MASK);
        }
        PlaneScales scales = PlaneScales.of(plane, amaxes, moments, call.state());
        long beyond = rounded.isPresent()
                ? rounded.get().beyond()
                : matrix.round(
                        PlaneRounding.of(plane, call.stream(purpose, sample), List.of(codes)),
                        grid,
                        source.values(),
                        scales);
        if (plane.scaleRule() instanceof ScaleRule.Given && sample == 0) {
            statistics.set(Statistic.SATURATED, (float) beyond / (grid.rows() * grid.cols()));
        }
        return new QuantizedPlane(plane, grid, codes, scales.scales(), NO_MASK);
    }

    private HostTensor unchanged() {
        if (call.spec().transform() instanceof Transform.Identity) {
            return source.x().share();
        }
        HostTensor copy = call.allocate("codes", DType.FP32, source.x().shape());
        System.arraycopy(source.values(), 0, HostTensor.floats(copy), 0, grid.rows() * grid.cols());
        return copy;
    }

    /** Makes both digits from one draw. */
    private void addDigits(SplitMode mode, OperandSpec operand) {
        PlaneSpec upper = operand.planes().get(0);
        PlaneSpec lower = operand.planes().get(1);
        GroupScale scale = GroupScale.amaxOverTop(mode.top(), amaxes[0]);
        List<HostTensor> codes = List.of(codes(upper), codes(lower));
        PlaneRounding rounding = PlaneRounding.of(upper, call.stream(purpose, 0), codes);
        matrix.round(rounding, grid, source.values(), PlaneScales.of(scale, amaxes[0]));
        float[] upperScale = {mode.base() * scale.scale()};
        planes.put(upper, new QuantizedPlane(upper, grid, codes.get(0), upperScale, NO_MASK));
        planes.put(lower, new QuantizedPlane(lower, grid, codes.get(1), new float[] {scale.scale()}, NO_MASK));
    }

    private QuantizedPlane residual(
            PlaneSpec plane, PlaneSource.Residual residual, QuantizedPlane first, QuantizeStatistics statistics) {
        var rest = new BlockResidual(call, grid, source.values(), amaxes, first.codes(), first.scales());
        float[] metric = rest.metric(residual.criterion()); // in the grid's order
        byte[] mask = rest.mask(metric, statistics.threshold(residual.threshold(), metric, call.state()));
        statistics.decide(amaxes, mask);
        HostTensor codes = codes(plane);
        PlaneRounding rounding = PlaneRounding.of(plane, call.stream(Purpose.ROUND, 0), List.of(codes));
        return new QuantizedPlane(plane, grid, codes, rest.round(rounding, plane.format(), mask), mask);
    }

    private HostTensor codes(PlaneSpec plane) {
        return call.allocate("codes", plane.format(), Shape.of(grid.rows(), grid.cols()));
    }

    /** Releases the codes; operands keep their own handles. */
    @Override
    public void close() {
        planes.values().forEach(plane -> plane.codes().close());
    }
}
