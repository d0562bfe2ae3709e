// The code of one scaled value (dev.nibble.reference.ElementCode, Rounder, ExponentCode; dev.nibble.tensor.Fp8, Bf16, Fp16).
#pragma once

#include <stdint.h>

#include "exponential.cuh"
#include "scale.cuh"

enum Format { // the order of dev.nibble.tensor.DType
    FORMAT_FP32 = 0,
    FORMAT_BF16 = 1,
    FORMAT_FP16 = 2,
    FORMAT_E4M3 = 3,
    FORMAT_E5M2 = 4,
    FORMAT_INT8 = 5,
    FORMAT_INT4 = 6,
    FORMAT_UINT4 = 7,
    FORMAT_E3M0 = 8,
    FORMAT_E4M0 = 9,
};

enum RoundingKind { // the order of dev.nibble.quant.Rounding
    ROUND_NEAREST_EVEN = 0,
    ROUND_STOCHASTIC = 1,
    ROUND_NEAREST_FLUSH = 2,
    ROUND_STOCHASTIC_LOG = 3,
};

enum OverflowKind { // the order of dev.nibble.quant.Overflow
    OVERFLOW_SATURATE = 0,
    OVERFLOW_CLAMP = 1,
    OVERFLOW_PAPER = 2,
    OVERFLOW_INFINITY = 3,
};

// How a plane rounds.
struct Coder {
    int format;   // Format
    int rounding; // RoundingKind
    int overflow; // OverflowKind
    float low;    // smallest value of a code at scale 1
    float high;   // largest value of a code at scale 1
    int largest;  // exponent formats: the largest k; the top code is 2^(k-1)
    int released; // digits: mode R instead of mode U
    uint32_t address; // site << 12 | role << 8 | purpose << 4 | sample
};

// The nearest integer code, ties to even, in low .. high; 0 for NaN: what the conversion makes of NaN.
static __device__ __forceinline__ int nearest_code(float t, int low, int high) {
    return min(max(__float2int_rn(t), low), high);
}

// floor(t), or one more if u is below the fraction. Not floor(t + u): that returns 128 for t = 127.
static __device__ __forceinline__ int stochastic_code(float t, float u, int low, int high) {
    float below = floorf(t);
    int code = __float2int_rz(below); // saturates
    code += u < __fsub_rn(t, below) ? 1 : 0;
    return min(max(code, low), high);
}

template <int MANTISSA, int BIAS>
static __device__ __forceinline__ uint32_t fp8_nearest_integer(float value, uint32_t largest, uint32_t overflow) {
    uint32_t bits = __float_as_uint(value);
    uint32_t sign = (bits >> 24) & 0x80u;
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    if (magnitude > 0x7F800000u) {
        return 0x7F;
    }
    uint32_t code;
    if (magnitude >= ((uint32_t)(128 - BIAS) << 23)) {
        const int dropped = 23 - MANTISSA;
        // A carry out of the mantissa moves to the next binade, which is the right result.
        uint32_t rounded = magnitude + ((1u << (dropped - 1)) - 1) + ((magnitude >> dropped) & 1);
        code = (rounded >> dropped) - ((uint32_t)(127 - BIAS) << MANTISSA);
        if (magnitude == 0x7F800000u || code > largest) {
            code = overflow;
        }
    } else {
        // Adding 2^(23 - MANTISSA + 1 - BIAS) aligns the smallest step with the last bit, so the sum rounds as the code does.
        const float align = __uint_as_float((uint32_t)(127 + 23 - MANTISSA + 1 - BIAS) << 23);
        code = __float_as_uint(__fadd_rn(__uint_as_float(magnitude), align)) - __float_as_uint(align);
    }
    return code | sign;
}

static __device__ __forceinline__ uint32_t e4m3_nearest(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    uint16_t pair;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(value));
    return pair & 0xFF;
#else
    return fp8_nearest_integer<3, 7>(value, 0x7E, 0x7E);
#endif
}

static __device__ __forceinline__ uint32_t e5m2_nearest(float value) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    uint16_t pair;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(pair) : "f"(0.0f), "f"(value));
    return pair & 0xFF;
#else
    return fp8_nearest_integer<2, 15>(value, 0x7B, 0x7B);
#endif
}

// Four codes at once: the conversion takes two values.
static __device__ __forceinline__ uint32_t e4m3_nearest_four(const float (&t)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    uint16_t low;
    uint16_t high;
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(low) : "f"(t[1]), "f"(t[0]));
    asm("cvt.rn.satfinite.e4m3x2.f32 %0, %1, %2;" : "=h"(high) : "f"(t[3]), "f"(t[2]));
    return (uint32_t)high << 16 | low;
#else
    return e4m3_nearest(t[0]) | e4m3_nearest(t[1]) << 8 | e4m3_nearest(t[2]) << 16 | e4m3_nearest(t[3]) << 24;
#endif
}

static __device__ __forceinline__ uint32_t e5m2_nearest_four(const float (&t)[4]) {
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 890
    uint16_t low;
    uint16_t high;
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(low) : "f"(t[1]), "f"(t[0]));
    asm("cvt.rn.satfinite.e5m2x2.f32 %0, %1, %2;" : "=h"(high) : "f"(t[3]), "f"(t[2]));
    return (uint32_t)high << 16 | low;
#else
    return e5m2_nearest(t[0]) | e5m2_nearest(t[1]) << 8 | e5m2_nearest(t[2]) << 16 | e5m2_nearest(t[3]) << 24;
#endif
}

static __device__ __forceinline__ uint32_t e4m3_unsaturated(float value) {
    return fp8_nearest_integer<3, 7>(value, 0x7E, 0x7F);
}

static __device__ __forceinline__ uint32_t e5m2_unsaturated(float value) {
    return fp8_nearest_integer<2, 15>(value, 0x7B, 0x7C);
}

// One of the two neighbouring codes of |value|: the larger iff u is below the fraction. Never beyond the largest finite one. With
// steps of 2^-MANTISSA of the binade, or of the smallest normal one below it, a code is what precedes the binade plus the steps.
template <int MANTISSA, int BIAS>
static __device__ __forceinline__ uint32_t fp8_stochastic(float value, float u, uint32_t largest) {
    uint32_t bits = __float_as_uint(value);
    uint32_t magnitude = bits & 0x7FFFFFFFu;
    int exponent = max((int)(magnitude >> 23), 127 + 1 - BIAS); // of an FP32
    float perStep = __uint_as_float((uint32_t)(2 * 127 + MANTISSA - exponent) << 23);
    float steps = fminf(__fmul_rn(__uint_as_float(magnitude), perStep), 0x1p8f); // exact; infinity is bounded
    float below = floorf(steps);
    int code = ((exponent - 127 + BIAS - 1) << MANTISSA) + __float2int_rz(below);
    code += u < __fsub_rn(steps, below) ? 1 : 0;
    uint32_t bounded = (uint32_t)min(code, (int)largest) | (bits >> 24 & 0x80u);
    return magnitude > 0x7F800000u ? 0x7Fu : bounded;
}

static __device__ __forceinline__ uint32_t fp8_code(const Coder& coder, float t, float u, bool stochastic) {
    bool e4m3 = coder.format == FORMAT_E4M3;
    if (coder.overflow >= OVERFLOW_PAPER) { // 464 is the tie between 448 and 480, which rounds to 448
        bool passes = coder.overflow == OVERFLOW_INFINITY ? fabsf(t) > (e4m3 ? 464.0f : 57344.0f)
                                                          : magnitude_bits(t) == 0x7F800000u;
        if (passes) {
            return e4m3 ? e4m3_unsaturated(t) : e5m2_unsaturated(t);
        }
    }
    if (stochastic) {
        return e4m3 ? fp8_stochastic<3, 7>(t, u, 0x7E) : fp8_stochastic<2, 15>(t, u, 0x7B);
    }
    return e4m3 ? e4m3_nearest(t) : e5m2_nearest(t);
}

// k of a magnitude: 0 stands for 0, k for 2^(k-1). Below 1 the magnitude stands between 0 and the first power as the mantissa
// does between two powers.
static __device__ __forceinline__ int exponent_code(float magnitude, int largest, int rounding, float u) {
    uint32_t bits = __float_as_uint(magnitude);
    bool small = magnitude < 1.0f;
    int k = small ? 0 : (int)(bits >> 23) - 127 + 1;
    float m = __uint_as_float((bits & 0x7FFFFFu) | (127u << 23)); // in [1, 2)
    float part = small ? magnitude : __fsub_rn(m, 1.0f);          // of the way up
    bool up;
    if (rounding == ROUND_STOCHASTIC) {
        up = u < part;
    } else if (rounding == ROUND_STOCHASTIC_LOG) {
        // u < log2(m): compared on the other side of the exponential, which is specified to the last bit.
        up = small ? u < part : m > 1.0f && exp_exact(__fmul_rn(u, 0x1.62e43p-1f)) < m;
    } else {
        up = part >= 0.5f && !(small && rounding == ROUND_NEAREST_FLUSH);
    }
    int code = min(k + (up ? 1 : 0), largest);
    return magnitude > 0.0f ? code : 0; // NaN is none
}

template <int SIGN_BIT>
static __device__ __forceinline__ uint32_t power_code(int largest, int rounding, float t, float u) {
    int k = exponent_code(fabsf(t), largest, rounding, u);
    return (uint32_t)(k > 0 && t < 0.0f ? k | (1 << SIGN_BIT) : k);
}

static __device__ __forceinline__ uint32_t bf16_code(float value) {
    uint32_t bits = __float_as_uint(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return 0x7FC0; // rounding would carry some NaNs into infinity or zero
    }
    return (bits + 0x7FFFu + ((bits >> 16) & 1u)) >> 16;
}

static __device__ __forceinline__ uint32_t fp16_code(float value) {
    uint32_t bits = __float_as_uint(value);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u) {
        return (bits >> 16 & 0x8000u) | 0x7E00u | (bits >> 13 & 0x3FFu); // sign and upper mantissa bits kept, made quiet
    }
    uint16_t code;
    asm("cvt.rn.f16.f32 %0, %1;" : "=h"(code) : "f"(value));
    return code;
}

// The two INT4 digits of one draw.
static __device__ __forceinline__ void digit_codes(const Coder& coder, float t, float u, uint32_t& upper, uint32_t& lower) {
    if (!coder.released) {
        int v = stochastic_code(t, u, -119, 119);
        int low = ((v + 8) & 15) - 8;
        upper = (uint32_t)((v - low) >> 4); // a multiple of 16
        lower = (uint32_t)low;
        return;
    }
    int high = nearest_code(__fdiv_rn(t, 14.0f), -6, 6);
    upper = (uint32_t)high;
    lower = (uint32_t)stochastic_code(__fsub_rn(t, __int2float_rn(14 * high)), u, -6, 6);
}

static __device__ __forceinline__ int power_value(uint32_t k, bool negative) {
    int magnitude = k == 0 ? 0 : 1 << (k - 1);
    return negative ? -magnitude : magnitude;
}

static __device__ __forceinline__ float fp8_value(uint32_t code, int mantissa, int bias, uint32_t firstSpecial) {
    uint32_t magnitude = code & 0x7F;
    float value;
    if (magnitude >= firstSpecial) {
        if (magnitude != 0x7C || mantissa != 2) {
            return canonical_nan();
        }
        value = __uint_as_float(0x7F800000u);
    } else if ((magnitude >> mantissa) == 0) {
        value = __fmul_rn(__uint2float_rn(magnitude), __uint_as_float((uint32_t)(127 + 1 - bias - mantissa) << 23));
    } else {
        value = __uint_as_float((magnitude << (23 - mantissa)) + ((uint32_t)(127 - bias) << 23));
    }
    return code & 0x80 ? -value : value;
}

static __device__ __forceinline__ float fp16_value(uint16_t code) {
    float value;
    asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(code));
    return value;
}

// What the code of an element stands for at scale 1.
static __device__ __forceinline__ float code_value(int format, const uint8_t* row, long long col) {
    switch (format) {
        case FORMAT_INT8: return (float)(int8_t)row[col];
        case FORMAT_E4M3: return fp8_value(row[col], 3, 7, 0x7F);
        case FORMAT_E5M2: return fp8_value(row[col], 2, 15, 0x7C);
        case FORMAT_E4M0: return (float)power_value(row[col] & 0x7Fu, (row[col] & 0x80u) != 0);
        case FORMAT_INT4:
        case FORMAT_UINT4:
        case FORMAT_E3M0: {
            uint32_t nibble = row[col >> 1] >> ((col & 1) << 2) & 15u;
            if (format == FORMAT_INT4) {
                return (float)((int)(nibble << 28) >> 28);
            }
            return format == FORMAT_UINT4 ? (float)nibble : (float)power_value(nibble & 7u, (nibble & 8u) != 0);
        }
        case FORMAT_BF16: return __uint_as_float((uint32_t)((const uint16_t*)row)[col] << 16);
        case FORMAT_FP16: return fp16_value(((const uint16_t*)row)[col]);
        default: return ((const float*)row)[col];
    }
}
