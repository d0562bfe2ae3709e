package dev.nibble.host;

import dev.nibble.gemm.GemmSpec;
import dev.nibble.report.ExecutionLog;
import dev.nibble.report.ExecutionRow;
import dev.nibble.spi.BackendOptions;
import dev.nibble.spi.Site;
import dev.nibble.tensor.DType;

/** Describes products from the buffers they read. */
public final class HostExecution {
    private HostExecution() {}

    /**
     * {@return the row of a product that was computed from the stored codes}
     *
     * @param site who asked
     * @param spec what for
     * @param a left operand
     * @param b right operand
     * @param kernel name of the kernel
     * @param computeType its arithmetic
     */
    public static ExecutionRow row(
            Site site, GemmSpec spec, HostOperand a, HostOperand b, String kernel, String computeType) {
        String requested = a.spec().formatLabel() + " x " + b.spec().formatLabel();
        String stored = a.storedLabel() + " x " + b.storedLabel();
        String reason = requested.equals(stored) ? "" : "the operands were stored in other formats";
        return new ExecutionRow(
                site.name(), spec.product().label(), requested, stored, kernel, computeType, true, reason);
    }

    /**
     * Notes that attention runs in FP32, if the options ask for less.
     *
     * @throws dev.nibble.error.StrictException if they do, and the run is strict
     */
    public static void noteAttention(ExecutionLog log, BackendOptions options, String backend) {
        if (options.attention() != DType.FP32) {
            log.launched(new ExecutionRow(
                    "attention",
                    "output",
                    "bf16 x bf16",
                    "fp32 x fp32",
                    backend + "-attention",
                    "fp32",
                    true,
                    "backend " + backend + " has attention in FP32 only"));
        }
    }
}
