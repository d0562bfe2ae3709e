package dev.nibble.reference;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.TensorCodec;
import dev.nibble.spi.CodecOps;
import dev.nibble.spi.EncodedTensor;
import dev.nibble.spi.StepScope;
import dev.nibble.tensor.Bf16;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;

/** Packs and unpacks tensors in plain loops: the specification. */
public final class ReferenceCodec implements CodecOps {
    /** Packs and unpacks one group: plain, or with vectors. */
    public interface Groups {
        /**
         * Packs a group.
         *
         * @param x values from {@code from}
         * @param count of values, 1 to {@link TensorCodec#GROUP}
         * @param bytes receives {@code count + highBytes(count)} bytes from {@code to}
         * @return the scale; 0 if the codec has none
         */
        float encode(TensorCodec codec, float[] x, int from, int count, byte[] bytes, int to);

        /**
         * Unpacks a group.
         *
         * @param bytes packed codes from {@code from}
         * @param scale their scale; unused if the codec has none
         * @param x receives {@code count} values from {@code to}
         */
        void decode(TensorCodec codec, byte[] bytes, int from, float scale, float[] x, int to, int count);
    }

    /** One element after the other. */
    public static final Groups PLAIN = new PlainGroups();

    private final Tasks tasks;
    private final Groups groups;

    /** Makes operations that work on one row after the other. */
    public ReferenceCodec() {
        this(Tasks.IN_ORDER, PLAIN);
    }

    /**
     * Makes operations.
     *
     * @param tasks runs their tasks
     * @param groups packs groups; equal to {@link #PLAIN}, bit for bit
     */
    public ReferenceCodec(Tasks tasks, Groups groups) {
        this.tasks = tasks;
        this.groups = groups;
    }

    @Override
    public EncodedTensor encode(StepScope scope, TensorCodec codec, Tensor x) {
        int rows = OperandChecks.rows(x);
        int cols = OperandChecks.cols(x);
        int pitch = Math.toIntExact(codec.rowBytes(cols));
        int perRow = Math.toIntExact(codec.groups(cols));
        Tensor codes = scope.allocate(x.label() + " codes", DType.INT8, Shape.of(rows, pitch));
        Tensor scales = scope.allocate(x.label() + " scales", DType.FP32, Shape.of(rows, codec.scales(cols)));
        float[] values = HostTensor.floats(x); // [rows, cols]
        byte[] bytes = HostTensor.of(codes).bytes(); // [rows, pitch]
        float[] out = HostTensor.floats(scales); // [rows, perRow], or empty
        tasks.forEachChunk(rows, (from, to) -> {
            for (int row = from; row < to; row++) {
                int at = row * pitch;
                for (int group = 0; group < perRow; group++) {
                    int first = group * TensorCodec.GROUP;
                    int count = Math.min(TensorCodec.GROUP, cols - first);
                    float scale = groups.encode(codec, values, row * cols + first, count, bytes, at);
                    if (codec.scaled()) {
                        out[row * perRow + group] = scale;
                    }
                    at += count + codec.highBytes(count);
                }
            }
        });
        return new EncodedTensor(codec, x.shape(), codes, scales);
    }

    @Override
    public Tensor decode(StepScope scope, EncodedTensor encoded) {
        TensorCodec codec = encoded.codec();
        int rows = Math.toIntExact(encoded.shape().rows());
        int cols = Math.toIntExact(encoded.shape().cols());
        int pitch = OperandChecks.cols(encoded.codes());
        int perRow = Math.toIntExact(codec.groups(cols));
        Tensor decoded = scope.allocate("decoded", DType.FP32, encoded.shape());
        float[] values = HostTensor.floats(decoded); // [rows, cols]
        byte[] bytes = HostTensor.of(encoded.codes()).bytes(); // [rows, pitch]
        float[] scales = HostTensor.floats(encoded.scales()); // [rows, perRow], or empty
        tasks.forEachChunk(rows, (from, to) -> {
            for (int row = from; row < to; row++) {
                int at = row * pitch;
                for (int group = 0; group < perRow; group++) {
                    int first = group * TensorCodec.GROUP;
                    int count = Math.min(TensorCodec.GROUP, cols - first);
                    float scale = codec.scaled() ? scales[row * perRow + group] : 0;
                    groups.decode(codec, bytes, at, scale, values, row * cols + first, count);
                    at += count + codec.highBytes(count);
                }
            }
        });
        return decoded;
    }

    /**
     * {@return how a group is scaled}
     *
     * @param amax max|x| of the group, NaN if an element is NaN
     */
    public static GroupScale scale(TensorCodec codec, float amax) {
        GroupScale scale = GroupScale.amaxOverTop(codec.top(), amax);
        boolean overflows = Float.isInfinite(scale.scale() * codec.top());
        return overflows ? new GroupScale(Math.nextDown(scale.scale()), scale.multiplier()) : scale;
    }

    private static final class PlainGroups implements Groups {
        @Override
        public float encode(TensorCodec codec, float[] x, int from, int count, byte[] bytes, int to) {
            if (!codec.scaled()) {
                for (int i = 0; i < count; i++) {
                    short code = Bf16.encode(x[from + i]);
                    bytes[to + i] = (byte) code;
                    bytes[to + count + i] = (byte) (code >> 8);
                }
                return 0;
            }
            float amax = 0;
            for (int i = 0; i < count; i++) {
                amax = Math.max(amax, Math.abs(x[from + i])); // NaN if an element is
            }
            GroupScale scale = scale(codec, amax);
            int top = codec.top();
            int high = codec.highBits();
            int highBytes = codec.highBytes(count);
            for (int j = 0; j < highBytes; j++) {
                bytes[to + count + j] = 0;
            }
            for (int i = 0; i < count; i++) {
                int code = scale.multiplier() == 0 ? 0 : Rounder.nearest(scale.apply(x[from + i]), -top, top);
                bytes[to + i] = (byte) code;
                if (high > 0) {
                    int field = (code >> 8) & ((1 << high) - 1);
                    bytes[to + count + i % highBytes] |= (byte) (field << (high * (i / highBytes)));
                }
            }
            return scale.scale();
        }

        @Override
        public void decode(TensorCodec codec, byte[] bytes, int from, float scale, float[] x, int to, int count) {
            if (!codec.scaled()) {
                for (int i = 0; i < count; i++) {
                    x[to + i] = Bf16.decode((short) ((bytes[from + count + i] << 8) | (bytes[from + i] & 0xFF)));
                }
                return;
            }
            int high = codec.highBits();
            int highBytes = codec.highBytes(count);
            for (int i = 0; i < count; i++) {
                int code = bytes[from + i];
                if (high > 0) {
                    int field = bytes[from + count + i % highBytes] >> (high * (i / highBytes));
                    code = ((field << (32 - high) >> (32 - high)) << 8) | (code & 0xFF);
                }
                x[to + i] = code * scale;
            }
        }
    }
}
