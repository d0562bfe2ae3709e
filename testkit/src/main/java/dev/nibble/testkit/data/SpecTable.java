package dev.nibble.testkit.data;

import dev.nibble.quant.Contraction;
import dev.nibble.quant.Criterion;
import dev.nibble.quant.Granularity;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.Overflow;
import dev.nibble.quant.PlaneSource;
import dev.nibble.quant.PlaneSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.quant.Rounding;
import dev.nibble.quant.ScaleRule;
import dev.nibble.quant.SplitMode;
import dev.nibble.quant.Threshold;
import dev.nibble.quant.Transform;
import dev.nibble.reference.ReferenceQuantize;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import java.util.Optional;
import java.util.stream.IntStream;
import java.util.stream.Stream;

/**
 * Specs that together hold every case of the SPI's sealed types and enums, each with each where the plain code takes it: what a
 * backend has to compute.
 */
public final class SpecTable {
    private static final String SCALE = "scale";
    private static final String MULTIPLIER = "multiplier";
    private static final String ZERO = "zero"; // a value that is not there yet
    private static final String THRESHOLD = "threshold";
    private static final String LOG2 = "log2";
    private static final String COLUMNS = "columns";
    private static final int LARGEST_LOG2 = 4;

    private static final Granularity TENSOR = new Granularity.PerTensor();

    private static final List<Granularity> GRANULARITIES = List.of(
            TENSOR,
            new Granularity.PerRow(),
            new Granularity.PerBlock(16, 16),
            new Granularity.PerBlock(1, 128),
            new Granularity.PerBlock(7, 3));

    private SpecTable() {}

    /**
     * {@return state vectors for all specs of the table} The names are those that the specs read.
     *
     * @param cols columns of the tensor
     */
    public static List<StateVector> state(int cols) {
        List<Float> scales = IntStream.range(0, cols)
                .mapToObj(col -> Math.scalb(1 + col % 3 / 4f, col % 5 - 2))
                .toList();
        return List.of(
                StateVector.scalar(SCALE, 0.037f),
                StateVector.scalar(MULTIPLIER, 31),
                StateVector.scalar(ZERO, 0),
                StateVector.scalar(THRESHOLD, 0.75f),
                StateVector.scalar(LOG2, Math.min(LARGEST_LOG2, Integer.numberOfTrailingZeros(cols))),
                new StateVector(COLUMNS, scales));
    }

    /** {@return every combination of format, granularity, scale rule, rounding and overflow that the plain code takes} */
    public static List<PlaneSpec> values() {
        List<PlaneSpec> planes = new ArrayList<>();
        for (DType format : DType.values()) {
            for (ScaleRule rule : rules(format)) {
                List<Granularity> granularities = rule.needsWholeTensor() ? List.of(TENSOR) : GRANULARITIES;
                for (Rounding rounding : Rounding.values()) {
                    granularities.forEach(
                            granularity -> supported(format, granularity, rule, rounding, Overflow.SATURATE)
                                    .ifPresent(planes::add));
                    // What overflows does not depend on how far a scale reaches.
                    Stream.of(Overflow.CLAMP, Overflow.PAPER, Overflow.INFINITY)
                            .flatMap(overflow -> supported(format, TENSOR, rule, rounding, overflow).stream())
                            .forEach(planes::add);
                }
            }
        }
        return planes;
    }

    private static List<ScaleRule> rules(DType format) {
        ScaleRule power = new ScaleRule.AmaxOverPower(format == DType.E4M0 ? 8 : 6, false);
        boolean exponent = format == DType.E3M0 || format == DType.E4M0;
        ScaleRule own = exponent ? power : new ScaleRule.AmaxOverTop();
        return List.of(
                new ScaleRule.Unit(),
                new ScaleRule.AmaxOverTop(),
                new ScaleRule.TopOverAmax(false),
                new ScaleRule.TopOverAmax(true),
                new ScaleRule.TopOverAmax(false, 0.5f),
                power,
                new ScaleRule.AmaxOverPower(4, true),
                new ScaleRule.Sawb(12.1f, 12.2f, 7, -7, 7),
                new ScaleRule.Sawb(12.1f, 12.2f, 7.5f, 0, 15),
                new ScaleRule.MeanMagnitude(),
                new ScaleRule.Given(SCALE, ScaleRule.Application.SCALE, own),
                new ScaleRule.Given(MULTIPLIER, ScaleRule.Application.MULTIPLIER, own),
                new ScaleRule.Given(ZERO, ScaleRule.Application.SCALE, own));
    }

    private static Optional<PlaneSpec> supported(
            DType format, Granularity granularity, ScaleRule rule, Rounding rounding, Overflow overflow) {
        try {
            PlaneSpec plane = new PlaneSpec(new PlaneSource.Value(), format, granularity, rule, rounding, overflow);
            ReferenceQuantize.requireSupported(QuantizeSpec.both(Role.INPUT, List.of(plane)));
            return Optional.of(plane);
        } catch (IllegalArgumentException _) {
            return Optional.empty(); // the plain code says why; a backend refuses it as well
        }
    }

    /** {@return first planes with residuals by every threshold and criterion} */
    public static List<List<PlaneSpec>> residuals() {
        List<Threshold> thresholds = List.of(
                new Threshold.Delayed(THRESHOLD),
                new Threshold.ExactQuantile(0),
                new Threshold.ExactQuantile(0.6),
                new Threshold.ExactQuantile(1),
                new Threshold.Capped(THRESHOLD, 0.3));
        List<List<PlaneSpec>> planes = new ArrayList<>();
        for (Granularity granularity : GRANULARITIES) {
            for (Threshold threshold : thresholds) {
                for (Criterion criterion : Criterion.values()) {
                    planes.add(withResidual(
                            int8(granularity, Rounding.NEAREST_EVEN), new PlaneSource.Residual(threshold, criterion)));
                }
            }
            PlaneSource.Residual residual = new PlaneSource.Residual(new Threshold.ExactQuantile(0.6));
            planes.add(withResidual(fp8(DType.E4M3, granularity), residual));
            planes.add(withResidual(int8(granularity, Rounding.STOCHASTIC), residual));
        }
        return planes;
    }

    /** {@return a first plane and its residual in the same format and blocks} */
    public static List<PlaneSpec> withResidual(PlaneSpec first, PlaneSource.Residual residual) {
        return List.of(
                first,
                new PlaneSpec(
                        residual,
                        first.format(),
                        first.granularity(),
                        new ScaleRule.AmaxOverTop(),
                        Rounding.NEAREST_EVEN));
    }

    /** {@return digits in both modes, and samples of every kind of format} */
    public static List<List<PlaneSpec>> draws() {
        List<List<PlaneSpec>> planes = new ArrayList<>();
        for (SplitMode mode : SplitMode.values()) {
            planes.add(PlaneSpec.digits(mode));
        }
        for (int count = 1; count <= 3; count++) {
            planes.add(power(DType.E3M0, 6).samples(count));
            planes.add(power(DType.E4M0, 8).samples(count));
            planes.add(int8(new Granularity.PerRow(), Rounding.STOCHASTIC).samples(count));
        }
        return planes;
    }

    /** {@return every transform} */
    public static List<Transform> transforms() {
        return List.of(
                new Transform.Identity(),
                new Transform.BlockHadamard(LOG2),
                new Transform.ColumnScale(COLUMNS, false),
                new Transform.ColumnScale(COLUMNS, true));
    }

    /** {@return all of the above as specs of a tensor, for both contractions} */
    public static List<QuantizeSpec> quantizations() {
        List<QuantizeSpec> specs = new ArrayList<>();
        values().forEach(plane -> specs.add(QuantizeSpec.both(role(plane), List.of(plane))));
        residuals().forEach(planes -> specs.add(QuantizeSpec.both(Role.INPUT, planes)));
        draws().forEach(planes -> specs.add(QuantizeSpec.both(Role.GRAD_OUTPUT, planes)));
        List<List<PlaneSpec>> some = List.of(
                List.of(PlaneSpec.unscaled(DType.FP32)),
                List.of(PlaneSpec.unscaled(DType.BF16)),
                List.of(int8(new Granularity.PerBlock(16, 16), Rounding.STOCHASTIC)),
                List.of(fp8(DType.E5M2, new Granularity.PerRow())),
                PlaneSpec.digits(SplitMode.UNBIASED),
                residuals().getFirst());
        for (Transform transform : transforms()) {
            some.forEach(
                    planes -> specs.add(QuantizeSpec.both(Role.WEIGHT, planes).with(transform)));
        }
        specs.add(different());
        specs.add(new QuantizeSpec(
                Role.INPUT,
                List.of(new OperandSpec(
                        Contraction.ROWS, List.of(int8(new Granularity.PerRow(), Rounding.STOCHASTIC))))));
        return specs;
    }

    /** A residual that one contraction has alone, in one array of codes. */
    private static QuantizeSpec different() {
        List<PlaneSpec> both = withResidual(
                int8(new Granularity.PerBlock(16, 16), Rounding.NEAREST_EVEN),
                new PlaneSource.Residual(new Threshold.ExactQuantile(0.6)));
        return new QuantizeSpec(
                Role.INPUT,
                List.of(
                        new OperandSpec(Contraction.ROWS, List.of(both.getFirst())),
                        new OperandSpec(Contraction.COLUMNS, both)));
    }

    private static Role role(PlaneSpec plane) {
        return plane.rounding() == Rounding.NEAREST_EVEN ? Role.WEIGHT : Role.GRAD_OUTPUT;
    }

    /** {@return INT8 with the scale amax / 127} */
    public static PlaneSpec int8(Granularity granularity, Rounding rounding) {
        return PlaneSpec.value(DType.INT8, granularity, new ScaleRule.AmaxOverTop(), rounding);
    }

    /** {@return an 8-bit float to nearest} */
    public static PlaneSpec fp8(DType format, Granularity granularity) {
        return PlaneSpec.value(format, granularity, new ScaleRule.TopOverAmax(false), Rounding.NEAREST_EVEN);
    }

    /** {@return powers of two up to 2^exponent, drawn without bias} */
    public static PlaneSpec power(DType format, int exponent) {
        return PlaneSpec.value(format, TENSOR, new ScaleRule.AmaxOverPower(exponent, false), Rounding.STOCHASTIC);
    }

    /** {@return a plane of this format with one scale a tensor, or none where the format has none} */
    public static PlaneSpec tensor(DType format) {
        return switch (format) {
            case FP32, BF16, FP16 -> PlaneSpec.unscaled(format);
            case E4M3, E5M2 -> fp8(format, TENSOR);
            case E3M0 -> power(format, 6);
            case E4M0 -> power(format, 8);
            case INT8, INT4, UINT4, INT32 ->
                PlaneSpec.value(format, TENSOR, new ScaleRule.AmaxOverTop(), Rounding.NEAREST_EVEN);
        };
    }

    /** {@return the formats that an operand can have} */
    public static List<DType> formats() {
        return Arrays.stream(DType.values())
                .filter(format -> format.family() != DType.Family.INDEX)
                .toList();
    }

    /** {@return the granularities of the table} */
    public static List<Granularity> granularities() {
        return GRANULARITIES;
    }
}
