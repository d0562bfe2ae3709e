package dev.nibble.models;

/**
 * A value of a preset that can be replaced: {@code --set model.layers=2}.
 *
 * @param path name, as in {@code model.layers}
 * @param type what its values look like
 * @param defaultValue its value when it is not given
 * @param help what it does, in one line
 */
public record Setting(String path, Type type, String defaultValue, String help) {
    /** What the values of a setting look like. */
    public enum Type {
        /** {@code true} or {@code false}. */
        BOOLEAN,
        /** A decimal integer. */
        INTEGER,
        /** A finite decimal number. */
        NUMBER,
        /** Any text. */
        TEXT,
        /** A file or folder, relative to the working directory; or the empty text. */
        PATH
    }

    /** {@return an INTEGER setting} */
    static Setting integer(String path, int value, String help) {
        return new Setting(path, Type.INTEGER, String.valueOf(value), help);
    }

    /** {@return a NUMBER setting} */
    static Setting number(String path, String value, String help) {
        return new Setting(path, Type.NUMBER, value, help);
    }
}
