package dev.nibble.backend.cpu;

import dev.nibble.host.HostMemory;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Fp16;
import dev.nibble.tensor.Fp8;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import org.junit.jupiter.params.ParameterizedTest;
import org.junit.jupiter.params.provider.EnumSource;
import org.junit.jupiter.params.provider.EnumSource.Mode;

/** Every code of every format, read alone or with others, stands for the value of the plain decoder. */
class CodeReaderTests {
    @ParameterizedTest
    @EnumSource(
            value = DType.class,
            mode = Mode.EXCLUDE,
            names = {"FP32", "INT32", "INT4", "UINT4", "E3M0", "E4M0"})
    void everyCodeHasItsValue(DType format) {
        int count = format.bits() == 8 ? 1 << 8 : 1 << 16;
        HostTensor codes = new HostMemory().allocate("codes", format, Shape.of(count), MemoryTag.SCRATCH);
        float[] expected = new float[count];
        for (int i = 0; i < count; i++) {
            switch (format) {
                case INT8, E4M3, E5M2 -> codes.bytes()[i] = (byte) i;
                default -> codes.shorts()[i] = (short) i;
            }
            expected[i] = switch (format) {
                case INT8 -> (byte) i;
                case E4M3, E5M2 -> Fp8.decode(format, (byte) i);
                case BF16 -> Bf16.decode((short) i);
                default -> Fp16.decode((short) i);
            };
        }
        for (int length : new int[] {1, 8, 13, 32, 127, count}) {
            float[] actual = new float[count];
            for (int from = 0; from < count; from += length) {
                CodeReader.read(codes, from, Math.min(length, count - from), actual, from);
            }
            Fixture.assertSameBits(expected, actual, format + " in runs of " + length);
        }
    }
}
