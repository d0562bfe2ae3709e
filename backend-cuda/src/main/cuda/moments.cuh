// Rows on their way to the sums of |x| and of x * x (quantize_statistics.cu).
#pragma once

#include <stdint.h>

// Adds four elements of a row to the partial sums of a thread.
static __device__ __forceinline__ void add_moments(const float4& v, float4& size, float4& square) {
    size.x = __fadd_rn(size.x, fabsf(v.x));
    size.y = __fadd_rn(size.y, fabsf(v.y));
    size.z = __fadd_rn(size.z, fabsf(v.z));
    size.w = __fadd_rn(size.w, fabsf(v.w));
    square.x = __fmaf_rn(v.x, v.x, square.x);
    square.y = __fmaf_rn(v.y, v.y, square.y);
    square.z = __fmaf_rn(v.z, v.z, square.z);
    square.w = __fmaf_rn(v.w, v.w, square.w);
}

#define MOMENT_WARPS 4
#define MOMENT_ROWS 8    // of a warp, four threads a row
#define MOMENT_COLS 64   // of a row in a stage
#define MOMENT_PITCH 80  // floats from row to row of a stage: two rows meet in no bank
#define MOMENT_STAGES 4  // on their way

// Eight rows of a warp on their way through shared memory.
struct MomentStages {
    float* stages; // [MOMENT_STAGES][MOMENT_ROWS][MOMENT_PITCH], of this warp
    const float* x;
    long long row0;
    long long rows;
    int cols;

    // Asks for a stage, 0 beyond the matrix; one group of copies, even where there is nothing left.
    __device__ __forceinline__ void ask(int chunk) const {
        int lane = threadIdx.x & 31;
        uint32_t to = (uint32_t)__cvta_generic_to_shared(
            stages + (chunk % MOMENT_STAGES) * MOMENT_ROWS * MOMENT_PITCH);
#pragma unroll
        for (int load = 0; load < MOMENT_ROWS * MOMENT_COLS / 128; load++) {
            int row = (lane >> 4) + 2 * load;
            int col = (lane & 15) * 4;
            bool inside = row0 + row < rows && chunk * MOMENT_COLS + col < cols;
            const float* from = inside ? x + (row0 + row) * cols + chunk * MOMENT_COLS + col : x;
            asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to + (row * MOMENT_PITCH + col) * 4),
                         "l"(from),
                         "r"(inside ? 16 : 0));
        }
        asm volatile("cp.async.commit_group;" ::: "memory");
    }

    __device__ __forceinline__ void await() const {
        asm volatile("cp.async.wait_group %0;" ::"n"(MOMENT_STAGES - 1) : "memory");
        __syncwarp();
    }

    // Four elements of the thread's row.
    __device__ __forceinline__ float4 at(int chunk, int step) const {
        int lane = threadIdx.x & 31;
        const float* row = stages + ((chunk % MOMENT_STAGES) * MOMENT_ROWS + (lane >> 2)) * MOMENT_PITCH;
        return *(const float4*)(row + 16 * step + 4 * (lane & 3));
    }
};
