package dev.nibble.spi;

import dev.nibble.tensor.Tensor;

/**
 * What a transformer needs besides quantized products. All tensors are FP32 unless stated; results are new, owned by the
 * caller, and live at most as long as the scope. Sums that cross rows have one order for any number of threads.
 */
public interface NeuralOps {
    /**
     * Result of an operation that keeps a small vector for its backward pass.
     *
     * @param output the result
     * @param saved the vector
     */
    record Saved(Tensor output, Tensor saved) {}

    /** Sets all elements to 0. */
    void zero(StepScope scope, Tensor tensor);

    /** {@code target += addend}; equal shapes. */
    void addInPlace(StepScope scope, Tensor target, Tensor addend);

    /**
     * Looks rows up: {@code y[t] = table[ids[t]]}.
     *
     * @param ids INT32, [tokens], each in 0..vocabulary-1
     * @param table [vocabulary, width]
     * @return y, [tokens, width]
     */
    Tensor embedding(StepScope scope, Tensor ids, Tensor table);

    /** {@code gradTable[ids[t]] += gradOutput[t]}, t ascending for each row. */
    void embeddingBackward(StepScope scope, Tensor ids, Tensor gradOutput, Tensor gradTable);

    /**
     * RMSNorm (Zhang and Sennrich 2019, arXiv:1910.07467): {@code y = x · r · weight}, {@code r = 1 / sqrt(mean(x²) +
     * epsilon)} a row.
     *
     * @param x [rows, width]
     * @param weight [width]
     * @return y and r, [rows]
     */
    Saved rmsNorm(StepScope scope, Tensor x, Tensor weight, float epsilon);

    /**
     * Backward of {@link #rmsNorm}: {@code dx = r · (g - x · r² · mean(g · x))} with {@code g = gradOutput · weight};
     * {@code gradWeight += Σ_rows gradOutput · x · r}.
     *
     * @param inverseRms r
     * @param gradWeight [width], added to
     * @return dx, [rows, width]
     */
    Tensor rmsNormBackward(
            StepScope scope, Tensor gradOutput, Tensor x, Tensor inverseRms, Tensor weight, Tensor gradWeight);

    /**
     * Rows without their means: {@code y[t, i] = x[t, i] - mean(x[t])}. Its gradient is the same operation on that of y: a projection
     * is its own adjoint. With {@link #rmsNorm} and {@link #addRowInPlace} after it, this is layer normalization (Ba et al. 2016,
     * arXiv:1607.06450).
     *
     * @param x [rows, width]
     * @return y, [rows, width]
     */
    Tensor centerRows(StepScope scope, Tensor x);

    /**
     * Adds a vector to each row, as a bias: {@code target[t, i] += vector[i]}.
     *
     * @param target [rows, width]
     * @param vector [width]
     */
    void addRowInPlace(StepScope scope, Tensor target, Tensor vector);

    /**
     * Adds the sum of all rows to a vector, the gradient of a bias: {@code vector[i] += Σ_t x[t, i]}.
     *
     * @param x [rows, width]
     * @param vector [width], added to
     */
    void sumRows(StepScope scope, Tensor x, Tensor vector);

    /**
     * Rotary position embedding (Su et al. 2021, arXiv:2104.09864) of q and k in place: in each head, features i and i +
     * headSize/2 at position p turn by the angle {@code p · base^(-2i/headSize)}.
     *
     * @param qkv packed, see {@link AttentionShape}
     * @param base usually 10000
     * @param inverse turn back: the backward pass
     */
    void rotateInPlace(StepScope scope, Tensor qkv, AttentionShape shape, float base, boolean inverse);

    /**
     * Attention: {@code out = softmax(q · kᵀ / sqrt(headSize)) · v}, causal (positions up to their own) or not, as the
     * shape says.
     *
     * @param qkv packed, see {@link AttentionShape}
     * @return out, [tokens, width], and the log of the softmax's denominator (its maximum included), [heads · tokens]
     */
    Saved attention(StepScope scope, Tensor qkv, AttentionShape shape);

    /**
     * Backward of {@link #attention}.
     *
     * @param gradOutput [tokens, width]
     * @param qkv as in the forward pass
     * @param forward result of the forward pass
     * @return gradient of qkv, packed
     */
    Tensor attentionBackward(StepScope scope, Tensor gradOutput, Tensor qkv, Saved forward, AttentionShape shape);

    /**
     * Causal attention of tokens that follow those of a cache; forward only. Row r of qkv belongs to sequence {@code r / rows},
     * {@code rows} being the rows of a sequence, and stands at position {@code places[r]}. All rows turn q and k, as by {@link
     * #rotateInPlace} at this position (unless the shape's base is 0), and put k and v there into the cache; then {@code out[r] =
     * softmax(q · kᵀ / sqrt(headSize)) · v} over the keys of positions 0 to {@code places[r]} in the cache of its sequence, each of which
     * this call or one before has put there. What lies behind is not read. All is FP32, in the order of {@link #attention} in FP32: r has
     * the bits of the same row of the whole sequence.
     *
     * @param qkv packed, [batch · rows, 3 · heads · headSize], as {@link AttentionShape} says; q and k are turned in place
     * @param places INT32, [batch · rows], each in 0..capacity-1, each once in a sequence
     * @param cache FP32, {@link KeyValueShape#cache}; the rows' own positions are overwritten
     * @return out, [batch · rows, heads · headSize]
     */
    Tensor cachedAttention(StepScope scope, Tensor qkv, Tensor places, Tensor cache, KeyValueShape shape);

    /**
     * SwiGLU (Shazeer 2020, arXiv:2002.05202): {@code h = gate · sigmoid(gate) · up}.
     *
     * @param gateUp [rows, 2 · hidden]: gate, then up
     * @return h, [rows, hidden]
     */
    Tensor swiGlu(StepScope scope, Tensor gateUp);

    /** {@return gradient of {@code gateUp}, [rows, 2 · hidden]} */
    Tensor swiGluBackward(StepScope scope, Tensor gradOutput, Tensor gateUp);

    /** {@return max(x, 0), shaped like x; NaN stays NaN} Nair and Hinton 2010, "Rectified linear units". */
    Tensor relu(StepScope scope, Tensor x);

    /**
     * Backward of {@link #relu}: {@code dx = y <= 0 ? 0 : gradOutput}.
     *
     * @param y result of the forward pass
     * @return gradient of x
     */
    Tensor reluBackward(StepScope scope, Tensor gradOutput, Tensor y);

    /**
     * {@return x · Φ(x) or its approximation by tanh, shaped like x} Hendrycks and Gimpel 2016, arXiv:1606.08415; the exact form within
     * 1e-7, both within the rounding errors of {@link dev.nibble.reference.ReferenceGelu}.
     *
     * @param form which function it is
     */
    Tensor gelu(StepScope scope, Tensor x, Gelu form);

    /**
     * Backward of {@link #gelu}: {@code dx = gradOutput · d gelu(x) / dx}, which is {@code Φ(x) + x · φ(x)} of the exact form, with the
     * density of the normal distribution.
     *
     * @param x as in the forward pass
     * @param form as in the forward pass
     * @return gradient of x
     */
    Tensor geluBackward(StepScope scope, Tensor gradOutput, Tensor x, Gelu form);

    /**
     * Means of groups of rows that follow each other: {@code y[g] = Σ_i x[g · group + i] / group}.
     *
     * @param x [groups · group, width]
     * @param group rows of each mean, at least 1
     * @return y, [groups, width]
     */
    Tensor meanRows(StepScope scope, Tensor x, int group);

    /**
     * Backward of {@link #meanRows}: {@code dx[g · group + i] = gradOutput[g] / group}.
     *
     * @param gradOutput [groups, width]
     * @return dx, [groups · group, width]
     */
    Tensor meanRowsBackward(StepScope scope, Tensor gradOutput, int group);

    /**
     * Mean cross-entropy over rows: {@code loss[0] += weight · mean_t(logSumExp(logits[t]) - logits[t, targets[t]])}.
     *
     * @param logits [tokens, vocabulary]; if {@code gradient}, overwritten by {@code weight · (softmax - oneHot) / tokens}
     * @param targets INT32, [tokens]
     * @param loss [1], added to
     * @param weight factor of the loss and gradient: 1 / micro-batches
     * @param gradient whether the logits become their gradient
     */
    default void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, Tensor loss, float weight, boolean gradient) {
        if (logits.shape().rows() != targets.shape().elements()) {
            throw new IllegalArgumentException("targets is %s, but must be [%d]: one for each row of the logits"
                    .formatted(targets.shape(), logits.shape().rows()));
        }
        crossEntropy(scope, logits, targets, 0, loss, weight, gradient);
    }

    /**
     * The part that some of the rows have in the mean cross-entropy over all tokens: {@code loss[0] += weight / tokens ·
     * Σ_t (logSumExp(logits[t]) - logits[t, targets[first + t]])}, rounded to FP32 before it is added. Logits of all tokens need not exist
     * at the same time.
     *
     * @param logits [rows, vocabulary]; if {@code gradient}, overwritten by {@code weight · (softmax - oneHot) / tokens}
     * @param targets INT32, [tokens]
     * @param first token that the first row belongs to; {@code first + rows} is at most tokens
     * @param loss [1], added to
     * @param weight factor of the loss and gradient: 1 / micro-batches
     * @param gradient whether the logits become their gradient
     */
    void crossEntropy(
            StepScope scope, Tensor logits, Tensor targets, int first, Tensor loss, float weight, boolean gradient);

    /**
     * Counts the rows whose largest logit is at their target: {@code count[0] += #{t: logits[t, targets[t]] is above
     * every logit before it and at least every logit after it}}. A row that holds NaN is not counted.
     *
     * @param logits [rows, classes]
     * @param targets INT32, [rows]
     * @param count [1], added to; exact up to 2^24
     */
    void countCorrect(StepScope scope, Tensor logits, Tensor targets, Tensor count);

    /**
     * Copies a block of a matrix, bit for bit. The rest of the target stays as it is.
     *
     * @param source FP32, [rows, cols]; not the memory of the target
     * @param target FP32, [rows, cols]
     * @param copy which block, and where it goes
     * @throws IllegalArgumentException if the block does not lie within one of them
     */
    void copyBlock(StepScope scope, Tensor source, Tensor target, BlockCopy copy);

    /**
     * Softmax of rows: {@code p[i, j] = exp(s[i, j] - max_k s[i, k]) / Σ_k exp(s[i, k] - max_k s[i, k])} with {@code s = scores ·
     * scale}. With a mask row i has the keys 0..i mod keys: the rows of a sequence, or those of several, one after the other. Only
     * the keys that a row has enter its maximum and its sum; the others become +0, whatever is there.
     *
     * @param scores [rows, keys]
     * @param scale factor of the scores, finite
     * @param causal whether there is a mask; then rows is a multiple of keys
     * @return p, [rows, keys]
     */
    Tensor softmax(StepScope scope, Tensor scores, float scale, boolean causal);

    /**
     * Backward of {@link #softmax}: {@code gradScores[i, j] = p[i, j] · (gradOutput[i, j] - Σ_k p[i, k] · gradOutput[i, k]) · scale}
     * over the keys that row i has, and +0 elsewhere, whatever gradOutput holds there.
     *
     * @param gradOutput [rows, keys]
     * @param p result of the forward pass, or what stands for it
     * @param scale as in the forward pass
     * @param causal as in the forward pass
     * @return gradient of the scores, [rows, keys]
     */
    Tensor softmaxBackward(StepScope scope, Tensor gradOutput, Tensor p, float scale, boolean causal);
}
