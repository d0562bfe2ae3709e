// Four neighbouring elements of a row at once: draws, quotients, codes. Equal to element_code.cuh and scale.cuh, one element at a
// time, bit for bit.
#pragma once

#include "code_call.cuh"
#include "philox.cuh"
#include "tile_codes.cuh"

#define MOST_DIVISOR 0x1p60f
#define LEAST_DIVISOR 0x1p-60f
#define MOST_QUOTIENT 0x1p100f

template <int KIND>
static __device__ __forceinline__ uint32_t code_of(const Coder& coder, const CodeRange& range, float t, float u) {
    if (KIND == KIND_INT8_NEAREST || KIND == KIND_INT4_NEAREST) {
        return (uint32_t)nearest_code(t, range.low, range.high);
    }
    if (KIND == KIND_INT8_STOCHASTIC || KIND == KIND_INT4_STOCHASTIC) {
        return (uint32_t)stochastic_code(t, u, range.low, range.high);
    }
    if (KIND == KIND_FP8_NEAREST) {
        return fp8_code(coder, t, u, false);
    }
    if (KIND == KIND_FP8_STOCHASTIC) {
        return fp8_code(coder, t, u, true);
    }
    if (KIND == KIND_POWER4) {
        return power_code<3>(range.largest, range.rounding, t, u);
    }
    if (KIND == KIND_POWER8) {
        return power_code<7>(range.largest, range.rounding, t, u);
    }
    if (KIND == KIND_HALF) {
        return coder.format == FORMAT_BF16 ? bf16_code(t) : fp16_code(t);
    }
    return __float_as_uint(t);
}

// The four words of a row of a thread's elements: element .. element + 3.
static __device__ __forceinline__ void draw_four(
    const DrawStream& stream, unsigned long long element, uint32_t (&words)[4]) {
    uint4 first = draw_quad(stream, element >> 2);
    int shift = (int)(element & 3);
    if (shift == 0) {
        words[0] = first.x;
        words[1] = first.y;
        words[2] = first.z;
        words[3] = first.w;
        return;
    }
    uint4 second = draw_quad(stream, (element >> 2) + 1);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        int at = j + shift;
        words[j] = at < 4 ? draw_word(first, at) : draw_word(second, at - 4);
    }
}

// A divisor with its reciprocal, where quotients of four elements may be found by multiplication.
struct Divisor {
    float value;
    float reciprocal;
    bool fast;
};

// Rounding to integers asks less of tiny quotients than a float does: that of a tiny element may be inexact, but is 0 only if the
// true one is. Where a draw is compared with them, no divisor may make a quotient vanish.
static __device__ __forceinline__ Divisor divisor_of(float value, bool drawn) {
    Divisor divisor;
    divisor.value = value;
    divisor.fast = value >= LEAST_DIVISOR && value <= (drawn ? 1.0f : MOST_DIVISOR);
    divisor.reciprocal = divisor.fast ? __frcp_rn(value) : 0.0f;
    return divisor;
}

static __device__ __forceinline__ float corrected_quotient(float x, const Divisor& d, float first) {
    float second = __fmaf_rn(__fmaf_rn(-first, d.value, x), d.reciprocal, first);
    return __fmaf_rn(__fmaf_rn(-second, d.value, x), d.reciprocal, second);
}

// x / d, rounded once: two corrections make of a product with the rounded reciprocal the rounded quotient (Markstein,
// "Computation of elementary functions on the IBM RISC System/6000 processor", 1990). What is beyond all codes stays as it is.
static __device__ __forceinline__ float fast_quotient(float x, const Divisor& d) {
    float first = __fmul_rn(x, d.reciprocal);
    float third = corrected_quotient(x, d, first);
    return fabsf(first) < MOST_QUOTIENT ? third : first;
}

// Codes by fp8_stochastic of four values. The bits dropped of a normal number are compared with as many of the draw, which is
// what the comparison of a uniform number with their fraction comes to: the draw's other bits are below its last one that counts.
// Subnormal numbers and NaN go the other way.
template <int MANTISSA, int BIAS>
static __device__ __forceinline__ uint32_t fp8_stochastic_four(
    const float (&t)[4], const uint32_t (&words)[4], uint32_t largest) {
    constexpr int DROPPED = 23 - MANTISSA;
    constexpr uint32_t SMALLEST = (uint32_t)(128 - BIAS) << 23; // of the normal ones
    uint32_t code[4];
    uint32_t least = 0xFFFFFFFFu;
    uint32_t most = 0;
#pragma unroll
    for (int j = 0; j < 4; j++) {
        uint32_t magnitude = magnitude_bits(t[j]);
        least = min(least, magnitude - 1); // 0 is no exception: its code comes out below 0
        most = max(most, magnitude);
        int up = (int)((magnitude - (words[j] >> (32 - DROPPED)) + ((1u << DROPPED) - 1)) >> DROPPED);
        code[j] = (uint32_t)max(min(up - ((127 - BIAS) << MANTISSA), (int)largest), 0);
    }
    if (least < SMALLEST - 1 || most > 0x7F800000u) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            code[j] = fp8_stochastic<MANTISSA, BIAS>(t[j], uniform_of(words[j]), largest);
        }
        return pack_bytes(code[0], code[1], code[2], code[3]);
    }
    uint32_t signs = __byte_perm(
        __byte_perm(__float_as_uint(t[0]), __float_as_uint(t[1]), 0x0073),
        __byte_perm(__float_as_uint(t[2]), __float_as_uint(t[3]), 0x0073),
        0x5410);
    return pack_bytes(code[0], code[1], code[2], code[3]) | (signs & 0x80808080u);
}

// power_code for ROUND_STOCHASTIC, compared as there.
template <int SIGN_BIT>
static __device__ __forceinline__ uint32_t power_stochastic(int largest, float t, uint32_t word) {
    uint32_t magnitude = magnitude_bits(t);
    int up = (int)((magnitude - (word >> 9) + 0x7FFFFFu) >> 23) - 126;
    // Below 1: u < |t|, both times 2^24.
    int first = __uint2float_rn(word >> 8) < __fmul_rn(fabsf(t), 0x1p24f) ? 1 : 0;
    int code = min(magnitude < 0x3F800000u ? first : up, largest);
    code = magnitude > 0x7F800000u ? 0 : code;
    return (uint32_t)(code > 0 ? code | (__float_as_uint(t) >> 31 << SIGN_BIT) : code);
}

// Four scaled elements to codes, each in a byte.
template <int KIND>
static __device__ __forceinline__ uint32_t encode_four(
    const Coder& coder, const CodeRange& range, const float (&t)[4], const uint32_t (&words)[4]) {
    if (KIND == KIND_FP8_NEAREST && coder.overflow < OVERFLOW_PAPER) {
        return coder.format == FORMAT_E4M3 ? e4m3_nearest_four(t) : e5m2_nearest_four(t);
    }
    if (KIND == KIND_FP8_STOCHASTIC && coder.overflow < OVERFLOW_PAPER) {
        return coder.format == FORMAT_E4M3 ? fp8_stochastic_four<3, 7>(t, words, 0x7E)
                                           : fp8_stochastic_four<2, 15>(t, words, 0x7B);
    }
    uint32_t code[4];
    if ((KIND == KIND_POWER4 || KIND == KIND_POWER8) && range.rounding == ROUND_STOCHASTIC) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            code[j] = power_stochastic<KIND == KIND_POWER4 ? 3 : 7>(range.largest, t[j], words[j]);
        }
        return pack_bytes(code[0], code[1], code[2], code[3]);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        code[j] = code_of<KIND>(coder, range, t[j], CodeShape<KIND>::MAY_DRAW ? uniform_of(words[j]) : 0.0f);
    }
    return pack_bytes(code[0], code[1], code[2], code[3]);
}

