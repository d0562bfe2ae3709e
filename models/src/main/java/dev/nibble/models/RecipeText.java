package dev.nibble.models;

import dev.nibble.models.files.YamlText;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;

/** Writes a configuration as a recipe: every value, each with what it does. */
final class RecipeText {
    private final StringBuilder out = new StringBuilder();

    private RecipeText() {}

    /**
     * {@return a recipe}
     *
     * @param title first lines, a comment each
     * @param preset the configuration's
     * @param config what is to be run
     * @param values the value of every setting
     */
    static String of(List<String> title, Preset preset, RunConfig config, Map<String, String> values) {
        RecipeText text = new RecipeText();
        title.forEach(text::comment);
        List<String[]> lines = new ArrayList<>();
        for (Setting key : RecipeReader.KEYS) {
            lines.add(line("", key.path(), value(key.path(), config), key.help()));
        }
        text.out.append('\n');
        text.aligned(lines);
        text.layers(config.overrides());
        text.sections(preset, values);
        return text.out.toString();
    }

    private static String value(String key, RunConfig config) {
        return switch (key) {
            case "preset" -> config.preset();
            case "quantizer" -> config.quantizer().label();
            case "backend" -> config.backend();
            case "seed" -> String.valueOf(config.seed());
            case "threads" -> String.valueOf(config.threads());
            case "strict" -> String.valueOf(config.strict());
            case "nonfinite" -> config.nonFinite().label();
            default -> throw new IllegalArgumentException("no part of a configuration is named '" + key + "'");
        };
    }

    private void comment(String line) {
        out.append("# ").append(line).append('\n');
    }

    private void layers(List<LayerOverride> overrides) {
        SequencedMap<String, String> last = new LinkedHashMap<>(); // by key: of equal ones only the last counts
        for (LayerOverride override : overrides) {
            last.remove(override.key());
            last.put(override.key(), override.choice().label());
        }
        out.append('\n');
        comment(
                "Other quantizers for layers whose names match a pattern; the last match wins. nibble train --help lists them.");
        if (last.isEmpty()) {
            out.append("layers: {}\n");
            comment("layers:");
            comment("  \"blocks.*.mlp.down\": fp8");
            comment("  \"blocks.*@400\": bf16  from step 400 on; @fineTune, @backoff: see docs/guard.md");
            return;
        }
        out.append("layers:\n");
        last.forEach((pattern, label) -> out.append("  ")
                .append(YamlText.quoted(pattern))
                .append(": ")
                .append(YamlText.scalar(label))
                .append('\n'));
    }

    /** A section for each first part of a path, in the order in which the preset has them. */
    private void sections(Preset preset, Map<String, String> values) {
        SequencedMap<String, List<String[]>> sections = new LinkedHashMap<>();
        for (Setting setting : preset.settings()) {
            int dot = setting.path().indexOf('.');
            sections.computeIfAbsent(setting.path().substring(0, dot), _ -> new ArrayList<>())
                    .add(line(
                            "  ",
                            setting.path().substring(dot + 1),
                            values.getOrDefault(setting.path(), setting.defaultValue()),
                            setting.help()));
        }
        sections.forEach((name, lines) -> {
            out.append('\n').append(name).append(":\n");
            aligned(lines);
        });
    }

    private static String[] line(String indent, String name, String value, String help) {
        return new String[] {
            indent + name + ": " + YamlText.scalar(value), help.strip().replaceAll("\\s+", " ")
        };
    }

    private void aligned(List<String[]> lines) {
        int width = lines.stream()
                .mapToInt(line -> line[0].length())
                .filter(n -> n <= 40)
                .max()
                .orElse(0);
        for (String[] line : lines) {
            out.append(line[0]).append(" ".repeat(Math.max(0, width - line[0].length())));
            out.append("  # ").append(line[1]).append('\n');
        }
    }
}
