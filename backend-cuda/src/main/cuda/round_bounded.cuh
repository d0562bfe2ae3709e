// Four neighbouring elements at once where a scale is made of their own amax: scaled values are then never NaN and lie within the
// range of the codes but for the last bit, or the multiplier is 0. Equal to round_four.cuh bit for bit, with fewer instructions.
#pragma once

#include "round_four.cuh"

#define INTEGER_ALIGN 12582912.0f // 1.5 * 2^23: a sum with it is rounded to an integer, whose low bits are those of the code

static __device__ __forceinline__ float within(float t, float low, float high) { return fminf(fmaxf(t, low), high); }

// stochastic_code of a value that is at most an integer of 128, in the low byte: the sum is rounded down.
static __device__ __forceinline__ uint32_t stochastic_byte(float t, uint32_t word) {
    float aligned = __fadd_rd(t, INTEGER_ALIGN);
    float rest = __fsub_rn(t, __fsub_rn(aligned, INTEGER_ALIGN));
    uint32_t code = __float_as_uint(aligned);
    return __uint2float_rn(word >> 8) < __fmul_rn(rest, 0x1p24f) ? code + 1 : code; // both sides times 2^24
}

// Four of them, bounded by +-127: a byte of 128 stands for both bounds that were passed.
static __device__ __forceinline__ uint32_t stochastic_int8_four(const float (&t)[4], const uint32_t (&words)[4]) {
    uint32_t codes = pack_bytes(
        stochastic_byte(t[0], words[0]),
        stochastic_byte(t[1], words[1]),
        stochastic_byte(t[2], words[2]),
        stochastic_byte(t[3], words[3]));
    uint32_t others = (codes & 0x7F7F7F7Fu) + 0x7F7F7F7Fu; // the highest bit of each byte but of 0 and 128
    uint32_t beyond = codes & ~others & 0x80808080u;
    if (beyond != 0) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            if (beyond >> (8 * j + 7) & 1) {
                codes = t[j] > 0.0f ? codes - (1u << 8 * j) : codes + (1u << 8 * j);
            }
        }
    }
    return codes;
}

// Codes by power_stochastic: signs are put to the codes that are not 0, four at a time.
template <int SIGN_BIT>
static __device__ __forceinline__ uint32_t power_stochastic_four(
    int largest, const float (&t)[4], const uint32_t (&words)[4]) {
    uint32_t code[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t magnitude = magnitude_bits(t[j]);
        int up = (int)((magnitude - (words[j] >> 9) + 0x7FFFFFu) >> 23) - 126;
        int first = __uint2float_rn(words[j] >> 8) < __fmul_rn(fabsf(t[j]), 0x1p24f) ? 1 : 0;
        code[j] = (uint32_t)min(magnitude < 0x3F800000u ? first : up, largest);
    }
    uint32_t codes = pack_bytes(code[0], code[1], code[2], code[3]);
    uint32_t signs = __byte_perm(
        __byte_perm(__float_as_uint(t[0]), __float_as_uint(t[1]), 0x0073),
        __byte_perm(__float_as_uint(t[2]), __float_as_uint(t[3]), 0x0073),
        0x5410);
    return codes | (signs & (codes + 0x7F7F7F7Fu) & 0x80808080u) >> (7 - SIGN_BIT);
}

// Four scaled elements to codes, each in a byte.
template <int KIND>
static __device__ __forceinline__ uint32_t encode_bounded(
    const Coder& coder, const float (&t)[4], const uint32_t (&words)[4]) {
    if constexpr (KIND == KIND_FP8_NEAREST) {
        return coder.format == FORMAT_E4M3 ? e4m3_nearest_four(t) : e5m2_nearest_four(t);
    } else if constexpr (KIND == KIND_FP8_STOCHASTIC) {
        return coder.format == FORMAT_E4M3 ? fp8_stochastic_four<3, 7>(t, words, 0x7E)
                                           : fp8_stochastic_four<2, 15>(t, words, 0x7B);
    } else if constexpr (KIND == KIND_INT8_STOCHASTIC) {
        return stochastic_int8_four(t, words);
    } else if constexpr (KIND == KIND_POWER4) {
        return power_stochastic_four<3>(coder.largest, t, words);
    } else {
        uint32_t code[4];
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float bounded = KIND == KIND_INT8_NEAREST ? t[j] : within(t[j], coder.low, coder.high);
            code[j] = __float_as_uint(__fadd_rn(bounded, INTEGER_ALIGN));
        }
        return pack_bytes(code[0], code[1], code[2], code[3]);
    }
}
