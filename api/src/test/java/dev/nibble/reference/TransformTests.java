package dev.nibble.reference;

import static org.junit.jupiter.api.Assertions.assertArrayEquals;

import dev.nibble.host.HostTensor;
import dev.nibble.quant.Transform;
import dev.nibble.spi.DeviceState;
import dev.nibble.state.StateVector;
import dev.nibble.tensor.Tensor;
import java.util.List;
import org.junit.jupiter.api.Test;

class TransformTests {
    private static float[] transform(Session session, Transform transform, float[] x, int rows, DeviceState state) {
        Tensor tensor = session.tensor(x, rows, x.length / rows);
        try (Tensor result =
                session.backend.quantization().transform(session.scope, transform, Session.SITE, tensor, state)) {
            return HostTensor.floats(result).clone();
        }
    }

    @Test
    void aTransformAloneIsThatOfQuantization() {
        float[] x = Data.normal(1, 3 * 4); // [3, 4]
        try (Session session = new Session()) {
            DeviceState state =
                    session.state(new StateVector("d", List.of(0.5f, 2f, 3f, 1e-3f)), StateVector.scalar("log2", 1));
            for (Transform transform : List.of(
                    new Transform.Identity(),
                    new Transform.ColumnScale("d", false),
                    new Transform.ColumnScale("d", true),
                    new Transform.BlockHadamard("log2"))) {
                assertArrayEquals(
                        Transforms.apply(transform, x, 3, 4, state), transform(session, transform, x, 3, state));
            }
        }
    }
}
