package dev.nibble.cli;

import dev.nibble.models.checkpoint.Checkpoint;
import java.nio.file.Path;
import picocli.CommandLine.Option;

/** Which weights of a checkpoint are taken: their averages, where the run kept some, unless the weights themselves are asked for. */
final class WeightsOption {
    @Option(
            names = "--no-ema",
            description = "Take the weights of the last step, not their averages; a run keeps averages with train.ema.")
    boolean noEma;

    /**
     * {@return the checkpoint that an argument names, verified} Damaged ones that are passed over are told.
     *
     * @throws dev.nibble.error.NibbleException if there is none
     */
    Checkpoint find(Path source, Terminal terminal) {
        Checkpoint checkpoint = CheckpointArgument.find(source, terminal);
        return noEma ? checkpoint.withoutAverages() : checkpoint;
    }
}
