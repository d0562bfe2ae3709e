// Rows without their means, a vector for each row, sums of rows (dev.nibble.reference.ReferenceRows), and GELU with its gradient
// (dev.nibble.reference.ReferenceGelu), to the plain code's bits.
#include "exponential.cuh"
#include "grid.cuh"
#include "lanesum.cuh"

namespace {

// The logit of the normal distribution function: an odd polynomial of degree 13.
__device__ __forceinline__ float normal_logit(float x) {
    float square = __fmul_rn(x, x);
    float p = __fmaf_rn(0x1.f2b3dap-29f, square, -0x1.1f547cp-22f);
    p = __fmaf_rn(p, square, 0x1.0ab644p-17f);
    p = __fmaf_rn(p, square, -0x1.cfae96p-14f);
    p = __fmaf_rn(p, square, -0x1.14ff3ep-14f);
    p = __fmaf_rn(p, square, 0x1.29a638p-4f);
    p = __fmaf_rn(p, square, 0x1.98844ap+0f);
    return __fmul_rn(x, p);
}

// The logit of the form with tanh: (1 + tanh(a)) / 2 = sigmoid(2 a).
__device__ __forceinline__ float tanh_logit(float x) {
    return __fmul_rn(x, __fmaf_rn(0x1.2444f2p-4f, __fmul_rn(x, x), 0x1.988454p+0f));
}

} // namespace

// y = x - sum(x) / width. A half warp works on a row; blockDim.x is a multiple of 32.
extern "C" __global__ void __launch_bounds__(256) center_rows(
    const float* __restrict__ x, float* __restrict__ y, long long rows, int width) {
    long long step = (long long)gridDim.x * (blockDim.x / NIBBLE_LANES);
    long long offset = threadIdx.x / NIBBLE_LANES;
    for (long long first = (long long)blockIdx.x * (blockDim.x / NIBBLE_LANES); first < rows; first += step) {
        long long row = first + offset; // all threads of a warp take part in the sum, whether they have a row or not
        const float* source = x + row * width;
        float sum = lanesum_half_warp(row < rows ? width : 0, LaneSumOf{source});
        if (row < rows) {
            float mean = __fdiv_rn(sum, (float)width);
            for (int col = threadIdx.x % NIBBLE_LANES; col < width; col += NIBBLE_LANES) {
                y[row * width + col] = __fsub_rn(source[col], mean);
            }
        }
    }
}

// target[t, i] += vector[i]
extern "C" __global__ void __launch_bounds__(256) add_row(
    float* __restrict__ target, const float* __restrict__ vector, long long count, int width) {
    for (long long i = first_index(); i < count; i += index_step()) {
        target[i] = __fadd_rn(target[i], vector[i % width]);
    }
}

// partials[chunk] = sum of the rows of a chunk, ascending from +0
extern "C" __global__ void __launch_bounds__(256) sum_rows(
    const float* __restrict__ x, float* __restrict__ partials, long long rows, int width) {
    for_each_chunk(rows, width, [&](long long out, int col, long long row, long long end) {
        float sum = 0.0f;
#pragma unroll 8
        for (; row < end; row++) {
            sum = __fadd_rn(sum, x[row * width + col]);
        }
        partials[out] = sum;
    });
}

// S = sum of the partials of a column, chunks ascending from +0: means = S / rows unless it is null, and totals += S unless it is null.
// Blocks of 1024.
extern "C" __global__ void __launch_bounds__(1024) sum_of_chunks(
    const float* __restrict__ partials,
    float* __restrict__ means,
    float* __restrict__ totals,
    long long chunks,
    long long rows,
    int width) {
    for_each_sum(partials, chunks, width, [&](int col, float sum) {
        if (means) {
            means[col] = __fdiv_rn(sum, (float)rows);
        }
        if (totals) {
            totals[col] = __fadd_rn(totals[col], sum);
        }
    });
}

// y = x * sigmoid(logit)
extern "C" __global__ void __launch_bounds__(256) gelu(
    const float* __restrict__ x, float* __restrict__ y, long long count) {
    for (long long i = first_index(); i < count; i += index_step()) {
        y[i] = __fmul_rn(x[i], sigmoid_exact(normal_logit(x[i])));
    }
}

// dx = dy * fma(x, density * exp((x * -0.5) * x), sigmoid(logit))
extern "C" __global__ void __launch_bounds__(256) gelu_backward(
    const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dx, long long count) {
    for (long long i = first_index(); i < count; i += index_step()) {
        float value = x[i];
        float bell = exp_exact(__fmul_rn(__fmul_rn(value, -0.5f), value));
        float slope = __fmaf_rn(value, __fmul_rn(0x1.988454p-2f, bell), sigmoid_exact(normal_logit(value)));
        dx[i] = __fmul_rn(dy[i], slope);
    }
}

// y = x * sigmoid(logit), the form with tanh
extern "C" __global__ void __launch_bounds__(256) gelu_tanh(
    const float* __restrict__ x, float* __restrict__ y, long long count) {
    for (long long i = first_index(); i < count; i += index_step()) {
        y[i] = __fmul_rn(x[i], sigmoid_exact(tanh_logit(x[i])));
    }
}

// dx = dy * fma(T0, t, fma(T2, (t * x) * x, s)), s = sigmoid(logit), t = x * (s * (1 - s)), which is 0 where x^2 overflows
extern "C" __global__ void __launch_bounds__(256) gelu_tanh_backward(
    const float* __restrict__ dy, const float* __restrict__ x, float* __restrict__ dx, long long count) {
    for (long long i = first_index(); i < count; i += index_step()) {
        float value = x[i];
        float s = sigmoid_exact(tanh_logit(value));
        float t = __fmul_rn(value, __fmul_rn(s, __fsub_rn(1.0f, s)));
        float slope = __fmaf_rn(0x1.b6676cp-3f, __fmul_rn(__fmul_rn(t, value), value), s);
        dx[i] = __fmul_rn(dy[i], __fmaf_rn(0x1.988454p+0f, t, slope));
    }
}
