package dev.nibble.models.encoder;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonTree;
import dev.nibble.models.onnx.OnnxFile;
import dev.nibble.models.onnx.OnnxNode;
import dev.nibble.models.onnx.OnnxTensor;
import dev.nibble.models.safetensors.SafetensorsFile;
import dev.nibble.models.safetensors.TensorEntry;
import dev.nibble.tensor.Shape;
import java.io.IOException;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Set;
import java.util.function.Supplier;

/**
 * The weights of an encoder in a file with the names of Hugging Face's transformers: safetensors, or ONNX as PyTorch writes it, in which
 * the matrices of linear layers have lost their names and are known by the bias that is added to their product.
 */
public final class EncoderWeights implements AutoCloseable {
    private static final String WORDS = "embeddings.word_embeddings.weight";

    private static final String CONFIG = "config.json"; // beside the weights
    private static final String METADATA = "config"; // or in the metadata of safetensors
    private static final String HEAD = "classifier.";
    private static final String POOLER = "pooler.dense.weight";

    private final Path file;
    private final Map<String, Matrix> tensors;
    private final EncoderConfig config;
    private final String prefix; // of all names: "bert." or nothing
    private final Runnable onClose;

    /**
     * A tensor of the file.
     *
     * @param dims as a linear layer has them: [out, in]
     * @param values reads them, row-major
     */
    private record Matrix(List<Long> dims, Supplier<float[]> values) {}

    private EncoderWeights(Path file, Map<String, Matrix> tensors, EncoderConfig config, Runnable onClose) {
        this.file = file;
        this.tensors = tensors;
        this.config = config;
        this.onClose = onClose;
        this.prefix = tensors.keySet().stream()
                .filter(name -> name.equals(WORDS) || name.endsWith("." + WORDS))
                .map(name -> name.substring(0, name.length() - WORDS.length()))
                .findFirst()
                .orElseThrow(() -> {
                    onClose.run();
                    return new FormatException("%s holds no tensor %s, so it is no BERT-family encoder"
                            .formatted(file, JsonTree.quoted(WORDS)));
                });
    }

    /**
     * {@return the weights in a file, open}
     *
     * @throws IllegalArgumentException if the name ends neither with .safetensors nor with .onnx
     * @throws FormatException if it is damaged, or holds no encoder
     * @throws dev.nibble.error.NibbleException if it cannot be read
     */
    public static EncoderWeights open(Path file) {
        String name = file.toString();
        if (name.endsWith(OnnxFile.SUFFIX)) {
            EncoderConfig config = config(file, Optional.empty());
            OnnxFile onnx = OnnxFile.open(file);
            return new EncoderWeights(file, named(onnx), config, onnx::close);
        }
        if (name.endsWith(SafetensorsFile.SUFFIX)) {
            SafetensorsFile weights = SafetensorsFile.open(file);
            try {
                Map<String, Matrix> tensors = new HashMap<>();
                for (TensorEntry entry : weights.tensors().values()) {
                    tensors.put(entry.name(), new Matrix(entry.shape().dims(), () -> weights.floats(entry.name())));
                }
                EncoderConfig config =
                        config(file, Optional.ofNullable(weights.metadata().get(METADATA)));
                return new EncoderWeights(file, tensors, config, weights::close);
            } catch (RuntimeException e) {
                weights.close();
                throw e;
            }
        }
        throw new IllegalArgumentException(
                "weights %s have an unknown ending, but must be a file that ends with %s or %s"
                        .formatted(file, SafetensorsFile.SUFFIX, OnnxFile.SUFFIX));
    }

    /** {@return what the config.json beside a file says, or the one in its metadata} */
    private static EncoderConfig config(Path file, Optional<String> metadata) {
        Path beside = file.resolveSibling(CONFIG);
        if (!Files.isRegularFile(beside)) {
            return metadata.map(text -> EncoderConfig.parse(file + ": metadata 'config'", text))
                    .orElse(EncoderConfig.NONE);
        }
        try {
            return EncoderConfig.parse(beside.toString(), Files.readString(beside));
        } catch (IOException e) {
            throw new NibbleException("%s cannot be read: %s".formatted(beside, IoReason.of(e)), e);
        }
    }

    /** {@return the constants of a graph, with the names that they have, and those that biases give} */
    private static Map<String, Matrix> named(OnnxFile onnx) {
        Map<String, Matrix> tensors = new HashMap<>();
        for (OnnxTensor tensor : onnx.tensors().values()) {
            tensors.put(tensor.name(), new Matrix(tensor.dims(), () -> onnx.floats(tensor.name())));
        }
        Map<String, OnnxTensor> factors = new HashMap<>(); // by the product that they make
        for (OnnxNode node : onnx.nodes()) {
            if (node.operation().equals("MatMul")
                    && node.inputs().size() == 2
                    && node.outputs().size() == 1) {
                OnnxTensor factor = onnx.tensors().get(node.inputs().getLast());
                if (factor != null && factor.dims().size() == 2) {
                    factors.put(node.outputs().getFirst(), factor);
                }
            }
        }
        for (OnnxNode node : onnx.nodes()) {
            if (node.operation().equals("Add") && node.inputs().size() == 2) {
                name(
                        onnx,
                        tensors,
                        factors,
                        node.inputs().getFirst(),
                        node.inputs().getLast());
                name(
                        onnx,
                        tensors,
                        factors,
                        node.inputs().getLast(),
                        node.inputs().getFirst());
            }
        }
        return tensors;
    }

    private static void name(
            OnnxFile onnx, Map<String, Matrix> tensors, Map<String, OnnxTensor> factors, String bias, String product) {
        OnnxTensor factor = factors.get(product);
        if (factor == null || !bias.endsWith(".bias") || !onnx.tensors().containsKey(bias)) {
            return;
        }
        List<Long> dims = factor.dims().reversed(); // [out, in] of [in, out]
        String name = bias.substring(0, bias.length() - "bias".length()) + "weight";
        tensors.putIfAbsent(name, new Matrix(dims, () -> transposed(onnx.floats(factor.name()), dims)));
    }

    private static float[] transposed(float[] x, List<Long> dims) {
        int rows = Math.toIntExact(dims.getFirst());
        int cols = Math.toIntExact(dims.getLast());
        float[] y = new float[x.length]; // [rows, cols] of [cols, rows]
        for (int row = 0; row < rows; row++) {
            for (int col = 0; col < cols; col++) {
                y[row * cols + col] = x[col * rows + row];
            }
        }
        return y;
    }

    /** {@return features of the residual stream} */
    public int width() {
        return size(dims(WORDS, 2).getLast());
    }

    /** {@return attention heads: those that config.json names, else as many as encoders of this width usually have} */
    public int heads() {
        return config.heads() > 0 ? config.heads() : EncoderShape.usualHeads(width());
    }

    /**
     * {@return the sizes of the model}
     *
     * @param heads attention heads, which no tensor tells
     * @param classes classes of the task
     * @throws FormatException if tensors are missing
     */
    public EncoderShape shape(int heads, int classes) {
        List<Long> words = dims(WORDS, 2);
        List<Long> positions = dims("embeddings.position_embeddings.weight", 2);
        List<Long> types = dims("embeddings.token_type_embeddings.weight", 2);
        List<Long> up = dims("encoder.layer.0.intermediate.dense.weight", 2);
        Set<String> layers = new HashSet<>();
        String before = prefix + "encoder.layer.";
        for (String name : tensors.keySet()) {
            if (name.startsWith(before) && name.indexOf('.', before.length()) > 0) {
                layers.add(name.substring(before.length(), name.indexOf('.', before.length())));
            }
        }
        return new EncoderShape(
                size(words.getFirst()),
                size(positions.getFirst()),
                size(types.getFirst()),
                size(words.getLast()),
                heads,
                size(up.getFirst()),
                layers.size(),
                classes);
    }

    private int size(long dim) {
        if (dim > Integer.MAX_VALUE) {
            throw new FormatException("%s has a tensor with extent %d, which is too much".formatted(file, dim));
        }
        return (int) dim;
    }

    private List<Long> dims(String name, int rank) {
        List<Long> dims = tensor(name).dims();
        if (dims.size() != rank) {
            throw new FormatException("%s: tensor %s has extents %s, but must have %d"
                    .formatted(file, JsonTree.quoted(prefix + name), dims, rank));
        }
        return dims;
    }

    private Matrix tensor(String name) {
        Matrix tensor = tensors.get(prefix + name);
        if (tensor == null) {
            throw new FormatException("%s holds no tensor %s, which a BERT-family encoder has"
                    .formatted(file, JsonTree.quoted(prefix + name)));
        }
        return tensor;
    }

    /**
     * {@return whether the file has a head for a task} One with a pooler is for the pooler's output, and classifies something else.
     *
     * @param labels names of the task's classes: those in config.json must be the same, so that each row of the head means the same
     */
    public boolean hasHead(List<String> labels) {
        return !labels.isEmpty()
                && config.labels().equals(labels)
                && !tensors.containsKey(prefix + POOLER)
                && dimsOf(HEAD + "weight").equals(List.of((long) labels.size(), (long) width()))
                && dimsOf(HEAD + "bias").equals(List.of((long) labels.size()));
    }

    private List<Long> dimsOf(String name) {
        return tensors.containsKey(name) ? tensors.get(name).dims() : List.of();
    }

    /**
     * {@return first values of a model: those of the file where it has them, else others}
     *
     * @param others values that the file does not have
     * @param labels names of the classes; see {@link #hasHead}
     */
    public FirstValues or(FirstValues others, List<String> labels) {
        String head = EncoderShape.HEAD + ".";
        return (name, ordinal, shape) -> {
            if (name.startsWith(head) && hasHead(labels)) {
                return tensors.get(HEAD + name.substring(head.length()))
                        .values()
                        .get();
            }
            return EncoderNames.of(name)
                    .map(names -> values(names, shape))
                    .orElseGet(() -> others.of(name, ordinal, shape));
        };
    }

    /** {@return the values of tensors, one below the other} */
    private float[] values(List<String> names, Shape shape) {
        float[] all = new float[Math.toIntExact(shape.elements())]; // [shape]
        List<Long> part = new ArrayList<>(shape.dims());
        part.set(0, part.getFirst() / names.size());
        int at = 0;
        for (String name : names) {
            Matrix tensor = tensor(name);
            if (!tensor.dims().equals(part)) {
                throw new FormatException("%s: tensor %s has extents %s, but must have %s"
                        .formatted(file, JsonTree.quoted(prefix + name), tensor.dims(), part));
            }
            float[] values = tensor.values().get();
            System.arraycopy(values, 0, all, at, values.length);
            at += values.length;
        }
        return all;
    }

    @Override
    public void close() {
        onClose.run();
    }
}
