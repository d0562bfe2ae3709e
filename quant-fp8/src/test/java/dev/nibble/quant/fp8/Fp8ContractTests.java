package dev.nibble.quant.fp8;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.QuantizerContract;
import dev.nibble.testkit.Variance;
import java.util.Map;
import org.junit.jupiter.api.Nested;

/** Each way to find a scale keeps the contract. */
class Fp8ContractTests {
    /** E4M3 forward, E5M2 backward, to nearest: half a unit of the last place. */
    private static final Claims HYBRID = Claims.none()
            .bounded(Role.INPUT, ErrorBound.nearest(DType.E4M3))
            .bounded(Role.WEIGHT, ErrorBound.nearest(DType.E4M3))
            .bounded(Role.GRAD_OUTPUT, ErrorBound.nearest(DType.E5M2))
            .keeping(1.01);

    abstract static class Fp8Contract extends QuantizerContract {
        private final Map<String, String> options;
        private final Claims claims;

        Fp8Contract(Map<String, String> options, Claims claims) {
            this.options = options;
            this.claims = claims;
        }

        @Override
        protected QuantizerProvider provider() {
            return new Fp8Provider();
        }

        @Override
        protected Map<String, String> options() {
            return options;
        }

        @Override
        protected Claims claims() {
            return claims;
        }
    }

    @Nested
    class OneScaleATensor extends Fp8Contract {
        OneScaleATensor() {
            super(Map.of(), HYBRID);
        }
    }

    /** A fresh layer multiplies by 1. */
    @Nested
    class DelayedScale extends Fp8Contract {
        DelayedScale() {
            super(Map.of("scaling", "delayed", "history", "4", "margin", "1"), HYBRID);
        }
    }

    @Nested
    class OneScaleARowDrawn extends Fp8Contract {
        OneScaleARowDrawn() {
            super(
                    Map.of("scaling", "row", "gradRounding", "stochastic"),
                    HYBRID.bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(DType.E5M2))
                            .unbiased(Role.GRAD_OUTPUT, Variance.floats(DType.E5M2))
                            .keeping(1.02));
        }
    }

    @Nested
    class BlocksOfOneRow extends Fp8Contract {
        BlocksOfOneRow() {
            super(Map.of("scaling", "1x128", "pow2", "true"), HYBRID.keeping(1.05));
        }
    }

    @Nested
    class SquareBlocks extends Fp8Contract {
        SquareBlocks() {
            super(Map.of("scaling", "128x128"), HYBRID);
        }
    }

    /** The gradient of the weight is a product in BF16, from operands of its own. */
    @Nested
    class RowsWithWideGradWeight extends Fp8Contract {
        RowsWithWideGradWeight() {
            super(Map.of("recipe", "rowwise_with_gw_hp"), Claims.none().keeping(2));
        }
    }

    @Nested
    class SmoothedChannels extends Fp8Contract {
        SmoothedChannels() {
            super(Map.of("smooth", "channel"), HYBRID);
        }
    }
}
