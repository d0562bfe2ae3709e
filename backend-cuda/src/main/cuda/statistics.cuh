// What is known of a tensor when it is quantized (dev.nibble.quant.Statistic).
#pragma once

#include "common.cuh"
#include "scale.cuh"

// What the statistics are made of; null where there is none of it.
struct Statistics {
    const uint32_t* amax;                // bits of the largest magnitude
    const int* flagged;                  // blocks that have a residual
    const float* threshold;              // that decided
    const float* median;                 // of the amaxes of the blocks
    const unsigned long long* saturated; // elements beyond the range of the codes
    const float* scale;                  // the one scale of the first plane
    long long blocks;                    // that could have a residual
    long long elements;
    NonFiniteRecord* record;
    int place;                           // whose operand it is
    int padding;
};

// The statistics vector, in the order of dev.nibble.quant.Statistic, and the note of an operand that is not finite. One thread.
static __device__ __forceinline__ void put_statistics(const Statistics& from, float scale, float* out) {
    float amax = amax_of_bits(*from.amax);
    out[0] = amax;
    out[1] = from.flagged != nullptr ? __fdiv_rn(__int2float_rn(*from.flagged), __ll2float_rn(from.blocks)) : 0.0f;
    out[2] = from.threshold != nullptr ? *from.threshold : 0.0f;
    out[3] = from.median == nullptr || amax == 0.0f ? 0.0f : __fdiv_rn(amax, *from.median);
    out[4] = from.saturated != nullptr
                 ? __fdiv_rn(__ull2float_rn(*from.saturated), __ll2float_rn(from.elements))
                 : 0.0f;
    out[5] = scale;
    if (!is_finite(amax)) {
        noteNonFinite(from.record, from.place);
    }
}
