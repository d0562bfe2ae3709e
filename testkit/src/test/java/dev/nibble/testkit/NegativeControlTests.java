package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertAll;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.tensor.Role;
import dev.nibble.testkit.control.ControlQuantizers;
import dev.nibble.testkit.control.FaultyBackends;
import dev.nibble.testkit.run.StepGuard;
import java.util.concurrent.atomic.AtomicReference;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.opentest4j.AssertionFailedError;

/** Each contract passes the sound control and fails the one with the fault that it is about. */
class NegativeControlTests {
    private static final Claims INTEGERS = Claims.none()
            .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-127, 127))
            .unbiased(Role.GRAD_OUTPUT, Variance.integers());

    private static QuantizerContract contract(QuantizerProvider quantizer, Claims claims, BackendProvider backend) {
        return new QuantizerContract() {
            @Override
            protected QuantizerProvider provider() {
                return quantizer;
            }

            @Override
            protected Claims claims() {
                return claims;
            }

            @Override
            protected BackendProvider backend() {
                return backend;
            }
        };
    }

    private static QuantizerContract contract(QuantizerProvider quantizer, Claims claims) {
        return contract(quantizer, claims, new ReferenceBackendProvider());
    }

    private static void assertFails(String messagePart, Executable check) {
        String message = assertThrows(AssertionFailedError.class, check).getMessage();
        assertTrue(message.contains(messagePart), message);
    }

    @Test
    void soundControlsPass() {
        QuantizerContract int8 = contract(ControlQuantizers.int8(), INTEGERS);
        QuantizerContract int4 = contract(ControlQuantizers.int4(), Claims.none());
        QuantizerContract remembering = contract(ControlQuantizers.remembering(), Claims.none());
        assertAll(
                int8::drawsAreUnbiased,
                int8::gradientsAreUnbiased,
                int8::valuesOfCodesStay,
                int8::rolesKeepTheirName,
                int8::drawsDependOnTheirAddressAlone,
                int8::everyShapeIsServedOrRefusedByName,
                int8::equalRequestsGiveEqualPlans,
                int8::lossFallsOnADeviceThatNobodyReads,
                int4::everyProductProvesItsFormat,
                remembering::stepsThatAreNotFiniteAreSkipped);
    }

    @Test
    void nearestPowersAreBiased() {
        Claims claims = Claims.none()
                .bounded(Role.GRAD_OUTPUT, ErrorBound.powersOfTwo())
                .unbiased(Role.GRAD_OUTPUT, Variance.powersOfTwo());
        QuantizerContract contract = contract(ControlQuantizers.nearestPower(), claims);
        assertFails("5 standard errors", contract::drawsAreUnbiased);
        assertFails("5 standard errors", contract::gradientsAreUnbiased);
    }

    @Test
    void releasedSplitIsBiased() {
        Claims claims = Claims.none()
                .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-98, 98).at(1))
                .unbiased(Role.GRAD_OUTPUT);
        QuantizerContract contract = contract(ControlQuantizers.releasedSplit(), claims);
        assertFails("5 standard errors", contract::drawsAreUnbiased);
    }

    @Test
    void addingTheDrawMovesValuesOfCodes() {
        QuantizerContract contract = contract(ControlQuantizers.int8(), INTEGERS, FaultyBackends.addingTheDraw());
        assertFails("values of codes", contract::valuesOfCodesStay);
    }

    @Test
    void sharedStreamIsSeen() {
        QuantizerContract contract = contract(
                ControlQuantizers.sharedStream(),
                INTEGERS.bounded(Role.INPUT, ErrorBound.stochastic(-127, 127)).unbiased(Role.INPUT));
        assertFails("role of the spec for gradOutput", contract::rolesKeepTheirName);
        assertFails("input and of gradOutput depend on each other", contract::drawsDependOnTheirAddressAlone);
    }

    @Test
    void sameDrawsInEveryStepAreSeen() {
        QuantizerContract contract = contract(ControlQuantizers.int8(), INTEGERS, FaultyBackends.withOneStream());
        assertFails("itself and of another step depend on each other", contract::drawsDependOnTheirAddressAlone);
        assertFails("5 standard errors", contract::drawsAreUnbiased);
    }

    @Test
    void readingBackInsideAStepThrows() {
        AtomicReference<Backend> guarded = new AtomicReference<>();
        QuantizerContract contract = new QuantizerContract() {
            @Override
            protected QuantizerProvider provider() {
                return ControlQuantizers.readingBack(guarded::get);
            }

            @Override
            protected void opened(Backend backend) {
                guarded.set(backend);
            }
        };
        IllegalStateException e =
                assertThrows(IllegalStateException.class, contract::lossFallsOnADeviceThatNobodyReads);
        assertTrue(e.getMessage().contains("read inside a step"), e.getMessage());
        assertTrue(guarded.get() instanceof StepGuard, "the guard itself threw");
    }

    @Test
    void plansThatDependOnTheCallAreSeen() {
        assertFails(
                "asked again", contract(ControlQuantizers.planningAnew(), Claims.none())::equalRequestsGiveEqualPlans);
    }

    @Test
    void refusalWithoutANameIsSeen() {
        Claims claims = Claims.none().refusing(layer -> layer.in() == 13);
        assertFails(
                "does not name layer and extent",
                contract(ControlQuantizers.refusingWithoutAName(), claims)::everyShapeIsServedOrRefusedByName);
    }

    @Test
    void claimedRefusalThatIsNoneIsSeen() {
        Claims claims = Claims.none().refusing(layer -> layer.in() == 13);
        assertFails("but was served", contract(ControlQuantizers.int8(), claims)::everyShapeIsServedOrRefusedByName);
    }

    @Test
    void stateThatIgnoresSkippedStepsIsSeen() {
        assertFails(
                "after a skipped step",
                contract(ControlQuantizers.forgettingSkips(), Claims.none())::stepsThatAreNotFiniteAreSkipped);
    }

    @Test
    void formatThatWasNotStoredIsSeen() {
        QuantizerContract contract =
                contract(ControlQuantizers.int4(), Claims.none().keeping(0.55), FaultyBackends.storingWider());
        assertFails("as the operands themselves say", contract::everyProductProvesItsFormat);
        assertFails("bytes an element of X are kept", contract::contextIsAsSmallAsClaimed);
    }

    @Test
    void errorBoundThatIsTooTightIsSeen() {
        Claims claims = Claims.none().bounded(Role.INPUT, (_, scales) -> 0.49 * scales[0]);
        assertFails("above the bound", contract(ControlQuantizers.int8(), claims)::errorsStayWithinTheirBounds);
    }

    @Test
    void wrongVarianceIsSeen() {
        Claims claims = Claims.none()
                .bounded(Role.GRAD_OUTPUT, ErrorBound.stochastic(-127, 127))
                .unbiased(
                        Role.GRAD_OUTPUT,
                        (x, scales) -> 1.1 * Variance.integers().of(x, scales));
        assertFails("sum of the variances", contract(ControlQuantizers.int8(), claims)::drawsAreUnbiased);
    }

    @Test
    void leakIsSeen() {
        QuantizerContract contract = contract(ControlQuantizers.int8(), Claims.none(), FaultyBackends.leaking());
        assertFails("still live", contract::evaluationChangesNothing);
    }
}
