// Softmax of rows of scores and its gradient, causal or not (dev.nibble.reference.ReferenceSoftmax): sums along a row are LaneSums, by
// a half warp a row.
#include "exponential.cuh"
#include "lanesum.cuh"

namespace {

// Keys that a row sees.
__device__ __forceinline__ int own_keys(long long row, int keys, int causal) {
    return causal ? (int)(row % keys) + 1 : keys;
}

struct ExponentialTerm { // exp(x * scale - maximum)
    const float* x;
    float scale;
    float maximum;
    __device__ __forceinline__ float value(long long i) const {
        return exp_exact(__fsub_rn(__fmul_rn(x[i], scale), maximum));
    }
    __device__ __forceinline__ float operator()(long long i, float partial) const { return __fadd_rn(partial, value(i)); }
};

} // namespace

// p = exp(s - max s) * (1 / sum), s = x * scale, over the keys of a row; +0 elsewhere.
extern "C" __global__ void softmax_rows(
    const float* __restrict__ scores, float* __restrict__ p, long long rows, int keys, float scale, int causal) {
    long long step = (long long)gridDim.x * (blockDim.x / NIBBLE_LANES);
    long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
    int lane = threadIdx.x % NIBBLE_LANES;
    for (long long base = 0; base < rows; base += step) { // all lanes of a warp together
        long long row = base + first;
        int own = row < rows ? own_keys(row, keys, causal) : 0;
        const float* x = scores + row * keys;
        float maximum = __int_as_float(0xff800000);
#pragma unroll 4
        for (int i = lane; i < own; i += NIBBLE_LANES) {
            maximum = max_or_nan(maximum, __fmul_rn(x[i], scale));
        }
#pragma unroll
        for (int other = NIBBLE_LANES / 2; other > 0; other /= 2) {
            maximum = max_or_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, other));
        }
        ExponentialTerm term{x, scale, maximum};
        float inverse = __fdiv_rn(1.0f, lanesum_half_warp(own, term));
        if (row < rows) {
            for (int i = lane; i < keys; i += NIBBLE_LANES) {
                p[row * keys + i] = i < own ? __fmul_rn(term.value(i), inverse) : 0.0f;
            }
        }
    }
}

// dS = (p * (g - m)) * scale, m = LaneSum of p * g, over the keys of a row; +0 elsewhere.
extern "C" __global__ void softmax_rows_backward(
    const float* __restrict__ gradOutput,
    const float* __restrict__ p,
    float* __restrict__ gradScores,
    long long rows,
    int keys,
    float scale,
    int causal) {
    long long step = (long long)gridDim.x * (blockDim.x / NIBBLE_LANES);
    long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
    for (long long base = 0; base < rows; base += step) { // all lanes of a warp together
        long long row = base + first;
        int own = row < rows ? own_keys(row, keys, causal) : 0;
        const float* share = p + row * keys;
        const float* g = gradOutput + row * keys;
        float mean = lanesum_half_warp(own, LaneSumOfProducts{share, g});
        if (row < rows) {
            for (int i = threadIdx.x % NIBBLE_LANES; i < keys; i += NIBBLE_LANES) {
                float gradient = i < own ? __fmul_rn(__fmul_rn(share[i], __fsub_rn(g[i], mean)), scale) : 0.0f;
                gradScores[row * keys + i] = gradient;
            }
        }
    }
}
