package dev.nibble.backend.cuda;

import dev.nibble.reference.OperandChecks;
import dev.nibble.reference.ReferenceAdamW;
import dev.nibble.spi.AdamW;
import dev.nibble.spi.Control;
import dev.nibble.spi.Lion;
import dev.nibble.spi.OptimizerOps;
import dev.nibble.spi.Sgd;
import dev.nibble.spi.StableAdamW;
import dev.nibble.spi.StepScope;
import dev.nibble.spi.UpdateRule;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.List;
import java.util.Map;

/**
 * The update of the weights, decided on the device, to the bits of {@link dev.nibble.reference.ReferenceOptimizer}. The
 * corrections of the moments come from a table of the host's {@link StrictMath}, read by the number of the update.
 */
final class CudaOptimizer implements OptimizerOps {
    private static final int CHUNK = 4096; // elements; as in optimizer.cu
    private static final int SQUARES_TENSORS = 120; // of a launch; as in optimizer.cu
    private static final int SQUARES_BLOCK = 128;
    private static final int SQUARES_THREADS = 4; // of a chunk
    private static final int UPDATE_TENSORS = 56; // of a launch; as in optimizer.cu
    private static final int AVERAGE_TENSORS = 120; // of a launch; as in optimizer.cu
    private static final int BLOCK = 256;
    private static final int MOST_CORRECTIONS = 1 << 20; // updates; later ones are corrected by next to nothing
    private static final long HEADER = 16; // bytes of a table before its tensors: their number, their chunks
    private static final long SQUARES_ENTRY = 24; // bytes: address, elements, first chunk
    private static final long UPDATE_ENTRY = 56; // bytes: four addresses, elements, first chunk, decay, padding

    private static final long AVERAGE_ENTRY = 32; // bytes: two addresses, elements, first chunk

    private record Betas(float first, float second) {}

    private final CudaRuntime runtime;
    private final CudaUpdateRules rules;
    private final MemorySegment squares = Arena.ofAuto().allocate(HEADER + SQUARES_TENSORS * SQUARES_ENTRY, Long.BYTES);
    private final MemorySegment updates = Arena.ofAuto().allocate(HEADER + UPDATE_TENSORS * UPDATE_ENTRY, Long.BYTES);
    private final MemorySegment averaged =
            Arena.ofAuto().allocate(HEADER + AVERAGE_TENSORS * AVERAGE_ENTRY, Long.BYTES);
    private final Map<Betas, CudaTensor> corrections = new HashMap<>(); // [updates, 2]

    CudaOptimizer(CudaRuntime runtime) {
        this.runtime = runtime;
        this.rules = new CudaUpdateRules(runtime);
    }

    @Override
    public void control(StepScope scope, List<Tensor> gradients, float maxNorm, Tensor control) {
        OperandChecks.requireVector("control", control, Control.count());
        long chunks = gradients.stream().mapToLong(CudaOptimizer::chunks).sum();
        try (CudaTensor partials = runtime.memory().scratch("sums of squares", chunks * Double.BYTES)) {
            long done = 0; // chunks
            for (int from = 0; from < gradients.size(); from += SQUARES_TENSORS) {
                List<Tensor> some = gradients.subList(from, Math.min(gradients.size(), from + SQUARES_TENSORS));
                done += addSquares(some, partials.address() + done * Double.BYTES);
            }
            Args args = runtime.args()
                    .pointer(partials.address())
                    .i64(chunks)
                    .pointer(runtime.nonFinite().address())
                    .pointer(runtime.stepInfo().address())
                    .f32(maxNorm)
                    .floats(control)
                    .about(control);
            runtime.kernels().get("optimizer", "control").launch(1, 1, 1, BLOCK, 0, args);
        }
    }

    private static long chunks(Tensor tensor) {
        return Math.ceilDiv(tensor.shape().elements(), CHUNK);
    }

    /** {@return the number of chunks of some gradients, whose squares are summed by chunk} */
    private long addSquares(List<Tensor> gradients, long partials) {
        long chunks = 0;
        for (int i = 0; i < gradients.size(); i++) {
            Tensor gradient = gradients.get(i);
            MemorySegment entry = squares.asSlice(HEADER + i * SQUARES_ENTRY, SQUARES_ENTRY);
            entry.setAtIndex(ValueLayout.JAVA_LONG, 0, CudaTensor.floats(gradient));
            entry.setAtIndex(ValueLayout.JAVA_LONG, 1, gradient.shape().elements());
            entry.setAtIndex(ValueLayout.JAVA_LONG, 2, chunks);
            chunks += chunks(gradient);
        }
        squares.setAtIndex(ValueLayout.JAVA_LONG, 0, gradients.size());
        squares.setAtIndex(ValueLayout.JAVA_LONG, 1, chunks);
        Args args = runtime.args().struct(squares).pointer(partials).about(gradients.getFirst());
        runtime.kernels().get("optimizer", "gradient_squares").launch(chunks * SQUARES_THREADS, SQUARES_BLOCK, args);
        return chunks;
    }

    @Override
    public void update(
            StepScope scope,
            UpdateRule rule,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            List<Tensor> state,
            Tensor control) {
        OperandChecks.requireStates(rule, state);
        if (rule instanceof AdamW adamW) {
            adamW(scope, adamW, decay, parameter, gradient, state.get(0), state.get(1), control);
            return;
        }
        long elements = parameter.shape().elements();
        OperandChecks.requireVector("gradient", gradient, elements);
        state.forEach(tensor -> OperandChecks.requireVector("state of the optimizer", tensor, elements));
        OperandChecks.requireVector("control", control, Control.count());
        switch (rule) {
            case AdamW _ -> throw new IllegalStateException("AdamW has a kernel of its own");
            case Sgd sgd -> rules.sgd(sgd, decay, parameter, gradient, state, control);
            case Lion lion -> rules.lion(lion, decay, parameter, gradient, state.getFirst(), control);
            case StableAdamW stable ->
                rules.stableAdamW(
                        stable.adamW(), corrections(stable.adamW()), decay, parameter, gradient, state, control);
        }
    }

    @Override
    public void adamW(
            StepScope scope,
            AdamW spec,
            boolean decay,
            Tensor parameter,
            Tensor gradient,
            Tensor first,
            Tensor second,
            Tensor control) {
        long elements = parameter.shape().elements();
        OperandChecks.requireVector("gradient", gradient, elements);
        OperandChecks.requireVector("first moment", first, elements);
        OperandChecks.requireVector("second moment", second, elements);
        OperandChecks.requireVector("control", control, Control.count());
        CudaTensor table = corrections(spec);
        updates.setAtIndex(ValueLayout.JAVA_LONG, 0, 1);
        updates.setAtIndex(ValueLayout.JAVA_LONG, 1, chunks(parameter));
        MemorySegment entry = updates.asSlice(HEADER, UPDATE_ENTRY);
        entry.setAtIndex(ValueLayout.JAVA_LONG, 0, CudaTensor.floats(parameter));
        entry.setAtIndex(ValueLayout.JAVA_LONG, 1, CudaTensor.floats(gradient));
        entry.setAtIndex(ValueLayout.JAVA_LONG, 2, CudaTensor.floats(first));
        entry.setAtIndex(ValueLayout.JAVA_LONG, 3, CudaTensor.floats(second));
        entry.setAtIndex(ValueLayout.JAVA_LONG, 4, elements);
        entry.setAtIndex(ValueLayout.JAVA_LONG, 5, 0);
        entry.setAtIndex(ValueLayout.JAVA_FLOAT, 12, decay ? spec.weightDecay() : 0f);
        Args args = runtime.args()
                .struct(updates)
                .floats(control)
                .pointer(runtime.stepInfo().address())
                .pointer(table.address())
                .i64(table.rows())
                .f32(spec.beta1())
                .f32(spec.beta2())
                .f32(spec.epsilon())
                .about(parameter);
        runtime.kernels()
                .get("optimizer", "adamw")
                .launch(Math.clamp(chunks(parameter), 1, Integer.MAX_VALUE), 1, 1, BLOCK, 0, args);
    }

    @Override
    public void moveAverages(StepScope scope, List<Tensor> averages, List<Tensor> values, float decay, Tensor control) {
        OperandChecks.requireAverages(averages, values, decay);
        OperandChecks.requireVector("control", control, Control.count());
        for (int from = 0; from < averages.size(); from += AVERAGE_TENSORS) {
            int to = Math.min(averages.size(), from + AVERAGE_TENSORS);
            moveSome(averages.subList(from, to), values.subList(from, to), decay, control);
        }
    }

    private void moveSome(List<Tensor> averages, List<Tensor> values, float decay, Tensor control) {
        long chunks = 0;
        for (int i = 0; i < averages.size(); i++) {
            Tensor average = averages.get(i);
            MemorySegment entry = averaged.asSlice(HEADER + i * AVERAGE_ENTRY, AVERAGE_ENTRY);
            entry.setAtIndex(ValueLayout.JAVA_LONG, 0, CudaTensor.floats(average));
            entry.setAtIndex(ValueLayout.JAVA_LONG, 1, CudaTensor.floats(values.get(i)));
            entry.setAtIndex(ValueLayout.JAVA_LONG, 2, average.shape().elements());
            entry.setAtIndex(ValueLayout.JAVA_LONG, 3, chunks);
            chunks += chunks(average);
        }
        averaged.setAtIndex(ValueLayout.JAVA_LONG, 0, averages.size());
        averaged.setAtIndex(ValueLayout.JAVA_LONG, 1, chunks);
        Args args = runtime.args().struct(averaged).floats(control).f32(decay).about(averages.getFirst());
        runtime.kernels()
                .get("optimizer", "averages")
                .launch(Math.clamp(chunks, 1, Integer.MAX_VALUE), 1, 1, BLOCK, 0, args);
    }

    private CudaTensor corrections(AdamW spec) {
        return corrections.computeIfAbsent(new Betas(spec.beta1(), spec.beta2()), _ -> table(spec));
    }

    /** The corrections of updates 0, 1, 2, … up to the first whose both are 1. */
    private CudaTensor table(AdamW spec) {
        float[] values = new float[2 * MOST_CORRECTIONS]; // [updates, 2]
        int count = 0;
        boolean settled = false;
        while (count < MOST_CORRECTIONS && !settled) {
            ReferenceAdamW update = ReferenceAdamW.of(spec, false, 0, 1, count);
            values[2 * count] = update.firstCorrection();
            values[2 * count + 1] = update.secondCorrection();
            settled = update.firstCorrection() == 1f && update.secondCorrection() == 1f;
            count++;
        }
        CudaTensor table = runtime.memory().allocateOwn("corrections of moments", DType.FP32, Shape.of(count, 2));
        runtime.staging().write(table.address(), values, 0, 2 * count);
        return table;
    }
}
