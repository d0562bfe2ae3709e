// Cross-entropy of long rows (see cross_entropy.cu), each read once and written once: while a row is worked on in registers, the
// next one is copied into shared memory.
#include "barrier.cuh"
#include "exponential.cuh"
#include "lanesum.cuh"

#define WORKERS 352                    // threads that hold the row; with a warp that sums, three warps a scheduler
#define SLAB (4 * WORKERS)             // logits that they hold in one register quad each
#define SLABS 36                       // most of a row: 50688 logits
#define RING 2                         // pairs of slabs of exponentials on their way to the warp that sums
#define PAIR (2 * SLAB)                // 176 a lane: 22 times 8
#define PIECE 16384                    // bytes of a copy

namespace {

__device__ __forceinline__ void sync_workers() { asm volatile("bar.sync 1, %0;" ::"n"(WORKERS) : "memory"); }

// Barriers 2 + slot: the exponentials of a pair are there; 2 + RING + slot: they were summed. Both sides come to both.
__device__ __forceinline__ void sync_slot(int barrier) {
    asm volatile("bar.sync %0, %1;" ::"r"(barrier), "n"(WORKERS + 32) : "memory");
}
__device__ __forceinline__ void arrive_slot(int barrier) {
    asm volatile("bar.arrive %0, %1;" ::"r"(barrier), "n"(WORKERS + 32) : "memory");
}

// All threads, from whichever of the two programs they run: bar.sync and __syncthreads promise that all wait at one instruction.
__device__ __forceinline__ void sync_all() { asm volatile("barrier.sync %0, %1;" ::"n"(2 + 2 * RING), "n"(WORKERS + 32) : "memory"); }

// Begins the copy of a row; one thread.
__device__ __forceinline__ void fetch(float* target, const float* row, int vocabulary, uint64_t* landed) {
    unsigned bytes = 4u * (unsigned)vocabulary;
    nibble::barrierExpect(landed, bytes);
    for (unsigned at = 0; at < bytes; at += PIECE) {
        nibble::copyBytes(
            reinterpret_cast<char*>(target) + at, reinterpret_cast<const char*>(row) + at, min((unsigned)PIECE, bytes - at), landed);
    }
}

} // namespace

// As cross_entropy_rows; vocabulary a multiple of 4, at most 50688. 384 threads: 352 hold a row, a warp sums it. Shared memory:
// (vocabulary + 4 * 1408) * 4 bytes.
extern "C" __global__ void __launch_bounds__(WORKERS + 32, 1) cross_entropy_long_rows(
    float* logits,
    const int* __restrict__ targets,
    double* __restrict__ losses,
    long long rows,
    int vocabulary,
    float factor,
    int gradient) {
    extern __shared__ float4 shared4[];
    float* ring = reinterpret_cast<float*>(shared4); // [RING][PAIR]
    float* next = ring + RING * PAIR;                // [vocabulary]
    __shared__ uint64_t landed;
    __shared__ float maxima[WORKERS / 32];
    __shared__ float total;
    int quads = vocabulary / 4;
    int pairs = (vocabulary + PAIR - 1) / PAIR;
    if (threadIdx.x == 0) {
        nibble::barrierInit(&landed, 1);
        nibble::barrierInitFence();
    }
    __syncthreads();
    if (threadIdx.x >= WORKERS) { // the warp that sums
        int lane = threadIdx.x % NIBBLE_LANES;
        for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
            float partial = 0.0f;
            for (int pair = 0; pair < pairs; pair++) {
                int slot = pair % RING;
                sync_slot(2 + slot);
                const float* p = ring + slot * PAIR + lane;
                int count = min(PAIR, vocabulary - pair * PAIR);
                if (count == PAIR) {
                    float now[8];
#pragma unroll
                    for (int j = 0; j < 8; j++) {
                        now[j] = p[j * NIBBLE_LANES];
                    }
#pragma unroll 11
                    for (int step = 1; step <= PAIR / (8 * NIBBLE_LANES); step++) { // the next eight are loaded ahead
                        float later[8];
                        const float* ahead = p + (step % (PAIR / (8 * NIBBLE_LANES))) * 8 * NIBBLE_LANES;
#pragma unroll
                        for (int j = 0; j < 8; j++) {
                            later[j] = ahead[j * NIBBLE_LANES];
                        }
#pragma unroll
                        for (int j = 0; j < 8; j++) {
                            partial = __fadd_rn(partial, now[j]);
                            now[j] = later[j];
                        }
                    }
                } else {
#pragma unroll 8
                    for (int i = 0; i < count - lane; i += NIBBLE_LANES) {
                        partial = __fadd_rn(partial, p[i]);
                    }
                }
                __syncwarp();
                arrive_slot(2 + RING + slot);
            }
            float sum = lanesum_fold_half_warp(partial);
            if (threadIdx.x == WORKERS) {
                total = sum;
            }
            sync_all(); // the sum is there
            sync_all(); // and was read
        }
        return;
    }
    if (threadIdx.x == 0 && blockIdx.x < rows) {
        fetch(next, logits + (long long)blockIdx.x * vocabulary, vocabulary, &landed);
    }
    unsigned phase = 0;
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        float4 held[SLABS];
        float maximum = __int_as_float(0xff800000);
        int target = targets[row];
        bool known = target >= 0 && target < vocabulary;
        nibble::barrierWait(&landed, phase);
        phase ^= 1;
        float answer = known ? next[target] : __int_as_float(0x7fffffff);
#pragma unroll
        for (int slab = 0; slab < SLABS; slab++) {
            int quad = slab * WORKERS + threadIdx.x;
            if (quad < quads) {
                float4 v = reinterpret_cast<const float4*>(next)[quad];
                maximum = max_or_nan(maximum, max_or_nan(max_or_nan(v.x, v.y), max_or_nan(v.z, v.w)));
                held[slab] = v;
            }
        }
#pragma unroll
        for (int other = 16; other > 0; other /= 2) {
            maximum = max_or_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, other));
        }
        if (threadIdx.x % 32 == 0) {
            maxima[threadIdx.x / 32] = maximum;
        }
        sync_workers(); // all have read their part of the row
        if (threadIdx.x == 0 && row + gridDim.x < rows) {
            asm volatile("fence.proxy.async.shared::cta;" ::: "memory");
            fetch(next, logits + (row + gridDim.x) * vocabulary, vocabulary, &landed);
        }
        maximum = maxima[threadIdx.x % (WORKERS / 32)];
#pragma unroll
        for (int other = 16; other > 0; other /= 2) {
            maximum = max_or_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, other));
        }
#pragma unroll
        for (int pair = 0; pair < SLABS / 2; pair++) {
            if (pair < pairs) {
                const int slot = pair % RING;
#pragma unroll
                for (int slab = 2 * pair; slab < 2 * pair + 2; slab++) {
                    if (slab * WORKERS + threadIdx.x < quads) {
                        held[slab].x = exp_exact(__fsub_rn(held[slab].x, maximum));
                        held[slab].y = exp_exact(__fsub_rn(held[slab].y, maximum));
                        held[slab].z = exp_exact(__fsub_rn(held[slab].z, maximum));
                        held[slab].w = exp_exact(__fsub_rn(held[slab].w, maximum));
                    }
                }
                if (pair >= RING) {
                    sync_slot(2 + RING + slot);
                }
#pragma unroll
                for (int slab = 2 * pair; slab < 2 * pair + 2; slab++) {
                    if (slab * WORKERS + threadIdx.x < quads) {
                        reinterpret_cast<float4*>(ring + slot * PAIR + slab % 2 * SLAB)[threadIdx.x] = held[slab];
                    }
                }
                arrive_slot(2 + slot);
            }
        }
        for (int pair = max(0, pairs - RING); pair < pairs; pair++) { // the sums that no later pair has waited for
            sync_slot(2 + RING + pair % RING);
        }
        sync_all();
        float sum = total;
        sync_all();
        if (threadIdx.x == 0) {
            losses[row] = __dsub_rn(log_sum_exp(maximum, sum), (double)answer);
        }
        if (!gradient) {
            continue;
        }
        float inverseSum = __fdiv_rn(1.0f, sum);
        float4* out = reinterpret_cast<float4*>(logits + row * vocabulary);
#pragma unroll
        for (int slab = 0; slab < SLABS; slab++) {
            int quad = slab * WORKERS + threadIdx.x;
            if (quad < quads) {
                float4 v = held[slab];
                v.x = __fmul_rn(v.x, inverseSum);
                v.y = __fmul_rn(v.y, inverseSum);
                v.z = __fmul_rn(v.z, inverseSum);
                v.w = __fmul_rn(v.w, inverseSum);
                if (known && quad == target / 4) {
                    v.x = target % 4 == 0 ? __fsub_rn(v.x, 1.0f) : v.x;
                    v.y = target % 4 == 1 ? __fsub_rn(v.y, 1.0f) : v.y;
                    v.z = target % 4 == 2 ? __fsub_rn(v.z, 1.0f) : v.z;
                    v.w = target % 4 == 3 ? __fsub_rn(v.w, 1.0f) : v.w;
                }
                v.x = __fmul_rn(v.x, factor);
                v.y = __fmul_rn(v.y, factor);
                v.z = __fmul_rn(v.z, factor);
                v.w = __fmul_rn(v.w, factor);
                out[quad] = v;
            }
        }
    }
}
