package dev.nibble.models;

import dev.nibble.spi.Names;
import dev.nibble.tensor.DType;
import java.util.List;
import java.util.Map;

/** The setting {@code model.attention}, the same in every preset. */
final class AttentionSetting {
    private static final String PATH = "model.attention";
    private static final String FP32 = "fp32";
    private static final String BF16 = "bf16";
    private static final String QUANTIZED = "quantized";

    private AttentionSetting() {}

    static Setting setting() {
        return new Setting(
                PATH,
                Setting.Type.TEXT,
                FP32,
                "the products of attention: fp32; bf16, where the backend has kernels for it (cuda); or quantized by the quantizer of layers blocks.N.attn.scores and blocks.N.attn.mix");
    }

    /**
     * {@return whether the products of attention are quantized}
     *
     * @throws IllegalArgumentException if the value is none of the setting's
     */
    static boolean isQuantized(SettingValues values) {
        String value = values.text(PATH);
        List<String> known = List.of(FP32, BF16, QUANTIZED);
        if (!known.contains(value)) {
            throw new IllegalArgumentException(
                    "setting " + PATH + " is '" + value + "'; " + Names.suggest(value, known));
        }
        return value.equals(QUANTIZED);
    }

    /** {@return what the settings of a run ask of its backend; they need not be checked yet} */
    static DType ofBackend(Map<String, String> settings) {
        return settings.getOrDefault(PATH, FP32).equals(BF16) ? DType.BF16 : DType.FP32;
    }
}
