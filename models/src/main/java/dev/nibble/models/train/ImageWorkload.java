package dev.nibble.models.train;

import dev.nibble.models.data.ImageBatch;
import dev.nibble.models.data.ImageBatches;
import dev.nibble.models.layers.ImageModel;
import dev.nibble.models.layers.Parameter;
import dev.nibble.models.layers.QuantizedLayer;
import dev.nibble.spi.Backend;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.SequencedMap;
import java.util.TreeMap;

/** Classifies images. */
public final class ImageWorkload implements Workload {
    private final Backend backend;
    private final ImageModel model;
    private final ImageBatches batches;
    private final int pixels;
    private final int validationImages;
    private final Tensor correct;
    private final Map<Integer, Input> inputs = new TreeMap<>(); // by number of images
    private Optional<Input> loaded = Optional.empty();
    private Optional<Tensor> gradLogits = Optional.empty();

    /** The batch on the device: as many images as a training batch has, or as the last validation batch has. */
    private record Input(Tensor patches, Tensor ids, Tensor targets) {
        void close() {
            patches.close();
            ids.close();
            targets.close();
        }
    }

    /**
     * Joins a model and images.
     *
     * @param backend computes
     * @param model owned by this
     * @param batches the images
     * @param pixels pixels of a patch
     * @param validationImages test images in an evaluation
     */
    public ImageWorkload(Backend backend, ImageModel model, ImageBatches batches, int pixels, int validationImages) {
        this.backend = backend;
        this.model = model;
        this.batches = batches;
        this.pixels = pixels;
        this.validationImages = validationImages;
        this.correct = backend.allocate("correct", DType.FP32, Shape.of(1), MemoryTag.STATE);
    }

    @Override
    public List<Parameter> parameters() {
        return model.parameters();
    }

    @Override
    public SequencedMap<String, Tensor> averages() {
        return model.averages();
    }

    @Override
    public List<QuantizedLayer> linears() {
        return model.linears();
    }

    @Override
    public void repeatBlocks() {
        model.repeatBlocks();
    }

    @Override
    public void loadTraining(int step, int microBatch) {
        load(batches.training(step, microBatch));
    }

    @Override
    public void loadValidation(int index) {
        load(batches.validation(index, validationImages));
    }

    private void load(ImageBatch batch) {
        int images = batch.targets().length;
        int tokens = batch.patches().length / pixels;
        Input input = inputs.computeIfAbsent(images, _ -> input(images, tokens));
        backend.write(input.patches(), batch.patches());
        backend.write(input.targets(), batch.targets());
        loaded = Optional.of(input);
    }

    private Input input(int images, int tokens) {
        int[] places = new int[tokens]; // [images · tokens of an image]
        for (int i = 0; i < tokens; i++) {
            places[i] = i % (tokens / images);
        }
        Tensor ids = backend.allocate("positions", DType.INT32, Shape.of(tokens), MemoryTag.STATE);
        backend.write(ids, places);
        return new Input(
                backend.allocate("patches", DType.FP32, Shape.of(tokens, pixels), MemoryTag.STATE),
                ids,
                backend.allocate("targets", DType.INT32, Shape.of(images), MemoryTag.STATE));
    }

    @Override
    public void forward(StepScope scope, Tensor loss, float weight) {
        Input input = loaded.orElseThrow();
        Tensor logits = model.forward(scope, input.patches(), input.ids());
        backend.neural().crossEntropy(scope, logits, input.targets(), loss, weight, true);
        gradLogits = Optional.of(logits);
    }

    @Override
    public void backward(StepScope scope) {
        Input input = loaded.orElseThrow();
        try (Tensor gradient = gradLogits.orElseThrow()) {
            gradLogits = Optional.empty();
            model.backward(scope, input.patches(), input.ids(), gradient);
        }
    }

    @Override
    public int validationBatches() {
        return batches.validationBatches(validationImages);
    }

    @Override
    public void evaluate(StepScope scope, Tensor loss) {
        Input input = loaded.orElseThrow();
        float weight = (float) ((double) input.targets().shape().elements() / validationImages);
        try (Tensor logits = model.forward(scope, input.patches(), input.ids())) {
            backend.neural().crossEntropy(scope, logits, input.targets(), loss, weight, false);
            backend.neural().countCorrect(scope, logits, input.targets(), correct);
        }
    }

    @Override
    public Optional<Tensor> correct() {
        return Optional.of(correct);
    }

    @Override
    public long validationSamples() {
        return validationImages;
    }

    @Override
    public void close() {
        model.close();
        correct.close();
        inputs.values().forEach(Input::close);
    }
}
