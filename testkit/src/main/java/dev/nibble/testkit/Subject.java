package dev.nibble.testkit;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.Quantizer;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.TwoLayerNet;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;

/**
 * A quantizer under test, and what it is tested on.
 *
 * @param provider makes it
 * @param options given to it
 * @param claims what it says of itself
 * @param backends opens what computes
 */
record Subject(QuantizerProvider provider, Map<String, String> options, Claims claims, BackendProvider backends) {
    /** The roles of a linear layer's tensors. */
    static final List<Role> ROLES = List.of(Role.INPUT, Role.WEIGHT, Role.GRAD_OUTPUT);

    private static final int FARTHEST = 256; // from an extent that is refused to one that is not

    /**
     * A layer that is not refused.
     *
     * @param layer name and size
     * @param plan in force
     * @param tokens rows of X
     * @param state with the values in force
     */
    record Layer(LinearLayer layer, LinearPlan plan, int tokens, List<StateVector> state) {
        /** Makes a fresh layer. */
        static Layer fresh(LinearLayer layer, LinearQuantizer quantizer, int tokens) {
            return new Layer(layer, quantizer.plan(new PlanRequest(tokens, true)), tokens, quantizer.state());
        }

        int in() {
            return (int) layer.in();
        }

        int out() {
            return (int) layer.out();
        }

        /** {@return rows of X, W or dY} */
        int rows(Role role) {
            return role == Role.WEIGHT ? out() : tokens;
        }

        /** {@return columns of X, W or dY} */
        int cols(Role role) {
            return role == Role.GRAD_OUTPUT ? out() : in();
        }

        /** {@return normal numbers for X, W or dY; their magnitudes for an X that is never negative} */
        Matrix normal(Role role) {
            Matrix normal = Matrix.normal(17 + role.code(), rows(role), cols(role), 1);
            return role == Role.INPUT && layer.nonNegativeInput() ? normal.map((_, _, v) -> Math.abs(v)) : normal;
        }

        Rig.Source source(Role role, Matrix x) {
            return new Rig.Source(plan.quantize(role), x, state);
        }
    }

    Quantizer quantizer() {
        return provider.create(OptionValues.of(provider.name(), provider.options(), options));
    }

    /** {@return a fresh layer of this size, or of the next larger one that is not refused} */
    Layer layer(int tokens, int in, int out) {
        for (int more = 0; more <= FARTHEST; more++) {
            for (LinearLayer layer :
                    List.of(sized(in + more, out), sized(in, out + more), sized(in + more, out + more))) {
                if (!claims.refused().test(layer)) {
                    return Layer.fresh(layer, quantizer().linear(layer), tokens);
                }
            }
        }
        throw new AssertionError("quantizer %s refuses every layer from [%d, %d] to [%d, %d]"
                .formatted(provider.name(), out, in, out + FARTHEST, in + FARTHEST));
    }

    /** {@return extents of a small network of which no layer is refused} */
    TwoLayerNet.Sizes sizes() {
        for (int factor = 1; factor <= 16; factor *= 2) {
            TwoLayerNet.Sizes sizes = new TwoLayerNet.Sizes(32 * factor, 64 * factor, 8 * factor);
            boolean refused = Stream.of(
                            sized(sizes.in(), sizes.hidden()),
                            sized(sizes.in(), 2 * sizes.hidden()),
                            sized(sizes.hidden(), sizes.classes()))
                    .anyMatch(claims.refused());
            if (!refused) {
                return sizes;
            }
        }
        throw new AssertionError("quantizer " + provider.name() + " refuses every network up to [128, 1024, 512]");
    }

    static LinearLayer sized(int in, int out) {
        return new LinearLayer(Rig.SITE, in, out);
    }

    Backend open(long seed, int threads, boolean strict) {
        return backends.open(new BackendOptions(seed, threads, strict));
    }

    Rig rig() {
        return rig(Rig.SEED);
    }

    Rig rig(long seed) {
        return new Rig(open(seed, 1, false));
    }
}
