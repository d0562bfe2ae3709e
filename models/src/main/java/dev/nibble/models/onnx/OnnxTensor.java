package dev.nibble.models.onnx;

import java.util.List;

/**
 * A constant tensor of an ONNX file.
 *
 * @param name its name
 * @param dims its extents
 * @param type number of its element type: 1 for FP32
 * @param from first byte of its values in the file
 * @param bytes how many bytes they have; 0 if they are written in another way than as they are in memory
 * @param external whether its values are in another file
 */
public record OnnxTensor(String name, List<Long> dims, long type, long from, long bytes, boolean external) {
    /** The element type FP32. */
    public static final long FLOAT = 1;

    /** Copies the list. */
    public OnnxTensor {
        dims = List.copyOf(dims);
    }
}
