package dev.nibble.backend.cuda;

import java.util.Arrays;
import jcuda.driver.CUevent;
import jcuda.driver.CUgraph;
import jcuda.driver.CUgraphExec;
import jcuda.driver.CUstream;
import jcuda.driver.CUstreamCaptureMode;
import jcuda.driver.JCudaDriver;

/** Times work on the device: recorded once as a graph, then replayed between two events, so that the host takes no part. */
final class DeviceTimer implements AutoCloseable {
    private static final int REPLAYS = 9;

    private final CudaStream stream;
    private final CUevent begin = new CUevent();
    private final CUevent end = new CUevent();

    /** Makes a timer for a backend that was opened without graphs of its own. */
    DeviceTimer(CudaBackend backend) {
        stream = backend.runtime().stream();
        check(JCudaDriver.cuEventCreate(begin, 0), "cuEventCreate");
        check(JCudaDriver.cuEventCreate(end, 0), "cuEventCreate");
    }

    private void check(int code, String call) {
        stream.check(code, () -> call);
    }

    /** {@return the median of the milliseconds of a replay} */
    double millis(Runnable work) {
        work.run(); // loads kernels and finds memory
        stream.synchronize("warm up");
        CUstream handle = stream.handle();
        CUgraph graph = new CUgraph();
        check(
                JCudaDriver.cuStreamBeginCapture(handle, CUstreamCaptureMode.CU_STREAM_CAPTURE_MODE_RELAXED),
                "cuStreamBeginCapture");
        work.run();
        check(JCudaDriver.cuStreamEndCapture(handle, graph), "cuStreamEndCapture");
        CUgraphExec exec = new CUgraphExec();
        check(JCudaDriver.cuGraphInstantiate(exec, graph, 0), "cuGraphInstantiate");
        float[] millis = new float[REPLAYS]; // [REPLAYS]
        float[] one = new float[1];
        for (int i = -1; i < REPLAYS; i++) {
            check(JCudaDriver.cuEventRecord(begin, handle), "cuEventRecord");
            check(JCudaDriver.cuGraphLaunch(exec, handle), "cuGraphLaunch");
            check(JCudaDriver.cuEventRecord(end, handle), "cuEventRecord");
            check(JCudaDriver.cuEventSynchronize(end), "cuEventSynchronize");
            check(JCudaDriver.cuEventElapsedTime(one, begin, end), "cuEventElapsedTime");
            millis[Math.max(i, 0)] = one[0]; // the first one is overwritten
        }
        check(JCudaDriver.cuGraphExecDestroy(exec), "cuGraphExecDestroy");
        check(JCudaDriver.cuGraphDestroy(graph), "cuGraphDestroy");
        Arrays.sort(millis);
        return millis[REPLAYS / 2];
    }

    @Override
    public void close() {
        JCudaDriver.cuEventDestroy(begin);
        JCudaDriver.cuEventDestroy(end);
    }
}
