package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.spi.Availability;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code nibble list}: what is on the path. */
@Command(
        name = "list",
        versionProvider = Nibble.Version.class,
        description = "Lists the quantizers with their options, and the backends with what they found.",
        footer = {
            "",
            "Example: options are written after the name",
            "  nibble list",
            "  nibble inspect x.npy --quantizer int8-block:block=64x64"
        })
final class ListCommand implements Action {
    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        Plugins<QuantizerProvider> quantizers = Plugins.quantizers();
        Plugins<BackendProvider> backends = Plugins.backends();
        List<String> problems = new ArrayList<>(quantizers.problems());
        problems.addAll(backends.problems());
        problems.forEach(problem -> terminal.err().println("nibble: " + Failure.oneLine(problem)));
        ObjectNode json = Json.object();
        ArrayNode quantizerArray = json.putArray("quantizers");
        StringBuilder text = new StringBuilder("Quantizers (NAME[:option=value,...])\n");
        for (QuantizerProvider provider : quantizers.all()) {
            quantizerArray.add(quantizer(provider));
            text.append(describe(provider));
        }
        ArrayNode backendArray = json.putArray("backends");
        text.append("\nBackends\n");
        for (BackendProvider provider : backends.all()) {
            Availability availability = provider.availability();
            backendArray
                    .addObject()
                    .put("name", provider.name())
                    .put("available", availability.available())
                    .put("reason", availability.reason())
                    .put("module", module(provider))
                    .put("description", provider.description());
            text.append("\n  %s: %s%n    %s: %s%n"
                    .formatted(
                            provider.name(),
                            provider.description(),
                            availability.available() ? "available" : "not available",
                            availability.reason()));
        }
        return Answer.done(json, text.toString());
    }

    private static String module(Object provider) {
        Module module = provider.getClass().getModule();
        return module.isNamed() ? module.getName() : "(class path)";
    }

    private static ObjectNode quantizer(QuantizerProvider provider) {
        ObjectNode json = Json.object();
        json.put("name", provider.name());
        json.put("module", module(provider));
        json.put("description", provider.description());
        ArrayNode options = json.putArray("options");
        for (OptionSpec option : provider.options()) {
            ObjectNode entry = options.addObject();
            entry.put("name", option.name());
            entry.put("type", option.type().name().toLowerCase(Locale.ROOT));
            entry.put("default", option.defaultValue());
            entry.set("values", Json.array(option.values()));
            entry.put("help", option.help());
        }
        return json;
    }

    private static String describe(QuantizerProvider provider) {
        StringBuilder text = new StringBuilder(
                "\n  %s: %s (%s)%n".formatted(provider.name(), provider.description(), module(provider)));
        for (OptionSpec option : provider.options()) {
            String values = option.values().isEmpty()
                    ? option.type().name().toLowerCase(Locale.ROOT)
                    : String.join("|", option.values());
            text.append("    %s=%s (default %s)%n      %s%n"
                    .formatted(option.name(), values, option.defaultValue(), option.help()));
        }
        return text.toString();
    }
}
