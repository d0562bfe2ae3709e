package dev.nibble.models;

import dev.nibble.tensor.DType;
import java.util.Locale;
import java.util.Map;

/** The setting {@code model.attention}, the same in every preset. */
final class AttentionSetting {
    private static final String PATH = "model.attention";

    /** What the products of attention are computed in. */
    private enum Choice {
        FP32,
        BF16,
        QUANTIZED;

        String label() {
            return name().toLowerCase(Locale.ROOT);
        }
    }

    private AttentionSetting() {}

    static Setting setting() {
        return new Setting(
                PATH,
                Setting.Type.TEXT,
                Choice.FP32.label(),
                "the products of attention: fp32; bf16, where the backend has kernels for it (cuda); or quantized by the quantizer of layers blocks.N.attn.scores and blocks.N.attn.mix");
    }

    /**
     * {@return whether the products of attention are quantized}
     *
     * @throws IllegalArgumentException if the value is none of the setting's
     */
    static boolean isQuantized(SettingValues values) {
        return values.choice(PATH, Choice.class) == Choice.QUANTIZED;
    }

    /** {@return what the settings of a run ask of its backend; they need not be checked yet} */
    static DType ofBackend(Map<String, String> settings) {
        return settings.getOrDefault(PATH, "").equals(Choice.BF16.label()) ? DType.BF16 : DType.FP32;
    }
}
