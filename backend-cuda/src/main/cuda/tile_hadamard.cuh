// Block Hadamard transforms of rows of a tile, in the order of transform.cuh: runs of at most 128 columns never leave a warp.
// What is not a number may have other bits than there: no code of a scaled format tells them apart.
#pragma once

#include "tile_values.cuh"
#include "transform.cuh"

static __device__ __forceinline__ void plain_butterfly(float& a, float& b) {
    float sum = __fadd_rn(a, b);
    b = __fsub_rn(a, b);
    a = sum;
}

// One of the two results of each of four butterflies with another lane's elements.
static __device__ __forceinline__ float exchange(float v, int other, float sign) {
    return __fmaf_rn(sign, v, __shfl_xor_sync(0xFFFFFFFFu, v, other)); // w + v or w - v: the product is exact
}

static __device__ __forceinline__ float4 hadamard_row(float4 v, int log2, float norm) {
    if (log2 >= 1) {
        plain_butterfly(v.x, v.y);
        plain_butterfly(v.z, v.w);
    }
    if (log2 >= 2) {
        plain_butterfly(v.x, v.z);
        plain_butterfly(v.y, v.w);
    }
    for (int other = 1; other < 1 << log2 >> 2; other *= 2) {
        float sign = (threadIdx.x & other) != 0 ? -1.0f : 1.0f;
        v.x = exchange(v.x, other, sign);
        v.y = exchange(v.y, other, sign);
        v.z = exchange(v.z, other, sign);
        v.w = exchange(v.w, other, sign);
    }
    return make_float4(__fmul_rn(v.x, norm), __fmul_rn(v.y, norm), __fmul_rn(v.z, norm), __fmul_rn(v.w, norm));
}

// Transforms the rows of a tile in place.
template <class Values>
static __device__ __forceinline__ void hadamard_tile(const Values& values, int log2) {
    float norm = hadamard_norm(log2);
#pragma unroll 1
    for (int band = 0; band < Values::BANDS; band++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float4* row = values.at(Values::row_of(band) + i);
            *row = hadamard_row(*row, log2, norm);
        }
    }
}
