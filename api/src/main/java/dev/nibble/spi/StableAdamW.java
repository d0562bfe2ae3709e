package dev.nibble.spi;

import java.util.List;

/**
 * AdamW whose step is shortened for a tensor whose second moment lags behind its gradient (Wortsman et al. 2023,
 * arXiv:2304.13013, algorithm 2): with {@code rms = sqrt(mean(g² / max(v̂, epsilon²)))} over the tensor, the learning rate is
 * divided by {@code max(1, rms)}. The moments are those of {@link AdamW}, whose corrected form is the paper's.
 *
 * @param adamW the hyper-parameters
 */
public record StableAdamW(AdamW adamW) implements UpdateRule {
    @Override
    public float weightDecay() {
        return adamW.weightDecay();
    }

    @Override
    public List<String> states() {
        return adamW.states();
    }
}
