package dev.nibble.models.layers;

import dev.nibble.spi.Backend;
import dev.nibble.spi.BlockCopy;
import dev.nibble.spi.PlanRequest;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.Optional;

/**
 * The head of a language model with its loss, the mean cross-entropy. Where the logits of all tokens do not fit ({@link LogitChunks}), they
 * exist for some tokens at a time: {@code logits = X · Wᵀ}, loss, {@code dX = dLogits · W} and {@code dW += dLogitsᵀ · X} of one chunk of
 * tokens after the other, in the forward pass. A head whose plan needs all tokens at once ({@link
 * dev.nibble.spi.LinearPlan#separatesRows}) computes them at once.
 */
public final class Classifier implements AutoCloseable {
    private final Backend backend;
    private final QuantizedLinear head;
    private final LogitChunks chunks;
    private Optional<Tensor> gradLogits = Optional.empty();
    private Optional<Tensor> gradInput = Optional.empty(); // if there were chunks

    Classifier(Backend backend, QuantizedLinear head, LogitChunks chunks) {
        this.backend = backend;
        this.head = head;
        this.chunks = chunks;
    }

    /**
     * Adds {@code weight ·} loss. In training, keeps what {@link #backward} needs.
     *
     * @param x FP32, [tokens, width]; must not be modified before the backward pass
     * @param targets INT32, [tokens]
     * @param loss [1], FP32
     * @param weight factor of the loss and of all gradients
     */
    public void forward(StepScope scope, Tensor x, Tensor targets, Tensor loss, float weight) {
        int tokens = Math.toIntExact(x.shape().rows());
        int rows = rows(tokens, scope.context().phase());
        if (rows < tokens) {
            inChunks(scope, x, rows, targets, loss, weight);
            return;
        }
        boolean trains = scope.context().keepsContext();
        Tensor logits = head.forward(scope, x);
        backend.neural().crossEntropy(scope, logits, targets, loss, weight, trains);
        if (trains) {
            gradLogits = Optional.of(logits);
        } else {
            logits.close();
        }
    }

    private void inChunks(StepScope scope, Tensor x, int rows, Tensor targets, Tensor loss, float weight) {
        int tokens = Math.toIntExact(x.shape().rows());
        int width = Math.toIntExact(x.shape().cols());
        boolean trains = scope.context().keepsContext();
        if (trains) {
            gradInput = Optional.of(scope.allocate(name() + ".gradInput", DType.FP32, x.shape()));
        }
        for (int first = 0; first < tokens; first += rows) {
            int count = Math.min(rows, tokens - first);
            try (Tensor chunk = scope.allocate(name() + ".input", DType.FP32, Shape.of(count, width))) {
                backend.neural().copyBlock(scope, x, chunk, BlockCopy.cut(count, width, first, 0));
                try (Tensor logits = head.forward(scope, chunk)) {
                    backend.neural().crossEntropy(scope, logits, targets, first, loss, weight, trains);
                    if (trains) {
                        try (Tensor gradient = head.backward(scope, logits)) {
                            BlockCopy back = BlockCopy.whole(count, width).to(first, 0);
                            backend.neural().copyBlock(scope, gradient, gradInput.orElseThrow(), back);
                        }
                    }
                }
            }
        }
    }

    /**
     * Adds dW to the weight's gradient, unless the forward pass has, and frees what that kept.
     *
     * @param again makes X again, for a plan that needs it
     * @return dX, FP32, [tokens, width], owned by the caller
     * @throws java.util.NoSuchElementException if no forward pass in training came before
     */
    public Tensor backward(StepScope scope, InputSource again) {
        if (gradInput.isPresent()) {
            Tensor gradient = gradInput.orElseThrow();
            gradInput = Optional.empty();
            return gradient;
        }
        try (Tensor gradient = gradLogits.orElseThrow()) {
            gradLogits = Optional.empty();
            return head.backward(scope, gradient, again);
        }
    }

    /** {@return tokens whose logits exist at once} */
    private int rows(int tokens, PlanRequest.Phase phase) {
        int rows = chunks.rows(tokens, Math.toIntExact(head.layer().out()));
        return rows == tokens || head.plan(tokens, phase).separatesRows() ? rows : tokens;
    }

    /**
     * {@return what somebody should know who runs it with so many tokens: that there are chunks, or that there should be; empty if the
     * logits of all tokens fit}
     */
    public Optional<String> notice(int tokens) {
        int vocabulary = Math.toIntExact(head.layer().out());
        if (chunks.rows(tokens, vocabulary) == tokens) {
            return Optional.empty();
        }
        int rows = rows(tokens, PlanRequest.Phase.LOW_BIT);
        return Optional.of(
                rows < tokens
                        ? "the logits of %d tokens are computed %d tokens at a time".formatted(tokens, rows)
                        : "the logits of all %d tokens are held at once, %d MB in FP32: the quantizer of layer %s needs them together"
                                .formatted(tokens, (long) tokens * vocabulary * Float.BYTES / 1_000_000, name()));
    }

    private String name() {
        return head.layer().site().name();
    }

    @Override
    public void close() {
        gradLogits.ifPresent(Tensor::close);
        gradInput.ifPresent(Tensor::close);
    }
}
