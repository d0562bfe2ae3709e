// dev.nibble.reference.Exp and StrictMath.log on the device, step for step: the bits of the plain code.
#pragma once

#include <stdint.h>

// Math.max and Math.min of Java for what sums and bounds need: NaN if one of both is. (Of +0 and -0 either may come.)
static __device__ __forceinline__ float max_or_nan(float a, float b) {
    float result;
    asm("max.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}
static __device__ __forceinline__ float min_or_nan(float a, float b) {
    float result;
    asm("min.NaN.f32 %0, %1, %2;" : "=f"(result) : "f"(a), "f"(b));
    return result;
}

// 2^exponent, exponent in -127..128 (0 and infinity at the ends).
static __device__ __forceinline__ float exp_power_of_two(int exponent) {
    return __int_as_float((exponent + 127) << 23);
}

// e^x: n = round(x / ln 2), r = x - n * ln 2, a polynomial of degree 6, then 2^n as two factors.
static __device__ __forceinline__ float exp_exact(float x) {
    const float rounder = 0x1.8p23f;
    float bounded = max_or_nan(min_or_nan(x, 89.0f), -104.0f);
    float shifted = __fmaf_rn(bounded, 0x1.715476p+0f, rounder);
    float n = __fsub_rn(shifted, rounder);
    float r = __fmaf_rn(n, 0x1.05c61p-29f, __fmaf_rn(n, -0x1.62e43p-1f, bounded));
    float p = __fmaf_rn(0x1.6a2434p-10f, r, 0x1.1239e2p-7f);
    p = __fmaf_rn(p, r, 0x1.5558f2p-5f);
    p = __fmaf_rn(p, r, 0x1.555492p-3f);
    p = __fmaf_rn(p, r, 0x1.fffffcp-2f);
    p = __fmaf_rn(p, r, 1.0f);
    p = __fmaf_rn(p, r, 1.0f);
    int exponent = __float_as_int(shifted) - __float_as_int(rounder);
    int half = exponent >> 1;
    return __fmul_rn(__fmul_rn(p, exp_power_of_two(half)), exp_power_of_two(exponent - half));
}

// 1 / (1 + e^-x)
static __device__ __forceinline__ float sigmoid_exact(float x) {
    return __fdiv_rn(1.0f, __fadd_rn(1.0f, exp_exact(-x)));
}

// The natural logarithm in FP64 that Java's StrictMath.log defines (the algorithm of fdlibm): x = 2^k * (1 + f) with 1 + f in
// sqrt(2)/2 .. sqrt(2), s = f / (2 + f), log(1 + f) = f - (f^2/2 - s * (f^2/2 + R)), R a polynomial in s^2 with odd and even
// powers summed apart. For the values of FP32: none is subnormal in FP64.
static __device__ double log_strict(double x) {
    if (!(x > 0.0)) {
        return x == 0.0 ? -__longlong_as_double(0x7ff0000000000000LL) : __longlong_as_double(0x7ff8000000000000LL);
    }
    if (x == __longlong_as_double(0x7ff0000000000000LL)) {
        return x;
    }
    long long bits = __double_as_longlong(x);
    int high = (int)(bits >> 32);
    int k = (high >> 20) - 1023;
    high &= 0x000fffff;
    int upper = (high + 0x95f64) & 0x100000; // whether the mantissa is above sqrt(2)
    k += upper >> 20;
    long long scaled = ((long long)(high | (upper ^ 0x3ff00000)) << 32) | (bits & 0xffffffffLL);
    double f = __dsub_rn(__longlong_as_double(scaled), 1.0);
    const double ln2_high = 6.93147180369123816490e-01;
    const double ln2_low = 1.90821492927058770002e-10;
    double dk = (double)k;
    if ((0x000fffff & (2 + high)) < 3) { // |f| < 2^-20
        if (f == 0.0) {
            return k == 0 ? 0.0 : __dadd_rn(__dmul_rn(dk, ln2_high), __dmul_rn(dk, ln2_low));
        }
        double rest = __dmul_rn(__dmul_rn(f, f), __dsub_rn(0.5, __dmul_rn(0.33333333333333333, f)));
        if (k == 0) {
            return __dsub_rn(f, rest);
        }
        return __dsub_rn(__dmul_rn(dk, ln2_high), __dsub_rn(__dsub_rn(rest, __dmul_rn(dk, ln2_low)), f));
    }
    double s = __ddiv_rn(f, __dadd_rn(2.0, f));
    double z = __dmul_rn(s, s);
    double w = __dmul_rn(z, z);
    double even = __dadd_rn(2.222219843214978396e-01, __dmul_rn(w, 1.531383769920937332e-01));
    even = __dmul_rn(w, __dadd_rn(3.999999999940941908e-01, __dmul_rn(w, even)));
    double odd = __dadd_rn(1.818357216161805012e-01, __dmul_rn(w, 1.479819860511658591e-01));
    odd = __dadd_rn(2.857142874366239149e-01, __dmul_rn(w, odd));
    odd = __dmul_rn(z, __dadd_rn(6.666666666666735130e-01, __dmul_rn(w, odd)));
    double r = __dadd_rn(odd, even);
    int i = high - 0x6147a;
    int j = 0x6b851 - high;
    if ((i | j) > 0) {
        double half = __dmul_rn(__dmul_rn(0.5, f), f);
        double inner = __dmul_rn(s, __dadd_rn(half, r));
        if (k == 0) {
            return __dsub_rn(f, __dsub_rn(half, inner));
        }
        return __dsub_rn(
            __dmul_rn(dk, ln2_high), __dsub_rn(__dsub_rn(half, __dadd_rn(inner, __dmul_rn(dk, ln2_low))), f));
    }
    double inner = __dmul_rn(s, __dsub_rn(f, r));
    if (k == 0) {
        return __dsub_rn(f, inner);
    }
    return __dsub_rn(__dmul_rn(dk, ln2_high), __dsub_rn(__dsub_rn(inner, __dmul_rn(dk, ln2_low)), f));
}

// max + log(sum), FP64: log of a softmax's denominator.
static __device__ __forceinline__ double log_sum_exp(float maximum, float sum) {
    return __dadd_rn((double)maximum, log_strict((double)sum));
}
