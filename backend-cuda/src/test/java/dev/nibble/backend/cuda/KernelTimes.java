package dev.nibble.backend.cuda;

import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.TreeMap;
import jcuda.driver.CUevent;
import jcuda.driver.JCudaDriver;

/**
 * How long each kernel takes: an event after each launch; the time between two belongs to the second kernel, with the gap before
 * it. The host must be ahead of the device, or its own time is counted.
 */
final class KernelTimes implements AutoCloseable {
    /**
     * All launches of a kernel.
     *
     * @param launches how many
     * @param millis how long in all
     */
    record Time(int launches, double millis) {
        Time plus(Time other) {
            return new Time(launches + other.launches, millis + other.millis);
        }
    }

    private final CudaStream stream;
    private final List<CUevent> events = new ArrayList<>(); // one more than names
    private final List<String> names = new ArrayList<>();

    KernelTimes(CudaStream stream) {
        this.stream = stream;
        mark();
        stream.watch(Optional.of(name -> {
            names.add(name);
            mark();
        }));
    }

    private void mark() {
        CUevent event = new CUevent();
        stream.check(JCudaDriver.cuEventCreate(event, 0), () -> "cuEventCreate");
        stream.check(JCudaDriver.cuEventRecord(event, stream.handle()), () -> "cuEventRecord");
        events.add(event);
    }

    /** {@return the time of each kernel launched so far} */
    Map<String, Time> take() {
        stream.synchronize("times of kernels");
        Map<String, Time> times = new TreeMap<>();
        float[] millis = new float[1];
        for (int i = 0; i < names.size(); i++) {
            int code = JCudaDriver.cuEventElapsedTime(millis, events.get(i), events.get(i + 1));
            stream.check(code, () -> "cuEventElapsedTime");
            times.merge(names.get(i), new Time(1, millis[0]), Time::plus);
        }
        return times;
    }

    @Override
    public void close() {
        stream.watch(Optional.empty());
        events.forEach(JCudaDriver::cuEventDestroy);
        events.clear();
        names.clear();
    }
}
