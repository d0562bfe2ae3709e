package dev.nibble.models;

import dev.nibble.spi.Names;
import java.util.List;

/** The setting {@code model.attention}, the same in every preset. */
final class AttentionSetting {
    private static final String PATH = "model.attention";
    private static final String FP32 = "fp32";
    private static final String QUANTIZED = "quantized";

    private AttentionSetting() {}

    static Setting setting() {
        return new Setting(
                PATH,
                Setting.Type.TEXT,
                FP32,
                "the products of attention: fp32, or quantized by the quantizer of layers blocks.N.attn.scores and blocks.N.attn.mix");
    }

    /**
     * {@return whether the products of attention are quantized}
     *
     * @throws IllegalArgumentException if the value is none of the setting's
     */
    static boolean isQuantized(SettingValues values) {
        String value = values.text(PATH);
        if (!value.equals(FP32) && !value.equals(QUANTIZED)) {
            throw new IllegalArgumentException(
                    "setting " + PATH + " is '" + value + "'; " + Names.suggest(value, List.of(FP32, QUANTIZED)));
        }
        return value.equals(QUANTIZED);
    }
}
