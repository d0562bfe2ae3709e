package dev.nibble.backend.cuda;

import java.lang.foreign.Arena;
import java.lang.foreign.MemorySegment;
import java.lang.foreign.ValueLayout;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.util.Arrays;
import java.util.HashMap;
import java.util.Map;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUresult;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;

/**
 * What a step enqueues, held back a few launches at a time. A stretch of launches that is, byte for byte, one that was enqueued
 * before goes to the device as one graph; any other goes launch by launch. Since a step's memory has the same addresses as the
 * last one's, and what changes from step to step lies on the device, a step of training soon consists of such stretches: see
 * docs/design/0003.
 */
final class LaunchTape implements AutoCloseable {
    private static final System.Logger LOG = System.getLogger(LaunchTape.class.getName());
    private static final int STRETCH = 48; // launches that are held back at most
    private static final int SHORTEST = 4; // launches of a graph
    private static final int MOST = 4096; // stretches that are remembered
    private static final int HEADER_WORDS = 8; // grid, block, shared memory, number of arguments, bytes of arguments, 0
    private static final int FIRST_BYTES = 1 << 16;
    private static final long FILL = 0; // stands where a launch has its function

    private static final class Exec extends CUgraphExec {
        long raw() {
            return getNativePointer();
        }
    }

    /** The bytes of a stretch. Compared by value. */
    private static final class Content {
        private byte[] bytes;
        private int length;
        private int hash;

        Content(byte[] bytes, int length) {
            set(bytes, length);
        }

        void set(byte[] newBytes, int newLength) {
            bytes = newBytes;
            length = newLength;
            hash = MemorySegment.ofArray(newBytes)
                    .asSlice(0, newLength)
                    .asByteBuffer()
                    .hashCode();
        }

        @Override
        public boolean equals(Object other) {
            return other instanceof Content content
                    && Arrays.equals(bytes, 0, length, content.bytes, 0, content.length);
        }

        @Override
        public int hashCode() {
            return hash;
        }
    }

    /** A stretch that was met: its graph, once it was met a second time. */
    private static final class Known {
        private final Exec exec = new Exec();
        private boolean compiled;
    }

    private final CudaStream stream;
    private final Map<Content, Known> known = new HashMap<>();
    private final Content probe = new Content(new byte[0], 0);
    private final MemorySegment values = Arena.ofAuto().allocate(Args.BYTES, Args.ALIGNMENT);
    private final MemorySegment pointers = Arena.ofAuto().allocate(ValueLayout.ADDRESS, Args.MOST);
    private final String[] names = new String[STRETCH]; // [count], of the kernels
    private final Object[] abouts = new Object[STRETCH]; // [count], what each launch works on
    private byte[] bytes = new byte[FIRST_BYTES]; // the launches that are held back
    private ByteBuffer tape = view(bytes); // positioned behind them
    private int count;
    private long graphLaunches;
    private long graphsMade;
    private long single; // launches that went one by one

    LaunchTape(CudaStream stream) {
        this.stream = stream;
    }

    private static ByteBuffer view(byte[] bytes) {
        return ByteBuffer.wrap(bytes).order(ByteOrder.nativeOrder());
    }

    /** {@return graphs that were launched so far: for tests} */
    long graphLaunches() {
        return graphLaunches;
    }

    /** Notes a launch. */
    void launch(Kernel kernel, int gridX, int gridY, int gridZ, int blockX, int shared, Args args) {
        int arguments = args.count();
        int length = Math.toIntExact(args.used());
        reserve(Long.BYTES + Integer.BYTES * (HEADER_WORDS + arguments) + length);
        tape.putLong(kernel.raw());
        tape.putInt(gridX).putInt(gridY).putInt(gridZ).putInt(blockX);
        tape.putInt(shared).putInt(arguments).putInt(length).putInt(0);
        for (int i = 0; i < arguments; i++) {
            tape.putInt(args.offset(i));
        }
        MemorySegment.copy(args.values(), ValueLayout.JAVA_BYTE, 0, bytes, tape.position(), length);
        tape.position(tape.position() + length);
        noted(kernel.name(), args.what());
    }

    /** Notes setting bytes. */
    void fill(long address, byte value, long length) {
        reserve(4 * Long.BYTES);
        tape.putLong(FILL).putLong(address).putLong(length).putLong(value);
        noted("fill", "");
    }

    private void noted(String name, Object about) {
        names[count] = name;
        abouts[count] = about;
        count++;
        if (count == STRETCH) {
            flush();
        }
    }

    private void reserve(int more) {
        if (tape.remaining() < more) {
            int position = tape.position();
            bytes = Arrays.copyOf(bytes, 2 * bytes.length + more);
            tape = view(bytes).position(position);
        }
    }

    /** Enqueues what was noted. */
    void flush() {
        if (count == 0) {
            return;
        }
        int launches = count;
        int length = tape.position();
        count = 0;
        tape.clear();
        if (launches < SHORTEST) {
            play(launches);
            return;
        }
        probe.set(bytes, length);
        Known stretch = known.get(probe);
        if (stretch == null) {
            remember(length);
            play(launches);
        } else {
            if (!stretch.compiled) {
                compile(stretch, launches);
            }
            graphLaunches++;
            stream.launchGraph(
                    stretch.exec.raw(),
                    Arrays.asList(names).subList(0, launches),
                    Arrays.asList(abouts).subList(0, launches));
        }
    }

    private void remember(int length) {
        if (known.size() == MOST) {
            forget();
        }
        known.put(new Content(Arrays.copyOf(bytes, length), length), new Known());
    }

    private void play(int launches) {
        single += launches;
        ByteBuffer in = view(bytes);
        for (int n = 0; n < launches; n++) {
            long function = in.getLong();
            if (function == FILL) {
                long address = in.getLong();
                long length = in.getLong();
                stream.fillNow(address, (byte) in.getLong(), length);
            } else {
                playLaunch(function, in, n);
            }
        }
    }

    private void playLaunch(long function, ByteBuffer in, int n) {
        int gridX = in.getInt();
        int gridY = in.getInt();
        int gridZ = in.getInt();
        int blockX = in.getInt();
        int shared = in.getInt();
        int arguments = in.getInt();
        int length = in.getInt();
        in.getInt();
        for (int i = 0; i < arguments; i++) {
            pointers.setAtIndex(ValueLayout.ADDRESS, i, values.asSlice(in.getInt()));
        }
        MemorySegment.copy(bytes, in.position(), values, ValueLayout.JAVA_BYTE, 0, length);
        in.position(in.position() + length);
        stream.launchNow(function, names[n], gridX, gridY, gridZ, blockX, shared, pointers, abouts[n]);
    }

    private void compile(Known stretch, int launches) {
        CUgraph graph = new CUgraph();
        int begun = JCudaDriver.cuStreamBeginCapture(
                stream.handle(), CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_THREAD_LOCAL);
        stream.check(begun, () -> "cuStreamBeginCapture");
        try {
            play(launches);
        } finally {
            int ended = JCudaDriver.cuStreamEndCapture(stream.handle(), graph);
            stream.check(ended, () -> "cuStreamEndCapture");
        }
        int made = JCudaDriver.cuGraphInstantiate(stretch.exec, graph, 0);
        stream.check(made, () -> "cuGraphInstantiate of " + launches + " launches");
        stretch.compiled = true;
        graphsMade++;
        single -= launches; // they were captured, not enqueued
        stream.check(JCudaDriver.cuGraphDestroy(graph), () -> "cuGraphDestroy");
    }

    private void forget() {
        for (Known stretch : known.values()) {
            if (stretch.compiled) {
                int code = JCudaDriver.cuGraphExecDestroy(stretch.exec); // one that still runs is freed afterwards
                if (code != CUresult.CUDA_SUCCESS) {
                    stream.check(code, () -> "cuGraphExecDestroy");
                }
            }
        }
        known.clear();
    }

    @Override
    public void close() {
        LOG.log(
                System.Logger.Level.DEBUG,
                "{0} launches of {1} graphs, {2} launches one by one, {3} stretches",
                graphLaunches,
                graphsMade,
                single,
                known.size());
        forget();
    }
}
