package dev.nibble.models;

import dev.nibble.error.FormatException;
import dev.nibble.models.checkpoint.Checkpoint;
import dev.nibble.models.checkpoint.CheckpointFile;
import dev.nibble.models.files.JsonFields;
import java.util.LinkedHashMap;
import java.util.Map;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * What {@code state.json} of a checkpoint says. Draws are a function of the seed and the step, data order of the seed and the place in
 * the data, so these numbers are all there is to the state of either.
 *
 * @param step optimizer steps done, skipped ones included
 * @param dataStep place in the data: the step, and more if the run has gone back
 * @param configuration what decided the numbers
 * @param dataHash hash of the data; empty if there is none
 * @param quantizers by layer, the quantizer that it had in the last step, with all options
 * @param trainedSteps by layer, how many steps have advanced the state of its quantizer
 */
record CheckpointState(
        int step,
        int dataStep,
        ResolvedConfiguration configuration,
        String dataHash,
        SortedMap<String, String> quantizers,
        SortedMap<String, Integer> trainedSteps) {
    /** Version of names and meanings; see docs/checkpoints.md. */
    static final int SCHEMA = 1;

    private static final String GENERATOR = "philox4x32-10";

    /**
     * {@return the state as JSON}
     *
     * @param origin who trains, for people
     * @param device on what, for people
     * @param skippedSteps steps whose update was left out, for people
     */
    Map<String, Object> json(RunOrigin origin, String device, int skippedSteps) {
        Map<String, Object> json = new LinkedHashMap<>();
        json.put("schema", SCHEMA);
        json.put("tool", origin.tool());
        json.put("version", origin.version());
        json.put("device", device);
        json.put("step", step);
        json.put("skippedSteps", skippedSteps);
        json.put(
                "random",
                new TreeMap<>(Map.of("generator", GENERATOR, "seed", configuration.seed(), "nextStep", step)));
        json.put("data", new TreeMap<>(Map.of("hash", dataHash, "nextStep", dataStep)));
        json.put("quantizers", quantizers);
        json.put("trainedSteps", trainedSteps);
        json.put("configuration", configuration.json());
        json.put("configurationHash", configuration.hash());
        return json;
    }

    /**
     * {@return the state in a checkpoint}
     *
     * @throws FormatException if it is of another schema, damaged, or contradicts itself
     */
    static CheckpointState read(Checkpoint checkpoint) {
        JsonFields json = checkpoint.json(CheckpointFile.STATE);
        long schema = json.whole("schema", 0, Integer.MAX_VALUE);
        if (schema != SCHEMA) {
            throw new FormatException(
                    "%s is of schema %d, but this version reads schema %d; use the version that wrote it"
                            .formatted(json.what(), schema, SCHEMA));
        }
        JsonFields random = json.object("random");
        if (!random.text("generator").equals(GENERATOR)) {
            throw new FormatException(random.what() + ": 'generator' is unknown, but must be " + GENERATOR);
        }
        int step = (int) json.whole("step", 0, Integer.MAX_VALUE);
        requireSame(random, "nextStep", step);
        int dataStep = (int) json.object("data").whole("nextStep", step, Integer.MAX_VALUE);
        if (step != checkpoint.step()) {
            throw new FormatException("%s is of step %d, but its folder is named for step %d"
                    .formatted(json.what(), step, checkpoint.step()));
        }
        ResolvedConfiguration configuration = ResolvedConfiguration.of(json.object("configuration"));
        requireSame(random, "seed", configuration.seed());
        if (!configuration.hash().equals(json.text("configurationHash"))) {
            throw new FormatException(json.what() + ": 'configurationHash' is not the hash of 'configuration'");
        }
        JsonFields trained = json.object("trainedSteps");
        SortedMap<String, Integer> trainedSteps = new TreeMap<>();
        trained.fields().keySet().forEach(layer -> trainedSteps.put(layer, (int) trained.whole(layer, 0, step)));
        SortedMap<String, String> quantizers =
                json.has("quantizers") ? json.texts("quantizers") : configuration.layers(); // version 0.1 had none
        return new CheckpointState(
                step, dataStep, configuration, json.object("data").text("hash"), quantizers, trainedSteps);
    }

    private static void requireSame(JsonFields json, String name, long value) {
        json.whole(name, value, value);
    }
}
