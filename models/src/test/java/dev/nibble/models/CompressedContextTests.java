package dev.nibble.models;

import static org.junit.jupiter.api.Assertions.assertEquals;
import static org.junit.jupiter.api.Assertions.assertTrue;

import dev.nibble.quant.TensorCodec;
import dev.nibble.tensor.Shape;
import org.junit.jupiter.api.Test;

/** Packed context in whole runs: the memory that it saves, and what it does to the loss. */
class CompressedContextTests {
    private static final int TOKENS = 2048;
    private static final int WIDTH = 256;
    private static final int HIDDEN = 704;
    private static final int HEADS = 4;
    private static final int LAYERS = 4;

    private final Runs runs = Runs.create();

    private long savedBytes(String quantizer) {
        RunConfig config = RunConfig.of("text")
                .withQuantizer(QuantizerChoice.parse(quantizer))
                .with("data.validationBatches", "1")
                .withSteps(1);
        return runs.train(config, RunListener.SILENT).savedActivationBytes();
    }

    private static long int8(long cols) {
        return TOKENS * cols + 4L * Math.ceilDiv(TOKENS, 128) * Math.ceilDiv(cols, 128);
    }

    private static long fp32(long cols) {
        return 4 * TOKENS * cols;
    }

    private static long packed(int bits, long cols) {
        return new TensorCodec(bits).bytes(Shape.of(TOKENS, cols));
    }

    /** Inputs of the linear layers in INT8; q, k, v and attention's output in BF16; two vectors of norms and one of attention in FP32. */
    private static long exceptPacked() {
        long linear = 3 * int8(WIDTH) + int8(HIDDEN);
        return linear + 2L * TOKENS * 4 * WIDTH + fp32(2) + fp32(HEADS);
    }

    /** The head is FP32, and wants nothing packed: input and vector of the last norm, and its output. */
    private static long end() {
        return 2 * fp32(WIDTH) + fp32(1);
    }

    @Test
    void presetTextKeepsTwoFifthsAsPredicted() {
        long kept = 2 * packed(10, WIDTH) + packed(10, 2 * HIDDEN);
        long predicted = LAYERS * (exceptPacked() + kept) + end();
        long measured = savedBytes("int8-fallback:contextBits=10");
        assertEquals((double) predicted, (double) measured, 0.05 * (double) predicted);
        double share = (double) measured / (double) savedBytes("fp32");
        assertTrue(share > 0.3 && share < 0.43, "share of fp32: " + share);
    }

    @Test
    void lossIsThatOfUnpackedContextUpToChance() {
        int seeds = 6;
        double[] gaps = new double[seeds]; // [seeds]
        double mean = 0;
        for (int seed = 0; seed < seeds; seed++) {
            gaps[seed] = loss("10", seed) - loss("32", seed);
            mean += gaps[seed] / seeds;
        }
        double squares = 0;
        for (double gap : gaps) {
            squares += Math.pow(gap - mean, 2);
        }
        double standardError = Math.sqrt(squares / (seeds - 1) / seeds);
        String found = mean + " +- " + standardError;
        assertTrue(standardError > 0 && standardError < 0.01, "a gap of 0.05 nats would be seen: " + found);
        assertTrue(Math.abs(mean) < 5 * standardError, found);
    }

    private double loss(String contextBits, int seed) {
        RunConfig config = RunFixture.tiny()
                .withQuantizer(QuantizerChoice.parse("int8-fallback:block=16,contextBits=" + contextBits))
                .with("train.learningRate", "0.01")
                .withSeed(seed)
                .withSteps(60);
        return runs.train(config, RunListener.SILENT).finalValidationLoss();
    }
}
