package dev.nibble.quant;

import java.util.List;

/**
 * One form of a tensor that enters products: a sum of planes, laid out for one contraction.
 *
 * @param contraction which axis of the logical matrix the products sum over
 * @param planes the summands; the first has a {@link PlaneSource.Value}, any other a {@link PlaneSource.Residual}
 */
public record OperandSpec(Contraction contraction, List<PlaneSpec> planes) {
    /** Checks the planes. */
    public OperandSpec {
        planes = List.copyOf(planes);
        if (planes.isEmpty() || !(planes.getFirst().source() instanceof PlaneSource.Value)) {
            throw new IllegalArgumentException("an operand needs a first plane that represents the value");
        }
        for (PlaneSpec plane : planes.subList(1, planes.size())) {
            if (!(plane.source() instanceof PlaneSource.Residual)) {
                throw new IllegalArgumentException("planes after the first must be residuals");
            }
            if (!plane.granularity().equals(planes.getFirst().granularity())) {
                throw new IllegalArgumentException("a residual plane needs the granularity of the first plane");
            }
        }
    }

    /** {@return the formats as text: {@code int8}, {@code int8+int8}} */
    public String formatLabel() {
        return String.join("+", planes.stream().map(p -> p.format().label()).toList());
    }
}
