// Updates by rules other than AdamW (dev.nibble.reference.ReferenceUpdates, whose bits they have): SGD, Lion, StableAdamW. Learning rate,
// clip, updates and whether the step is skipped are read on the device. One tensor a launch.
#include "common.cuh"

#define CHUNK 4096 // elements of a partial sum of squares, and of a block's part of an update

// dev.nibble.spi.Control
enum { GRADIENT_NORM, CLIP, SKIPPED, UPDATES, LEARNING_RATE };

namespace {

// p = fma(-rate, fma(weightDecay, p, u), p)
__device__ __forceinline__ float moved(float p, float u, float rate, float weightDecay) {
    return __fmaf_rn(-rate, __fmaf_rn(weightDecay, p, u), p);
}

__device__ __forceinline__ float sign_of(float c) { // +-0 and NaN stay
    return c > 0.0f ? 1.0f : (c < 0.0f ? -1.0f : c);
}

__device__ __forceinline__ float greater_of(float a, float b) { // NaN in a stays
    return a <= b ? b : a;
}

// (1 / (1 - beta1^t), 1 / (1 - beta2^t)): from the host's table while that reaches, as in optimizer.cu.
__device__ __forceinline__ float2 correction_of(
    const float2* corrections, long long known, float updates, float beta1, float beta2) {
    if (updates >= 0.0f && updates < (float)known) {
        return corrections[(long long)updates];
    }
    float2 correction;
    correction.x = (float)(1.0 / (1.0 - pow((double)beta1, (double)updates)));
    correction.y = (float)(1.0 / (1.0 - pow((double)beta2, (double)updates)));
    return correction;
}

} // namespace

// g = gradient * clip; m = fma(momentum, m, g); u = nesterov ? fma(momentum, m, g) : m; p moves by u. Without m: u = g.
extern "C" __global__ void __launch_bounds__(256) sgd(
    float* __restrict__ parameter,       // [elements]
    const float* __restrict__ gradient,  // [elements]
    float* __restrict__ first,           // [elements], or null
    long long elements,
    const float* __restrict__ control,
    const StepInfo* __restrict__ info,
    float momentum,
    int nesterov,
    float weightDecay) {
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    float clip = control[CLIP];
    float rate = info->learningRate;
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < elements; i += step) {
        float u = __fmul_rn(gradient[i], clip);
        if (first != nullptr) {
            float g = u;
            float m = __fmaf_rn(momentum, first[i], g);
            first[i] = m;
            u = nesterov ? __fmaf_rn(momentum, m, g) : m;
        }
        parameter[i] = moved(parameter[i], u, rate, weightDecay);
    }
}

// g = gradient * clip; c = fma(beta1, m, (1 - beta1) * g); p moves by the sign of c; m = fma(beta2, m, (1 - beta2) * g).
extern "C" __global__ void __launch_bounds__(256) lion(
    float* __restrict__ parameter,       // [elements]
    const float* __restrict__ gradient,  // [elements]
    float* __restrict__ first,           // [elements]
    long long elements,
    const float* __restrict__ control,
    const StepInfo* __restrict__ info,
    float beta1,
    float beta2,
    float weightDecay) {
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    float clip = control[CLIP];
    float rate = info->learningRate;
    float rest1 = __fsub_rn(1.0f, beta1);
    float rest2 = __fsub_rn(1.0f, beta2);
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < elements; i += step) {
        float g = __fmul_rn(gradient[i], clip);
        float m = first[i];
        float direction = sign_of(__fmaf_rn(beta1, m, __fmul_rn(rest1, g)));
        first[i] = __fmaf_rn(beta2, m, __fmul_rn(rest2, g));
        parameter[i] = moved(parameter[i], direction, rate, weightDecay);
    }
}

// The moments of AdamW, and partials[chunk] = sum over 4096 elements of (g / max(sqrt(v * c2), epsilon))^2 in LaneSum order, FP64. A
// block a chunk: all threads make the ratios, 16 of them add the squares.
extern "C" __global__ void __launch_bounds__(256) stable_moments(
    const float* __restrict__ gradient,  // [elements]
    float* __restrict__ first,           // [elements]
    float* __restrict__ second,          // [elements]
    double* __restrict__ partials,       // [chunks]
    long long elements,
    const float* __restrict__ control,
    const float2* __restrict__ corrections,
    long long known,
    float beta1,
    float beta2,
    float epsilon) {
    __shared__ float ratios[CHUNK];
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    float clip = control[CLIP];
    float rest1 = __fsub_rn(1.0f, beta1);
    float rest2 = __fsub_rn(1.0f, beta2);
    float correction = correction_of(corrections, known, control[UPDATES], beta1, beta2).y;
    long long chunks = (elements + CHUNK - 1) / CHUNK;
    for (long long chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        long long from = chunk * CHUNK;
        int count = (int)min((long long)CHUNK, elements - from);
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            float g = __fmul_rn(gradient[from + i], clip);
            float v = __fmaf_rn(beta2, second[from + i], __fmul_rn(__fmul_rn(rest2, g), g));
            first[from + i] = __fmaf_rn(beta1, first[from + i], __fmul_rn(rest1, g));
            second[from + i] = v;
            ratios[i] = __fdiv_rn(g, greater_of(__fsqrt_rn(__fmul_rn(v, correction)), epsilon));
        }
        __syncthreads();
        if (threadIdx.x < 32) { // lanes 16 and up add nothing
            double sum = 0.0;
            for (int i = threadIdx.x; i < count && threadIdx.x < 16; i += 16) {
                sum = __fma_rn((double)ratios[i], (double)ratios[i], sum); // the square is exact
            }
#pragma unroll
            for (int other = 8; other > 0; other /= 2) {
                sum = __dadd_rn(sum, __shfl_xor_sync(0xffffffffu, sum, other));
            }
            if (threadIdx.x == 0) {
                partials[chunk] = sum;
            }
        }
        __syncthreads();
    }
}

// rate[0] = learningRate / max(1, sqrt(sum of partials / elements)): partials are added ascending by one thread, from tiles that the
// block fetches. One block of 256 threads.
extern "C" __global__ void __launch_bounds__(256) stable_rate(
    const double* __restrict__ partials,  // [chunks]
    long long chunks,
    long long elements,
    const float* __restrict__ control,
    const StepInfo* __restrict__ info,
    float* __restrict__ rate) {
    const int tile = 1024;
    __shared__ double stage[tile];
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    double sum = 0.0;
    for (long long from = 0; from < chunks; from += tile) {
        int count = (int)min((long long)tile, chunks - from);
        for (int i = threadIdx.x; i < count; i += blockDim.x) {
            stage[i] = partials[from + i];
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            for (int i = 0; i < count; i++) {
                sum = __dadd_rn(sum, stage[i]);
            }
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        float rms = (float)__dsqrt_rn(__ddiv_rn(sum, (double)elements));
        rate[0] = __fdiv_rn(info->learningRate, greater_of(rms, 1.0f));
    }
}

// u = m * c1 / (sqrt(v * c2) + epsilon); p moves by u, at the tensor's own rate.
extern "C" __global__ void __launch_bounds__(256) stable_apply(
    float* __restrict__ parameter,     // [elements]
    const float* __restrict__ first,   // [elements]
    const float* __restrict__ second,  // [elements]
    const float* __restrict__ rate,    // [1]
    long long elements,
    const float* __restrict__ control,
    const float2* __restrict__ corrections,
    long long known,
    float beta1,
    float beta2,
    float epsilon,
    float weightDecay) {
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    float2 correction = correction_of(corrections, known, control[UPDATES], beta1, beta2);
    float own = rate[0];
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < elements; i += step) {
        float root = __fsqrt_rn(__fmul_rn(second[i], correction.y));
        float u = __fdiv_rn(__fmul_rn(first[i], correction.x), __fadd_rn(root, epsilon));
        parameter[i] = moved(parameter[i], u, own, weightDecay);
    }
}
