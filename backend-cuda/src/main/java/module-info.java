/** The backend for NVIDIA GPUs. Exports nothing: it is reached by name. */
module dev.nibble.backend.cuda {
    requires dev.nibble.api;
    requires jcuda;

    provides dev.nibble.spi.BackendProvider with
            dev.nibble.backend.cuda.CudaBackendProvider;
}
