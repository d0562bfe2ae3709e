package dev.nibble.backend.cuda;

import static org.junit.jupiter.api.Assertions.assertEquals;

import dev.nibble.quant.TensorCodec;
import dev.nibble.reference.GroupScale;
import dev.nibble.reference.ReferenceCodec;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.StepContext;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.MemoryTag;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import java.util.List;
import java.util.SplittableRandom;
import org.junit.jupiter.api.Test;

/** Codes, scales and what they decode to equal the plain code's. */
class CudaCodecTests {
    private static final List<TensorCodec> CODECS = List.of(
            new TensorCodec(8), new TensorCodec(10), new TensorCodec(12), new TensorCodec(16), TensorCodec.BF16);

    private record Plain(byte[] codes, float[] scales, float[] decoded) {}

    private static Plain plain(TensorCodec codec, Matrix x) {
        int pitch = Math.toIntExact(codec.rowBytes(x.cols()));
        int perRow = Math.toIntExact(codec.groups(x.cols()));
        int scales = Math.toIntExact(x.rows() * codec.scales(x.cols()));
        Plain plain = new Plain(new byte[x.rows() * pitch], new float[scales], new float[x.rows() * x.cols()]);
        for (int row = 0; row < x.rows(); row++) {
            int at = row * pitch;
            for (int group = 0; group < perRow; group++) {
                int first = row * x.cols() + group * TensorCodec.GROUP;
                int count = Math.min(TensorCodec.GROUP, x.cols() - group * TensorCodec.GROUP);
                float scale = ReferenceCodec.PLAIN.encode(codec, x.values(), first, count, plain.codes(), at);
                if (codec.scaled()) {
                    plain.scales()[row * perRow + group] = scale;
                }
                ReferenceCodec.PLAIN.decode(codec, plain.codes(), at, scale, plain.decoded(), first, count);
                at += count + codec.highBytes(count);
            }
        }
        return plain;
    }

    private static void compare(CudaBackend backend, TensorCodec codec, Matrix x) {
        String what = "%s of [%d, %d]".formatted(codec, x.rows(), x.cols());
        Plain expected = plain(codec, x);
        Shape shape = Shape.of(x.rows(), x.cols());
        try (Tensor tensor = backend.allocate("x", DType.FP32, shape, MemoryTag.SCRATCH)) {
            backend.write(tensor, x.values());
            EncodedTensor kept;
            Tensor decoded;
            try (StepScope scope = backend.beginStep(StepContext.train(0, 0))) {
                EncodedTensor encoded = backend.codec().encode(scope, codec, tensor);
                decoded = backend.codec().decode(scope, encoded).share();
                kept = new EncodedTensor(
                        codec, shape, encoded.codes().share(), encoded.scales().share());
            }
            byte[] codes = new byte[expected.codes().length];
            backend.runtime().staging().read(CudaTensor.of(kept.codes()).address(), codes, 0, codes.length);
            Bits.assertSame(what + ": codes", expected.codes(), codes);
            Bits.assertSame(what + ": scales", expected.scales(), backend.readFloats(kept.scales()));
            Bits.assertSame(what + ": decoded", expected.decoded(), backend.readFloats(decoded));
            kept.close();
            decoded.close();
        }
    }

    @Test
    void everyWidthAndShapeEqualsThePlainCode() {
        try (CudaBackend backend = Gpu.open()) {
            for (TensorCodec codec : CODECS) {
                for (int cols : List.of(1, 2, 3, 7, 13, 127, 128, 129, 255, 256, 300, 702)) {
                    compare(backend, codec, Matrix.normal(cols, 5, cols, 3));
                    compare(backend, codec, SpecialValues.mixed(cols, 9, cols));
                }
            }
        }
    }

    @Test
    void amaxesOfEveryMagnitudeEqualThePlainCode() {
        SplittableRandom random = new SplittableRandom(8);
        int rows = 4096;
        float[] values = new float[rows * 16]; // [rows, 16]
        for (int i = 0; i < values.length; i++) {
            values[i] = Float.intBitsToFloat(random.nextInt());
        }
        try (CudaBackend backend = Gpu.open()) {
            for (TensorCodec codec : CODECS) {
                compare(backend, codec, new Matrix(values, rows, 16));
            }
        }
    }

    /** The reference that the comparison rests on. */
    @Test
    void groupsWithoutAFiniteScaleDecodeToZeroOrNan() {
        assertEquals(
                0,
                ReferenceCodec.scale(new TensorCodec(8), GroupScale.SMALLEST_AMAX / 2)
                        .multiplier());
        assertEquals(
                Float.NaN, ReferenceCodec.scale(new TensorCodec(8), Float.NaN).scale());
    }
}
