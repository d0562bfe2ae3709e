// Products of BF16, FP16 and 8-bit floats on the tensor cores of any architecture since sm_80: mma.sync m16n8k16, sums in FP32. 8-bit
// floats are decoded to BF16, which holds them all exactly, while they are packed into a stage; their chains of at most 128 are scaled
// and added as in the plain code.
#include "gemm_mma.cuh"
#include "tensor_core.cuh"

namespace nibble {

struct Bf16 {
    using Number = float;
    static constexpr int CODE = 2;
    static constexpr int ELEMENT = 2;

    static __device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_bf16(d, a, b0, b1);
    }
};

struct Fp16 {
    using Number = float;
    static constexpr int CODE = 2;
    static constexpr int ELEMENT = 2;

    static __device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_f16(d, a, b0, b1);
    }
};

/** Returns a * b of two pairs of BF16; a subnormal a is a number like any other. */
__device__ __forceinline__ uint32_t timesBf16(uint32_t a, uint32_t b) {
    uint32_t product;
    asm("fma.rn.bf16x2 %0, %1, %2, %3;" : "=r"(product) : "r"(a), "r"(b), "r"(0x80008000u));  // + -0 keeps the sign of 0
    return product;
}

/** Returns four codes as two pairs of BF16. Moved into place, a code is a BF16 whose exponent has another bias: one product corrects it. */
__device__ __forceinline__ uint2 decodeFour(uint32_t codes, bool e5m2) {
    uint32_t magnitudes = codes & 0x7F7F7F7Fu;
    if ((magnitudes + (e5m2 ? 0x04040404u : 0x01010101u)) & 0x80808080u) {  // NaN and infinity
        uint32_t halves[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t code = codes >> (8 * i) & 0xFF;
            halves[i] = __float_as_uint(e5m2 ? decodeE5M2(code) : decodeE4M3(code)) >> 16;
        }
        return make_uint2(halves[0] | halves[1] << 16, halves[2] | halves[3] << 16);
    }
    int places = e5m2 ? 3 : 4;                              // of a mantissa of 7 bits that one of 2 or 3 does not fill, but 1
    uint32_t bias = e5m2 ? 0x77807780u : 0x7B807B80u;       // 2^(127 - 15), 2^(127 - 7)
    uint32_t low = __byte_perm(codes, 0, 0x1404);           // codes in the upper bytes of halves
    uint32_t high = __byte_perm(codes, 0, 0x3424);
    low = (low & 0x7F007F00u) >> places | (low & 0x80008000u);
    high = (high & 0x7F007F00u) >> places | (high & 0x80008000u);
    return make_uint2(timesBf16(low, bias), timesBf16(high, bias));
}

/** 8-bit floats, decoded. */
struct Fp8 {
    using Number = float;
    static constexpr int CODE = 1;
    static constexpr int ELEMENT = 2;

    static __device__ __forceinline__ void multiply(float (&d)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1) {
        multiply_bf16(d, a, b0, b1);
    }

    /** Decodes 16 codes. */
    static __device__ __forceinline__ void pack(uint4 codes, int format, uint8_t* to) {
        bool e5m2 = format == F_E5M2;
        uint2 first = decodeFour(codes.x, e5m2);
        uint2 second = decodeFour(codes.y, e5m2);
        uint2 third = decodeFour(codes.z, e5m2);
        uint2 fourth = decodeFour(codes.w, e5m2);
        *reinterpret_cast<uint4*>(to) = make_uint4(first.x, first.y, second.x, second.y);
        *reinterpret_cast<uint4*>(to + 16) = make_uint4(third.x, third.y, fourth.x, fourth.y);
    }
};

}  // namespace nibble

#define NIBBLE_HALF_KERNEL(name, kind, width, stages)                                                              \
    extern "C" __global__ void __launch_bounds__(nibble::TILE_THREADS, 1)                                          \
        name(const __grid_constant__ nibble::Product product) {                                                    \
        nibble::multiplyByWarps<nibble::kind, width, stages>(product);                                             \
    }

NIBBLE_HALF_KERNEL(gemm_mma_bf16, Bf16, 64, 4)
NIBBLE_HALF_KERNEL(gemm_mma_fp16, Fp16, 64, 4)
NIBBLE_HALF_KERNEL(gemm_mma_fp8, Fp8, 128, 2)
