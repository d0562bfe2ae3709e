package dev.nibble.quant;

import java.util.List;

/**
 * One form of a tensor that enters products: a sum of planes, laid out for one contraction.
 *
 * @param contraction which axis of the logical matrix the products sum over
 * @param planes a {@link PlaneSource.Value} and perhaps its {@link PlaneSource.Residual}; or both
 *     {@link PlaneSource.Digit}s, upper first; or {@link PlaneSource.Sample}s 0, 1, …
 */
public record OperandSpec(Contraction contraction, List<PlaneSpec> planes) {
    /** Checks the planes. */
    public OperandSpec {
        planes = List.copyOf(planes);
        if (planes.isEmpty()) {
            throw new IllegalArgumentException("an operand needs at least one plane");
        }
        PlaneSpec first = planes.getFirst();
        for (int i = 0; i < planes.size(); i++) {
            PlaneSpec plane = planes.get(i);
            if (!fits(plane.source(), i, first.source(), planes.size())) {
                throw new IllegalArgumentException("plane " + i + " is a " + plane.source()
                        + ", but planes are a value and its residual, an upper and a lower digit, or samples from 0");
            }
            if (!plane.granularity().equals(first.granularity())) {
                throw new IllegalArgumentException(
                        "plane " + i + " has " + plane.granularity() + ", but needs that of the first plane");
            }
        }
    }

    private static boolean fits(PlaneSource source, int index, PlaneSource first, int planes) {
        return switch (source) {
            case PlaneSource.Value _ -> index == 0;
            case PlaneSource.Residual _ -> index == 1 && first instanceof PlaneSource.Value;
            case PlaneSource.Digit digit ->
                planes == 2
                        && digit.upper() == (index == 0)
                        && first instanceof PlaneSource.Digit upper
                        && upper.mode() == digit.mode();
            case PlaneSource.Sample sample -> sample.sample() == index && first instanceof PlaneSource.Sample;
        };
    }

    /** {@return the formats as text: {@code int8}, {@code int8+int8}} */
    public String formatLabel() {
        return String.join("+", planes.stream().map(p -> p.format().label()).toList());
    }
}
