// Patches of images and their sum (dev.nibble.reference.ReferenceWindow), batch normalization (ReferenceBatchNorm), to the plain code's
// bits.
#include "common.cuh"

#define CHUNK_ROWS 64

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

constexpr long long MOST_SHORT = 0x7fffffff; // an index and a step beyond it fit 32 bits

__device__ __forceinline__ long long first_index() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long index_step() { return (long long)gridDim.x * blockDim.x; }
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

// body(col, index) for the elements of a matrix.
template <class Body>
__device__ __forceinline__ void for_each(long long rows, int width, Body body) {
    long long count = rows * width;
    if (count <= MOST_SHORT) {
        for (unsigned i = (unsigned)first_index(); i < count; i += (unsigned)index_step()) {
            body((int)(i % (unsigned)width), (long long)i);
        }
        return;
    }
    for (long long i = first_index(); i < count; i += index_step()) {
        body((int)(i % width), i);
    }
}

// body(index of the partial sum, col, first row, end) for the chunks of 64 rows and all columns. Grid: chunks, columns by blockDim.x.
template <class Body>
__device__ __forceinline__ void for_each_chunk(long long rows, int width, Body body) {
    long long chunks = (rows + CHUNK_ROWS - 1) / CHUNK_ROWS;
    for (long long chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        long long end = min(rows, (chunk + 1) * CHUNK_ROWS);
        for (long long col = (long long)blockIdx.y * blockDim.x + threadIdx.x; col < width;
             col += (long long)gridDim.y * blockDim.x) {
            body(chunk * width + col, (int)col, chunk * CHUNK_ROWS, end);
        }
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
    const float4* source = reinterpret_cast<const float4*>(x);
    float4* target = reinterpret_cast<float4*>(patches);
    if (quads && count <= MOST_SHORT) {
        copy_patches<unsigned>(source, target, (unsigned)count, window);
    } else if (quads) {
        copy_patches<long long>(source, target, count, window);
    } else if (count <= MOST_SHORT) {
        copy_patches<unsigned>(x, patches, (unsigned)count, window);
    } else {
        copy_patches<long long>(x, patches, count, window);
    }
}

extern "C" __global__ void __launch_bounds__(256) fold(
    const float* __restrict__ patches, float* __restrict__ x, long long count, Window window, int quads) {
    const float4* source = reinterpret_cast<const float4*>(patches);
    float4* target = reinterpret_cast<float4*>(x);
    if (quads && count <= MOST_SHORT) {
        sum_patches<unsigned>(source, target, (unsigned)count, window);
    } else if (quads) {
        sum_patches<long long>(source, target, count, window);
    } else if (count <= MOST_SHORT) {
        sum_patches<unsigned>(patches, x, (unsigned)count, window);
    } else {
        sum_patches<long long>(patches, x, count, window);
    }
}

// partials[chunk] = sum of the rows of a chunk, ascending from +0
extern "C" __global__ void __launch_bounds__(256) sums_of_chunks(
    const float* __restrict__ x, float* __restrict__ partials, long long rows, int width) {
    for_each_chunk(rows, width, [&](long long out, int col, long long row, long long end) {
        float total = 0.0f;
#pragma unroll 8
        for (; row < end; row++) {
            total = __fadd_rn(total, x[row * width + col]);
        }
        partials[out] = total;
    });
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

// S = sum of the partials of a column, chunks ascending from +0: means = S / rows, and totals += S unless it is null. Blocks of 1024.
extern "C" __global__ void __launch_bounds__(1024) sum_of_chunks(
    const float* __restrict__ partials,
    float* __restrict__ means,
    float* __restrict__ totals,
    long long chunks,
    long long rows,
    int width) {
    __shared__ float tile[256][33];
    int x = threadIdx.x % 32;
    int y = threadIdx.x / 32;
    for (int first = blockIdx.x * 32; first < width; first += gridDim.x * 32) {
        int col = first + x;
        float total = 0.0f;
        for (long long from = 0; from < chunks; from += 256) {
            int count = (int)min(256LL, chunks - from);
#pragma unroll
            for (int i = 0; i < 8; i++) {
                int chunk = y + 32 * i;
                if (chunk < count && col < width) {
                    tile[chunk][x] = partials[(from + chunk) * width + col];
                }
            }
            __syncthreads();
            if (y == 0) {
#pragma unroll 8
                for (int chunk = 0; chunk < count; chunk++) {
                    total = __fadd_rn(total, tile[chunk][x]);
                }
            }
            __syncthreads();
        }
        if (y == 0 && col < width) {
            means[col] = __fdiv_rn(total, (float)rows);
            if (totals) {
                totals[col] = __fadd_rn(totals[col], total);
            }
        }
    }
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
    for_each(rows, width, [&](int col, long long i) {
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
    for_each(rows, width, [&](int col, long long i) {
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
