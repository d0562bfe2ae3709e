package dev.nibble.models;

import java.util.ArrayList;
import java.util.List;

/**
 * What a {@link TextGenerator} should write.
 *
 * @param tokens new tokens of each sample, at most
 * @param samples texts that go on with the same prompt, side by side
 * @param sampling how tokens are chosen; sample n draws its own numbers, whatever the number of samples
 * @param cached whether keys and values of earlier tokens are kept, so that a pass has one row for each sample; else it has the window
 *     of tokens that the model saw in training. Where attention is quantized, the window it is
 * @param stops texts that end a sample where they would begin
 */
public record GenerationSpec(int tokens, int samples, TokenSampling sampling, boolean cached, List<String> stops) {
    /** Checks the ranges. */
    public GenerationSpec {
        stops = List.copyOf(stops);
        List<String> problems = new ArrayList<>();
        if (tokens < 1) {
            problems.add("tokens is " + tokens + ", but must be 1 or more");
        }
        if (samples < 1 || samples > TokenSampling.MOST_SAMPLES) {
            problems.add("samples is " + samples + ", but must be in 1.." + TokenSampling.MOST_SAMPLES);
        }
        if (stops.contains("")) {
            problems.add("a text to stop at is empty, but must have at least one character");
        }
        ConfigurationException.throwIfAny(problems);
    }

    /** Makes one sample with a cache, which nothing but its length ends. */
    public GenerationSpec(int tokens, TokenSampling sampling) {
        this(tokens, 1, sampling, true, List.of());
    }

    /** {@return the same without a cache} */
    GenerationSpec withoutCache() {
        return new GenerationSpec(tokens, samples, sampling, false, stops);
    }

    /** {@return the same with another number of samples} */
    GenerationSpec withSamples(int number) {
        return new GenerationSpec(tokens, number, sampling, cached, stops);
    }
}
