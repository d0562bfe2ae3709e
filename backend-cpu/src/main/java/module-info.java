/** The backend for the host's processors. Exports nothing: it is reached by name. */
module dev.nibble.backend.cpu {
    requires dev.nibble.api;
    requires jdk.incubator.vector;

    provides dev.nibble.spi.BackendProvider with
            dev.nibble.backend.cpu.CpuBackendProvider,
            dev.nibble.backend.cpu.CpuPortableProvider;
}
