// Exact products of bytes: mma.sync m16n8k32. Segments end where a stage does, 128, 64 or 32 bytes of the contraction;
// gemm_ordered.cu takes what is cut elsewhere.
#include "gemm_mma.cuh"
#include "tensor_core.cuh"

namespace nibble {

/** A byte a number. */
struct Bytes {
    using Number = int;
    static constexpr int CODE = 1;
    static constexpr int ELEMENT = 1;

    static __device__ __forceinline__ void multiply(int (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_s8(d, a, b0, b1);
    }
};

}  // namespace nibble

#define NIBBLE_INT8_KERNEL(name, width, stages)                                                                    \
    extern "C" __global__ void __launch_bounds__(nibble::TILE_THREADS, 1)                                          \
        name(const __grid_constant__ nibble::Product product) {                                                    \
        nibble::multiplyByWarps<nibble::Bytes, width, stages>(product);                                            \
    }

// Four stages where a block can have 150 KB of shared memory, two elsewhere.
NIBBLE_INT8_KERNEL(gemm_int8_128_deep, 128, 4)
NIBBLE_INT8_KERNEL(gemm_int8_128, 128, 2)
NIBBLE_INT8_KERNEL(gemm_int8_64, 64, 4)
NIBBLE_INT8_KERNEL(gemm_int8_32, 32, 4)
