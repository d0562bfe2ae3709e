// Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) with the addresses of
// dev.nibble.random.RandomStream: a draw is a function of its address, never of the launch shape.
//
//   key     = { low32(seed), high32(seed) }
//   counter = { low32(e >> 2), (e >> 34) | microBatch << 8, step, site << 12 | role << 8 | purpose << 4 | sample }
//   word    = output word e & 3          uniform = (word >> 8) * 2^-24, in [0, 1)
#pragma once

#include <stdint.h>

#include "common.cuh"

#define NIBBLE_PHILOX_MULTIPLIER_0 0xD2511F53u
#define NIBBLE_PHILOX_MULTIPLIER_1 0xCD9E8D57u
#define NIBBLE_PHILOX_WEYL_0 0x9E3779B9u
#define NIBBLE_PHILOX_WEYL_1 0xBB67AE85u

// Everything of a draw's address but the element. Step and micro-batch come from StepInfo, on the device: a recorded
// launch must draw anew when it is replayed.
struct DrawStream {
    uint32_t key0;       // low half of the seed
    uint32_t key1;       // high half of the seed
    uint32_t step;       // optimizer step
    uint32_t microBatch; // below 2^24
    uint32_t address;    // site << 12 | role << 8 | purpose << 4 | sample
};

static __device__ __forceinline__ DrawStream draw_stream(
    unsigned long long seed, uint32_t address, uint32_t step, uint32_t microBatch) {
    DrawStream stream;
    stream.key0 = (uint32_t)seed;
    stream.key1 = (uint32_t)(seed >> 32);
    stream.step = step;
    stream.microBatch = microBatch;
    stream.address = address;
    return stream;
}

// The stream of the open step.
static __device__ __forceinline__ DrawStream step_stream(const StepInfo* step, uint32_t address) {
    unsigned long long seed = (unsigned long long)step->seedHigh << 32 | step->seedLow;
    return draw_stream(seed, address, step->step, step->microBatch);
}

// The same with a seed among the arguments of a launch: the ten keys are then made once for a warp, not by every thread.
static __device__ __forceinline__ DrawStream seeded_stream(
    const StepInfo* step, uint32_t seedLow, uint32_t seedHigh, uint32_t address) {
    return draw_stream((unsigned long long)seedHigh << 32 | seedLow, address, step->step, step->microBatch);
}

static __device__ __forceinline__ uint4 philox_block(
    uint32_t c0, uint32_t c1, uint32_t c2, uint32_t c3, uint32_t k0, uint32_t k1) {
#pragma unroll
    for (int round = 0; round < 10; round++) {
        unsigned long long p0 = (unsigned long long)NIBBLE_PHILOX_MULTIPLIER_0 * c0;
        unsigned long long p1 = (unsigned long long)NIBBLE_PHILOX_MULTIPLIER_1 * c2;
        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        k0 += NIBBLE_PHILOX_WEYL_0;
        k1 += NIBBLE_PHILOX_WEYL_1;
    }
    return make_uint4(c0, c1, c2, c3);
}

// The four words of elements 4 * quad .. 4 * quad + 3.
static __device__ __forceinline__ uint4 draw_quad(const DrawStream& stream, unsigned long long quad) {
    uint32_t high = (uint32_t)(quad >> 32) | stream.microBatch << 8;
    return philox_block((uint32_t)quad, high, stream.step, stream.address, stream.key0, stream.key1);
}

// One word of a quad.
static __device__ __forceinline__ uint32_t draw_word(const uint4& quad, int index) {
    uint32_t low = index & 1 ? quad.y : quad.x;
    uint32_t high = index & 1 ? quad.w : quad.z;
    return index & 2 ? high : low;
}

// The uniform number of a word: a multiple of 2^-24, exact in FP32.
static __device__ __forceinline__ float uniform_of(uint32_t word) {
    return __fmul_rn(__uint2float_rn(word >> 8), 0x1p-24f);
}

// The uniform number of one element.
static __device__ __forceinline__ float draw_uniform(const DrawStream& stream, unsigned long long element) {
    return uniform_of(draw_word(draw_quad(stream, element >> 2), (int)(element & 3)));
}
