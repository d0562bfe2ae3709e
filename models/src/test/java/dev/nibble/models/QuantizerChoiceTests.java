package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.Map;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.ValueSource;

class QuantizerChoiceTests {
    @Test
    void nameAndOptionsAreRead() {
        QuantizerChoice choice = QuantizerChoice.parse("int8-block:criterion=absmax,block=128x256");
        assertEquals("int8-block", choice.name());
        assertEquals(Map.of("block", "128x256", "criterion", "absmax"), choice.options());
    }

    @Test
    void labelSortsOptionsAndIsReadBack() {
        QuantizerChoice choice = QuantizerChoice.parse("int8-block:criterion=absmax,block=128x256");
        assertEquals("int8-block:block=128x256,criterion=absmax", choice.label());
        assertEquals(choice, QuantizerChoice.parse(choice.label()));
        assertEquals("fp32", QuantizerChoice.parse("fp32").label());
    }

    @ParameterizedTest
    @ValueSource(strings = {"", ":a=b", "x:", "x:a", "x:a=", "x:=b", "x:a=b,", "x:a=b,a=c"})
    void otherFormsAreRefusedWithTheForm(String text) {
        IllegalArgumentException e = assertThrows(IllegalArgumentException.class, () -> QuantizerChoice.parse(text));
        assertTrue(e.getMessage().contains("'" + text + "'"), e.getMessage());
        assertTrue(e.getMessage().contains("NAME[:option=value"), e.getMessage());
    }

    @Test
    void everyProblemIsNamed() {
        IllegalArgumentException e =
                assertThrows(IllegalArgumentException.class, () -> QuantizerChoice.parse(":a,b=1,b=2"));
        assertTrue(e.getMessage().contains("no name"), e.getMessage());
        assertTrue(e.getMessage().contains("'a' is not option=value"), e.getMessage());
        assertTrue(e.getMessage().contains("option b is given twice"), e.getMessage());
    }
}
