// Transforms of a matrix along its columns (dev.nibble.reference.Transforms, Hadamard).
#pragma once

#include <stdint.h>

#include "scale.cuh"

#define HADAMARD_CHUNK 4096 // elements that a thread block holds at once; runs are powers of two
#define HADAMARD_THREADS 256
#define MOST_TILE_LOG2 7 // of runs that a tile of the quantizing kernels holds

// The bits that the plain code's processor gives a result that is not a number: an operand that is none, else the default one.
static __device__ __forceinline__ float nan_of(float a, float b) {
    if (a != a) {
        return __uint_as_float(__float_as_uint(a) | 0x00400000u);
    }
    return __uint_as_float(b != b ? __float_as_uint(b) | 0x00400000u : 0xFFC00000u);
}

static __device__ __forceinline__ float sum_of(float a, float b) {
    float sum = __fadd_rn(a, b);
    return sum == sum ? sum : nan_of(a, b);
}

static __device__ __forceinline__ float difference_of(float a, float b) {
    float difference = __fsub_rn(a, b);
    return difference == difference ? difference : nan_of(a, b);
}

static __device__ __forceinline__ float product_of(float a, float b) {
    float product = __fmul_rn(a, b);
    return product == product ? product : nan_of(a, b);
}

static __device__ __forceinline__ float quotient_of(float a, float b) {
    float quotient = __fdiv_rn(a, b);
    return quotient == quotient ? quotient : nan_of(a, b);
}

static __device__ __forceinline__ void butterfly(float& a, float& b) {
    float sum = sum_of(a, b);
    b = difference_of(a, b);
    a = sum;
}

// 2^(-log2 / 2), rounded to FP32.
static __device__ __forceinline__ float hadamard_norm(int log2) {
    return __double2float_rn(__dsqrt_rn(scalbn(1.0, -log2)));
}

// log2 of the block size that a state vector holds; -1 if that size does not divide the columns.
static __device__ __forceinline__ int hadamard_log2(float value, long long cols) {
    int log2 = __float2int_rz(value);
    bool fits = __int2float_rn(log2) == value && log2 >= 0 && log2 <= 30 && (cols & ((1ll << log2) - 1)) == 0;
    return fits ? log2 : -1;
}

// log2 of the runs if they lie in tiles; -1 if not.
static __device__ __forceinline__ int tile_hadamard_log2(const float* state, long long cols) {
    int log2 = hadamard_log2(*state, cols);
    return log2 <= MOST_TILE_LOG2 ? log2 : -1;
}

// Runs of 2^log2 elements, at least 4 and at most 128 long, of n elements: a warp takes 128 elements, a thread four of them, and
// the runs never leave it. x and y may be the same.
static __device__ __forceinline__ void hadamard_warps(const float* x, float* y, long long n, int log2) {
    float norm = hadamard_norm(log2);
    int lanes = 1 << (log2 - 2);
    int lane = threadIdx.x & 31;
    long long stride = (long long)gridDim.x * blockDim.x;
    long long vectors = n / 4; // runs are whole vectors
    long long rounds = (vectors + stride - 1) / stride;
    for (long long round = 0; round < rounds; round++) { // the same number for all threads: they exchange
        long long i = round * stride + (long long)blockIdx.x * blockDim.x + threadIdx.x;
        float4 v = i < vectors ? ((const float4*)x)[i] : make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        butterfly(v.x, v.y);
        butterfly(v.z, v.w);
        butterfly(v.x, v.z);
        butterfly(v.y, v.w);
        for (int other = 1; other < lanes; other *= 2) {
            bool upper = (lane & other) != 0;
            float4 w;
            w.x = __shfl_xor_sync(0xFFFFFFFFu, v.x, other);
            w.y = __shfl_xor_sync(0xFFFFFFFFu, v.y, other);
            w.z = __shfl_xor_sync(0xFFFFFFFFu, v.z, other);
            w.w = __shfl_xor_sync(0xFFFFFFFFu, v.w, other);
            v.x = upper ? difference_of(w.x, v.x) : sum_of(v.x, w.x);
            v.y = upper ? difference_of(w.y, v.y) : sum_of(v.y, w.y);
            v.z = upper ? difference_of(w.z, v.z) : sum_of(v.z, w.z);
            v.w = upper ? difference_of(w.w, v.w) : sum_of(v.w, w.w);
        }
        if (i < vectors) {
            ((float4*)y)[i] =
                make_float4(product_of(v.x, norm), product_of(v.y, norm), product_of(v.z, norm), product_of(v.w, norm));
        }
    }
}

// Runs of 2^log2 elements, log2 >= 1 and at most HADAMARD_CHUNK long, of n elements; x and y may be the same. chunk holds
// HADAMARD_CHUNK floats; all threads of the block come here.
static __device__ __forceinline__ void hadamard_chunks(const float* x, float* y, long long n, int log2, float* chunk) {
    float norm = hadamard_norm(log2);
    for (long long from = (long long)blockIdx.x * HADAMARD_CHUNK; from < n; from += (long long)gridDim.x * HADAMARD_CHUNK) {
        int length = (int)min((long long)HADAMARD_CHUNK, n - from);
        for (int i = threadIdx.x; i < length; i += blockDim.x) {
            chunk[i] = x[from + i];
        }
        __syncthreads();
        for (int bit = 0; bit < log2; bit++) {
            int stride = 1 << bit;
            for (int pair = threadIdx.x; pair < length / 2; pair += blockDim.x) {
                int a = (pair >> bit << (bit + 1)) + (pair & (stride - 1));
                butterfly(chunk[a], chunk[a + stride]);
            }
            __syncthreads();
        }
        for (int i = threadIdx.x; i < length; i += blockDim.x) {
            y[from + i] = product_of(chunk[i], norm);
        }
        __syncthreads();
    }
}

// Runs longer than that: a thread block works on one run in memory.
static __device__ __forceinline__ void hadamard_runs(const float* x, float* y, long long n, int log2) {
    float norm = hadamard_norm(log2);
    long long size = 1ll << log2;
    for (long long from = (long long)blockIdx.x * size; from < n; from += (long long)gridDim.x * size) {
        float* run = y + from;
        for (long long i = threadIdx.x; i < size; i += blockDim.x) {
            run[i] = x[from + i];
        }
        __syncthreads();
        for (int bit = 0; bit < log2; bit++) {
            long long stride = 1ll << bit;
            for (long long pair = threadIdx.x; pair < size / 2; pair += blockDim.x) {
                long long a = (pair >> bit << (bit + 1)) + (pair & (stride - 1));
                butterfly(run[a], run[a + stride]);
            }
            __syncthreads();
        }
        for (long long i = threadIdx.x; i < size; i += blockDim.x) {
            run[i] = product_of(run[i], norm);
        }
        __syncthreads();
    }
}

static __device__ __forceinline__ void hadamard_matrix(
    const float* x, float* y, long long rows, long long cols, float value, float* chunk) {
    int log2 = hadamard_log2(value, cols);
    long long n = rows * cols;
    if (log2 >= 2 && log2 <= 7) {
        hadamard_warps(x, y, n, log2);
    } else if (log2 > 0 && (1 << log2) <= HADAMARD_CHUNK) {
        hadamard_chunks(x, y, n, log2, chunk);
    } else if (log2 > 0) {
        hadamard_runs(x, y, n, log2);
    } else {
        // A size that does not divide the columns cannot be refused from here: NaN stops the step.
        for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
            y[i] = log2 == 0 ? x[i] : canonical_nan();
        }
    }
}
