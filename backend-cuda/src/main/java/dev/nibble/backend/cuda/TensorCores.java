package dev.nibble.backend.cuda;

/**
 * What the kernels of the loaded architecture use the tensor cores of a device for, beyond what all can do.
 *
 * @param warpgroups whether there are kernels for the warpgroups and tensor copies of sm_90a
 * @param fp8 whether there are kernels by which warps multiply 8-bit floats as such
 */
record TensorCores(boolean warpgroups, boolean fp8) {
    /** What all devices can do. */
    static final TensorCores PORTABLE = new TensorCores(false, false);

    /** {@return what a device and the kernels in this build have} */
    static TensorCores of(CudaRuntime runtime) {
        String architecture = runtime.kernels().architecture();
        return new TensorCores(
                WarpgroupLaunches.available(runtime),
                KernelImages.has(architecture, "gemm_fp8" + KernelImages.FROM_ADA_ON));
    }
}
