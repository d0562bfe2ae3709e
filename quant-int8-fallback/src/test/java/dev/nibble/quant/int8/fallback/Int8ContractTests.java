package dev.nibble.quant.int8.fallback;

import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.Claims;
import dev.nibble.testkit.ErrorBound;
import dev.nibble.testkit.QuantizerContract;
import dev.nibble.testkit.Variance;
import java.util.Map;
import org.junit.jupiter.api.Nested;

/** The three quantizers, and each way to fall back, keep the contract. */
class Int8ContractTests {
    private static final ErrorBound NEAREST = ErrorBound.nearest(-127, 127);

    /** X and W to the nearest of 255 codes, dY stochastically. */
    private static final Claims ONE_PLANE = Claims.none()
            .bounded(Role.INPUT, NEAREST)
            .bounded(Role.WEIGHT, NEAREST)
            .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-127, 127))
            .unbiased(Role.GRAD_OUTPUT, Variance.integers());

    private static final Claims RESIDUAL = ONE_PLANE.bounded(Role.INPUT, NEAREST.orResidual(NEAREST));

    abstract static class Int8Contract extends QuantizerContract {
        private final QuantizerProvider provider;
        private final Map<String, String> options;
        private final Claims claims;

        Int8Contract(QuantizerProvider provider, Map<String, String> options, Claims claims) {
            this.provider = provider;
            this.options = options;
            this.claims = claims;
        }

        @Override
        protected QuantizerProvider provider() {
            return provider;
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
    class Rows extends Int8Contract {
        Rows() {
            super(new Int8RowProvider(), Map.of(), ONE_PLANE.keeping(1.02));
        }
    }

    @Nested
    class Blocks extends Int8Contract {
        Blocks() {
            super(new Int8BlockProvider(), Map.of(), ONE_PLANE.keeping(1.01));
        }
    }

    /** Small blocks: several in every tensor. The residual stays in the forward pass. */
    @Nested
    class FallbackModeA extends Int8Contract {
        FallbackModeA() {
            super(new Int8FallbackProvider(), Map.of("block", "16"), RESIDUAL.keeping(1.05));
        }
    }

    /** Blocks that are not square: every tensor is quantized twice. */
    @Nested
    class FallbackModeB extends Int8Contract {
        FallbackModeB() {
            super(
                    new Int8FallbackProvider(),
                    Map.of("block", "16x32", "residualInGradWeight", "true"),
                    RESIDUAL.keeping(2.1));
        }
    }

    @Nested
    class FallbackCapped extends Int8Contract {
        FallbackCapped() {
            super(
                    new Int8FallbackProvider(),
                    Map.of("block", "32", "criterion", "l1-rel", "threshold", "capped", "contextBits", "10"),
                    RESIDUAL);
        }
    }
}
