package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;
import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import dev.nibble.spi.Availability;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.QuantizerProvider;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.stream.Stream;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.io.TempDir;

/** The command on a GPU: every quantizer and option, and what happens when something goes wrong. */
class CudaCommandTests {
    private static final String SMALL = "--steps 2 --set model.width=128 --set model.heads=2 --set model.hidden=192"
            + " --set model.layers=1 --set data.batch=4 --set data.sequence=33 --set data.validationBatches=1";

    /** What an option needs besides itself. */
    private static final Map<String, String> COMPANIONS = Map.of(
            "fp8:forward", "backward=e4m3,", // no hardware multiplies e5m2 by e5m2
            "fp8:amaxAlgo", "scaling=delayed,",
            "fp8:history", "scaling=delayed,",
            "fp8:margin", "scaling=delayed,");

    @TempDir
    Path folder;

    private static void requireGpu() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
    }

    private static String[] words(String line) {
        return line.split(" +");
    }

    /** {@return each quantizer as it is, and with each value of each option that has named values} */
    private static List<String> variants() {
        List<String> variants = new ArrayList<>();
        for (QuantizerProvider quantizer : Plugins.quantizers().all()) {
            variants.add(quantizer.name());
            for (OptionSpec option : quantizer.options()) {
                String companion = COMPANIONS.getOrDefault(quantizer.name() + ':' + option.name(), "");
                for (String value : option.values()) {
                    if (!value.equals(option.defaultValue())) {
                        variants.add(quantizer.name() + ':' + companion + option.name() + '=' + value);
                    }
                }
            }
        }
        return variants;
    }

    private JsonNode compare(String backend, List<String> variants) throws IOException, InterruptedException {
        List<String> words = new ArrayList<>(List.of("compare", "text", "--backend", backend, "--strict", "--json"));
        words.addAll(List.of(words(SMALL)));
        words.addAll(List.of("--out", folder.resolve("compare").toString()));
        for (String variant : variants) {
            words.addAll(List.of("--quantizer", variant));
        }
        Command command = Command.of(folder, words.toArray(String[]::new));
        assertFalse(command.out().isEmpty(), command.err());
        return new ObjectMapper().readTree(command.out());
    }

    @Test
    void everyOptionTrainsInTheFormatsThatItNames() throws Exception {
        requireGpu();
        List<String> variants = variants();
        assertTrue(variants.size() > 50, "saw " + variants.size() + " variants");
        List<String> wrong = new ArrayList<>();
        JsonNode runs = compare("cuda", variants).get("runs");
        assertEquals(variants.size(), runs.size());
        for (JsonNode run : runs) {
            if (!run.get("status").asText().equals("completed")) {
                wrong.add(run.toString());
            }
        }
        assertEquals(List.of(), wrong);
    }

    private static Path weights(Path run, int step) {
        return run.resolve("checkpoints").resolve("step-%06d".formatted(step)).resolve("model.safetensors");
    }

    @Test
    void aFaultEndsTheRunWithItsLastCheckpointWhole() throws Exception {
        requireGpu();
        Path services = Files.createDirectories(folder.resolve("services/META-INF/services"));
        Files.writeString(services.resolve("dev.nibble.spi.BackendProvider"), FallingProvider.class.getName());
        String line = "train text " + SMALL.replace("--steps 2", "--steps 9")
                + " --set train.checkpointEvery=2 --set train.evaluateEvery=0 --quiet";
        Path out = folder.resolve("falls");
        Command fell = Command.start(
                        folder,
                        folder.resolve("services").toString(),
                        words(line + " --backend " + FallingProvider.NAME + " --out " + out))
                .ended();
        assertEquals(1, fell.status(), fell.err());
        for (String part : List.of("CUDA_ERROR_ILLEGAL_ADDRESS", "NVIDIA", "launched since the last wait")) {
            assertTrue(fell.err().contains(part), fell.err());
        }
        assertEquals(1, fell.err().lines().count(), fell.err());
        Path whole = folder.resolve("whole");
        Command good = Command.of(folder, words(line + " --backend cuda --out " + whole));
        assertEquals(0, good.status(), good.err());
        assertTrue(Files.exists(weights(out, 6)), "the last checkpoint before the fault is that of step 6");
        Command resumed = Command.of(folder, words(line + " --backend cuda --resume --out " + out));
        assertEquals(0, resumed.status(), resumed.err());
        assertArrayEquals(Files.readAllBytes(weights(whole, 9)), Files.readAllBytes(weights(out, 9)));
    }

    @Test
    void twoProcessesShareAGpu() throws Exception {
        requireGpu();
        String line = "train text --backend cuda --quiet --quantizer int8-fallback "
                + SMALL.replace("--steps 2", "--steps 30") + " --out ";
        List<Path> runs = Stream.of("one", "two").map(folder::resolve).toList();
        List<Command.Started> started = new ArrayList<>();
        for (Path run : runs) {
            started.add(Command.start(folder, "", words(line + run)));
        }
        for (Command.Started process : started) {
            Command ended = process.ended();
            assertEquals(0, ended.status(), ended.err());
        }
        assertArrayEquals(
                Files.readAllBytes(weights(runs.getFirst(), 30)), Files.readAllBytes(weights(runs.getLast(), 30)));
    }

    @Test
    void kernelsThatThisBuildLacksAreNamed() throws Exception {
        requireGpu();
        Command command = Command.with(
                folder,
                List.of("--enable-native-access=ALL-UNNAMED", "-Dnibble.cuda.images=sm_75"),
                words("train text --backend cuda --quiet " + SMALL + " --out " + folder.resolve("sm75")));
        assertEquals(3, command.status(), command.err());
        assertTrue(command.err().contains("not compiled for sm_75; this build has ["), command.err());
    }

    /** Needs no GPU: native access is asked for before a driver is looked for. */
    @Test
    void withoutNativeAccessOneLineSaysWhatToAdd() throws Exception {
        for (List<String> options : List.of(List.<String>of(), List.of("--illegal-native-access=deny"))) {
            Command command = Command.with(
                    folder,
                    options,
                    words("train text --backend cuda --quiet " + SMALL + " --out " + folder.resolve("denied")));
            assertEquals(3, command.status(), command.err());
            assertEquals(1, command.err().lines().count(), command.err());
            assertTrue(
                    command.err().contains("native access is not allowed; start java with --enable-native-access="),
                    command.err());
        }
    }
}
