package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertAll;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.BackendProvider;
import java.util.List;
import org.junit.jupiter.api.Test;

/** A backend whose sums have another order is held to bounds: the plain code, which has one of all orders, keeps them. */
class UnorderedSumsTests {
    private final BackendContract contract = new BackendContract() {
        @Override
        protected BackendProvider provider() {
            return new ReferenceBackendProvider();
        }

        @Override
        protected List<Integer> threads() {
            return List.of(1);
        }

        @Override
        protected boolean sumsInOrder() {
            return false;
        }
    };

    @Test
    void boundsOfProductsHold() {
        assertAll(
                contract::multipliesEveryPair,
                contract::longContractionsAreSummedInParts,
                contract::servesAQuantizerItHasNeverHeardOf);
    }

    @Test
    void boundsOfNeuralOperationsHold() {
        assertAll(
                contract::normalizes,
                contract::activates,
                contract::attends,
                contract::measuresLosses,
                contract::movesAndAdds,
                contract::unfoldsAndFolds,
                contract::normalizesBatches,
                contract::updatesWeights);
    }
}
