package dev.nibble.backend.cuda;

/**
 * Ways to run that serve tests and the search for faults; each changes no number.
 *
 * @param arena whether tensors lie in large segments; if not, each has an allocation of the driver, as a memory checker needs
 * @param poison whether new memory is filled with bytes 0xFF, a NaN, instead of what was there
 * @param canaries whether a tensor is followed by bytes that are checked when it is freed
 * @param synchronous whether each launch is waited for, so that a fault names its kernel
 * @param graphs whether launches that repeat go to the device as graphs
 * @param images which compiled kernels are loaded: {@code auto}, {@code ptx} (by the driver's compiler) or an architecture
 */
record CudaSettings(
        boolean arena, boolean poison, boolean canaries, boolean synchronous, boolean graphs, String images) {
    private static final String PREFIX = "nibble.cuda.";

    /** Ways as they are without any property. */
    static final CudaSettings DEFAULT = new CudaSettings(true, false, false, false, true, "auto");

    /** {@return what the system properties {@code nibble.cuda.*} ask for} */
    static CudaSettings ofProperties() {
        return new CudaSettings(
                flag("arena", true),
                flag("poison", false),
                flag("canaries", false),
                flag("synchronous", false),
                flag("graphs", true),
                System.getProperty(PREFIX + "images", "auto"));
    }

    private static boolean flag(String name, boolean otherwise) {
        String value = System.getProperty(PREFIX + name);
        return value == null ? otherwise : Boolean.parseBoolean(value);
    }
}
