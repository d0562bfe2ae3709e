package dev.nibble.models.safetensors;

import dev.nibble.error.FormatException;
import dev.nibble.models.files.JsonFields;
import dev.nibble.models.files.JsonTree;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.Comparator;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.SequencedMap;
import java.util.Set;
import java.util.SortedMap;
import java.util.TreeMap;

/**
 * What the JSON at the beginning of a file says, checked: the tensors fill the bytes that follow, without gaps and without
 * sharing any.
 *
 * @param tensors by name, in the order of their bytes
 * @param metadata free texts by name
 */
record Header(SequencedMap<String, TensorEntry> tensors, SortedMap<String, String> metadata) {
    static final String METADATA = "__metadata__";

    private static final Set<String> KEYS = Set.of("dtype", "shape", "data_offsets");
    private static final int DEPTH = 3; // the header, a tensor, its shape
    private static final int MOST_AXES = 64;

    /**
     * {@return the header in a text}
     *
     * @param file for messages
     * @param json the text
     * @param dataSize bytes that follow it
     * @throws FormatException naming the file, the tensor and what is wrong
     */
    static Header parse(String file, byte[] json, long dataSize) {
        JsonFields header = new JsonFields(file, JsonTree.parse("the header of " + file, json, DEPTH));
        SortedMap<String, String> metadata = header.has(METADATA) ? header.texts(METADATA) : new TreeMap<>();
        List<TensorEntry> entries = new ArrayList<>();
        for (Map.Entry<String, Object> field : header.fields().entrySet()) {
            if (!field.getKey().equals(METADATA)) {
                JsonFields tensor = header.object("tensor " + JsonTree.quoted(field.getKey()), field.getValue());
                entries.add(entry(field.getKey(), tensor, dataSize));
            }
        }
        entries.sort(Comparator.comparingLong(TensorEntry::begin).thenComparingLong(TensorEntry::end));
        requireFilled(file, entries, dataSize);
        SequencedMap<String, TensorEntry> tensors = new LinkedHashMap<>();
        entries.forEach(entry -> tensors.put(entry.name(), entry));
        return new Header(tensors, metadata);
    }

    private static TensorEntry entry(String name, JsonFields tensor, long dataSize) {
        for (String key : tensor.fields().keySet()) {
            if (!KEYS.contains(key)) {
                throw new FormatException(tensor.what() + " has the unknown key " + JsonTree.quoted(key)
                        + "; known are dtype, shape, data_offsets");
            }
        }
        String typeName = tensor.text("dtype");
        ElementType type = ElementType.of(typeName)
                .orElseThrow(() -> new FormatException("%s has elements of type %s, but known are %s"
                        .formatted(tensor.what(), JsonTree.quoted(typeName), List.of(ElementType.values()))));
        Shape shape = shape(tensor);
        List<Object> offsets = tensor.list("data_offsets");
        if (offsets.size() != 2
                || !(offsets.get(0) instanceof Long begin)
                || !(offsets.get(1) instanceof Long end)
                || begin < 0
                || end < begin) {
            throw new FormatException(
                    tensor.what() + " has data_offsets that are not two whole numbers, the second not below the first");
        }
        if (end > dataSize) {
            throw new FormatException("%s ends at byte %d of the data, but %d follow the header; the file is truncated"
                    .formatted(tensor.what(), end, dataSize));
        }
        long needed = bytes(tensor, type, shape);
        if (needed != end - begin) {
            throw new FormatException(
                    "%s of shape %s and type %s needs %d bytes, but its data_offsets are %d..%d, %d bytes"
                            .formatted(tensor.what(), shape, type, needed, begin, end, end - begin));
        }
        return new TensorEntry(name, type, shape, begin, end);
    }

    private static Shape shape(JsonFields tensor) {
        List<Object> extents = tensor.list("shape");
        if (extents.size() > MOST_AXES) {
            throw new FormatException(
                    tensor.what() + " has " + extents.size() + " axes, but at most " + MOST_AXES + " are supported");
        }
        List<Long> dims = new ArrayList<>();
        for (Object extent : extents) {
            if (!(extent instanceof Long whole) || whole < 0) {
                throw new FormatException(
                        "%s has the extent %s in its shape, but an extent must be a whole number of 0 or more"
                                .formatted(tensor.what(), JsonFields.describe(extent)));
            }
            dims.add(whole);
        }
        try {
            return new Shape(dims);
        } catch (ArithmeticException _) {
            throw overflow(tensor, dims);
        }
    }

    private static long bytes(JsonFields tensor, ElementType type, Shape shape) {
        try {
            return Math.multiplyExact(shape.elements(), type.byteSize());
        } catch (ArithmeticException _) {
            throw overflow(tensor, shape.dims());
        }
    }

    private static FormatException overflow(JsonFields tensor, List<Long> dims) {
        return new FormatException(tensor.what() + " has shape " + dims + ", whose size overflows");
    }

    private static void requireFilled(String file, List<TensorEntry> entries, long dataSize) {
        long end = 0;
        String before = "the header";
        for (TensorEntry entry : entries) {
            if (entry.begin() != end) {
                throw new FormatException("%s: tensor %s begins at byte %d of the data, but %s ends at %d; %s"
                        .formatted(
                                file,
                                JsonTree.quoted(entry.name()),
                                entry.begin(),
                                before,
                                end,
                                entry.begin() < end ? "they overlap" : "the bytes between belong to no tensor"));
            }
            end = entry.end();
            before = "tensor " + JsonTree.quoted(entry.name());
        }
        if (end != dataSize) {
            throw new FormatException("%s has %d bytes of data, but its tensors need %d; it has %d too many"
                    .formatted(file, dataSize, end, dataSize - end));
        }
    }
}
