package dev.nibble.backend.cuda;

import dev.nibble.spi.AttentionShape;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import java.util.HashMap;
import java.util.Map;

/**
 * Cosines and sines of rotary position embedding on the device: FP64 of {@link StrictMath}, rounded to FP32 once, as {@link
 * dev.nibble.reference.ReferenceRotary} has them. A table stays where it is until the backend is closed, since recorded steps
 * read it.
 */
final class RotaryAngles {
    private record Key(int sequence, int headSize, float base) {}

    private final CudaRuntime runtime;
    private final Map<Key, CudaTensor> tables = new HashMap<>(); // [sequence, headSize / 2, 2]: cosine, sine

    RotaryAngles(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    /** {@return the address of the table of a shape} */
    long address(AttentionShape shape, float base) {
        return tables.computeIfAbsent(new Key(shape.sequence(), shape.headSize(), base), this::make)
                .address();
    }

    private CudaTensor make(Key key) {
        int half = key.headSize / 2;
        int row = 2 * half;
        float[] table = new float[Math.multiplyExact(key.sequence, row)]; // [sequence, half, 2]
        for (int i = 0; i < half; i++) {
            double frequency = StrictMath.pow(key.base, -2.0 * i / key.headSize);
            for (int position = 0; position < key.sequence; position++) {
                table[position * row + 2 * i] = (float) StrictMath.cos(position * frequency);
                table[position * row + 2 * i + 1] = (float) StrictMath.sin(position * frequency);
            }
        }
        CudaTensor tensor = runtime.memory().allocateOwn("rotary angles", DType.FP32, Shape.of(key.sequence, row));
        runtime.staging().write(tensor.address(), table, 0, table.length);
        return tensor;
    }
}
