package dev.nibble.models.checkpoint;

import dev.nibble.error.NonFiniteException;
import dev.nibble.models.safetensors.ElementType;
import dev.nibble.models.safetensors.TensorContent;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;
import java.util.List;
import java.util.function.Supplier;

/**
 * How a matrix [out, in] is exported as codes with one scale a row: {@code scale = amax of the row / top}, code the nearest to
 * {@code w / scale}, ties to even, in FP32; {@code value = code · scale}, and {@code |w - value| <= scale / 2 + ulp(w)} for the
 * integer formats, unless the scale is subnormal. A row of zeros has scale 0.
 */
public enum CodeFormat {
    /** Bytes -127..127: {@code NAME}, I8 [out, in]. */
    INT8("int8", 127),
    /** E4M3: {@code NAME}, F8_E4M3 [out, in]. */
    FP8("fp8", 448),
    /** Two's complement nibbles -7..7, the even column in the lower half of a byte: {@code NAME_packed}, U8 [out, ceil(in / 2)]. */
    INT4("int4", 7);

    private static final int NIBBLE = 0xF;

    private final String label;
    private final float top;

    CodeFormat(String label, float top) {
        this.label = label;
        this.top = top;
    }

    /** {@return its name on the command line} */
    public String label() {
        return label;
    }

    /**
     * {@return codes and scales: {@code NAME} or {@code NAME_packed}, and {@code NAME_scale}, F32 [out, 1]}
     *
     * @param name of the matrix
     * @param shape of the matrix
     * @param values gives its elements
     */
    List<TensorContent> contents(String name, Shape shape, Supplier<float[]> values) {
        int cols = Math.toIntExact(shape.cols());
        TensorContent scale = TensorContent.floats(
                name + "_scale", ElementType.F32, Shape.of(shape.rows(), 1), () -> scales(name, values.get(), cols));
        TensorContent codes = switch (this) {
            case INT8 ->
                TensorContent.bytes(name, ElementType.I8, shape, () -> {
                    float[] steps = steps(name, values.get(), cols);
                    byte[] bytes = new byte[steps.length]; // [out, in]
                    for (int i = 0; i < bytes.length; i++) {
                        bytes[i] = (byte) code(steps[i]);
                    }
                    return bytes;
                });
            case FP8 -> TensorContent.floats(name, ElementType.F8_E4M3, shape, () -> steps(name, values.get(), cols));
            case INT4 -> {
                int pitch = Math.ceilDiv(cols, 2);
                yield TensorContent.bytes(
                        name + "_packed",
                        ElementType.U8,
                        Shape.of(shape.rows(), pitch),
                        () -> packed(steps(name, values.get(), cols), cols, pitch));
            }
        };
        return List.of(codes, scale);
    }

    private byte[] packed(float[] steps, int cols, int pitch) {
        byte[] bytes = new byte[steps.length / cols * pitch]; // [out, pitch]
        for (int i = 0; i < steps.length; i++) {
            Nibbles.set(bytes, i / cols * 2 * pitch + i % cols, code(steps[i]) & NIBBLE);
        }
        return bytes;
    }

    private int code(float step) {
        return (int) Math.clamp(Math.rint(step), -top, top);
    }

    /** {@return {@code w / scale}, 0 in a row of zeros} */
    private float[] steps(String name, float[] values, int cols) {
        float[] scales = scales(name, values, cols); // [out]
        float[] steps = new float[values.length]; // [out, in]
        for (int i = 0; i < steps.length; i++) {
            steps[i] = scales[i / cols] == 0 ? 0 : values[i] / scales[i / cols];
        }
        return steps;
    }

    private float[] scales(String name, float[] values, int cols) {
        float[] scales = new float[values.length / cols]; // [out]
        for (int i = 0; i < values.length; i++) {
            if (!Float.isFinite(values[i])) {
                throw new NonFiniteException(
                        "element %d of %s is %s, but %s codes need finite values".formatted(i, name, values[i], label));
            }
            scales[i / cols] = Math.max(scales[i / cols], Math.abs(values[i]));
        }
        for (int row = 0; row < scales.length; row++) {
            scales[row] /= top;
        }
        return scales;
    }
}
