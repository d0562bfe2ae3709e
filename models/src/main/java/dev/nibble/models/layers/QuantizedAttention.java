package dev.nibble.models.layers;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.AttentionShape;
import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.LinearLayer;
import dev.nibble.spi.LinearQuantizer;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.Optional;
import java.util.function.Function;

/**
 * Attention whose products are quantized, for each head of each sequence: {@code S = q · kᵀ} with q as INPUT and k as WEIGHT, {@code O = P ·
 * v} with P as INPUT and vᵀ as WEIGHT. Their gradients are the products' own. Scale, mask and softmax are FP32, as is P, which is
 * kept for the backward pass, in BF16 if that is asked for.
 */
final class QuantizedAttention implements Attention {
    private static final int Q = 0; // parts of qkv
    private static final int K = 1;
    private static final int V = 2;

    private final Backend backend;
    private final QuantizedProduct scores;
    private final QuantizedProduct mix;
    private final Deque<List<Kept>> saved = new ArrayDeque<>(); // P of each pair, [sequence, sequence]

    private QuantizedAttention(Backend backend, QuantizedProduct scores, QuantizedProduct mix) {
        this.backend = backend;
        this.scores = scores;
        this.mix = mix;
    }

    /**
     * {@return attention, owned by the caller}
     *
     * @param scores in: features of a head, out: tokens of a sequence
     * @param mix in: tokens of a sequence, out: features of a head
     * @param quantizers how each product is computed
     * @param causal whether a mask hides keys
     * @param stride the ordinals of two pairs of factors that follow each other differ by it
     */
    static QuantizedAttention of(
            Backend backend,
            LinearLayer scores,
            LinearLayer mix,
            Function<LinearLayer, LinearQuantizer> quantizers,
            boolean causal,
            int stride) {
        LinearQuantizer forMix = quantizers.apply(mix);
        return new QuantizedAttention(
                backend,
                new QuantizedProduct(backend, scores, quantizers.apply(scores), stride),
                new QuantizedProduct(backend, mix, causal ? new MaskedQuantizer(forMix) : forMix, stride));
    }

    @Override
    public List<QuantizedLayer> products() {
        return List.of(scores, mix);
    }

    @Override
    public Tensor forward(StepScope scope, Tensor qkv, AttentionShape shape, Optional<TensorCodec> codec) {
        Tensor output = scope.allocate("attention", DType.FP32, Shape.of(shape.tokens(), shape.width()));
        List<Tensor> weights = probabilities(scope, qkv, shape);
        mix.begin(scope, shape.sequence(), inner -> stacked(inner, weights), inner -> stacked(inner, qkv, shape, V));
        for (int pair = 0; pair < weights.size(); pair++) {
            try (Tensor v = cut(scope, qkv, shape, V, pair);
                    Tensor o = mix.forward(scope, pair, weights.get(pair), v)) {
                BlockCopy place = place(shape, Q, pair); // the output has the layout of q
                BlockCopy copy = BlockCopy.whole(place.rows(), place.cols()).to(place.fromRow(), place.fromCol());
                backend.neural().copyBlock(scope, o, output, copy);
            }
        }
        if (scope.context().keepsContext()) {
            saved.push(
                    weights.stream().map(p -> Kept.of(backend, scope, codec, p)).toList());
        }
        weights.forEach(Tensor::close);
        return output;
    }

    /** {@return P of each pair} */
    private List<Tensor> probabilities(StepScope scope, Tensor qkv, AttentionShape shape) {
        scores.begin(
                scope,
                shape.sequence(),
                inner -> stacked(inner, qkv, shape, Q),
                inner -> stacked(inner, qkv, shape, K));
        List<Tensor> weights = new ArrayList<>();
        for (int pair = 0; pair < pairs(shape); pair++) {
            try (Tensor q = cut(scope, qkv, shape, Q, pair);
                    Tensor k = cut(scope, qkv, shape, K, pair);
                    Tensor s = scores.forward(scope, pair, q, k)) {
                weights.add(backend.neural().softmax(scope, s, scale(shape), shape.causal()));
            }
        }
        return weights;
    }

    @Override
    public Tensor backward(StepScope scope, Tensor gradOutput, Tensor qkv, Tensor output, AttentionShape shape) {
        Tensor gradQkv = scope.allocate("gradient of qkv", DType.FP32, qkv.shape());
        List<Kept> weights = saved.pop();
        for (int pair = weights.size() - 1; pair >= 0; pair--) {
            try (Kept kept = weights.get(pair);
                    Tensor p = kept.tensor(scope);
                    Tensor gradScores = backwardMix(scope, gradOutput, qkv, p, shape, pair, gradQkv)) {
                backwardScores(scope, gradScores, qkv, shape, pair, gradQkv);
            }
        }
        return gradQkv;
    }

    /** {@return the gradient of the scores of a pair} Writes that of v. */
    private Tensor backwardMix(
            StepScope scope, Tensor gradOutput, Tensor qkv, Tensor p, AttentionShape shape, int pair, Tensor gradQkv) {
        try (Tensor own = cut(scope, gradOutput, shape, Q, pair); // laid out as q is
                QuantizedProduct.Gradients gradients =
                        mix.backward(scope, own, _ -> p.share(), inner -> cut(inner, qkv, shape, V, pair))) {
            paste(scope, gradients.weight(), gradQkv, shape, V, pair);
            return backend.neural().softmaxBackward(scope, gradients.input(), p, scale(shape), shape.causal());
        }
    }

    private void backwardScores(
            StepScope scope, Tensor gradScores, Tensor qkv, AttentionShape shape, int pair, Tensor gradQkv) {
        try (QuantizedProduct.Gradients gradients = scores.backward(
                scope,
                gradScores,
                inner -> cut(inner, qkv, shape, Q, pair),
                inner -> cut(inner, qkv, shape, K, pair))) {
            paste(scope, gradients.input(), gradQkv, shape, Q, pair);
            paste(scope, gradients.weight(), gradQkv, shape, K, pair);
        }
    }

    /** The factor of the scores, rounded as that of attention in FP32 is. */
    private static float scale(AttentionShape shape) {
        return (float) (1 / Math.sqrt(shape.headSize()));
    }

    private static int pairs(AttentionShape shape) {
        return Math.multiplyExact(shape.batch(), shape.heads());
    }

    /** {@return where a part of a pair lies in qkv} */
    private static BlockCopy place(AttentionShape shape, int part, int pair) {
        return BlockCopy.cut(
                shape.sequence(),
                shape.headSize(),
                pair / shape.heads() * shape.sequence(),
                part * shape.width() + pair % shape.heads() * shape.headSize());
    }

    private static BlockCopy copy(AttentionShape shape, int part, int pair) {
        BlockCopy place = place(shape, part, pair);
        return part == V ? place.turned() : place;
    }

    /** {@return q or k of a pair, [sequence, headSize], or its vᵀ, [headSize, sequence]} */
    private Tensor cut(StepScope scope, Tensor qkv, AttentionShape shape, int part, int pair) {
        BlockCopy copy = copy(shape, part, pair);
        Tensor own = scope.allocate("part of a head", DType.FP32, Shape.of(copy.targetRows(), copy.targetCols()));
        backend.neural().copyBlock(scope, qkv, own, copy);
        return own;
    }

    /** The other way round. */
    private void paste(StepScope scope, Tensor gradient, Tensor gradQkv, AttentionShape shape, int part, int pair) {
        BlockCopy from = place(shape, part, pair);
        int rows = (int) gradient.shape().rows();
        int cols = (int) gradient.shape().cols();
        BlockCopy copy = BlockCopy.whole(rows, cols).to(from.fromRow(), from.fromCol());
        backend.neural().copyBlock(scope, gradient, gradQkv, part == V ? copy.turned() : copy);
    }

    /** {@return a part of all pairs, one below the other} */
    private Tensor stacked(StepScope scope, Tensor qkv, AttentionShape shape, int part) {
        int rows = part == V ? shape.headSize() : shape.sequence();
        int cols = part == V ? shape.sequence() : shape.headSize();
        Tensor all = scope.allocate("all heads", DType.FP32, Shape.of((long) pairs(shape) * rows, cols));
        for (int pair = 0; pair < pairs(shape); pair++) {
            backend.neural().copyBlock(scope, qkv, all, copy(shape, part, pair).to(pair * rows, 0));
        }
        return all;
    }

    /** {@return matrices of one shape, one below the other} */
    private Tensor stacked(StepScope scope, List<Tensor> matrices) {
        int rows = (int) matrices.getFirst().shape().rows();
        int cols = (int) matrices.getFirst().shape().cols();
        Tensor all = scope.allocate("all heads", DType.FP32, Shape.of((long) matrices.size() * rows, cols));
        for (int i = 0; i < matrices.size(); i++) {
            backend.neural()
                    .copyBlock(
                            scope,
                            matrices.get(i),
                            all,
                            BlockCopy.whole(rows, cols).to(i * rows, 0));
        }
        return all;
    }

    @Override
    public void close() {
        saved.forEach(weights -> weights.forEach(Kept::close));
        saved.clear();
        scores.close();
        mix.close();
    }
}
