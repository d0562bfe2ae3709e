package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.Gelu;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.Spi;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.run.Batch;
import dev.nibble.testkit.run.OddQuantizer;
import dev.nibble.testkit.run.Rig;
import dev.nibble.testkit.run.TwoLayerNet;
import dev.nibble.testkit.run.TwoLayerNet.Activation;
import dev.nibble.testkit.run.TwoLayerNet.Snapshot;
import java.util.Collections;
import java.util.List;
import java.util.Map;
import java.util.function.Consumer;
import org.junit.jupiter.api.Test;

/**
 * What every backend keeps. A test class extends this and names its provider; the backend is then compared with the plain code
 * over every case of the SPI, on each number of threads.
 *
 * <p>Codes, scales, masks, statistics, integer products, samples and state are compared bit for bit. Sums of floats are, too, on
 * a backend that keeps their order ({@link #sumsInOrder}), and stay within derived bounds on any other.
 */
public abstract class BackendContract {
    private static final TwoLayerNet.Sizes SIZES = new TwoLayerNet.Sizes(48, 40, 8);
    private static final int STEPS = 40;
    private static final int SAMPLE = 7; // divides no period of the table of specs

    /** For subclasses. */
    protected BackendContract() {}

    /** {@return the provider under test; it must be available} */
    protected abstract BackendProvider provider();

    /** {@return the numbers of host threads to compute with} */
    protected List<Integer> threads() {
        return List.of(1, 2, 3);
    }

    /**
     * {@return whether products and other sums of floats are added in the order of the plain code, so that their bits are equal}
     * Integer products always are.
     */
    protected boolean sumsInOrder() {
        return true;
    }

    /**
     * {@return whether the backend does not serve a spec, and says so by name}
     *
     * @param spec of the kit's table
     */
    protected boolean refuses(QuantizeSpec spec) {
        return false;
    }

    private void onEach(Consumer<Duel> checks) {
        for (int count : threads()) {
            try (Duel duel = new Duel(provider(), count)) {
                checks.accept(duel);
            }
        }
    }

    private QuantizeParity quantization() {
        return new QuantizeParity(this::refuses);
    }

    private ProductParity products() {
        return new ProductParity(this::refuses, sumsInOrder());
    }

    private void neural(Consumer<NeuralParity> checks) {
        onEach(duel -> checks.accept(new NeuralParity(duel, sumsInOrder())));
    }

    private void convolution(Consumer<ConvolutionParity> checks) {
        onEach(duel -> checks.accept(new ConvolutionParity(duel, sumsInOrder())));
    }

    private LifeCycleChecks lifeCycle() {
        return new LifeCycleChecks(provider());
    }

    /** Name, version and description can be shown; availability gives its reason. */
    @Test
    public final void providerDescribesItself() {
        BackendProvider provider = provider();
        assertTrue(provider.name().matches("[a-z][a-z0-9]*(-[a-z0-9]+)*"), "name '" + provider.name() + "'");
        assertTrue(Spi.accepts(provider.spiVersion()), "SPI version " + provider.spiVersion());
        assertFalse(provider.description().isBlank(), "the description is blank");
        assertFalse(provider.availability().reason().isBlank(), "availability has no reason");
        assertTrue(provider.availability().available(), provider.availability().reason());
        try (Backend backend = provider.open(BackendOptions.withSeed(1))) {
            assertEquals(provider.name(), backend.name());
            assertFalse(backend.description().isBlank(), "the description of the device is blank");
        }
    }

    /**
     * Every source, format, granularity, scale rule, rounding, overflow and transform quantizes to the plain code's bits: all
     * specs of the table on the largest number of threads, and each seventh on the others.
     */
    @Test
    public final void quantizesEverySpec() {
        int most = Collections.max(threads());
        for (int count : threads()) {
            try (Duel duel = new Duel(provider(), count)) {
                quantization().everySpec(duel, count == most ? 1 : SAMPLE);
            }
        }
    }

    /** So do matrices of one element, one row, one column, and around the widths of vectors and tiles. */
    @Test
    public final void quantizesEveryShape() {
        onEach(quantization()::everyShape);
    }

    /** One NaN in any place reaches scales and statistics as in the plain code. */
    @Test
    public final void nanInAnyPlaceIsSeen() {
        onEach(quantization()::nanInAnyPlace);
    }

    /** Every pair of formats and granularities, residuals, digits, weighted samples and sampled rows multiply. */
    @Test
    public final void multipliesEveryPair() {
        onEach(products()::everyProduct);
    }

    /** A contraction that is summed in parts has their order. */
    @Test
    public final void longContractionsAreSummedInParts() {
        onEach(products()::longProducts);
    }

    /** The mask of a residual is heeded: an absent block adds no term, not even times NaN. */
    @Test
    public final void absentBlocksAddNothing() {
        onEach(products()::absentBlocksAddNothing);
    }

    /** NaN, infinity, subnormal and largest numbers come out of products as out of the plain code's. */
    @Test
    public final void specialValuesPassThroughProducts() {
        onEach(products()::specialValues);
    }

    /** Every operation of state programs, on special values too. */
    @Test
    public final void runsStatePrograms() {
        onEach(StateParity::programs);
    }

    /** Transforms alone, the search for a block size, and the gradients of learned steps. */
    @Test
    public final void transformsAndLearnsSteps() {
        onEach(duel -> {
            StateParity.transforms(duel);
            StateParity.searches(duel);
            StateParity.learnedSteps(duel);
        });
    }

    /** Tensors that are kept in 8 to 16 bits decode to the plain code's bits. */
    @Test
    public final void packsWhatIsKept() {
        onEach(CodecParity::everyCodec);
    }

    /** RMSNorm and its gradients. */
    @Test
    public final void normalizes() {
        neural(NeuralParity::norms);
    }

    /** SwiGLU, ReLU and their gradients. */
    @Test
    public final void activates() {
        neural(NeuralParity::activations);
    }

    /** Rows without their means, biases and their gradients, GELU in both forms and its gradient. */
    @Test
    public final void worksOnRows() {
        onEach(duel -> {
            RowsParity parity = new RowsParity(duel, sumsInOrder());
            parity.rows();
            for (Gelu form : Gelu.values()) {
                parity.gelu(form);
            }
        });
    }

    /** Rotary embedding and attention, causal or not, and their gradients. */
    @Test
    public final void attends() {
        neural(NeuralParity::attention);
    }

    /** Attention of tokens that follow those of a cache, together and one by one. */
    @Test
    public final void goesOnWithSequences() {
        onEach(duel -> new CachedAttentionParity(duel, sumsInOrder()).sequences());
    }

    /** Softmax of rows, under a mask or not, and its gradient. */
    @Test
    public final void weighsKeys() {
        neural(NeuralParity::softmaxes);
    }

    /** Cross-entropy, its gradient, and the count of correct answers. */
    @Test
    public final void measuresLosses() {
        neural(NeuralParity::losses);
    }

    /** Zero, addition, embeddings, means of rows and copies of blocks. */
    @Test
    public final void movesAndAdds() {
        neural(NeuralParity::movements);
    }

    /** Patches of images, and their sum, bit for bit. */
    @Test
    public final void unfoldsAndFolds() {
        convolution(ConvolutionParity::windows);
    }

    /** Batch normalization with its gradients, and running averages. */
    @Test
    public final void normalizesBatches() {
        convolution(ConvolutionParity::batchNorm);
    }

    /** The control vector, and AdamW bit for bit; a skipped step changes nothing. */
    @Test
    public final void updatesWeights() {
        neural(NeuralParity::optimizer);
    }

    /** Every rule of the optimizer, bit for bit. */
    @Test
    public final void updatesWeightsByEveryRule() {
        onEach(duel -> new UpdateParity(duel, sumsInOrder()).updates());
    }

    /** Averages of weights, bit for bit; a skipped step changes nothing. */
    @Test
    public final void movesAveragesOfWeights() {
        onEach(duel -> new UpdateParity(duel, sumsInOrder()).averages());
    }

    /** Reading a device value inside a step throws; after the step it is there. */
    @Test
    public final void nothingIsReadInsideAStep() {
        lifeCycle().nothingIsReadInsideAStep();
    }

    /** A second step is refused while one is open. */
    @Test
    public final void oneStepIsOpenAtATime() {
        lifeCycle().oneStepIsOpenAtATime();
    }

    /** A step frees what was allocated in it, but for what has another handle. */
    @Test
    public final void stepsFreeWhatTheyAllocated() {
        lifeCycle().stepsFreeWhatTheyAllocated();
    }

    /** A handle that was closed does nothing more; closing it again is allowed. */
    @Test
    public final void closedHandlesAreRefused() {
        lifeCycle().closedHandlesAreRefused();
    }

    /** A closed backend has closed its step, and refuses everything. */
    @Test
    public final void closedBackendsRefuseWork() {
        lifeCycle().closedBackendsRefuseWork();
    }

    /** Memory that was used before is zero again. */
    @Test
    public final void newMemoryIsZero() {
        lifeCycle().newMemoryIsZero();
    }

    /** State vectors have their first values, and are counted as state. */
    @Test
    public final void stateStartsWithItsFirstValues() {
        lifeCycle().stateStartsWithItsFirstValues();
    }

    /** What does not fit together is refused, with both shapes. */
    @Test
    public final void misfitsAreRefusedWithBothShapes() {
        lifeCycle().misfitsAreRefusedWithBothShapes();
    }

    /** A tensor of another backend is refused by name. */
    @Test
    public final void othersTensorsAreRefused() {
        lifeCycle().othersTensorsAreRefused();
    }

    /** Live bytes are counted by tag, and gone when everything is closed. */
    @Test
    public final void memoryIsCountedByPurpose() {
        lifeCycle().memoryIsCountedByPurpose();
    }

    /** A saved operand counts as context once, with the bytes of the format that it says it is stored in. */
    @Test
    public final void codesTakeTheBytesOfTheirFormat() {
        lifeCycle().codesTakeTheBytesOfTheirFormat();
    }

    /** Operands that were not finite are told in order, once. */
    @Test
    public final void whatIsNotFiniteIsToldOnce() {
        lifeCycle().whatIsNotFiniteIsToldOnce();
    }

    /** Two backends have a step each. */
    @Test
    public final void backendsCoexist() {
        lifeCycle().backendsCoexist();
    }

    /** Every pair of formats leaves one row in the log: what was asked for, what the operands are stored in. */
    @Test
    public final void rowsNameWhatWasStored() {
        try (Rig rig = new Rig(provider().open(new BackendOptions(Rig.SEED, 1, false)))) {
            new ExecutionChecks(this::refuses).rowsNameWhatWasStored(rig);
        }
    }

    /**
     * A quantizer that the backend has never heard of trains on it: to the plain code's bits where sums keep their order, else
     * to half of its first loss.
     */
    @Test
    public final void servesAQuantizerItHasNeverHeardOf() {
        for (Activation activation : Activation.values()) {
            onEach(duel -> assertServes(duel, activation));
        }
    }

    private void assertServes(Duel duel, Activation activation) {
        int steps = sumsInOrder() ? 4 : STEPS;
        float[] actual = new float[steps]; // losses, [steps]
        float[] plain = new float[steps]; // losses, [steps]
        Snapshot end = train(duel.actual(), activation, actual);
        if (!sumsInOrder()) {
            assertTrue(
                    actual[steps - 1] <= actual[0] / 2,
                    "the loss went from %s to %s, but must halve".formatted(actual[0], actual[steps - 1]));
            return;
        }
        Snapshot expected = train(duel.plain(), activation, plain);
        Bits.assertSame(duel.says("losses"), plain, actual);
        expected.values()
                .forEach((name, values) -> Bits.assertSame(
                        duel.says("after " + steps + " steps: " + name),
                        values,
                        end.values().get(name)));
    }

    private static Snapshot train(Rig rig, Activation activation, float[] losses) {
        OddQuantizer odd = new OddQuantizer();
        OptionValues none = OptionValues.of(odd.name(), odd.options(), Map.of());
        try (TwoLayerNet net = new TwoLayerNet(rig.backend(), odd.create(none), activation, SIZES, 3)) {
            for (int step = 0; step < losses.length; step++) {
                losses[step] = net.train(step, List.of(Batch.learnable(1, 61, SIZES.in(), SIZES.classes())));
                assertFalse(net.skipped(), "step " + step + " was skipped");
            }
            return net.snapshot();
        }
    }
}
