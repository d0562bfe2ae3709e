package dev.nibble.backend.cuda;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostPlane;
import dev.nibble.host.HostTensor;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Nibbles;
import dev.nibble.tensor.Shape;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.List;

/** Operands that the plain code made, on the device, so that products are compared apart from quantization. */
final class OperandCopies {
    /** Bits of padding that no product needs to be 0. */
    static final int POISON = 0x5A5A5A5A;

    private OperandCopies() {}

    /**
     * {@return a copy, owned by the caller}
     *
     * @param padding bits of each word behind the codes
     */
    static CudaOperand of(CudaRuntime runtime, HostOperand operand, int padding) {
        List<CudaPlane> planes = new ArrayList<>();
        for (HostPlane plane : operand.planes()) {
            planes.add(new CudaPlane(
                    plane.spec(),
                    codes(runtime, plane, operand, padding),
                    floats(runtime, plane),
                    mask(runtime, plane)));
        }
        return new CudaOperand(operand.spec(), operand.rows(), operand.k(), planes);
    }

    private static CudaTensor codes(CudaRuntime runtime, HostPlane plane, HostOperand operand, int padding) {
        DType format = plane.codes().dtype();
        int rows = (int) operand.rows();
        int k = (int) operand.k();
        CudaTensor codes = runtime.memory().allocateCodes("codes", format, rows, k, MemoryTag.SCRATCH);
        int[] words = new int[(int) (codes.bytes() / Integer.BYTES)]; // [rows, pitch]
        Arrays.fill(words, padding);
        int pitchBits = (int) codes.pitchBytes() * Byte.SIZE;
        for (int row = 0; row < rows; row++) {
            for (int i = 0; i < k; i++) {
                long bit = (long) row * pitchBits + (long) i * format.bits();
                int word = (int) (bit / Integer.SIZE);
                int shift = (int) (bit % Integer.SIZE);
                int mask = format.bits() == Integer.SIZE ? -1 : (1 << format.bits()) - 1;
                words[word] = (words[word] & ~(mask << shift)) | ((bits(plane, row, i) & mask) << shift);
            }
        }
        runtime.staging().write(codes.address(), words, 0, words.length);
        return codes;
    }

    private static int bits(HostPlane plane, int row, int i) {
        int at = plane.transposed() ? i * plane.pitch() + row : row * plane.pitch() + i;
        return switch (plane.codes().dtype().bits()) {
            case 4 -> Nibbles.get(plane.codes().bytes(), at);
            case 8 -> plane.codes().bytes()[at];
            case 16 -> plane.codes().shorts()[at];
            default -> Float.floatToRawIntBits(HostTensor.floats(plane.codes())[at]);
        };
    }

    private static CudaTensor floats(CudaRuntime runtime, HostPlane plane) {
        float[] scales = HostTensor.floats(plane.scales());
        CudaTensor tensor = runtime.memory().allocate("scales", DType.FP32, Shape.of(scales.length), MemoryTag.SCRATCH);
        runtime.staging().write(tensor.address(), scales, 0, scales.length);
        return tensor;
    }

    private static CudaTensor mask(CudaRuntime runtime, HostPlane plane) {
        byte[] mask = plane.mask().bytes();
        CudaTensor tensor = runtime.memory().allocate("mask", DType.INT8, Shape.of(mask.length), MemoryTag.SCRATCH);
        int[] words = new int[Math.ceilDiv(mask.length, Integer.BYTES)];
        for (int i = 0; i < mask.length; i++) {
            words[i / Integer.BYTES] |= (mask[i] & 0xFF) << (i % Integer.BYTES * Byte.SIZE);
        }
        runtime.staging().write(tensor.address(), words, 0, words.length);
        return tensor;
    }
}
