package dev.nibble.testkit;

import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.tensor.Tensor;
import dev.nibble.testkit.data.Bits;
import dev.nibble.testkit.data.Matrix;
import dev.nibble.testkit.data.SpecialValues;
import dev.nibble.testkit.run.Rig;
import java.util.List;

/** Packed tensors equal the plain code's: their scales, and what they decode to. */
final class CodecParity {
    private static final List<TensorCodec> CODECS = List.of(
            new TensorCodec(8), new TensorCodec(10), new TensorCodec(12), new TensorCodec(16), TensorCodec.BF16);
    private static final int[][] SHAPES = {{1, 1}, {13, 129}, {3, 127}, {2, 702}, {129, 13}};

    private CodecParity() {}

    static void everyCodec(Duel duel) {
        for (TensorCodec codec : CODECS) {
            for (int[] shape : SHAPES) {
                Matrix mixed = SpecialValues.mixed(21, shape[0], shape[1]);
                Matrix notFinite = mixed.with(mixed.values().length - 1, Float.NaN);
                for (Matrix x : List.of(Matrix.normal(2, shape[0], shape[1], 1), mixed, notFinite)) {
                    List<float[]> plain = coded(duel.plain(), codec, x);
                    List<float[]> actual = coded(duel.actual(), codec, x);
                    String what = duel.says("%s of [%d, %d]".formatted(codec, shape[0], shape[1]));
                    Bits.assertSame(what + ": scales", plain.get(0), actual.get(0));
                    Bits.assertSame(what + ": values", plain.get(1), actual.get(1));
                }
            }
        }
    }

    private static List<float[]> coded(Rig rig, TensorCodec codec, Matrix x) {
        try (Tensor values = rig.tensor(x)) {
            return rig.results(Rig.CONTEXT, scope -> {
                EncodedTensor encoded = rig.backend().codec().encode(scope, codec, values);
                return List.of(encoded.scales(), rig.backend().codec().decode(scope, encoded));
            });
        }
    }
}
