// Products of 8-bit floats as such by mma.sync m16n8k32, which tensor cores have from compute capability 8.9 on. They keep fewer bits
// than an FP32 while they sum, so every 128 of the contraction the sum is scaled and added to one in FP32.
#include "gemm_mma.cuh"

namespace nibble {

struct Fp8Codes {
    using Number = float;
    static constexpr int CODE = 1;
    static constexpr int ELEMENT = 1;
};

#define NIBBLE_FP8_KIND(name, formats)                                                                             \
    struct name : Fp8Codes {                                                                                       \
        static __device__ __forceinline__ void multiply(                                                           \
            float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {                                     \
            asm volatile("mma.sync.aligned.m16n8k32.row.col.f32." formats                                          \
                         ".f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"                    \
                         : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])                                          \
                         : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1));                          \
        }                                                                                                          \
    };

NIBBLE_FP8_KIND(E4M3E4M3, "e4m3.e4m3")
NIBBLE_FP8_KIND(E4M3E5M2, "e4m3.e5m2")
NIBBLE_FP8_KIND(E5M2E4M3, "e5m2.e4m3")
NIBBLE_FP8_KIND(E5M2E5M2, "e5m2.e5m2")

}  // namespace nibble

#define NIBBLE_FP8_KERNEL(name, kind)                                                                              \
    extern "C" __global__ void __launch_bounds__(nibble::TILE_THREADS, 1)                                          \
        name(const __grid_constant__ nibble::Product product) {                                                    \
        nibble::multiplyByWarps<nibble::kind, 64, 4>(product);                                                     \
    }

NIBBLE_FP8_KERNEL(gemm_mma_e4m3_e4m3, E4M3E4M3)
NIBBLE_FP8_KERNEL(gemm_mma_e4m3_e5m2, E4M3E5M2)
NIBBLE_FP8_KERNEL(gemm_mma_e5m2_e4m3, E5M2E4M3)
NIBBLE_FP8_KERNEL(gemm_mma_e5m2_e5m2, E5M2E5M2)
