// Patches of images and their sum (dev.nibble.reference.ReferenceWindow), batch normalization (ReferenceBatchNorm), to the plain code's
// bits.
#include "grid.cuh"

// As dev.nibble.spi.Window, in its order; channels in units of what a thread moves.
struct Window {
    int height;
    int width;
    int channels;
    int kernel;
    int stride;
    int padding;
    int outHeight;
    int outWidth;
};

namespace {

__device__ __forceinline__ float sum(float a, float b) { return __fadd_rn(a, b); }
__device__ __forceinline__ float4 sum(float4 a, float4 b) {
    return make_float4(sum(a.x, b.x), sum(a.y, b.y), sum(a.z, b.z), sum(a.w, b.w));
}
__device__ __forceinline__ float none(float) { return 0.0f; }
__device__ __forceinline__ float4 none(float4) { return make_float4(0.0f, 0.0f, 0.0f, 0.0f); }

// T is a channel, or four. I counts the elements of the result: 32-bit division where that is enough.
template <class I, class T>
__device__ __forceinline__ void copy_patches(const T* __restrict__ x, T* __restrict__ patches, I count, Window w) {
    for (I at = (I)first_index(); at < count; at += (I)index_step()) {
        I rest = at;
        int c = (int)(rest % w.channels);
        rest /= w.channels;
        int j = (int)(rest % w.kernel);
        rest /= w.kernel;
        int i = (int)(rest % w.kernel);
        rest /= w.kernel;
        int column = (int)(rest % w.outWidth) * w.stride - w.padding + j;
        rest /= w.outWidth;
        int y = (int)(rest % w.outHeight) * w.stride - w.padding + i;
        long long image = (long long)(rest / w.outHeight);
        bool inside = y >= 0 && y < w.height && column >= 0 && column < w.width;
        patches[at] = inside ? x[((image * w.height + y) * w.width + column) * w.channels + c] : none(T());
    }
}

__device__ __forceinline__ int place(int start, int stride, int places) {
    return start < 0 || start % stride != 0 || start / stride >= places ? -1 : start / stride;
}

template <class I, class T>
__device__ __forceinline__ void sum_patches(const T* __restrict__ patches, T* __restrict__ x, I count, Window w) {
    for (I at = (I)first_index(); at < count; at += (I)index_step()) {
        I rest = at;
        int c = (int)(rest % w.channels);
        rest /= w.channels;
        int column = (int)(rest % w.width) + w.padding;
        rest /= w.width;
        int y = (int)(rest % w.height) + w.padding;
        long long image = (long long)(rest / w.height);
        T total = none(T());
        for (int i = 0; i < w.kernel; i++) {
            int placeY = place(y - i, w.stride, w.outHeight);
            for (int j = 0; placeY >= 0 && j < w.kernel; j++) {
                int placeX = place(column - j, w.stride, w.outWidth);
                if (placeX >= 0) {
                    long long row = (image * w.outHeight + placeY) * w.outWidth + placeX;
                    total = sum(total, patches[((row * w.kernel + i) * w.kernel + j) * w.channels + c]);
                }
            }
        }
        x[at] = total;
    }
}

// body(from, to, count) with quads of channels or single ones, counted in 32 bits where that is enough.
template <class Body>
__device__ __forceinline__ void in_units(const float* from, float* to, long long count, int quads, Body body) {
    const float4* from4 = reinterpret_cast<const float4*>(from);
    float4* to4 = reinterpret_cast<float4*>(to);
    if (quads && count <= MOST_SHORT) {
        body(from4, to4, (unsigned)count);
    } else if (quads) {
        body(from4, to4, count);
    } else if (count <= MOST_SHORT) {
        body(from, to, (unsigned)count);
    } else {
        body(from, to, count);
    }
}

// 1 / sqrt(variance + epsilon)
__device__ __forceinline__ float inverse_deviation(float variance, float epsilon) {
    return __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(variance, epsilon)));
}

__device__ __forceinline__ float normalized(float x, float mean, float inverse) {
    return __fmul_rn(__fsub_rn(x, mean), inverse);
}

} // namespace

// count: elements of the result, or quads of channels
extern "C" __global__ void __launch_bounds__(256) unfold(
    const float* __restrict__ x, float* __restrict__ patches, long long count, Window window, int quads) {
    in_units(x, patches, count, quads, [&](auto from, auto to, auto units) { copy_patches(from, to, units, window); });
}

extern "C" __global__ void __launch_bounds__(256) fold(
    const float* __restrict__ patches, float* __restrict__ x, long long count, Window window, int quads) {
    in_units(patches, x, count, quads, [&](auto from, auto to, auto units) { sum_patches(from, to, units, window); });
}

// partials[chunk] = sum of (x - mean)^2, by fused multiply-adds
extern "C" __global__ void __launch_bounds__(256) squares_of_chunks(
    const float* __restrict__ x, const float* __restrict__ means, float* __restrict__ partials, long long rows, int width) {
    for_each_chunk(rows, width, [&](long long out, int col, long long row, long long end) {
        float mean = means[col];
        float total = 0.0f;
#pragma unroll 8
        for (; row < end; row++) {
            float d = __fsub_rn(x[row * width + col], mean);
            total = __fmaf_rn(d, d, total);
        }
        partials[out] = total;
    });
}

// partial sums of dy, and of dy * z
extern "C" __global__ void __launch_bounds__(256) gradients_of_chunks(
    const float* __restrict__ dy,
    const float* __restrict__ x,
    const float* __restrict__ moments,
    float* __restrict__ forBias,
    float* __restrict__ forWeight,
    long long rows,
    int width,
    float epsilon) {
    for_each_chunk(rows, width, [&](long long out, int col, long long row, long long end) {
        float mean = moments[col];
        float inverse = inverse_deviation(moments[width + col], epsilon);
        float bias = 0.0f;
        float weight = 0.0f;
#pragma unroll 8
        for (; row < end; row++) {
            float g = dy[row * width + col];
            bias = __fadd_rn(bias, g);
            weight = __fmaf_rn(g, normalized(x[row * width + col], mean, inverse), weight);
        }
        forBias[out] = bias;
        forWeight[out] = weight;
    });
}

// y = fma((x - mean) * r, weight, bias)
extern "C" __global__ void __launch_bounds__(256) batch_norm(
    const float* __restrict__ x,
    const float* __restrict__ moments,
    const float* __restrict__ weight,
    const float* __restrict__ bias,
    float* __restrict__ y,
    long long rows,
    int width,
    float epsilon) {
    for_each_element(rows, width, [&](long long row, int col) {
        long long i = row * width + col;
        float inverse = inverse_deviation(moments[width + col], epsilon);
        y[i] = __fmaf_rn(normalized(x[i], moments[col], inverse), weight[col], bias[col]);
    });
}

// dx = (weight * r) * fma(-z, W / rows, dy - B / rows)
extern "C" __global__ void __launch_bounds__(256) batch_norm_backward(
    const float* __restrict__ dy,
    const float* __restrict__ x,
    const float* __restrict__ moments,
    const float* __restrict__ weight,
    const float* __restrict__ meanBias,
    const float* __restrict__ meanWeight,
    float* __restrict__ dx,
    long long rows,
    int width,
    float epsilon) {
    for_each_element(rows, width, [&](long long row, int col) {
        long long i = row * width + col;
        float inverse = inverse_deviation(moments[width + col], epsilon);
        float z = normalized(x[i], moments[col], inverse);
        float centred = __fsub_rn(dy[i], meanBias[col]);
        dx[i] = __fmul_rn(__fmul_rn(weight[col], inverse), __fmaf_rn(-z, meanWeight[col], centred));
    });
}

// average = fma(sample - average, share, average)
extern "C" __global__ void __launch_bounds__(256) move_average(
    float* __restrict__ average, const float* __restrict__ sample, long long count, float share) {
    for (long long i = first_index(); i < count; i += index_step()) {
        average[i] = __fmaf_rn(__fsub_rn(sample[i], average[i]), share, average[i]);
    }
}
