package dev.nibble.backend.cuda;

import dev.nibble.spi.DeviceState;
import dev.nibble.state.StateInput;
import dev.nibble.state.StateProgram;
import dev.nibble.tensor.DType;
import dev.nibble.tensor.Shape;
import dev.nibble.tensor.Tensor;
import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;

/** Runs state programs on the device, bit-equal to {@code ReferenceStateProgram}: translated once, then one launch each. */
final class StatePrograms {
    private static final int BLOCK = 128; // threads
    private static final int MOST_VECTORS = 64; // as in state.cu
    private static final int SHARED_FLOATS = 8192; // values that fit into a block's shared memory
    private static final int AMAX_BLOCK = 256; // threads; 32 columns, 256 rows
    private static final int AMAX_ROWS = 256;
    private static final int AMAX_COLUMNS = 32;
    private static final long MOST_BLOCKS_Y = 256;

    /** A program with the lengths of the vectors it is given: what a translation depends on. */
    private record Key(StateProgram program, Map<String, Long> lengths) {}

    /** A translation and where it lies on the device. */
    private record Loaded(StateCode code, CudaTensor words) {}

    private final CudaRuntime runtime;
    private final MemorySegment vectors = Arena.ofAuto().allocate(ValueLayout.JAVA_LONG, MOST_VECTORS);
    private final Map<Key, Loaded> loaded = new HashMap<>();

    StatePrograms(CudaRuntime runtime) {
        this.runtime = runtime;
    }

    /**
     * Enqueues a program.
     *
     * @param program what to run
     * @param state read and written
     * @param inputs FP32 vectors that it may read
     * @throws IllegalArgumentException if a name is unknown, an element is out of range, or lengths do not fit
     */
    void run(StateProgram program, DeviceState state, Map<StateInput, Tensor> inputs) {
        Map<String, Tensor> given = new TreeMap<>(); // inputs by name
        inputs.forEach((input, tensor) -> given.put(input.name(), tensor));
        Map<String, Long> lengths = new TreeMap<>();
        state.all()
                .forEach((name, tensor) ->
                        lengths.put(StateCode.STATE + name, tensor.shape().elements()));
        given.forEach((name, tensor) ->
                lengths.put(StateCode.INPUT + name, tensor.shape().elements()));
        Loaded ready = loaded.computeIfAbsent(new Key(program, lengths), key -> load(key.program(), key.lengths()));
        StateCode code = ready.code();
        if (code.count() == 0) {
            return;
        }
        try (CudaTensor amax = runtime.memory().scratch("column amax", (long) code.amaxFloats() * Float.BYTES);
                CudaTensor space = runtime.memory().scratch("state program", spaceBytes(code))) {
            findAmax(code, given, amax);
            place(code, state, given, amax);
            boolean shared = code.floats() <= SHARED_FLOATS;
            Args args = runtime.args()
                    .pointer(ready.words().address())
                    .i32(code.count())
                    .struct(vectors)
                    .pointer(space.address())
                    .i32(shared ? 1 : 0)
                    .about("a program of " + code.count() + " instructions");
            int sharedBytes = shared ? code.floats() * Float.BYTES : 0;
            runtime.kernels().get("state", "runStateProgram").launch(1, 1, 1, BLOCK, sharedBytes, args);
        }
    }

    private static long spaceBytes(StateCode code) {
        return code.floats() <= SHARED_FLOATS ? 0 : (long) code.floats() * Float.BYTES;
    }

    private Loaded load(StateProgram program, Map<String, Long> lengths) {
        StateCode code = StateCode.of(program, lengths);
        if (code.vectors().size() > MOST_VECTORS) {
            throw new IllegalArgumentException("a state program uses "
                    + code.vectors().size() + " vectors, but at most " + MOST_VECTORS + " are possible on the device");
        }
        CudaTensor words = runtime.memory().allocateOwn("state program", DType.INT32, Shape.of(code.words().length));
        runtime.staging().write(words.address(), code.words(), 0, code.words().length);
        return new Loaded(code, words);
    }

    private void findAmax(StateCode code, Map<String, Tensor> inputs, CudaTensor amax) {
        if (code.amaxFloats() == 0) {
            return;
        }
        runtime.stream().fill(amax.address(), (byte) 0, amax.bytes());
        for (StateCode.Amax each : code.amaxes()) {
            Tensor matrix = inputs.get(each.input());
            long rows = matrix.shape().elements() / each.columns();
            Args args = runtime.args()
                    .pointer(CudaTensor.floats(matrix))
                    .i64(rows)
                    .i64(each.columns())
                    .pointer(amax.address() + (long) each.at() * Float.BYTES)
                    .about(matrix);
            long blocksY = Math.clamp(Math.ceilDiv(rows, AMAX_ROWS), 1, MOST_BLOCKS_Y);
            runtime.kernels()
                    .get("state", "columnAmax")
                    .launch(Math.ceilDiv(each.columns(), AMAX_COLUMNS), blocksY, 1, AMAX_BLOCK, 0, args);
        }
    }

    private void place(StateCode code, DeviceState state, Map<String, Tensor> inputs, CudaTensor amax) {
        List<String> names = code.vectors();
        for (int i = 0; i < names.size(); i++) {
            String name = names.get(i);
            long address = switch (name.charAt(0)) {
                case StateCode.STATE -> CudaTensor.floats(state.get(name.substring(1)));
                case StateCode.INPUT -> CudaTensor.floats(inputs.get(name.substring(1)));
                default -> amax.address() + Long.parseLong(name.substring(1)) * Float.BYTES;
            };
            vectors.setAtIndex(ValueLayout.JAVA_LONG, i, address);
        }
    }
}
