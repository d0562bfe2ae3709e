package dev.nibble.conformance;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;
import static org.junit.jupiter.api.Assumptions.assumeTrue;
import static org.junit.jupiter.api.DynamicTest.dynamicTest;

import com.google.inject.AbstractModule;
import com.google.inject.Guice;
import com.google.inject.multibindings.OptionalBinder;
import dev.nibble.models.BackendLookup;
import dev.nibble.models.NibbleModule;
import dev.nibble.models.QuantizerChoice;
import dev.nibble.models.RunConfig;
import dev.nibble.models.RunListener;
import dev.nibble.models.RunResult;
import dev.nibble.models.Runs;
import dev.nibble.spi.Availability;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Plugins;
import dev.nibble.spi.Spi;
import dev.nibble.testkit.control.FaultyBackends;
import java.util.ArrayList;
import java.util.List;
import java.util.stream.Stream;
import org.junit.jupiter.api.DynamicTest;
import org.junit.jupiter.api.Test;
import org.junit.jupiter.api.TestFactory;

/**
 * Training steps of a small language model, each operation computed on the CPU and, from the CPU's inputs, on the GPU: bits
 * where they are promised, derived bounds for products that tensor cores add.
 */
class StepReplayTests {
    private static final int STEPS = 2;
    private static final List<String> VARIANTS = List.of(
            "fp32",
            "bf16",
            "int8-row",
            "int8-block",
            "int8-block:contextBits=10",
            "int8-fallback",
            "int8-fallback:block=32,residualInGradWeight=true",
            "int4",
            "int4:split=r,sampling=z",
            "int4:hadamard=none,sampling=none",
            "luq",
            "luq:samplesGradWeight=2,samplesGradInput=2,hindsight=0.9",
            "fp8",
            "fp8:scaling=delayed",
            "fp8:scaling=row",
            "fp8:scaling=1x128",
            "fp8:scaling=128x128,gradRounding=stochastic",
            "fp8:smooth=channel");

    private record Mirrored(BackendProvider first, BackendProvider second, List<MirrorBackend> opened)
            implements BackendProvider {
        @Override
        public String name() {
            return "mirror";
        }

        @Override
        public int spiVersion() {
            return Spi.VERSION;
        }

        @Override
        public String description() {
            return "two backends";
        }

        @Override
        public Availability availability() {
            return Availability.yes("a test's");
        }

        @Override
        public int preference() {
            return 0;
        }

        @Override
        public Backend open(BackendOptions options) {
            opened.add(new MirrorBackend(first.open(options), second.open(options)));
            return opened.getLast();
        }
    }

    private static RunConfig small(String quantizer) {
        return RunConfig.of("text")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .withBackend("mirror")
                .withSteps(STEPS)
                .with("model.width", "128")
                .with("model.heads", "2")
                .with("model.hidden", "192")
                .with("model.layers", "1")
                .with("data.batch", "4")
                .with("data.sequence", "33")
                .with("data.validationBatches", "1")
                .with("train.microBatches", "2")
                .with("train.warmup", "1");
    }

    private static MirrorBackend train(RunConfig config, BackendProvider first, BackendProvider second) {
        Mirrored mirrored = new Mirrored(first, second, new ArrayList<>());
        Runs runs = Guice.createInjector(new NibbleModule(), new AbstractModule() {
                    @Override
                    protected void configure() {
                        OptionalBinder.newOptionalBinder(binder(), BackendLookup.class)
                                .setBinding()
                                .toInstance(_ -> mirrored);
                    }
                })
                .getInstance(Runs.class);
        RunResult result = runs.train(config, RunListener.SILENT);
        assertEquals(RunResult.Status.COMPLETED, result.status(), result::message);
        return mirrored.opened().getLast();
    }

    private static void assertMirrors(String quantizer, String first, String second) {
        assertMirrors(small(quantizer), first, second);
    }

    private static void assertMirrors(RunConfig config, String first, String second) {
        BackendProvider one = Plugins.backends().get(first);
        BackendProvider two = Plugins.backends().get(second);
        MirrorBackend mirror = train(config, one, two);
        assertEquals(List.of(), mirror.failures(), () -> String.join("\n", mirror.failures()));
        for (String operation : List.of(
                "QuantizeOps.quantize",
                "GemmBackend.multiply",
                "NeuralOps.attentionBackward",
                "NeuralOps.crossEntropy",
                "OptimizerOps.update")) {
            assertTrue(mirror.counts().getOrDefault(operation, 0) > STEPS, operation + " in " + mirror.counts());
        }
    }

    @TestFactory
    Stream<DynamicTest> everyOperationOfAStepOnTheGpuIsTheCpus() {
        Availability availability = Plugins.backends().get("cuda").availability();
        assumeTrue(availability.available(), availability.reason());
        return Stream.concat(
                VARIANTS.stream()
                        .map(quantizer ->
                                dynamicTest(quantizer, () -> assertMirrors(quantizer, "cpu-portable", "cuda"))),
                Stream.of("fp32", "bf16")
                        .map(head -> dynamicTest(
                                "logits in chunks, " + head,
                                () -> assertMirrors(inChunks(head), "cpu-portable", "cuda"))));
    }

    /** 132 tokens in chunks of 128 and 4. */
    private static RunConfig inChunks(String head) {
        return small("fp32").with("layers.head", head).with("model.logitsElements", "32768");
    }

    /** Here both sides are on the host: what the mirror itself does must change nothing. */
    @Test
    void everyOperationOfAStepOnTheCpuIsThePlainCodes() {
        assertMirrors("int8-fallback", "cpu-portable", "reference");
        assertMirrors(inChunks("bf16"), "cpu-portable", "reference");
    }

    @Test
    void aBackendWithAFaultIsSeen() {
        MirrorBackend mirror =
                train(small("int8-row"), Plugins.backends().get("reference"), FaultyBackends.withOneStream());
        assertFalse(mirror.failures().isEmpty());
    }

    @Test
    void everyQuantizerIsAmongTheVariants() {
        List<String> names = VARIANTS.stream()
                .map(variant -> variant.split(":", 2)[0])
                .distinct()
                .sorted()
                .toList();
        assertEquals(Plugins.quantizers().names(), names);
    }
}
