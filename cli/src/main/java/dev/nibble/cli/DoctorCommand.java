package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ArrayNode;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.util.ArrayList;
import java.util.List;
import java.util.Locale;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;

/** {@code nibble doctor}: what works on this machine. */
@Command(
        name = "doctor",
        versionProvider = Nibble.Version.class,
        description = {
            "Checks the JDK, the machine, the backends, and in which arithmetic each quantizer runs here.",
            "Exit status 0 if fp32 can train, else 1."
        },
        footer = {"", "Example: for a bug report", "  nibble doctor --json"})
final class DoctorCommand implements Action {
    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        List<Check> checks = new ArrayList<>(Check.ofMachine());
        checks.addAll(BackendChecks.all());
        ObjectNode json = Json.object();
        ArrayNode array = json.putArray("checks");
        StringBuilder text = new StringBuilder();
        int width = checks.stream().mapToInt(c -> c.name().length()).max().orElse(0);
        for (Check check : checks) {
            String status = check.status().name().toLowerCase(Locale.ROOT);
            array.addObject().put("name", check.name()).put("status", status).put("detail", check.detail());
            text.append("%-4s  %s  %s%n"
                    .formatted(
                            status,
                            check.name() + " ".repeat(width - check.name().length()),
                            check.detail()));
        }
        boolean trains = checks.stream().noneMatch(c -> c.status() == Check.Status.FAIL && c.required());
        return trains
                ? Answer.done(json, text.toString())
                : new Answer(
                        Failure.FAILED, json, text.toString(), "fp32 cannot train here; see the lines marked fail");
    }
}
