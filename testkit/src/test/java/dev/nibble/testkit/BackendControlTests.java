package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.spi.BackendProvider;
import dev.nibble.testkit.control.FaultyBackends;
import java.util.List;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.function.Executable;
import org.opentest4j.AssertionFailedError;

/** The contract of backends fails each backend with a fault where it must. */
class BackendControlTests {
    private static BackendContract contract(BackendProvider backend) {
        return new BackendContract() {
            @Override
            protected BackendProvider provider() {
                return backend;
            }

            @Override
            protected List<Integer> threads() {
                return List.of(1);
            }
        };
    }

    private static void assertFails(String messagePart, Executable check) {
        String message = assertThrows(AssertionFailedError.class, check).getMessage();
        assertTrue(message.contains(messagePart), message);
    }

    @Test
    void addingTheDrawGivesOtherCodes() {
        // Up where u >= 1 - fraction, not where u < fraction: the same law but for what FP32 rounds, by other draws.
        BackendContract contract = contract(FaultyBackends.addingTheDraw());
        assertFails("codes", contract::quantizesEverySpec);
    }

    @Test
    void drawsThatIgnoreTheStepGiveOtherCodes() {
        assertFails("codes", contract(FaultyBackends.withOneStream())::quantizesEverySpec);
    }

    @Test
    void ignoredMaskIsSeenWhereTheOtherSideIsNan() {
        assertFails("the residual alone", contract(FaultyBackends.ignoringMasks())::absentBlocksAddNothing);
    }

    @Test
    void formatThatWasNotStoredIsSeen() {
        BackendContract contract = contract(FaultyBackends.storingWider());
        assertFails("stored format", contract::quantizesEverySpec);
        assertFails("as the operands say", contract::rowsNameWhatWasStored);
    }

    @Test
    void readingInsideAStepIsSeen() {
        assertFails("IllegalStateException", contract(FaultyBackends.readableInSteps())::nothingIsReadInsideAStep);
    }

    @Test
    void leakIsSeen() {
        assertFails("bytes live after the step", contract(FaultyBackends.leaking())::stepsFreeWhatTheyAllocated);
    }
}
