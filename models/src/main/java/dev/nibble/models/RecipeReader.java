package dev.nibble.models;

import dev.nibble.models.files.JsonTree;
import dev.nibble.models.files.YamlNode;
import dev.nibble.models.files.YamlProblem;
import dev.nibble.models.files.YamlReader;
import dev.nibble.spi.Names;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.function.Function;

/** Reads a recipe: names and types; whether the values fit each other is checked with the configuration. */
final class RecipeReader {
    /** What a recipe has besides layers and the settings of its preset. */
    static final List<Setting> KEYS = List.of(
            new Setting("preset", Setting.Type.TEXT, "", "model, data and schedule; decides which settings follow"),
            new Setting(
                    "quantizer",
                    Setting.Type.TEXT,
                    "fp32",
                    "of the projections, NAME[:option=value,...]; see nibble list"),
            new Setting("backend", Setting.Type.TEXT, "auto", "what computes: auto, or a name from nibble list"),
            new Setting("seed", Setting.Type.TEXT, "0", "of initial weights, data order and rounding"),
            Setting.integer("threads", 0, "processor threads; 0 for all; never changes a number"),
            new Setting(
                    "strict",
                    Setting.Type.BOOLEAN,
                    "false",
                    "whether a product that does not run in the formats asked for is an error"),
            new Setting(
                    "nonfinite",
                    Setting.Type.TEXT,
                    "stop",
                    "when NaN or infinity turns up: stop the run, skip the step, backoff or rollback; docs/guard.md"));

    private static final int LONGEST_MESSAGE = 2000; // characters

    private final Function<String, Preset> presets;
    private final List<YamlProblem> problems = new ArrayList<>();
    private final SequencedMap<String, Integer> lines = new LinkedHashMap<>();
    private final Map<String, YamlNode.Scalar> keys = new TreeMap<>();
    private final SequencedMap<String, YamlNode.Scalar> settings = new LinkedHashMap<>(); // by path
    private final List<LayerOverride> overrides = new ArrayList<>();

    private RecipeReader(Function<String, Preset> presets) {
        this.presets = presets;
    }

    /**
     * {@return the recipe in a file}
     *
     * @param file what to read
     * @param presets gives a preset, or an {@link IllegalArgumentException}
     * @param check finds what does not fit together
     * @throws ConfigurationException naming everything that is wrong, each with file and line
     * @throws dev.nibble.error.NibbleException if the file cannot be read
     */
    static Recipe read(Path file, Function<String, Preset> presets, Consumer<RunConfig> check) {
        RecipeReader reader = new RecipeReader(presets);
        Optional<YamlNode.Mapping> document = YamlReader.read(file, reader.problems);
        Optional<Recipe> recipe =
                document.flatMap(reader::config).map(config -> new Recipe(file, config, reader.lines));
        if (reader.problems.isEmpty() && recipe.isPresent()) {
            return recipe.orElseThrow();
        }
        List<String> messages = new ArrayList<>();
        reader.problems.forEach(problem -> messages.add(Recipe.at(file, List.of(problem.line())) + problem.message()));
        recipe.ifPresent(r -> messages.addAll(r.problemsOfNames(check)));
        // what a file says may stand in a message, and be anything
        throw new ConfigurationException(messages.stream()
                .map(message -> JsonTree.line(message, LONGEST_MESSAGE))
                .toList());
    }

    private Optional<RunConfig> config(YamlNode.Mapping document) {
        Optional<Preset> preset = preset(document);
        List<Setting> known = preset.map(Preset::settings).orElse(List.of());
        document.entries().forEach((name, entry) -> {
            if (name.equals(Recipe.LAYERS)) {
                layers(entry);
            } else if (KEYS.stream().anyMatch(key -> key.path().equals(name))) {
                key(name, entry);
            } else if (preset.isPresent() && name.contains(".")) {
                problem(
                        entry.line(),
                        "%s must be a line of section %s".formatted(name, name.substring(0, name.indexOf('.'))));
            } else if (preset.isPresent()) { // another preset would know other settings
                setting(name, entry, known);
            }
        });
        if (preset.isEmpty()) {
            return Optional.empty();
        }
        Map<String, String> values = new TreeMap<>();
        settings.forEach((path, scalar) -> values.put(path, scalar.text()));
        return Optional.of(new RunConfig(
                preset.orElseThrow().name(),
                attempt("quantizer", QuantizerChoice::parse, QuantizerChoice.of("fp32")),
                overrides,
                attempt("backend", text -> text, "auto"),
                attempt("seed", RecipeReader::seed, 0L),
                0,
                attempt("threads", Integer::parseInt, 0),
                attempt("strict", Boolean::parseBoolean, false),
                attempt("nonfinite", text -> NonFinitePolicy.parse("nonfinite", text), NonFinitePolicy.STOP),
                values));
    }

    private Optional<Preset> preset(YamlNode.Mapping document) {
        YamlNode.Entry entry = document.entries().get("preset");
        if (entry == null) {
            problem(
                    document.line(),
                    "the recipe has no preset, but needs one, as in preset: text; nibble train --help lists them");
            return Optional.empty();
        }
        if (!(entry.value() instanceof YamlNode.Scalar scalar)) {
            return Optional.empty(); // told when the keys are read
        }
        try {
            return Optional.of(presets.apply(scalar.text()));
        } catch (IllegalArgumentException e) {
            problem(scalar.line(), e.getMessage());
            return Optional.empty();
        }
    }

    private void key(String name, YamlNode.Entry entry) {
        Setting key =
                KEYS.stream().filter(k -> k.path().equals(name)).findFirst().orElseThrow();
        scalar(key, name, entry).ifPresent(scalar -> keys.put(name, scalar));
    }

    private void setting(String path, YamlNode.Entry entry, List<Setting> known) {
        Optional<Setting> setting =
                known.stream().filter(s -> s.path().equals(path)).findFirst();
        boolean section = known.stream().anyMatch(s -> s.path().startsWith(path + "."));
        if (setting.isPresent()) {
            scalar(setting.orElseThrow(), "setting " + path, entry).ifPresent(scalar -> settings.put(path, scalar));
        } else if (section && entry.value() instanceof YamlNode.Mapping mapping) {
            mapping.entries().forEach((name, inner) -> {
                if (name.contains(".")) {
                    problem(inner.line(), unknown(path + "." + name, path, known));
                } else {
                    setting(path + "." + name, inner, known);
                }
            });
        } else if (section) {
            problem(
                    entry.value().line(),
                    "%s is %s, but must be a section: lines of NAME: VALUE, indented"
                            .formatted(path, entry.value().describe()));
        } else {
            problem(entry.line(), unknown(path, parent(path), known));
        }
    }

    private static String parent(String path) {
        int dot = path.lastIndexOf('.');
        return dot < 0 ? "" : path.substring(0, dot);
    }

    private static String unknown(String path, String section, List<Setting> known) {
        List<String> names = new ArrayList<>();
        if (section.isEmpty()) {
            KEYS.forEach(key -> names.add(key.path()));
            names.add(Recipe.LAYERS);
            known.stream()
                    .map(setting -> setting.path().substring(0, setting.path().indexOf('.')))
                    .distinct()
                    .forEach(names::add);
        } else {
            known.stream()
                    .map(Setting::path)
                    .filter(other -> other.startsWith(section + "."))
                    .forEach(names::add);
        }
        return "no setting is named '" + path + "'; " + Names.suggest(path, names);
    }

    private Optional<YamlNode.Scalar> scalar(Setting setting, String what, YamlNode.Entry entry) {
        YamlNode value = entry.value();
        String needed = SettingValues.needed(setting.type());
        boolean text = setting.type() == Setting.Type.TEXT || setting.type() == Setting.Type.PATH;
        if (!(value instanceof YamlNode.Scalar scalar) || (!scalar.plain() && !text)) {
            problem(value.line(), "%s is %s, but must be %s".formatted(what, value.describe(), needed));
            return Optional.empty();
        }
        if (isNull(scalar)) {
            problem(
                    value.line(),
                    "%s has no value, but must be %s%s"
                            .formatted(what, needed, text ? "; \"\" is the empty text" : ""));
            return Optional.empty();
        }
        Optional<String> problem = SettingValues.problem(setting, scalar.text());
        if (problem.isPresent()) {
            problem(value.line(), "%s is %s, but must be %s".formatted(what, value.describe(), needed));
            return Optional.empty();
        }
        lines.put(setting.path(), entry.line());
        return Optional.of(scalar);
    }

    private static boolean isNull(YamlNode.Scalar scalar) {
        return scalar.plain()
                && (scalar.text().isEmpty()
                        || scalar.text().equals("~")
                        || scalar.text().equals("null"));
    }

    private void layers(YamlNode.Entry entry) {
        if (!(entry.value() instanceof YamlNode.Mapping mapping)) {
            problem(
                    entry.value().line(),
                    "layers is %s, but must be a section: lines of \"PATTERN\": QUANTIZER, indented"
                            .formatted(entry.value().describe()));
            return;
        }
        mapping.entries().forEach((pattern, inner) -> {
            if (!(inner.value() instanceof YamlNode.Scalar scalar) || isNull(scalar)) {
                problem(
                        inner.value().line(),
                        "layers.%s is %s, but must be a quantizer"
                                .formatted(pattern, inner.value().describe()));
                return;
            }
            try {
                LayerOverride override = LayerOverride.parse(pattern, QuantizerChoice.parse(scalar.text()));
                overrides.add(override);
                lines.put(Recipe.LAYERS + "." + override.key(), inner.line());
            } catch (IllegalArgumentException e) {
                problem(inner.line(), e.getMessage());
            }
        });
    }

    private <T> T attempt(String key, Function<String, T> parser, T absent) {
        YamlNode.Scalar scalar = keys.get(key);
        if (scalar == null) {
            return absent;
        }
        try {
            return parser.apply(scalar.text());
        } catch (IllegalArgumentException e) {
            problem(scalar.line(), e.getMessage());
            return absent;
        }
    }

    private static long seed(String text) {
        try {
            return Long.parseLong(text);
        } catch (NumberFormatException e) {
            throw new IllegalArgumentException("seed is '" + text + "', but must be a whole number", e);
        }
    }

    private void problem(int line, String message) {
        problems.add(new YamlProblem(line, message));
    }
}
