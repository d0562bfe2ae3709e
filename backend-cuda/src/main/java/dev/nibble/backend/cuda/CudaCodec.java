package dev.nibble.backend.cuda;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** Packs and unpacks tensors on the device, a warp a group. */
final class CudaCodec implements CodecOps {
    private static final int BLOCK = 256; // threads: eight groups

    private final CudaRuntime runtime;

    CudaCodec(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    @Override
    public EncodedTensor encode(StepScope scope, TensorCodec codec, Tensor x) {
        long values = CudaTensor.floats(x);
        long rows = x.shape().rows();
        long cols = x.shape().cols();
        Tensor codes = scope.allocate(x.label() + " codes", DType.INT8, Shape.of(rows, codec.rowBytes(cols)));
        Tensor scales = scope.allocate(x.label() + " scales", DType.FP32, Shape.of(rows, codec.scales(cols)));
        launch("codecEncode", codec, rows, cols, values, codes, scales, x);
        return new EncodedTensor(codec, x.shape(), codes, scales);
    }

    @Override
    public Tensor decode(StepScope scope, EncodedTensor encoded) {
        Tensor decoded = scope.allocate("decoded", DType.FP32, encoded.shape());
        long rows = encoded.shape().rows();
        long cols = encoded.shape().cols();
        launch(
                "codecDecode",
                encoded.codec(),
                rows,
                cols,
                CudaTensor.floats(decoded),
                encoded.codes(),
                encoded.scales(),
                decoded);
        return decoded;
    }

    private void launch(
            String function,
            TensorCodec codec,
            long rows,
            long cols,
            long values,
            Tensor codes,
            Tensor scales,
            Tensor about) {
        long groups = rows * codec.groups(cols);
        if (groups == 0) {
            return;
        }
        Args args = runtime.args()
                .pointer(values)
                .pointer(CudaTensor.of(codes).address())
                .floats(scales)
                .i64(rows)
                .i64(cols)
                .i64(codec.rowBytes(cols))
                .i32(codec.bits())
                .i32(codec.form().ordinal())
                .about(about);
        runtime.kernels().get("codec", function).launch(groups * 32, BLOCK, args);
    }
}
