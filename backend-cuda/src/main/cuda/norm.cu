// RMSNorm and its gradients (dev.nibble.reference.ReferenceRmsNorm), to the plain code's bits: the sum along a row is a LaneSum,
// the weight's gradient a chain over the 64 rows of a chunk and then a sum over chunks, ascending.
#include "async.cuh"
#include "grid.cuh"
#include "lanesum.cuh"

namespace {

// Floats from one staged row to the next: half warps that read two rows at once meet no bank conflict.
__device__ __forceinline__ int staged_pitch(int width) { return (width + 15) / 32 * 32 + 16; }

// Applies body(row, col) or body4(row, col) to a group of rows, blockDim.x / rowsAtOnce threads a row.
template <class One, class Four>
__device__ __forceinline__ void for_each(int rows, int rowsAtOnce, int width, bool vector, One one, Four four) {
    int threads = blockDim.x / rowsAtOnce;
    int first = threadIdx.x / threads;
    int lane = threadIdx.x % threads;
    for (int row = first; row < rows; row += rowsAtOnce) {
        if (vector) {
#pragma unroll 4
            for (int col = 4 * lane; col < width; col += 4 * threads) {
                four(row, col);
            }
        } else {
            for (int col = lane; col < width; col += threads) {
                one(row, col);
            }
        }
    }
}

__device__ __forceinline__ float normed(float x, float r, float weight) { return __fmul_rn(__fmul_rn(x, r), weight); }

__device__ __forceinline__ float gradient(float dy, float weight, float x, float r, float c) {
    return __fmul_rn(r, __fmaf_rn(-c, __fmul_rn(x, r), __fmul_rn(dy, weight)));
}

struct GradientTerm { // (dy * weight) * x
    const float* dy;
    const float* weight;
    const float* x;
    __device__ __forceinline__ float operator()(long long i, float partial) const {
        return __fmaf_rn(__fmul_rn(dy[i], weight[i]), x[i], partial);
    }
};

// The partial sum of (dy * weight) * x of this thread's lane, all in shared memory; eight terms are loaded ahead of their chain.
__device__ __forceinline__ float gradient_partial(const float* dy, const float* weights, const float* x, int width) {
    float partial = 0.0f;
    int i = threadIdx.x % NIBBLE_LANES;
    for (; i + 7 * NIBBLE_LANES < width; i += 8 * NIBBLE_LANES) {
        float g[8];
        float v[8];
#pragma unroll
        for (int j = 0; j < 8; j++) {
            g[j] = __fmul_rn(dy[i + j * NIBBLE_LANES], weights[i + j * NIBBLE_LANES]);
            v[j] = x[i + j * NIBBLE_LANES];
        }
#pragma unroll
        for (int j = 0; j < 8; j++) {
            partial = __fmaf_rn(g[j], v[j], partial);
        }
    }
    for (; i < width; i += NIBBLE_LANES) {
        partial = __fmaf_rn(__fmul_rn(dy[i], weights[i]), x[i], partial);
    }
    return partial;
}

} // namespace

// r = 1 / sqrt(sum(x * x) / width + epsilon), y = (x * r) * weight. A block works on groups of rowsAtOnce rows (1, 2, 4, 8 or
// 16; blockDim.x / rowsAtOnce is whole), staged in shared memory where staged is 1. Shared memory: 16 floats, and then rowsAtOnce
// rows of staged_pitch floats.
extern "C" __global__ void __launch_bounds__(256) rms_norm(
    const float* __restrict__ x,
    const float* __restrict__ weight,
    float* __restrict__ y,
    float* __restrict__ inverseRms,
    long long rows,
    int width,
    float epsilon,
    int rowsAtOnce,
    int staged) {
    extern __shared__ float4 shared4[];
    float* inverse = reinterpret_cast<float*>(shared4); // [16]
    float* stage = inverse + NIBBLE_LANES;              // [rowsAtOnce, pitch]
    int pitch = staged_pitch(width);
    bool vector = width % 4 == 0;
    for (long long first = (long long)blockIdx.x * rowsAtOnce; first < rows; first += (long long)gridDim.x * rowsAtOnce) {
        int count = (int)min((long long)rowsAtOnce, rows - first);
        const float* source = x + first * width;
        if (staged) {
            for_each(
                count, rowsAtOnce, width, vector,
                [&](int row, int col) {
                    copy_async<4>(stage + row * pitch + col, source + (long long)row * width + col);
                },
                [&](int row, int col) {
                    copy_async<16>(stage + row * pitch + col, source + (long long)row * width + col);
                });
            commit_copies();
            await_copies<0>();
        }
        __syncthreads();
        int row = threadIdx.x / NIBBLE_LANES;
        if (threadIdx.x / 32 * 2 < count) { // whole warps
            const float* values = staged ? stage + row * pitch : source + (long long)row * width;
            float sum = lanesum_half_warp(row < count ? width : 0, LaneSumOfProducts{values, values});
            if (row < count && threadIdx.x % NIBBLE_LANES == 0) {
                float r = __fdiv_rn(1.0f, __fsqrt_rn(__fadd_rn(__fdiv_rn(sum, (float)width), epsilon)));
                inverse[row] = r;
                inverseRms[first + row] = r;
            }
        }
        __syncthreads();
        float* target = y + first * width;
        for_each(
            count, rowsAtOnce, width, vector,
            [&](int i, int col) {
                float value = staged ? stage[i * pitch + col] : source[(long long)i * width + col];
                target[(long long)i * width + col] = normed(value, inverse[i], weight[col]);
            },
            [&](int i, int col) {
                float4 v = load4(staged ? stage + i * pitch + col : source + (long long)i * width + col);
                float4 w = load4(weight + col);
                float r = inverse[i];
                store4(
                    target + (long long)i * width + col,
                    make_float4(normed(v.x, r, w.x), normed(v.y, r, w.y), normed(v.z, r, w.z), normed(v.w, r, w.w)));
            });
        __syncthreads();
    }
}

// dx = r * fma(-c, x * r, g), g = dy * weight, c = r * (sum(g * x) / width); partials[chunk] = chain of dy * (x * r) over the rows
// of a chunk of 64. A block works on chunks, in groups of rowsAtOnce rows (at most 16); while it works on one, the next is on
// its way. Shared memory: 64 floats and 2 + 4 * rowsAtOnce rows of staged_pitch floats.
extern "C" __global__ void __launch_bounds__(256) rms_norm_backward(
    const float* __restrict__ dy,
    const float* __restrict__ x,
    const float* __restrict__ inverseRms,
    const float* __restrict__ weight,
    float* __restrict__ dx,
    float* __restrict__ partials,
    long long rows,
    int width,
    int rowsAtOnce) {
    extern __shared__ float4 shared4[];
    float* rs = reinterpret_cast<float*>(shared4); // r of the rows of a group, [16]
    float* factors = rs + NIBBLE_LANES;            // c, [16]
    int pitch = staged_pitch(width);
    float* weights = rs + 64;      // [pitch]
    float* sums = weights + pitch; // [pitch]
    float* stages = sums + pitch;  // [2][dy, x][rowsAtOnce, pitch]
    bool vector = width % 4 == 0;
    for (int col = threadIdx.x; col < width; col += blockDim.x) {
        weights[col] = weight[col];
    }
    long long chunks = chunks_of(rows);
    for (long long chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        long long begin = chunk * CHUNK_ROWS;
        int chunkRows = (int)min((long long)CHUNK_ROWS, rows - begin);
        int groups = (chunkRows + rowsAtOnce - 1) / rowsAtOnce;
        auto fetch = [&](int group) {
            int from = group * rowsAtOnce;
            int count = min(rowsAtOnce, chunkRows - from);
            float* stage = stages + (group & 1) * 2 * rowsAtOnce * pitch;
            const float* sourceDy = dy + (begin + from) * width;
            const float* sourceX = x + (begin + from) * width;
            for_each(
                count, rowsAtOnce, width, vector,
                [&](int row, int col) {
                    copy_async<4>(stage + row * pitch + col, sourceDy + (long long)row * width + col);
                    copy_async<4>(stage + (rowsAtOnce + row) * pitch + col, sourceX + (long long)row * width + col);
                },
                [&](int row, int col) {
                    copy_async<16>(stage + row * pitch + col, sourceDy + (long long)row * width + col);
                    copy_async<16>(stage + (rowsAtOnce + row) * pitch + col, sourceX + (long long)row * width + col);
                });
            commit_copies();
        };
        for (int col = threadIdx.x; col < width; col += blockDim.x) {
            sums[col] = 0.0f;
        }
        fetch(0);
        for (int group = 0; group < groups; group++) {
            if (group + 1 < groups) {
                fetch(group + 1);
                await_copies<1>();
            } else {
                await_copies<0>();
            }
            __syncthreads();
            int from = group * rowsAtOnce;
            int count = min(rowsAtOnce, chunkRows - from);
            const float* stageDy = stages + (group & 1) * 2 * rowsAtOnce * pitch;
            const float* stageX = stageDy + rowsAtOnce * pitch;
            int row = threadIdx.x / NIBBLE_LANES;
            if (threadIdx.x / 32 * 2 < count) {
                float sum = lanesum_fold_half_warp(
                    gradient_partial(stageDy + row * pitch, weights, stageX + row * pitch, row < count ? width : 0));
                if (row < count && threadIdx.x % NIBBLE_LANES == 0) {
                    float r = inverseRms[begin + from + row];
                    rs[row] = r;
                    factors[row] = __fmul_rn(r, __fdiv_rn(sum, (float)width));
                }
            }
            __syncthreads();
            float* target = dx + (begin + from) * width;
            if (vector) {
                for (int col = 4 * threadIdx.x; col < width; col += 4 * blockDim.x) {
                    float4 w = load4(weights + col);
                    float4 sum = load4(sums + col);
#pragma unroll 2
                    for (int i = 0; i < count; i++) {
                        float4 a = load4(stageDy + i * pitch + col);
                        float4 b = load4(stageX + i * pitch + col);
                        float r = rs[i];
                        float c = factors[i];
                        store4(
                            target + (long long)i * width + col,
                            make_float4(
                                gradient(a.x, w.x, b.x, r, c), gradient(a.y, w.y, b.y, r, c),
                                gradient(a.z, w.z, b.z, r, c), gradient(a.w, w.w, b.w, r, c)));
                        sum.x = __fmaf_rn(a.x, __fmul_rn(b.x, r), sum.x);
                        sum.y = __fmaf_rn(a.y, __fmul_rn(b.y, r), sum.y);
                        sum.z = __fmaf_rn(a.z, __fmul_rn(b.z, r), sum.z);
                        sum.w = __fmaf_rn(a.w, __fmul_rn(b.w, r), sum.w);
                    }
                    store4(sums + col, sum);
                }
            } else {
                for (int col = threadIdx.x; col < width; col += blockDim.x) {
                    float sum = sums[col];
                    for (int i = 0; i < count; i++) {
                        float a = stageDy[i * pitch + col];
                        float b = stageX[i * pitch + col];
                        target[(long long)i * width + col] = gradient(a, weights[col], b, rs[i], factors[i]);
                        sum = __fmaf_rn(a, __fmul_rn(b, rs[i]), sum);
                    }
                    sums[col] = sum;
                }
            }
            __syncthreads();
        }
        for (int col = threadIdx.x; col < width; col += blockDim.x) {
            partials[chunk * width + col] = sums[col];
        }
        __syncthreads();
    }
}

// The same for rows that are too long for shared memory. A block works on chunks, row by row.
extern "C" __global__ void __launch_bounds__(512) rms_norm_backward_wide(
    const float* __restrict__ dy,
    const float* __restrict__ x,
    const float* __restrict__ inverseRms,
    const float* __restrict__ weight,
    float* __restrict__ dx,
    float* partials,
    long long rows,
    int width) {
    __shared__ float shared;
    long long chunks = chunks_of(rows);
    for (long long chunk = blockIdx.x; chunk < chunks; chunk += gridDim.x) {
        float* sums = partials + chunk * width;
        for (int col = threadIdx.x; col < width; col += blockDim.x) {
            sums[col] = 0.0f;
        }
        long long end = min(rows, (chunk + 1) * CHUNK_ROWS);
        for (long long row = chunk * CHUNK_ROWS; row < end; row++) {
            const float* rowDy = dy + row * width;
            const float* rowX = x + row * width;
            float r = inverseRms[row];
            float sum = lanesum_block(width, GradientTerm{rowDy, weight, rowX}, &shared);
            float c = __fmul_rn(r, __fdiv_rn(sum, (float)width));
            for (int col = threadIdx.x; col < width; col += blockDim.x) {
                dx[row * width + col] = gradient(rowDy[col], weight[col], rowX[col], r, c);
                sums[col] = __fmaf_rn(rowDy[col], __fmul_rn(rowX[col], r), sums[col]);
            }
        }
    }
}
