package dev.nibble.cli;

import com.fasterxml.jackson.databind.node.ObjectNode;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.Runs;
import java.util.List;
import java.util.Optional;
import picocli.CommandLine.Command;
import picocli.CommandLine.Mixin;
import picocli.CommandLine.Option;

/** {@code nibble recipe}: a preset as a file. */
@Command(
        name = "recipe",
        versionProvider = Nibble.Version.class,
        sortOptions = false,
        description = {
            "Prints a preset as a recipe: a YAML file of every value with what it does, for nibble train and nibble compare.",
            "",
            "Of a recipe in a file it prints the whole: what the file says, what options replace, and the defaults. Nothing",
            "is printed unless all of it is right; only whether the data is there is not looked at."
        },
        footer = {
            "",
            "Example: a file to change and train",
            "  nibble recipe text > my.yaml",
            "  nibble train my.yaml",
            "Example: begin with other values",
            "  nibble recipe text --quantizer luq --set model.layers=8 --set 'layers.blocks.*.mlp.down=fp8' > my.yaml",
            "Example: is a recipe right, and what are the values that it leaves out?",
            "  nibble recipe my.yaml",
            "",
            "Each run stores its own in its folder (recipe.yaml), with all options of the quantizers and the backend named."
        })
final class RecipeCommand implements Action {
    @Option(
            names = "--quantizer",
            paramLabel = "NAME[:k=v,...]",
            description = "Quantizer of the projections (default: " + TrainCommand.DEFAULT_QUANTIZER
                    + ", or the recipe's); see nibble list.")
    Optional<String> quantizer;

    @Mixin
    RunOptions options;

    @Mixin
    CommonOptions common;

    @Override
    public CommonOptions common() {
        return common;
    }

    @Override
    public Answer run(Terminal terminal, List<String> command) {
        Problems problems = new Problems();
        Runs runs = Runs.create();
        RunOptions.Chosen chosen = options.chosen(runs, problems);
        QuantizerChoice choice = TrainCommand.choice(quantizer, chosen, problems);
        RunOptions.check(runs, chosen, List.of(choice), problems, runs::checkValues);
        RunConfig config = chosen.config().withQuantizer(choice);
        String text = runs.recipe(config);
        ObjectNode json = Json.object().put("preset", config.preset()).put("recipe", text);
        return Answer.done(json, text);
    }
}
