package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertNotEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.gemm.Product;
import dev.nibble.quant.Contraction;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.Backend;
import dev.nibble.spi.Control;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearPlan;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Role;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.Subject.Layer;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Batch;
import dev.nibble.testkit.run.PlannedLinear;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.StepGuard;
import dev.nibble.testkit.run.StoredOperand;
import dev.nibble.testkit.run.TwoLayerNet;
import dev.nibble.testkit.run.TwoLayerNet.Activation;
import dev.nibble.testkit.run.TwoLayerNet.Snapshot;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.function.Consumer;
import java.util.stream.Collectors;

/** What a network of two layers does under a quantizer. */
final class TrainingChecks {
    private static final int TOKENS = 64;
    private static final int STEPS = 40;
    private static final double MARGIN = 0.5; // of the first loss: chance is ln(classes), and the data can be learned
    private static final int EXTENT = 256; // of a layer large enough that scales weigh little beside codes

    private final Subject subject;
    private final Consumer<Backend> opened; // is told of each guarded backend

    TrainingChecks(Subject subject, Consumer<Backend> opened) {
        this.subject = subject;
        this.opened = opened;
    }

    private List<Batch> batches(long seed) {
        TwoLayerNet.Sizes sizes = subject.sizes();
        return List.of(
                Batch.learnable(seed, TOKENS, sizes.in(), sizes.classes()),
                Batch.learnable(seed + 10, TOKENS / 2, sizes.in(), sizes.classes()));
    }

    private Batch batch(long seed) {
        return batches(seed).getFirst();
    }

    /** Runs work on a network of each kind, on a backend whose steps nobody reads in; nothing may stay open. */
    private void onNets(int threads, boolean strict, Consumer<TwoLayerNet> work) {
        for (Activation activation : Activation.values()) {
            try (Backend backend = new StepGuard(subject.open(Rig.SEED, threads, strict))) {
                opened.accept(backend);
                try (TwoLayerNet net = net(backend, activation)) {
                    work.accept(net);
                }
                Map<MemoryTag, Long> left = backend.memory().live().entrySet().stream()
                        .filter(entry -> entry.getValue() != 0)
                        .collect(Collectors.toMap(Map.Entry::getKey, Map.Entry::getValue));
                assertEquals(Map.of(), left, activation + ": bytes still live after everything was closed");
            }
        }
    }

    private TwoLayerNet net(Backend backend, Activation activation) {
        return new TwoLayerNet(backend, subject.quantizer(), activation, subject.sizes(), 7);
    }

    void lossFallsOnADeviceThatNobodyReads() {
        onNets(1, true, net -> {
            List<Batch> fixed = List.of(batch(1));
            float first = net.train(0, fixed);
            float last = first;
            for (int step = 1; step < STEPS; step++) {
                last = net.train(step, fixed);
                assertFalse(net.skipped(), "step " + step + " was skipped, but nothing was not finite");
            }
            assertTrue(
                    last <= MARGIN * first,
                    "in %d steps the loss went from %s to %s, but must halve".formatted(STEPS, first, last));
        });
    }

    void stepsThatAreNotFiniteAreSkipped() {
        onNets(1, false, net -> {
            net.train(0, batches(1));
            net.train(1, batches(2));
            Snapshot before = net.snapshot();
            Matrix x = batch(3).x();
            for (float special : SpecialValues.NOT_FINITE) {
                for (int place : List.of(0, x.values().length - 1)) {
                    Batch bad = new Batch(x.with(place, special), batch(3).targets());
                    net.train(2, List.of(bad, batch(4)));
                    assertTrue(net.skipped(), special + " at " + place + ": the step was not skipped");
                    assertUntouched("after a skipped step with " + special, before, net);
                    assertFalse(net.takeNonFinite().isEmpty(), special + " was not noted");
                }
            }
            Map<String, float[]> here = net.passes(3, false, batch(5));
            net.restore(before);
            assertSameValues("the step after a skipped one", net.passes(3, false, batch(5)), here);
        });
    }

    /** What a step measures before it quantizes may have moved, since the next step measures anew; but it stays finite. */
    private static void assertUntouched(String what, Snapshot before, TwoLayerNet net) {
        Snapshot after = net.snapshot();
        Map<String, float[]> kept = new TreeMap<>(before.values());
        for (String name : net.measured(TOKENS)) {
            kept.remove(name);
            for (float value : after.values().get(name)) {
                assertTrue(Float.isFinite(value), what + ": " + name + " holds " + value);
            }
        }
        assertSame(what, new Snapshot(kept, before.trainedSteps()), after);
    }

    /** Weights, moments and state: the control vector of a skipped step holds the norm that was not finite. */
    private static void assertSame(String what, Snapshot expected, Snapshot actual) {
        assertEquals(expected.trainedSteps(), actual.trainedSteps(), what + ": training steps");
        expected.values().forEach((name, values) -> {
            float[] found = actual.values().get(name);
            if (name.equals(TwoLayerNet.CONTROL)) {
                int updates = Control.UPDATES.ordinal();
                assertEquals(values[updates], found[updates], what + ": updates");
            } else {
                Bits.assertSame(what + ": " + name, values, found);
            }
        });
    }

    private static void assertSameValues(String what, Map<String, float[]> expected, Map<String, float[]> actual) {
        expected.forEach((name, values) -> Bits.assertSame(what + ": " + name, values, actual.get(name)));
    }

    void trainingContinuesWhereItWasSaved() {
        onNets(1, false, net -> {
            for (int step = 0; step < 3; step++) {
                net.train(step, batches(step));
            }
            Snapshot saved = net.snapshot();
            net.train(3, batches(3));
            net.train(4, batches(4));
            Snapshot expected = net.snapshot();
            try (Backend backend = subject.open(Rig.SEED, 1, false);
                    TwoLayerNet resumed = net(backend, net.activation())) {
                resumed.restore(saved);
                resumed.train(3, batches(3));
                resumed.train(4, batches(4));
                assertSame("resumed", expected, resumed.snapshot());
            }
        });
    }

    void evaluationChangesNothing() {
        onNets(1, false, net -> {
            net.evaluate(0, batch(9));
            net.train(0, batches(1));
            net.train(1, batches(2));
            Snapshot before = net.snapshot();
            float[] logits = net.evaluate(2, batch(3));
            assertSame("after an evaluation", before, net.snapshot());
            Bits.assertSame("a second evaluation", logits, net.evaluate(2, batch(3)));
        });
    }

    void recomputationGivesTheSameBits() {
        onNets(1, false, net -> {
            for (int step = 0; step < 2; step++) {
                Snapshot before = net.snapshot();
                Map<String, float[]> expected = net.passes(step, false, batch(step));
                Snapshot after = net.snapshot();
                net.restore(before);
                assertSameValues("recomputed", expected, net.passes(step, true, batch(step)));
                assertSame("after a recomputation", after, net.snapshot());
                net.restore(before);
                net.train(step, batches(step));
            }
        });
    }

    /** What holds for a fresh layer's codes and products holds for one with state, in each phase. */
    void trainedLayersMeanWhatTheySay() {
        onNets(1, false, net -> {
            for (int step = 0; step < 3; step++) {
                net.train(step, batches(step));
            }
            for (PlannedLinear linear : net.linears()) {
                for (PlanRequest.Phase phase : PlanRequest.Phase.values()) {
                    LinearPlan plan = linear.plan(TOKENS, phase);
                    Layer layer = new Layer(linear.layer(), plan, TOKENS, linear.stateVectors());
                    try (Rig rig = subject.rig()) {
                        CodeChecks.assertMeanings(rig, layer);
                        ProductChecks.assertProducts(rig, layer);
                    }
                }
            }
        });
    }

    void threadsChangeNoNumber() {
        Snapshot[] one = new Snapshot[Activation.values().length]; // [activations]
        for (int threads = 1; threads <= 3; threads++) {
            String what = threads + " threads";
            onNets(threads, false, net -> {
                net.train(0, batches(1));
                net.train(1, batches(2));
                int kind = net.activation().ordinal();
                one[kind] = one[kind] == null ? net.snapshot() : one[kind];
                assertSame(what, one[kind], net.snapshot());
            });
        }
    }

    void anotherSeedIsAnotherTraining() {
        if (subject.claims().unbiased().isEmpty()) {
            return;
        }
        Snapshot[] ends = new Snapshot[2]; // [seeds]
        for (int i = 0; i < ends.length; i++) {
            try (Backend backend = subject.open(Rig.SEED + i, 1, false);
                    TwoLayerNet net = net(backend, Activation.RELU)) {
                net.train(0, batches(1));
                ends[i] = net.snapshot();
            }
        }
        String weight = "blocks.0.mlp.down.weight";
        int different =
                Bits.differences(ends[0].values().get(weight), ends[1].values().get(weight));
        assertNotEquals(0, different, "weights under two seeds are the same to the last bit");
    }

    void everyProductProvesItsFormat() {
        onNets(1, true, net -> {
            net.train(0, List.of(batch(1)));
            List<ExecutionRow> rows = net.rows();
            for (PlannedLinear linear : net.linears()) {
                for (Product product : Product.values()) {
                    assertProof(rows, linear.layer(), product);
                }
            }
        });
    }

    private void assertProof(List<ExecutionRow> rows, LinearLayer sized, Product product) {
        List<ExecutionRow> own = rows.stream()
                .filter(row ->
                        row.layer().equals(sized.site().name()) && row.product().equals(product.label()))
                .toList();
        String what = product.label() + " of " + sized.site().name();
        assertFalse(own.isEmpty(), what + " has no row in the execution log");
        Layer layer = Layer.fresh(sized, subject.quantizer().linear(sized), TOKENS);
        String requested = requested(layer, product.roleA(), product.contractionA()) + " x "
                + requested(layer, product.roleB(), product.contractionB());
        String stored = stored(layer, product.roleA(), product.contractionA()) + " x "
                + stored(layer, product.roleB(), product.contractionB());
        for (ExecutionRow row : own) {
            assertEquals(requested, row.requestedFormat(), what + ": requested format");
            assertEquals(stored, row.storedFormat(), what + ": stored format, as the operands themselves say");
            assertFalse(row.kernel().isBlank() || row.computeType().isBlank(), what + ": " + row);
            assertTrue(!row.differs() || !row.reason().isBlank(), what + " differs without a reason: " + row);
        }
    }

    private static String requested(Layer layer, Role role, Contraction contraction) {
        return layer.plan().quantize(role).operand(contraction).formatLabel();
    }

    private String stored(Layer layer, Role role, Contraction contraction) {
        try (Rig rig = subject.rig()) {
            StoredOperand operand = rig.quantize(Rig.CONTEXT, Rig.SITE, layer.source(role, layer.normal(role)))
                    .operand(contraction);
            return operand.planes().stream()
                    .map(plane -> plane.format().label())
                    .collect(Collectors.joining("+"));
        }
    }

    void contextIsAsSmallAsClaimed() {
        if (subject.claims().contextBytes().isEmpty()) {
            return;
        }
        Layer layer = subject.layer(EXTENT, EXTENT, EXTENT);
        LinearQuantizer quantizer = subject.quantizer().linear(layer.layer());
        try (Rig rig = subject.rig();
                Tensor x = rig.tensor(layer.normal(Role.INPUT));
                PlannedLinear linear =
                        new PlannedLinear(rig.backend(), layer.layer(), quantizer, layer.normal(Role.WEIGHT));
                StepScope scope = rig.backend().beginStep(StepContext.train(0, 0))) {
            linear.forward(scope, x).close();
            double bytes =
                    rig.backend().memory().live(MemoryTag.CONTEXT) / (double) ((long) layer.tokens() * layer.in());
            double claimed = subject.claims().contextBytes().orElseThrow();
            assertTrue(bytes > 0, "a forward pass in training kept nothing");
            assertTrue(
                    bytes <= claimed,
                    "%s bytes an element of X are kept, but at most %s are claimed".formatted(bytes, claimed));
        }
    }
}
