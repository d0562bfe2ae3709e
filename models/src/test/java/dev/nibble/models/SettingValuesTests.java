package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import java.util.List;
import java.util.Map;
import org.junit.jupiter.api.Test;

class SettingValuesTests {
    private static final List<Setting> SETTINGS = List.of(
            new Setting("model.layers", Setting.Type.INTEGER, "4", ""),
            new Setting("train.clip", Setting.Type.NUMBER, "1.0", ""),
            new Setting("model.tiedHead", Setting.Type.BOOLEAN, "false", ""));

    @Test
    void givenValuesReplaceDefaults() {
        SettingValues values = SettingValues.of(SETTINGS, Map.of("model.layers", "2", "model.tiedHead", "true"));
        assertEquals(2, values.integer("model.layers"));
        assertEquals(1.0, values.number("train.clip"));
        assertTrue(values.flag("model.tiedHead"));
    }

    @Test
    void everyProblemIsNamedAtOnceWithTheNearestPath() {
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class,
                () -> SettingValues.of(
                        SETTINGS, Map.of("model.layer", "2", "train.clip", "NaN", "model.tiedHead", "yes")));
        assertTrue(e.getMessage().contains("no setting is named 'model.layer'"), e.getMessage());
        assertTrue(e.getMessage().contains("Did you mean 'model.layers'?"), e.getMessage());
        assertTrue(e.getMessage().contains("setting train.clip is 'NaN', but must be a finite number"), e.getMessage());
        assertTrue(
                e.getMessage().contains("setting model.tiedHead is 'yes', but must be true or false"), e.getMessage());
    }
}
