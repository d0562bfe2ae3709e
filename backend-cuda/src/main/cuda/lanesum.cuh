// LaneSum (dev.nibble.reference.LaneSum): the order of every sum along a row. Element i goes to partial sum i mod 16, each a
// chain from +0 with i ascending (products by fma); then lane l += lane l + 8, then 4, 2, 1.
//
// A "term" is a functor that adds element i to a partial sum: float operator()(long long i, float partial).
#pragma once

#include <stdint.h>

#define NIBBLE_LANES 16

// Folds partial sums of which lane (threadIdx.x mod 16) of a half warp holds the one of its number; every lane gets the sum.
// All 32 lanes of the warp must come here; each half warp folds its own. Addition commutes, so both sides of an exchange agree.
static __device__ __forceinline__ float lanesum_fold_half_warp(float partial) {
#pragma unroll
    for (int half = NIBBLE_LANES / 2; half > 0; half /= 2) {
        partial = __fadd_rn(partial, __shfl_xor_sync(0xFFFFFFFFu, partial, half));
    }
    return partial;
}

// Folds partial sums of which thread q = (threadIdx.x mod 4) of a quad holds 4q .. 4q + 3: what a float4 load of a row gives.
// All 32 lanes of the warp must come here; every lane of a quad gets its sum.
static __device__ __forceinline__ float lanesum_fold_quad(float4 partial) {
#pragma unroll
    for (int other = 2; other > 0; other /= 2) {
        partial.x = __fadd_rn(partial.x, __shfl_xor_sync(0xFFFFFFFFu, partial.x, other));
        partial.y = __fadd_rn(partial.y, __shfl_xor_sync(0xFFFFFFFFu, partial.y, other));
        partial.z = __fadd_rn(partial.z, __shfl_xor_sync(0xFFFFFFFFu, partial.z, other));
        partial.w = __fadd_rn(partial.w, __shfl_xor_sync(0xFFFFFFFFu, partial.w, other));
    }
    return __fadd_rn(__fadd_rn(partial.x, partial.z), __fadd_rn(partial.y, partial.w));
}

// The partial sum of this thread's lane (threadIdx.x mod 16) over elements 0 .. length - 1: no exchange between threads.
template <class Term>
static __device__ __forceinline__ float lanesum_partial(long long length, Term term) {
    float partial = 0.0f;
#pragma unroll 8
    for (long long i = threadIdx.x & (NIBBLE_LANES - 1); i < length; i += NIBBLE_LANES) {
        partial = term(i, partial);
    }
    return partial;
}

// The sum of elements 0 .. length - 1 by a half warp: lane l takes elements l, l + 16, ... Every lane gets the sum. All 32 lanes
// of the warp must come here, each half with its own length and term (length 0 where there is no row).
template <class Term>
static __device__ __forceinline__ float lanesum_half_warp(long long length, Term term) {
    return lanesum_fold_half_warp(lanesum_partial(length, term));
}

// The sum of elements 0 .. length - 1 by the first half warp of a block; every thread of the block gets it. All threads must
// come here; shared is one float that nothing else uses until the next __syncthreads.
template <class Term>
static __device__ __forceinline__ float lanesum_block(long long length, Term term, float* shared) {
    __syncthreads();
    if (threadIdx.x < 32) {
        float sum = lanesum_half_warp(threadIdx.x < NIBBLE_LANES ? length : 0, term);
        if (threadIdx.x == 0) {
            *shared = sum;
        }
    }
    __syncthreads();
    return *shared;
}

#define NIBBLE_NEAR 4096 // floats that a block brings near at once; a multiple of 16 * NIBBLE_LANES

// The sum of n floats by a block of THREADS threads: all bring them into shared memory, the next ones while the first half warp adds;
// its threads get the sum. All threads must come here. What is added beyond the last element is +0, which changes no sum that began
// with +0. near: room for NIBBLE_NEAR floats.
template <int THREADS>
static __device__ __forceinline__ float lanesum_near(const float* x, long long n, float* near) {
    constexpr int EACH = NIBBLE_NEAR / THREADS;
    float coming[EACH];
    auto ask = [&](long long from) {
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            long long place = from + i * THREADS + threadIdx.x;
            coming[i] = place < n ? x[place] : 0.0f;
        }
    };
    ask(0);
    float partial = 0.0f;
    for (long long from = 0; from < n; from += NIBBLE_NEAR) {
        int count = (int)min((long long)NIBBLE_NEAR, n - from);
        __syncthreads();
#pragma unroll
        for (int i = 0; i < EACH; i++) {
            near[i * THREADS + threadIdx.x] = coming[i];
        }
        __syncthreads();
        ask(from + NIBBLE_NEAR);
        if (threadIdx.x < NIBBLE_LANES) {
            for (int at = threadIdx.x; at < count; at += 16 * NIBBLE_LANES) {
                float v[16];
#pragma unroll
                for (int i = 0; i < 16; i++) {
                    v[i] = near[at + i * NIBBLE_LANES];
                }
#pragma unroll
                for (int i = 0; i < 16; i++) {
                    partial = __fadd_rn(partial, v[i]);
                }
            }
        }
    }
    return threadIdx.x < 32 ? lanesum_fold_half_warp(partial) : partial;
}

// Terms of the usual sums.
struct LaneSumOf { // x
    const float* x;
    __device__ __forceinline__ float operator()(long long i, float partial) const { return __fadd_rn(partial, x[i]); }
};
struct LaneSumOfMagnitudes { // |x|
    const float* x;
    __device__ __forceinline__ float operator()(long long i, float partial) const {
        return __fadd_rn(partial, fabsf(x[i]));
    }
};
struct LaneSumOfProducts { // a * b, by fma
    const float* a;
    const float* b;
    __device__ __forceinline__ float operator()(long long i, float partial) const {
        return __fmaf_rn(a[i], b[i], partial);
    }
};
