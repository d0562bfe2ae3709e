// Cross-entropy with its gradient in place (dev.nibble.reference.ReferenceCrossEntropy), and the count of right answers. Logits have
// 64-bit offsets: 16384 x 50304 of them pass 2^31 bytes, and more pass 2^31 elements.
#include "exponential.cuh"
#include "lanesum.cuh"

#define CHUNK_ROWS 64

namespace {

// Maximum, or NaN if there is one; every thread gets it. warps: [32].
__device__ __forceinline__ float block_maximum(float value, float* warps) {
#pragma unroll
    for (int other = 16; other > 0; other /= 2) {
        value = max_or_nan(value, __shfl_xor_sync(0xffffffffu, value, other));
    }
    __syncthreads();
    if (threadIdx.x % 32 == 0) {
        warps[threadIdx.x / 32] = value;
    }
    __syncthreads();
    value = warps[threadIdx.x % (blockDim.x / 32)];
#pragma unroll
    for (int other = 16; other > 0; other /= 2) {
        value = max_or_nan(value, __shfl_xor_sync(0xffffffffu, value, other));
    }
    return value;
}

__device__ __forceinline__ float negative_infinity() { return __int_as_float(0xff800000); }

} // namespace

// losses[row] = max + log(sum) - logits[row, target], FP64, sum = LaneSum of exp(logit - max); with gradient 1, logits become
// (p * (1 / sum)) * factor, p * (1 / sum) less 1 at the target, factor = weight / tokens. A target outside 0..vocabulary-1 makes
// the loss NaN. A block works on rows; tile floats of shared memory hold exp(logit - max), of the whole row where tile >=
// vocabulary. tile is a multiple of 16.
extern "C" __global__ void __launch_bounds__(1024) cross_entropy_rows(
    float* logits,
    const int* __restrict__ targets,
    double* __restrict__ losses,
    long long rows,
    int vocabulary,
    int tile,
    float factor,
    int gradient) {
    extern __shared__ float4 shared4[];
    float* p = reinterpret_cast<float*>(shared4); // [tile]
    __shared__ float warps[32];
    __shared__ float total;
    bool resident = tile >= vocabulary;
    bool vector = vocabulary % 4 == 0;
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        float* x = logits + row * vocabulary;
        int target = targets[row];
        bool known = target >= 0 && target < vocabulary;
        float answer = known ? x[target] : __int_as_float(0x7fffffff);
        float maximum = negative_infinity();
        if (vector) {
#pragma unroll 4
            for (int i = 4 * threadIdx.x; i < vocabulary; i += 4 * blockDim.x) {
                float4 v = *reinterpret_cast<const float4*>(x + i);
                maximum = max_or_nan(maximum, max_or_nan(max_or_nan(v.x, v.y), max_or_nan(v.z, v.w)));
                if (resident) {
                    *reinterpret_cast<float4*>(p + i) = v;
                }
            }
        } else {
            for (int i = threadIdx.x; i < vocabulary; i += blockDim.x) {
                float v = x[i];
                maximum = max_or_nan(maximum, v);
                if (resident) {
                    p[i] = v;
                }
            }
        }
        maximum = block_maximum(maximum, warps);
        float partial = 0.0f; // of lane threadIdx.x, in the first 16 threads
        for (int from = 0; from < vocabulary; from += tile) {
            int count = min(tile, vocabulary - from);
            __syncthreads();
            for (int i = threadIdx.x; i < count; i += blockDim.x) {
                p[i] = exp_exact(__fsub_rn(resident ? p[i] : x[from + i], maximum));
            }
            __syncthreads();
            if (threadIdx.x < NIBBLE_LANES) {
#pragma unroll 16
                for (int i = threadIdx.x; i < count; i += NIBBLE_LANES) {
                    partial = __fadd_rn(partial, p[i]);
                }
            }
        }
        if (threadIdx.x < 32) {
            float sum = lanesum_fold_half_warp(partial);
            if (threadIdx.x == 0) {
                total = sum;
                losses[row] = __dsub_rn(log_sum_exp(maximum, sum), (double)answer);
            }
        }
        __syncthreads();
        if (!gradient) {
            continue;
        }
        float inverseSum = __fdiv_rn(1.0f, total);
        for (int from = 0; from < vocabulary; from += blockDim.x) {
            int i = from + threadIdx.x;
            if (i < vocabulary) {
                float e = resident ? p[i] : exp_exact(__fsub_rn(x[i], maximum));
                float share = __fmul_rn(e, inverseSum);
                x[i] = __fmul_rn(i == target ? __fsub_rn(share, 1.0f) : share, factor);
            }
        }
        __syncthreads();
    }
}

// loss[0] += (float) (sum * weight / tokens): rows of a chunk of 64, then chunks, ascending in FP64. One block; partials: [chunks].
// The rows are some of the tokens, or all of them.
extern "C" __global__ void __launch_bounds__(1024) cross_entropy_mean(
    const double* __restrict__ losses, double* partials, float* loss, long long rows, long long tokens, float weight) {
    long long chunks = (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    for (long long chunk = threadIdx.x; chunk < chunks; chunk += blockDim.x) {
        long long end = min(rows, (chunk + 1) * CHUNK_ROWS);
        double sum = 0.0;
#pragma unroll 8
        for (long long row = chunk * CHUNK_ROWS; row < end; row++) {
            sum = __dadd_rn(sum, losses[row]);
        }
        partials[chunk] = sum;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        double sum = 0.0;
#pragma unroll 8
        for (long long chunk = 0; chunk < chunks; chunk++) {
            sum = __dadd_rn(sum, partials[chunk]);
        }
        float mean = (float)__ddiv_rn(__dmul_rn(sum, (double)weight), (double)tokens);
        loss[0] = __fadd_rn(loss[0], mean);
    }
}

// right[row] = 1 if the target's logit is above each before it and at least each after it, else 0. A warp works on rows.
extern "C" __global__ void count_correct_rows(
    const float* __restrict__ logits, const int* __restrict__ targets, int* __restrict__ right, long long rows, int classes) {
    long long warps = (long long)gridDim.x * (blockDim.x / 32);
    int lane = threadIdx.x % 32;
    for (long long row = (long long)blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; row < rows; row += warps) {
        const float* x = logits + row * classes;
        int target = targets[row];
        bool largest = target >= 0 && target < classes;
        float answer = largest ? x[target] : 0.0f;
#pragma unroll 4
        for (int i = lane; i < classes; i += 32) {
            float other = x[i];
            largest &= i < target ? answer > other : answer >= other;
        }
        bool all = __all_sync(0xffffffffu, largest);
        if (lane == 0) {
            right[row] = all ? 1 : 0;
        }
    }
}

// count[0] += sum of right; one block.
extern "C" __global__ void __launch_bounds__(1024) count_correct_sum(const int* __restrict__ right, float* count, long long rows) {
    __shared__ int total;
    if (threadIdx.x == 0) {
        total = 0;
    }
    __syncthreads();
    int sum = 0;
    for (long long row = threadIdx.x; row < rows; row += blockDim.x) {
        sum += right[row];
    }
    sum = __reduce_add_sync(0xffffffffu, sum);
    if (threadIdx.x % 32 == 0) {
        atomicAdd(&total, sum);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        count[0] = __fadd_rn(count[0], (float)total);
    }
}
