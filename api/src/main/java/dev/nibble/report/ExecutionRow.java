package dev.nibble.report;

/**
 * What one product of one layer really ran as.
 *
 * @param layer name of the layer
 * @param product {@code output}, {@code gradInput} or {@code gradWeight}
 * @param requestedFormat formats asked for, left x right: {@code int8+int8 x int8}
 * @param storedFormat formats of the buffers that the kernel read
 * @param kernel name of the kernel
 * @param computeType arithmetic of the kernel: {@code exact int32, fp32 scale}
 * @param fromStoredCodes whether the product was computed from the stored codes
 * @param reason why stored and requested differ; empty if they do not
 */
public record ExecutionRow(
        String layer,
        String product,
        String requestedFormat,
        String storedFormat,
        String kernel,
        String computeType,
        boolean fromStoredCodes,
        String reason) {
    /** {@return whether this is not what was asked for; a wider compute type alone is no difference} */
    public boolean differs() {
        return !fromStoredCodes || !requestedFormat.equals(storedFormat);
    }
}
