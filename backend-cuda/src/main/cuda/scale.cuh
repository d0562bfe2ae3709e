// How the elements of one group are scaled (dev.nibble.reference.GroupScale): t = x * multiplier / divisor, of which one is 1;
// code = round(t); x ~ code * scale. Every operation is rounded once, as there.
#pragma once

#include <stdint.h>

// Which elements of a matrix [rows, cols] share a scale (ScaleGrid): rectangles of height x width, the group of [row, col] being
// row / height * strideRow + col / width * strideCol.
struct Grid {
    int height;
    int width;
    int strideRow;
    int strideCol;
    int groups;
    int rowBlocks; // rectangles down the rows
    int colBlocks; // rectangles along a row
    int padding;
};

enum RuleKind {
    RULE_UNIT = 0,
    RULE_AMAX_OVER_TOP = 1,
    RULE_TOP_OVER_AMAX = 2,
    RULE_AMAX_OVER_POWER = 3,
    RULE_SAWB = 4,
    RULE_MEAN_MAGNITUDE = 5,
};

enum GivenKind {
    GIVEN_NONE = 0,
    GIVEN_SCALE = 1,
    GIVEN_MULTIPLIER = 2,
};

// How a scale arises. A given rule names where its value lies; kind is then the rule while that value is not positive.
struct Rule {
    int kind;         // RuleKind
    int given;        // GivenKind
    int integer;      // whether the codes are integers
    int powerOfTwo;   // of TopOverAmax and AmaxOverPower
    int exponent;     // of AmaxOverPower
    float top;        // largest code of the format
    float eps;        // of TopOverAmax
    float c1;         // of Sawb
    float c2;         // of Sawb
    float divisor;    // of Sawb
    const float* state; // the given value
};

struct GroupScale {
    float scale;      // stored with the codes
    float multiplier; // 0 says that all codes of the group are 0, whatever the elements
    float divisor;
};

#define SMALLEST_AMAX 0x1p-119f
#define SMALLEST_POWER_AMAX 0x1p-100f
#define SMALLEST_STEP 1e-10f
#define LARGEST_FLOAT 0x1.fffffep127f

// Row and column of an element. A 32-bit division, where it will do, costs a fifth of a 64-bit one.
static __device__ __forceinline__ void row_and_column(long long i, long long cols, long long& row, long long& col) {
    if (((unsigned long long)(i | cols) >> 32) == 0) {
        row = (uint32_t)i / (uint32_t)cols;
    } else {
        row = i / cols;
    }
    col = i - row * cols;
}

static __device__ __forceinline__ float canonical_nan() { return __int_as_float(0x7FC00000); }

static __device__ __forceinline__ bool is_finite(float x) {
    return (__float_as_uint(x) & 0x7FFFFFFFu) < 0x7F800000u;
}

// |x| as bits: unsigned order is that of the magnitudes with every NaN above infinity, so integer maxima lose none.
static __device__ __forceinline__ uint32_t magnitude_bits(float x) { return __float_as_uint(x) & 0x7FFFFFFFu; }

static __device__ __forceinline__ float amax_of_bits(uint32_t bits) {
    return bits > 0x7F800000u ? canonical_nan() : __uint_as_float(bits);
}

static __device__ __forceinline__ GroupScale group_scale(float scale, float multiplier, float divisor) {
    GroupScale result;
    result.scale = scale;
    result.multiplier = multiplier;
    result.divisor = divisor;
    return result;
}

static __device__ __forceinline__ GroupScale scale_not_finite() { return group_scale(canonical_nan(), 0.0f, 1.0f); }

static __device__ __forceinline__ GroupScale amax_over_top(float top, float amax) {
    if (!is_finite(amax)) {
        return scale_not_finite();
    }
    float multiplier = __fdiv_rn(top, amax);
    // The second condition matters for formats with a larger top than 448 alone.
    if (amax < SMALLEST_AMAX || !is_finite(multiplier)) {
        return group_scale(1.0f, 0.0f, 1.0f);
    }
    return group_scale(__fdiv_rn(amax, top), multiplier, 1.0f);
}

static __device__ __forceinline__ GroupScale top_over_amax(const Rule& rule, float measured) {
    float amax = measured < rule.eps ? rule.eps : measured; // NaN stays
    if (amax == 0.0f || !is_finite(amax)) {
        return group_scale(1.0f, 1.0f, 1.0f);
    }
    float multiplier = fminf(__fdiv_rn(rule.top, amax), LARGEST_FLOAT);
    if (rule.powerOfTwo) {
        multiplier = __uint_as_float(__float_as_uint(multiplier) & 0xFF800000u);
    }
    return group_scale(__fdiv_rn(1.0f, multiplier), multiplier, 1.0f);
}

static __device__ __forceinline__ GroupScale amax_over_power(const Rule& rule, float amax) {
    if (!is_finite(amax)) {
        return scale_not_finite();
    }
    if (amax < SMALLEST_POWER_AMAX) {
        return group_scale(0.0f, 0.0f, 1.0f);
    }
    float scale = scalbnf(amax, -rule.exponent);
    if (rule.powerOfTwo) {
        float below = __uint_as_float(__float_as_uint(scale) & 0xFF800000u);
        scale = below == scale ? scale : __fmul_rn(2.0f, below);
    }
    return group_scale(scale, 1.0f, scale);
}

static __device__ __forceinline__ GroupScale sawb_scale(
    const Rule& rule, float amax, float meanMagnitude, float meanSquare) {
    if (!is_finite(amax)) {
        return scale_not_finite();
    }
    if (amax < SMALLEST_AMAX) {
        return group_scale(1.0f, 0.0f, 1.0f);
    }
    float clip = __fsub_rn(__fmul_rn(rule.c1, __fsqrt_rn(meanSquare)), __fmul_rn(rule.c2, meanMagnitude));
    // The moments of a tensor of huge or tiny elements overflow or vanish: then, too, amax is the clip.
    float scale = __fdiv_rn(clip > 0.0f && clip < amax ? clip : amax, rule.divisor);
    return group_scale(scale, 1.0f, scale);
}

static __device__ __forceinline__ GroupScale mean_magnitude_scale(float top, float amax, float meanMagnitude) {
    if (!is_finite(amax)) {
        return scale_not_finite();
    }
    float quotient = __fdiv_rn(__fmul_rn(2.0f, meanMagnitude), __fsqrt_rn(top));
    float scale = __fadd_rn(quotient, SMALLEST_STEP);
    return is_finite(scale) ? group_scale(scale, 1.0f, scale) : amax_over_top(top, amax);
}

// The scale of a group with this amax; moments is {mean |x|, mean x^2} of the tensor where the rule needs it.
static __device__ __forceinline__ GroupScale scale_of(const Rule& rule, float amax, const float* moments) {
    if (rule.given != GIVEN_NONE) {
        float value = *rule.state;
        if (value != value) {
            return scale_not_finite();
        }
        if (value > 0.0f) {
            GroupScale scale = rule.given == GIVEN_SCALE ? group_scale(value, 1.0f, value)
                                                         : group_scale(__fdiv_rn(1.0f, value), value, 1.0f);
            if (rule.integer && !is_finite(amax)) {
                scale.scale = canonical_nan();
            }
            return scale;
        }
    }
    switch (rule.kind) {
        case RULE_AMAX_OVER_TOP: return amax_over_top(rule.top, amax);
        case RULE_TOP_OVER_AMAX: return top_over_amax(rule, amax);
        case RULE_AMAX_OVER_POWER: return amax_over_power(rule, amax);
        case RULE_SAWB: return sawb_scale(rule, amax, moments[0], moments[1]);
        case RULE_MEAN_MAGNITUDE: return mean_magnitude_scale(rule.top, amax, moments[0]);
        default: return group_scale(1.0f, 1.0f, 1.0f);
    }
}

// The scaled value of an element. A multiplier of 1 and a divisor of 1 change nothing, and are left out.
static __device__ __forceinline__ float apply_scale(float multiplier, float divisor, float x) {
    return divisor == 1.0f ? __fmul_rn(x, multiplier) : __fdiv_rn(__fmul_rn(x, multiplier), divisor);
}
