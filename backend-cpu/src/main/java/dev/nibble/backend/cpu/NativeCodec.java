package dev.nibble.backend.cpu;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.TensorCodec;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.OperandChecks;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/**
 * Packs tensors of whole groups to 10 bits or BF16, and back, with the native library, which measures and rounds; scales are made here.
 * All else goes to {@link CpuCodec}, which has the same bits.
 */
final class NativeCodec implements CodecOps {
    private static final int TASK_GROUPS = 512; // 256 KiB, which stay in the L2 cache between the two passes
    private static final int BITS = 10;

    private final NativeNeural functions;
    private final Workers workers;
    private final ReferenceCodec rest;

    NativeCodec(NativeKernels kernels, Workers workers) {
        this.functions = kernels.neural();
        this.workers = workers;
        this.rest = new ReferenceCodec(workers::forEach, new CpuCodec());
    }

    private static boolean takes(TensorCodec codec, int cols) {
        boolean known = codec.equals(TensorCodec.BF16) || (codec.scaled() && codec.bits() == BITS);
        return known && cols % TensorCodec.GROUP == 0;
    }

    @Override
    public EncodedTensor encode(StepScope scope, TensorCodec codec, Tensor x) {
        int rows = OperandChecks.rows(x);
        int cols = OperandChecks.cols(x);
        if (!takes(codec, cols)) {
            return rest.encode(scope, codec, x);
        }
        Tensor codes = scope.allocate(x.label() + " codes", DType.INT8, Shape.of(rows, codec.rowBytes(cols)));
        Tensor scales = scope.allocate(x.label() + " scales", DType.FP32, Shape.of(rows, codec.scales(cols)));
        float[] values = HostTensor.floats(x); // [groups, 128]
        byte[] bytes = HostTensor.of(codes).bytes(); // [groups, bytes of a group]
        float[] out = HostTensor.floats(scales); // [groups], or empty
        int groups = Math.toIntExact(rows * codec.groups(cols));
        workers.forEach(Math.ceilDiv(groups, TASK_GROUPS), task -> {
            int from = task * TASK_GROUPS;
            int to = Math.min(groups, from + TASK_GROUPS);
            if (codec.scaled()) {
                encode(codec, values, from, to, bytes, out);
            } else {
                functions.encodeBf16(values, from, to, bytes);
            }
        });
        return new EncodedTensor(codec, x.shape(), codes, scales);
    }

    private void encode(TensorCodec codec, float[] x, int from, int to, byte[] bytes, float[] scales) {
        float[] multipliers = new float[to - from]; // [groups of the task]; at first their sizes
        functions.groupSizes(x, from, to, multipliers);
        for (int i = 0; i < multipliers.length; i++) {
            GroupScale scale = ReferenceCodec.scale(codec, multipliers[i]);
            multipliers[i] = scale.multiplier();
            scales[from + i] = scale.scale();
        }
        functions.encode10(x, multipliers, from, to, bytes);
    }

    @Override
    public Tensor decode(StepScope scope, EncodedTensor encoded) {
        TensorCodec codec = encoded.codec();
        int rows = Math.toIntExact(encoded.shape().rows());
        int cols = Math.toIntExact(encoded.shape().cols());
        if (!takes(codec, cols)) {
            return rest.decode(scope, encoded);
        }
        Tensor decoded = scope.allocate("decoded", DType.FP32, encoded.shape());
        float[] values = HostTensor.floats(decoded); // [groups, 128]
        byte[] bytes = HostTensor.of(encoded.codes()).bytes(); // [groups, bytes of a group]
        float[] scales = HostTensor.floats(encoded.scales()); // [groups], or empty
        int groups = Math.toIntExact(rows * codec.groups(cols));
        workers.forEach(Math.ceilDiv(groups, TASK_GROUPS), task -> {
            int from = task * TASK_GROUPS;
            int to = Math.min(groups, from + TASK_GROUPS);
            if (codec.scaled()) {
                functions.decode10(bytes, scales, from, to, values);
            } else {
                functions.decodeBf16(bytes, from, to, values);
            }
        });
        return decoded;
    }
}
