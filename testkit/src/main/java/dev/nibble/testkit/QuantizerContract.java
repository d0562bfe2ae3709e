package dev.nibble.testkit;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertFalse;
import static org.junit.jupiter.api.Assertions.assertThrows;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.reference.ReferenceBackendProvider;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BackendProvider;
import dev.nibble.spi.OptionSpec;
import dev.nibble.spi.OptionValues;
import dev.nibble.spi.QuantizerProvider;
import dev.nibble.spi.Spi;
import java.util.Map;
import java.util.stream.Collectors;
import org.junit.jupiter.api.Test;

/**
 * What every quantizer keeps. A test class extends this and names its provider; option values and {@link Claims} are
 * optional. Each claim is then held to; without claims, all that needs none is checked.
 *
 * <p>Everything runs through the SPI, on the plain code unless {@link #backend} names another. Tests are final: what a method
 * cannot do, it does not claim.
 */
public abstract class QuantizerContract {
    /** For subclasses. */
    protected QuantizerContract() {}

    /** {@return the provider under test} */
    protected abstract QuantizerProvider provider();

    /** {@return the options that differ from their defaults} */
    protected Map<String, String> options() {
        return Map.of();
    }

    /** {@return what the quantizer says of itself} */
    protected Claims claims() {
        return Claims.none();
    }

    /** {@return what computes; the plain code by default} */
    protected BackendProvider backend() {
        return new ReferenceBackendProvider();
    }

    private Subject subject() {
        return new Subject(provider(), options(), claims(), backend());
    }

    private TrainingChecks training() {
        return new TrainingChecks(subject(), this::opened);
    }

    /**
     * Is told of each backend that a network is about to train on, guarded: for a quantizer that has to know it.
     *
     * @param backend throws when a step reads
     */
    protected void opened(Backend backend) {}

    /** Name, version, description and options can be shown, and a wrong option is refused by name. */
    @Test
    public final void providerDescribesItself() {
        QuantizerProvider provider = provider();
        assertTrue(provider.name().matches("[a-z][a-z0-9]*(-[a-z0-9]+)*"), "name '" + provider.name() + "'");
        assertTrue(Spi.accepts(provider.spiVersion()), "SPI version " + provider.spiVersion());
        assertFalse(provider.description().isBlank(), "the description is blank");
        for (OptionSpec option : provider.options()) {
            assertFalse(option.help().isBlank(), "option " + option.name() + " has no help");
        }
        Map<String, String> defaults =
                provider.options().stream().collect(Collectors.toMap(OptionSpec::name, OptionSpec::defaultValue));
        assertEquals(
                defaults,
                OptionValues.of(provider.name(), provider.options(), Map.of()).asMap(),
                "defaults");
        Map<String, String> unknown = Map.of("noSuchOption", "1");
        IllegalArgumentException e = assertThrows(
                IllegalArgumentException.class, () -> OptionValues.of(provider.name(), provider.options(), unknown));
        assertTrue(e.getMessage().contains("noSuchOption"), e.getMessage());
    }

    /** {@code plan} is a pure function, and each of its specs says whose it is. */
    @Test
    public final void equalRequestsGiveEqualPlans() {
        new ProductChecks(subject()).equalRequestsGiveEqualPlans();
    }

    /** The random draws of a role are addressed by its name: no two roles may share one. */
    @Test
    public final void rolesKeepTheirName() {
        new AddressChecks(subject()).rolesKeepTheirName();
    }

    /**
     * Layers of 1, 13, 127, 128, 129 and 702 features and tokens are served, or refused with layer and extent where that is
     * claimed; a product equals the FP64 product of what its operands mean, within the rounding of its order.
     */
    @Test
    public final void everyShapeIsServedOrRefusedByName() {
        new ProductChecks(subject()).everyShapeIsServedOrRefused();
    }

    /** What an operand means is Σ code · scale over its planes, to the last bit; codes are in range, scales finite. */
    @Test
    public final void valuesAreCodesTimesScales() {
        new CodeChecks(subject()).valuesAreCodesTimesScales();
    }

    /** The claimed {@link Claims#bounds}. */
    @Test
    public final void errorsStayWithinTheirBounds() {
        new CodeChecks(subject()).errorsStayWithinTheirBounds();
    }

    /** Zeros, subnormal and largest numbers, in any lane, give finite values; so do constant tensors. */
    @Test
    public final void specialValuesHaveDefinedCodes() {
        new CodeChecks(subject()).specialValuesHaveDefinedCodes();
    }

    /** NaN and infinity, in any lane, are noted with site and role; NaN stays NaN, in codes and products. */
    @Test
    public final void whatIsNotFiniteIsNoted() {
        new CodeChecks(subject()).whatIsNotFiniteIsNoted();
    }

    /** The claimed {@link Claims#unbiased} roles have the right mean, and the claimed variance, within 5 standard errors. */
    @Test
    public final void drawsAreUnbiased() {
        new DrawChecks(subject()).meansAreRight();
    }

    /** In an unbiased role, a value that a code stands for exactly is never moved by a draw: 2^21 elements. */
    @Test
    public final void valuesOfCodesStay() {
        new DrawChecks(subject()).valuesOfCodesStay();
    }

    /** The same address gives the same draw; another seed, step, micro-batch, site, role, contraction, sample another. */
    @Test
    public final void drawsDependOnTheirAddressAlone() {
        new AddressChecks(subject()).drawsDependOnTheirAddress();
    }

    /** If dY is unbiased, gradInput and gradWeight are, sampled or not, within 5 standard errors. */
    @Test
    public final void gradientsAreUnbiased() {
        new ProductChecks(subject()).gradientsAreUnbiased();
    }

    /** A network of two layers halves its loss in 40 steps on a backend whose steps nobody reads in, and leaks nothing. */
    @Test
    public final void lossFallsOnADeviceThatNobodyReads() {
        training().lossFallsOnADeviceThatNobodyReads();
    }

    /**
     * A step with NaN or infinity in its input changes neither weights nor state, but for what a step measures before it
     * quantizes, and the next step is as if it had not been.
     */
    @Test
    public final void stepsThatAreNotFiniteAreSkipped() {
        training().stepsThatAreNotFiniteAreSkipped();
    }

    /** State that is read and written into a fresh layer continues to the same bits. */
    @Test
    public final void trainingContinuesWhereItWasSaved() {
        training().trainingContinuesWhereItWasSaved();
    }

    /** An evaluation changes neither weights nor state, and repeats to the same bits. */
    @Test
    public final void evaluationChangesNothing() {
        training().evaluationChangesNothing();
    }

    /** A forward pass that is recomputed leads to the same gradients and the same state. */
    @Test
    public final void recomputationGivesTheSameBits() {
        training().recomputationGivesTheSameBits();
    }

    /** After three training steps, values are still codes times scales, and products what their operands mean, in each phase. */
    @Test
    public final void trainedLayersMeanWhatTheySay() {
        training().trainedLayersMeanWhatTheySay();
    }

    /** One, two and three threads train to the same bits. */
    @Test
    public final void threadsChangeNoNumber() {
        training().threadsChangeNoNumber();
    }

    /** Where something is drawn, another seed trains to other weights. */
    @Test
    public final void anotherSeedIsAnotherTraining() {
        training().anotherSeedIsAnotherTraining();
    }

    /** Each product of each layer has its row in the execution log: what was asked for, what was stored, or a reason. */
    @Test
    public final void everyProductProvesItsFormat() {
        training().everyProductProvesItsFormat();
    }

    /** The claimed {@link Claims#contextBytes}. */
    @Test
    public final void contextIsAsSmallAsClaimed() {
        training().contextIsAsSmallAsClaimed();
    }
}
