package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** Every code of every format, read alone or with others, stands for the value of the plain decoder. */
class CodeReaderTests {
    private static final int LARGEST_EXPONENT_CODE = 9; // of E4M0

    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            mode = Mode.EXCLUDE,
            names = {"FP32", "INT32"})
    void everyCodeHasItsValue(DType format) {
        int count = format.bits() == 16 ? 1 << 16 : 1 << 9;
        HostTensor codes = new HostMemory().allocate("codes", format, Shape.of(count), MemoryTag.SCRATCH);
        float[] expected = new float[count];
        for (int i = 0; i < count; i++) {
            expected[i] = store(codes, i);
        }
        for (int length : new int[] {1, 3, 8, 13, 32, 127, count}) {
            float[] actual = new float[count];
            for (int from = 0; from < count; from += length) {
                CodeReader.read(codes, from, Math.min(length, count - from), actual, from);
            }
            Fixture.assertSameBits(expected, actual, format + " in runs of " + length);
        }
    }

    /** Stores the i-th code, after the last one the first again; returns its value by the plain decoder. */
    private static float store(HostTensor codes, int i) {
        switch (codes.dtype()) {
            case INT8, E4M3, E5M2 -> codes.bytes()[i] = (byte) i;
            case E4M0 -> codes.bytes()[i] = (byte) (i % (LARGEST_EXPONENT_CODE + 1) | i << 7);
            // Each pair of neighbours within 512 codes, beginning on a byte or within one.
            case INT4, UINT4, E3M0 -> Nibbles.set(codes.bytes(), i, i % 2 == 0 ? i / 2 : i / 32);
            default -> codes.shorts()[i] = (short) i;
        }
        return switch (codes.dtype()) {
            case INT8 -> (byte) i;
            case E4M3, E5M2 -> Fp8.decode(codes.dtype(), (byte) i);
            case E4M0 -> Nibbles.value(DType.E4M0, codes.bytes()[i] & 0xFF);
            case INT4, UINT4, E3M0 -> Nibbles.value(codes.dtype(), Nibbles.get(codes.bytes(), i));
            case BF16 -> Bf16.decode((short) i);
            default -> Fp16.decode((short) i);
        };
    }
}
