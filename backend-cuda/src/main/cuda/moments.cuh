// Sums of |x| and of x * x (dev.nibble.reference.Moments) in one pass over memory: warps add along rows, which come through shared
// memory, and two more warps add the sums of the rows as they arrive, in their order (quantize_statistics.cu).
#pragma once

#include "async.cuh"
#include "lanesum.cuh"
#include "tile_values.cuh"

#define MOMENT_WARPS 8  // of a block, for rows
#define MOMENT_ROWS 2   // of a warp at once, a half warp each
#define MOMENT_COLS 256 // of a row in a stage
#define MOMENT_STAGES 4 // on their way
#define MOMENT_FLOATS (MOMENT_STAGES * MOMENT_ROWS * MOMENT_COLS) // of a warp's stages

// A sum that has not come is 0 everywhere; of one that has, which is not negative, the sign is set.
#define SUM_IS_THERE 0x80000000u

// Partial sums of a lane, and the largest magnitude.
struct Moments {
    float size;
    float square;
    float most;

    __device__ __forceinline__ void add(float v) {
        size = __fadd_rn(size, fabsf(v));
        square = __fmaf_rn(v, v, square);
        most = larger_magnitude(most, v);
    }
};

// The rows of a warp on their way: pairs from its first one on, a stage after the other.
struct MomentStages {
    float* stages; // [MOMENT_STAGES][MOMENT_ROWS][MOMENT_COLS], of this warp; the second row with halves of 32 columns exchanged,
                   // so that two rows meet in no bank
    const float* x;
    long long rows;
    int cols;
    long long row; // that is asked for next
    long long step;
    int col;
    int to; // stage that it goes to
    int at; // stage that is read next

    // Asks for a stage, 0 beyond the matrix; one group of copies, even where there is nothing left.
    __device__ __forceinline__ void ask() {
        int lane = threadIdx.x & 31;
        float* stage = stages + to * (MOMENT_ROWS * MOMENT_COLS);
#pragma unroll
        for (int half = 0; half < MOMENT_ROWS; half++) {
#pragma unroll
            for (int part = 0; part < MOMENT_COLS; part += 128) {
                int place = part + 4 * lane;
                bool inside = row + half < rows && col + place < cols;
                const float* from = inside ? x + (row + half) * cols + col + place : x;
                copy_quads_async(stage + half * MOMENT_COLS + (place ^ (NIBBLE_LANES * half)), from, inside ? 16 : 0);
            }
        }
        commit_copies();
        to = to + 1 == MOMENT_STAGES ? 0 : to + 1;
        col += MOMENT_COLS;
        if (col >= cols) {
            col = 0;
            row += step;
        }
    }

    // Adds a stage to the partial sums of the thread's row; 0 beyond the row adds nothing to sums that are not negative.
    __device__ __forceinline__ void add_to(Moments& sums) {
        await_copies<MOMENT_STAGES - 1>();
        __syncwarp();
        int lane = threadIdx.x & (NIBBLE_LANES - 1);
        int half = (threadIdx.x & 31) / NIBBLE_LANES;
        const float* own = stages + (at * MOMENT_ROWS + half) * MOMENT_COLS + lane;
        const float* even = own + NIBBLE_LANES * half;
        const float* odd = own - NIBBLE_LANES * half;
#pragma unroll
        for (int i = 0; i < MOMENT_COLS / NIBBLE_LANES; i++) {
            sums.add((i % 2 == 0 ? even : odd)[i * NIBBLE_LANES]);
        }
        at = at + 1 == MOMENT_STAGES ? 0 : at + 1;
        __syncwarp();
    }
};

#define SUMS_AHEAD 64 // of a lane that adds the rows' sums, on their way at once

// The sums of rows as they come, in the order of LaneSum, by a warp: a lane fetches each 32nd one, and those below 16 add.
struct SumsOfRows {
    const volatile uint32_t* sums; // [rows]
    long long rows;

    __device__ __forceinline__ void load(uint32_t (&v)[SUMS_AHEAD], long long from) const {
        const volatile uint32_t* own = sums + from + (threadIdx.x & 31);
        if (from + 32 * SUMS_AHEAD <= rows) {
#pragma unroll
            for (int i = 0; i < SUMS_AHEAD; i++) {
                v[i] = own[32 * i];
            }
            return;
        }
        int left = (int)(rows - from) - (threadIdx.x & 31);
#pragma unroll
        for (int i = 0; i < SUMS_AHEAD; i++) {
            v[i] = 32 * i < left ? own[32 * i] : SUM_IS_THERE;
        }
    }

    static __device__ __forceinline__ bool are_there(const uint32_t (&v)[SUMS_AHEAD]) {
        uint32_t there = SUM_IS_THERE;
#pragma unroll
        for (int i = 0; i < SUMS_AHEAD; i++) {
            there &= v[i];
        }
        return __all_sync(0xFFFFFFFFu, there != 0);
    }

    // The sum, in the lanes below 16.
    __device__ __forceinline__ float add() const {
        float partial = 0.0f;
        uint32_t next[SUMS_AHEAD];
        load(next, 0);
        for (long long from = 0; from < rows; from += 32 * SUMS_AHEAD) {
            uint32_t now[SUMS_AHEAD];
#pragma unroll
            for (int i = 0; i < SUMS_AHEAD; i++) {
                now[i] = next[i];
            }
            while (!are_there(now)) {
                load(now, from);
            }
            if (from + 32 * SUMS_AHEAD < rows) {
                load(next, from + 32 * SUMS_AHEAD);
            }
#pragma unroll
            for (int i = 0; i < SUMS_AHEAD; i++) {
                float first = __uint_as_float(now[i] & ~SUM_IS_THERE);
                float second = __shfl_down_sync(0xFFFFFFFFu, first, NIBBLE_LANES);
                partial = __fadd_rn(__fadd_rn(partial, first), second);
            }
        }
        return lanesum_fold_half_warp(partial);
    }
};
