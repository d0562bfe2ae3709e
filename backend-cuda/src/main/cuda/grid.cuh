// How the threads of a grid share the elements of a tensor, or the rows of a matrix in chunks whose sums have one order.
#pragma once

namespace {

__device__ __forceinline__ float4 load4(const float* x) { return *reinterpret_cast<const float4*>(x); }
__device__ __forceinline__ void store4(float* x, float4 v) { *reinterpret_cast<float4*>(x) = v; }

__device__ __forceinline__ long long first_index() { return (long long)blockIdx.x * blockDim.x + threadIdx.x; }
__device__ __forceinline__ long long index_step() { return (long long)gridDim.x * blockDim.x; }

constexpr long long MOST_SHORT = 0x7fffffff; // an index and a step beyond it fit 32 bits

// body(row, col) for elements, or quads of them, of a matrix [rows, cols]; 32-bit division where it is enough.
template <class Body>
__device__ __forceinline__ void for_each_element(long long rows, int cols, Body body) {
    long long count = rows * cols;
    if (count <= MOST_SHORT) {
        unsigned step = (unsigned)min(index_step(), MOST_SHORT);
        for (long long i = first_index(); i < count; i += step) {
            unsigned row = (unsigned)i / (unsigned)cols;
            body((long long)row, (int)((unsigned)i - row * (unsigned)cols));
        }
        return;
    }
    for (long long i = first_index(); i < count; i += index_step()) {
        long long row = i / cols;
        body(row, (int)(i - row * cols));
    }
}

constexpr int CHUNK_ROWS = 64; // of a partial sum over rows

__device__ __forceinline__ long long chunks_of(long long rows) { return (rows + CHUNK_ROWS - 1) / CHUNK_ROWS; }

// body(index of the partial sum, col, first row, end) for the chunks of a matrix and all columns. Grid: chunks, columns by blockDim.x.
template <class Body>
__device__ __forceinline__ void for_each_chunk(long long rows, int width, Body body) {
    for (long long chunk = blockIdx.x; chunk < chunks_of(rows); chunk += gridDim.x) {
        long long end = min(rows, (chunk + 1) * CHUNK_ROWS);
        for (long long col = (long long)blockIdx.y * blockDim.x + threadIdx.x; col < width;
             col += (long long)gridDim.y * blockDim.x) {
            body(chunk * width + col, (int)col, chunk * CHUNK_ROWS, end);
        }
    }
}

// body(col, sum) with the sum of the partials [chunks, width] of each column, chunks ascending from +0. A block of 1024 threads takes
// 32 columns and fetches 256 chunks at a time, which one warp adds.
template <class Body>
__device__ __forceinline__ void for_each_sum(const float* __restrict__ partials, long long chunks, int width, Body body) {
    __shared__ float tile[256][33];
    int x = threadIdx.x % 32;
    int y = threadIdx.x / 32;
    for (int first = blockIdx.x * 32; first < width; first += gridDim.x * 32) {
        int col = first + x;
        float sum = 0.0f;
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
                    sum = __fadd_rn(sum, tile[chunk][x]);
                }
            }
            __syncthreads();
        }
        if (y == 0 && col < width) {
            body(col, sum);
        }
    }
}

} // namespace
