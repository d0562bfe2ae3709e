package dev.nibble.models;

import dev.nibble.models.train.Workload;
import dev.nibble.spi.Names;
import java.util.List;

/** The setting {@code train.recompute}: every model is made of blocks that can be computed again. */
final class RecomputeSetting {
    /** Its path. */
    static final String PATH = "train.recompute";

    private static final List<String> KNOWN = List.of("none", "blocks");

    private RecomputeSetting() {}

    static Setting setting() {
        return new Setting(
                PATH,
                Setting.Type.TEXT,
                "none",
                "what is computed again in the backward pass instead of being kept: none, or blocks; changes no bit");
    }

    /**
     * {@return whether blocks are computed again}
     *
     * @throws IllegalArgumentException if the value is none of the setting's
     */
    static boolean isWanted(SettingValues values) {
        String value = values.asMap().getOrDefault(PATH, KNOWN.getFirst());
        if (!KNOWN.contains(value)) {
            throw new IllegalArgumentException(
                    "setting " + PATH + " is '" + value + "'; " + Names.suggest(value, KNOWN));
        }
        return value.equals("blocks");
    }

    /** Prepares a workload if that is wanted. */
    static void apply(boolean wanted, Workload workload) {
        if (wanted) {
            workload.repeatBlocks();
        }
    }
}
