package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;
import picocli.CommandLine;
import picocli.CommandLine.Command;
import picocli.CommandLine.Help.Ansi;
import picocli.CommandLine.IVersionProvider;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.ParameterException;
import picocli.CommandLine.ParseResult;

/** The {@code nibble} command. */
@Command(
        name = "nibble",
        versionProvider = Nibble.Version.class,
        descriptionHeading = "%n",
        description = "Trains neural networks with 4- and 8-bit arithmetic, and shows what it costs and what it saves.",
        optionListHeading = "%nOptions:%n",
        commandListHeading = "%nCommands:%n",
        footer = {
            "",
            "Start with:",
            "  nibble doctor           what works on this machine",
            "  nibble list             which quantizers and backends there are, and their options",
            "  nibble compare          how well and how fast each quantizer trains",
            "  nibble COMMAND --help   what a command does, its options, and examples",
            "",
            "Exit status: 0 done; 1 failed while running; 2 bad option, name or value; 3 a backend or the JDK is not",
            "available; 130 interrupted, after saving."
        })
public final class Nibble {
    private static final int HELP_WIDTH = 110;

    @Mixin
    CommonOptions common;

    private Nibble() {}

    /** Says which version this is. */
    static final class Version implements IVersionProvider {
        @Override
        public String[] getVersion() {
            return new String[] {"nibble " + number()};
        }

        /** {@return the version of the module, as the build stamped it} */
        static String number() {
            var descriptor = Nibble.class.getModule().getDescriptor();
            return descriptor == null ? "development" : descriptor.rawVersion().orElse("development");
        }
    }

    /** Runs the command and ends the process with its exit status. */
    public static void main(String[] arguments) {
        Interruption interruption = new Interruption();
        interruption.hookShutdown(System.err);
        int status = run(Terminal.ofProcess(interruption), arguments);
        interruption.finish();
        System.exit(status);
    }

    /**
     * {@return the exit status of a command line}
     *
     * @param terminal where it writes
     * @param arguments the words after {@code nibble}
     */
    static int run(Terminal terminal, String... arguments) {
        boolean json = Arrays.asList(arguments).contains("--json");
        boolean debug = Arrays.asList(arguments).contains("--debug");
        try {
            CommandLine line = commandLine();
            return execute(terminal, line, json, arguments);
        } catch (ParameterException e) {
            return fail(terminal, json, debug, new Failure(Failure.MISUSED, "usage", Misuse.describe(e)), e);
        } catch (Exception | OutOfMemoryError | LinkageError e) {
            return fail(terminal, json, debug, Failure.of(e), e);
        }
    }

    private static CommandLine commandLine() {
        CommandLine line = new CommandLine(new Nibble())
                .addSubcommand(new CompareCommand())
                .addSubcommand(new LadderCommand())
                .addSubcommand(new TrainCommand())
                .addSubcommand(new RecipeCommand())
                .addSubcommand(new GenerateCommand())
                .addSubcommand(new ExportCommand())
                .addSubcommand(new DiagnoseCommand())
                .addSubcommand(new DataCommand())
                .addSubcommand(new InspectCommand())
                .addSubcommand(new GemmCommand())
                .addSubcommand(new BenchCommand())
                .addSubcommand(new ListCommand())
                .addSubcommand(new DoctorCommand());
        line.setUsageHelpAutoWidth(false).setUsageHelpWidth(HELP_WIDTH);
        for (CommandLine command : line.getSubcommands().values()) {
            command.getCommandSpec()
                    .usageMessage()
                    .abbreviateSynopsis(true)
                    .descriptionHeading("%n")
                    .parameterListHeading("%nArguments:%n")
                    .optionListHeading("%nOptions:%n");
        }
        return line;
    }

    private static int execute(Terminal terminal, CommandLine line, boolean json, String... arguments)
            throws Exception {
        ParseResult parsed = line.parseArgs(arguments);
        while (parsed.hasSubcommand()) {
            parsed = parsed.subcommand();
        }
        CommandLine command = parsed.commandSpec().commandLine();
        if (parsed.isVersionHelpRequested()) {
            return say(terminal, json, "version", new Version().getVersion()[0] + "\n", Version.number());
        }
        if (parsed.isUsageHelpRequested() || arguments.length == 0) {
            String more = command.getCommand() instanceof Action action ? action.moreHelp() : "";
            String help = command.getUsageMessage(Ansi.OFF).stripTrailing() + "\n" + more;
            return say(terminal, json, "help", help, help);
        }
        if (!(command.getCommand() instanceof Action action)) {
            throw new IllegalArgumentException("no command is given; known: "
                    + String.join(", ", line.getSubcommands().keySet()) + ". See nibble --help");
        }
        Answer answer = action.run(terminal, words(arguments));
        print(terminal.out(), json ? Json.text(answer.json()) + "\n" : answer.text());
        if (!answer.problem().isEmpty()) {
            terminal.err().println("nibble: " + Failure.oneLine(answer.problem()));
        }
        return answer.status();
    }

    private static List<String> words(String... arguments) {
        List<String> words = new ArrayList<>(List.of("nibble"));
        words.addAll(List.of(arguments));
        return words;
    }

    private static int say(Terminal terminal, boolean json, String name, String text, String value) {
        print(terminal.out(), json ? Json.text(Json.object().put(name, value)) + "\n" : text);
        return Failure.DONE;
    }

    private static int fail(Terminal terminal, boolean json, boolean debug, Failure failure, Throwable thrown) {
        if (json) {
            ObjectNode error = Json.object();
            error.putObject("error").put("kind", failure.kind()).put("message", failure.message());
            print(terminal.out(), Json.text(error) + "\n");
        }
        terminal.err().println("nibble: " + failure.message());
        if (debug) {
            terminal.err().print(Failure.trace(thrown));
        }
        terminal.err().flush();
        return failure.status();
    }

    /** Output is UTF-8 on every machine, whatever the locale says: JSON must be. */
    private static void print(PrintStream out, String text) {
        byte[] bytes = text.getBytes(StandardCharsets.UTF_8);
        out.write(bytes, 0, bytes.length);
        out.flush();
    }
}
