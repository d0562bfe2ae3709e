package dev.nibble.quant;

import dev.nibble.random.Purpose;
import dev.nibble.tensor.Role;
import java.util.List;
import java.util.Locale;

/**
 * How one tensor becomes the operands of one or two products.
 *
 * <p>If two operands have equal first planes and the granularity is {@link Granularity#transposable()}, both use the
 * same codes, one the transpose of the other, from one draw. Otherwise the second is quantized from the tensor itself,
 * under a random purpose of its own ({@link #purpose}).
 *
 * @param role what the tensor is to the layer
 * @param transform what is done to the matrix first
 * @param operands one or two, with different contractions
 */
public record QuantizeSpec(Role role, Transform transform, List<OperandSpec> operands) {
    /** Checks the operands. */
    public QuantizeSpec {
        operands = List.copyOf(operands);
        boolean distinct =
                operands.stream().map(OperandSpec::contraction).distinct().count() == operands.size();
        if (operands.isEmpty() || !distinct) {
            throw new IllegalArgumentException("a tensor needs one operand for each contraction, but got " + operands);
        }
    }

    /** Makes a spec without a transform. */
    public QuantizeSpec(Role role, List<OperandSpec> operands) {
        this(role, new Transform.Identity(), operands);
    }

    /** {@return a spec with the same planes for both contractions} */
    public static QuantizeSpec both(Role role, List<PlaneSpec> planes) {
        return new QuantizeSpec(
                role, List.of(new OperandSpec(Contraction.COLUMNS, planes), new OperandSpec(Contraction.ROWS, planes)));
    }

    /** {@return this spec with a transform} */
    public QuantizeSpec with(Transform newTransform) {
        return new QuantizeSpec(role, newTransform, operands);
    }

    /** {@return this spec for one contraction alone; the codes are the same, as long as no draw was shared} */
    public QuantizeSpec only(Contraction contraction) {
        return new QuantizeSpec(role, transform, List.of(operand(contraction)));
    }

    /** {@return the operand for a contraction} */
    public OperandSpec operand(Contraction contraction) {
        return operands.stream()
                .filter(o -> o.contraction() == contraction)
                .findFirst()
                .orElseThrow(() -> new IllegalArgumentException(role.label() + " has no operand that contracts its "
                        + contraction.name().toLowerCase(Locale.ROOT)));
    }

    /** {@return whether all operands use the codes of one draw} */
    public boolean sharesCodes() {
        PlaneSpec first = operands.getFirst().planes().getFirst();
        return first.granularity().transposable()
                && operands.stream().allMatch(o -> o.planes().getFirst().equals(first));
    }

    /** {@return the random purpose under which an operand's codes are rounded} */
    public int purpose(Contraction contraction) {
        return contraction == Contraction.ROWS && !sharesCodes() ? Purpose.ROUND_TRANSPOSED : Purpose.ROUND;
    }
}
