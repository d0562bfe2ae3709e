package dev.nibble.cli;

import dev.nibble.spi.Names;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine;
import picocli.CommandLine.MissingParameterException;
import picocli.CommandLine.Model.ArgSpec;
import picocli.CommandLine.Model.OptionSpec;
import picocli.CommandLine.OverwrittenOptionException;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.UnmatchedArgumentException;

/** Says in one line what is wrong with a command line. */
final class Misuse {
    private Misuse() {}

    /** {@return what is wrong, what is known, and the nearest} */
    static String describe(ParameterException e) {
        CommandLine line = e.getCommandLine();
        String help = "; see " + line.getCommandSpec().qualifiedName() + " --help";
        return switch (e) {
            case UnmatchedArgumentException u ->
                unmatched(line, u.getUnmatched().getFirst());
            case MissingParameterException m ->
                Failure.oneLine(String.join(
                                ", ", m.getMissing().stream().map(Misuse::name).toList()))
                        + (hasNoValue(line, m) ? " has no value" : " is missing")
                        + help;
            case OverwrittenOptionException o -> name(o.getOverwritten()) + " is given twice" + help;
            default ->
                e.getArgSpec() != null && e.getValue() != null
                        ? name(e.getArgSpec()) + " is '" + e.getValue() + "', but must be " + needed(e.getArgSpec())
                        : Failure.oneLine(String.valueOf(e.getMessage())) + help;
        };
    }

    /** {@return whether the option is there, and nothing follows it} */
    private static boolean hasNoValue(CommandLine line, MissingParameterException e) {
        return e.getMissing().stream()
                .allMatch(spec -> spec instanceof OptionSpec option
                        && line.getParseResult() != null
                        && line.getParseResult().originalArgs().stream()
                                .anyMatch(word -> List.of(option.names()).contains(word)));
    }

    private static String unmatched(CommandLine line, String word) {
        if (word.startsWith("-")) {
            String option = word.contains("=") ? word.substring(0, word.indexOf('=')) : word;
            List<String> known = new ArrayList<>();
            for (OptionSpec spec : line.getCommandSpec().options()) {
                if (!spec.hidden()) {
                    known.add(spec.longestName());
                }
            }
            return "%s has no option '%s'; %s"
                    .formatted(line.getCommandSpec().qualifiedName(), option, Names.suggest(option, known));
        }
        if (!line.getSubcommands().isEmpty()) {
            return "no command is named '%s'; %s"
                    .formatted(
                            word,
                            Names.suggest(
                                    word,
                                    line.getSubcommands().keySet().stream().toList()));
        }
        return "'" + word + "' is one argument too many; see "
                + line.getCommandSpec().qualifiedName() + " --help";
    }

    private static String name(ArgSpec spec) {
        return spec instanceof OptionSpec option ? option.longestName() : spec.paramLabel();
    }

    private static String needed(ArgSpec spec) {
        Class<?> type = spec.typeInfo().isOptional() // the type behind it is what the user gives
                ? spec.typeInfo().getAuxiliaryTypes()[0]
                : spec.type();
        if (type == int.class || type == long.class || type == Integer.class || type == Long.class) {
            return "a whole number";
        }
        return type == double.class || type == Double.class
                ? "a number"
                : "a " + type.getSimpleName().toLowerCase(Locale.ROOT);
    }
}
