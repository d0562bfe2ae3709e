package dev.nibble.models.onnx;

import dev.nibble.error.FormatException;
import dev.nibble.error.NibbleException;
import dev.nibble.models.files.IoReason;
import dev.nibble.models.files.JsonTree;
import java.io.IOException;
import java.nio.channels.FileChannel;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Collections;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.SequencedMap;

/**
 * An ONNX file (onnx.ai, protocol buffers), open for reading: the constant tensors of its graph and which operations read them. The graph
 * is not run. Values are read when they are asked for.
 */
public final class OnnxFile implements AutoCloseable {
    /** How the names of such files end. */
    public static final String SUFFIX = ".onnx";

    // numbers of fields in onnx.proto
    private static final int MODEL_GRAPH = 7;
    private static final int GRAPH_NODE = 1;
    private static final int GRAPH_INITIALIZER = 5;
    private static final int NODE_INPUT = 1;
    private static final int NODE_OUTPUT = 2;
    private static final int NODE_OPERATION = 4;
    private static final int TENSOR_DIMS = 1;
    private static final int TENSOR_TYPE = 2;
    private static final int TENSOR_FLOATS = 4;
    private static final int TENSOR_NAME = 8;
    private static final int TENSOR_RAW = 9;
    private static final int TENSOR_LOCATION = 14;

    private static final int MOST_DIMS = 16;

    private final Path file;
    private final FileChannel channel;
    private final WireReader reader;
    private final SequencedMap<String, OnnxTensor> tensors = new LinkedHashMap<>();
    private final List<OnnxNode> nodes = new ArrayList<>();

    private OnnxFile(Path file, FileChannel channel) {
        this.file = file;
        this.channel = channel;
        this.reader = new WireReader(file, channel);
    }

    /**
     * {@return a file, open}
     *
     * @throws FormatException if it is damaged or no ONNX file: naming the place and what is wrong
     * @throws NibbleException if it cannot be read
     */
    public static OnnxFile open(Path file) {
        if (!Files.exists(file)) {
            throw new NibbleException(file + " does not exist");
        }
        if (!Files.isRegularFile(file)) {
            throw new FormatException(file + " is not a file");
        }
        try {
            FileChannel channel = FileChannel.open(file);
            try {
                OnnxFile onnx = new OnnxFile(file, channel);
                onnx.readModel();
                return onnx;
            } catch (IOException | RuntimeException | OutOfMemoryError e) {
                channel.close();
                throw e;
            }
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static NibbleException unreadable(Path file, IOException e) {
        return new NibbleException("%s cannot be read: %s".formatted(file, IoReason.of(e)), e);
    }

    private void readModel() throws IOException {
        List<WireReader.Range> graphs = new ArrayList<>();
        WireReader.Range all = new WireReader.Range(0, channel.size());
        reader.fields(all, "model", field -> {
            if (field.number() == MODEL_GRAPH && field.wire() == 2) {
                graphs.add(field.bytes());
            }
        });
        if (graphs.size() != 1) {
            throw new FormatException("%s holds %d graphs, but an ONNX file has one".formatted(file, graphs.size()));
        }
        reader.fields(graphs.getFirst(), "graph", field -> {
            if (field.number() == GRAPH_INITIALIZER && field.wire() == 2) {
                readTensor(field.bytes());
            } else if (field.number() == GRAPH_NODE && field.wire() == 2) {
                readNode(field.bytes());
            }
        });
    }

    private void readNode(WireReader.Range node) throws IOException {
        List<String> inputs = new ArrayList<>();
        List<String> outputs = new ArrayList<>();
        List<String> operation = new ArrayList<>();
        reader.fields(node, "node", field -> {
            switch (field.number()) {
                case NODE_INPUT -> inputs.add(reader.text(field, "node"));
                case NODE_OUTPUT -> outputs.add(reader.text(field, "node"));
                case NODE_OPERATION -> operation.add(reader.text(field, "node"));
                default -> {} // attributes do not matter here
            }
        });
        nodes.add(new OnnxNode(operation.isEmpty() ? "" : operation.getLast(), inputs, outputs));
    }

    /** What is known of a tensor while its fields are read. */
    private static final class Draft {
        private final List<Long> dims = new ArrayList<>();
        private String name = "";
        private long type;
        private WireReader.Range raw = new WireReader.Range(0, 0);
        private boolean external;
    }

    private void readTensor(WireReader.Range bytes) throws IOException {
        Draft draft = new Draft();
        reader.fields(bytes, "tensor", field -> {
            switch (field.number()) {
                case TENSOR_DIMS -> addDims(draft, field);
                case TENSOR_TYPE -> draft.type = field.value();
                case TENSOR_NAME -> draft.name = reader.text(field, "tensor");
                case TENSOR_RAW -> draft.raw = field.bytes();
                case TENSOR_FLOATS -> draft.raw = field.wire() == 2 ? field.bytes() : draft.raw;
                case TENSOR_LOCATION -> draft.external = field.value() != 0;
                default -> {} // other ways to write values, and notes
            }
        });
        OnnxTensor tensor = new OnnxTensor(
                draft.name, draft.dims, draft.type, draft.raw.from(), draft.raw.length(), draft.external);
        if (tensors.put(tensor.name(), tensor) != null) {
            throw new FormatException("%s holds two tensors named %s".formatted(file, JsonTree.quoted(tensor.name())));
        }
    }

    /** Extents are one field each, or all of them in one. */
    private void addDims(Draft draft, WireReader.Field field) throws IOException {
        if (field.wire() == 0) {
            addDim(draft, field.value(), field.bytes().from());
            return;
        }
        long at = field.bytes().from();
        while (at < field.bytes().to()) {
            WireReader.Field dim = reader.varint(at, field.bytes().to(), "tensor");
            addDim(draft, dim.value(), at);
            at = dim.bytes().to();
        }
    }

    private void addDim(Draft draft, long dim, long at) {
        if (dim < 0 || draft.dims.size() == MOST_DIMS) {
            throw reader.damaged(
                    at,
                    "tensor",
                    dim < 0
                            ? "an extent is " + Long.toUnsignedString(dim)
                            : "it has more than %d extents".formatted(MOST_DIMS));
        }
        draft.dims.add(dim);
    }

    /** {@return where the file is} */
    public Path path() {
        return file;
    }

    /** {@return the constant tensors by name, in the order of the file} */
    public SequencedMap<String, OnnxTensor> tensors() {
        return Collections.unmodifiableSequencedMap(tensors);
    }

    /** {@return the operations, in the order of the file} */
    public List<OnnxNode> nodes() {
        return Collections.unmodifiableList(nodes);
    }

    /**
     * {@return the values of a tensor, row-major}
     *
     * @throws IllegalArgumentException if there is none with this name
     * @throws FormatException if it is not FP32, or its values are not as many as its extents say
     * @throws NibbleException if the file cannot be read
     */
    public float[] floats(String name) {
        OnnxTensor tensor = tensors.get(name);
        if (tensor == null) {
            throw new IllegalArgumentException("%s holds no tensor %s".formatted(file, JsonTree.quoted(name)));
        }
        String subject = "%s: tensor %s".formatted(file, JsonTree.quoted(name));
        if (tensor.external()) {
            throw new FormatException(
                    subject + " has its values in another file, which is not supported; save the model as one file");
        }
        if (tensor.type() != OnnxTensor.FLOAT) {
            throw new FormatException("%s has element type %d, but only FP32 (1) is read; is it a quantized model?"
                    .formatted(subject, tensor.type()));
        }
        if (!fills(tensor)) {
            throw new FormatException(
                    "%s has extents %s, but %d bytes of values".formatted(subject, tensor.dims(), tensor.bytes()));
        }
        try {
            return reader.floats(new WireReader.Range(tensor.from(), tensor.from() + tensor.bytes()));
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }

    private static boolean fills(OnnxTensor tensor) {
        long bytes = Float.BYTES;
        for (long dim : tensor.dims()) {
            if (dim != 0 && bytes > 4L * Integer.MAX_VALUE / dim) {
                return false; // an array cannot hold it
            }
            bytes *= dim;
        }
        return bytes == tensor.bytes();
    }

    @Override
    public void close() {
        try {
            channel.close();
        } catch (IOException e) {
            throw unreadable(file, e);
        }
    }
}
