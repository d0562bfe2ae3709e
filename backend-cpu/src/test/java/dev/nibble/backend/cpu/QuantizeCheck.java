package dev.nibble.backend.cpu;

import dev.nibble.host.HostOperand;
import dev.nibble.host.HostTensor;
import dev.nibble.quant.OperandSpec;
import dev.nibble.quant.QuantizeSpec;
import dev.nibble.spi.DeviceState;
import dev.nibble.spi.Quantized;
import dev.nibble.tensor.Tensor;
import java.util.SplittableRandom;

/** Compares codes, scales, masks and statistics with the plain code's, bit for bit. */
final class QuantizeCheck {
    static final int[][] SHAPES = {{1, 1}, {1, 129}, {13, 127}, {127, 13}, {128, 257}, {257, 128}, {129, 129}};

    private QuantizeCheck() {}

    /** Values of all magnitudes, zeros of both signs, subnormals, a row and a column of zeros. */
    static float[] values(int rows, int cols, boolean finite) {
        SplittableRandom random = new SplittableRandom(31L * rows + cols);
        float[] special = {
            0f, -0f, Float.MIN_VALUE, -0x1p-130f, 0x1p-119f, Float.MAX_VALUE, -Float.MAX_VALUE, 448f, 57344f
        };
        float[] values = Fixture.normal(rows * cols, 11);
        for (int i = 0; i < values.length; i++) {
            int draw = random.nextInt(40);
            if (draw < special.length && i % 5 == 0) {
                values[i] = special[draw];
            } else if (draw > 35) {
                values[i] *= (float) Math.pow(2, random.nextInt(60) - 30);
            }
            boolean zero = (rows > 2 && i / cols == 2) || (cols > 2 && i % cols == 1);
            values[i] = zero ? (i % 2 == 0 ? 0f : -0f) : values[i];
        }
        if (!finite) {
            values[values.length / 2] = Float.NaN;
            values[values.length - 1] = Float.NEGATIVE_INFINITY;
        }
        return values;
    }

    /** Values around every code of a scale of 1, ties included, and far beyond. */
    static float[] nearCodes(int count) {
        float[] values = new float[count];
        for (int i = 0; i < count; i++) {
            float sign = i % 2 == 0 ? 1 : -1;
            values[i] = switch (i % 5) {
                case 0 -> sign * (i % 541) / 2;
                case 1 -> sign * Math.nextUp((i % 541) / 2f);
                case 2 -> sign * Math.nextDown((i % 541) / 2f);
                case 3 -> sign * Math.scalb(1 + i % 7 / 8f, i % 41 - 20);
                default -> sign * (i % 17) / 16;
            };
        }
        return values;
    }

    /** Compares each path. */
    static void assertEqualToPlain(Fixture fixture, QuantizeSpec spec, Tensor x, DeviceState state) {
        try (Quantized expected = fixture.plainQuantize.quantize(fixture.scope, spec, Fixture.SITE, x, state)) {
            fixture.quantizers.forEach((path, quantize) -> {
                try (Quantized actual = quantize.quantize(fixture.scope, spec, Fixture.SITE, x, state)) {
                    assertSame(spec, expected, actual, path + " " + x.shape());
                }
            });
        }
    }

    private static void assertSame(QuantizeSpec spec, Quantized expected, Quantized actual, String what) {
        for (OperandSpec operand : spec.operands()) {
            Fixture.assertSameOperand(
                    HostOperand.of(expected.operand(operand.contraction())),
                    HostOperand.of(actual.operand(operand.contraction())),
                    what + " " + operand);
        }
        Fixture.assertSameBits(
                HostTensor.floats(expected.statistics()), HostTensor.floats(actual.statistics()), what + " " + spec);
    }
}
