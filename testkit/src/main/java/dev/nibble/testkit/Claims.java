package dev.nibble.testkit;

import dev.nibble.spi.LinearLayer;
import dev.nibble.tensor.Role;
import java.util.Collections;
import java.util.EnumMap;
import java.util.Map;
import java.util.Optional;
import java.util.OptionalDouble;
import java.util.function.Predicate;

/**
 * What a quantizer says of itself, to be held to. What is not claimed is not checked; what every quantizer must do needs no
 * claim.
 *
 * @param bounds how far values may be from a fresh layer's elements, by role
 * @param unbiased the roles whose values are right on average, with the variance of a draw where it has a closed form
 * @param refused the layers that the method cannot serve; they must be refused by name
 * @param contextBytes bytes an element of X that the layer keeps for its backward pass at most
 */
public record Claims(
        Map<Role, ErrorBound> bounds,
        Map<Role, Optional<Variance>> unbiased,
        Predicate<LinearLayer> refused,
        OptionalDouble contextBytes) {
    /** Copies the maps. */
    public Claims {
        bounds = ordered(bounds);
        unbiased = ordered(unbiased);
    }

    /** {@return no claim: serves every layer} */
    public static Claims none() {
        return new Claims(Map.of(), Map.of(), _ -> false, OptionalDouble.empty());
    }

    /** {@return these claims and a bound of the error of a role} */
    public Claims bounded(Role role, ErrorBound bound) {
        return new Claims(with(bounds, role, bound), unbiased, refused, contextBytes);
    }

    /** {@return these claims, and that the values of a role are unbiased} */
    public Claims unbiased(Role role) {
        return new Claims(bounds, with(unbiased, role, Optional.empty()), refused, contextBytes);
    }

    /** {@return these claims, and that the values of a role are unbiased and have this variance} */
    public Claims unbiased(Role role, Variance variance) {
        return new Claims(bounds, with(unbiased, role, Optional.of(variance)), refused, contextBytes);
    }

    /** {@return these claims, and that such layers are refused} */
    public Claims refusing(Predicate<LinearLayer> layers) {
        return new Claims(bounds, unbiased, layers, contextBytes);
    }

    /** {@return these claims, and that a layer keeps at most so many bytes for an element of X} */
    public Claims keeping(double bytes) {
        return new Claims(bounds, unbiased, refused, OptionalDouble.of(bytes));
    }

    private static <T> Map<Role, T> with(Map<Role, T> map, Role role, T value) {
        Map<Role, T> larger = new EnumMap<>(Role.class);
        larger.putAll(map);
        larger.put(role, value);
        return larger;
    }

    private static <T> Map<Role, T> ordered(Map<Role, T> map) {
        Map<Role, T> copy = new EnumMap<>(Role.class);
        copy.putAll(map);
        return Collections.unmodifiableMap(copy);
    }
}
