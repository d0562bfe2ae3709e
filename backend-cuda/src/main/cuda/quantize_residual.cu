// Residual planes (dev.nibble.quant.PlaneSource.Residual): what the first plane leaves over, which blocks fall back, and the
// scales of those that do (dev.nibble.reference.PlaneRounding.rest, BlockMetric).
#include "lanesum.cuh"
#include "quantize.cuh"

static __device__ __forceinline__ long long group_of(const Grid& grid, long long row, long long col) {
    uint32_t down = (uint32_t)row / (uint32_t)grid.height; // rows and columns have 32 bits
    uint32_t across = (uint32_t)col / (uint32_t)grid.width;
    return (long long)down * grid.strideRow + (long long)across * grid.strideCol;
}

// rest = fma(-scale, code, x), with the stored scale, [rows, cols]; codes lie as x does, or transposed.
extern "C" __global__ void __launch_bounds__(256) residual_rest(
    const float* __restrict__ x,
    long long rows,
    long long cols,
    const uint8_t* __restrict__ codes,
    long long pitchBytes,
    int transposed,
    int format,
    const Grid grid,
    const float* __restrict__ scales, // in the order of the grid; null: 1
    float* __restrict__ rest) {
    long long n = rows * cols;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row;
        long long col;
        row_and_column(i, cols, row, col);
        float code = transposed ? code_value(format, codes + col * pitchBytes, row)
                                : code_value(format, codes + row * pitchBytes, col);
        float scale = scales != nullptr ? scales[group_of(grid, row, col)] : 1.0f;
        rest[i] = __fmaf_rn(-scale, code, x[i]);
    }
}

// LaneSum of |x| over the part of each row that lies in one column of blocks, a half warp a part: sums [colBlocks][rows].
extern "C" __global__ void __launch_bounds__(256) block_row_magnitudes(
    const float* __restrict__ x, long long rows, long long cols, const Grid grid, float* sums) {
    long long parts = rows * grid.colBlocks;
    long long halves = (long long)gridDim.x * blockDim.x / NIBBLE_LANES;
    long long rounds = (parts + halves - 1) / halves;
    for (long long round = 0; round < rounds; round++) { // the same number for all threads: they fold together
        long long part = round * halves + ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
        bool valid = part < parts;
        long long row = valid ? part % rows : 0;
        long long col = valid ? part / rows * grid.width : 0;
        long long length = valid ? min((long long)grid.width, cols - col) : 0;
        float sum = lanesum_half_warp(length, LaneSumOfMagnitudes{x + row * cols + col});
        if (valid && (threadIdx.x & (NIBBLE_LANES - 1)) == 0) {
            sums[part] = sum;
        }
    }
}

// LaneSum of a block's row sums, a half warp a block; divided by that of another matrix if there is one: 0 where that is 0.
extern "C" __global__ void __launch_bounds__(256) block_magnitudes(
    const float* sums,   // [colBlocks][rows]
    const float* others, // [colBlocks][rows]; null: not divided
    long long rows,
    const Grid grid,
    float* metric) {     // [groups]
    long long halves = (long long)gridDim.x * blockDim.x / NIBBLE_LANES;
    long long rounds = (grid.groups + halves - 1) / halves;
    for (long long round = 0; round < rounds; round++) {
        long long block = round * halves + ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
        bool valid = block < grid.groups;
        long long rowBlock = valid ? block % grid.rowBlocks : 0;
        long long colBlock = valid ? block / grid.rowBlocks : 0;
        long long first = rowBlock * grid.height;
        long long length = valid ? min((long long)grid.height, rows - first) : 0;
        float sum = lanesum_half_warp(length, LaneSumOf{sums + colBlock * rows + first});
        if (others != nullptr) {
            float size = lanesum_half_warp(length, LaneSumOf{others + colBlock * rows + first});
            sum = size == 0.0f ? 0.0f : __fdiv_rn(sum, size);
        }
        if (valid && (threadIdx.x & (NIBBLE_LANES - 1)) == 0) {
            metric[rowBlock * grid.strideRow + colBlock * grid.strideCol] = sum;
        }
    }
}

// The larger of two values; NaN if one is.
extern "C" __global__ void larger_of(const float* one, const float* other, float* result) {
    *result = max_or_nan(*one, *other);
}

// Which blocks fall back, and the scales of their residuals; flagged counts them and must be 0 before.
extern "C" __global__ void __launch_bounds__(256) residual_scales(
    const Grid grid,
    float top,
    const float* metric,         // [groups]; null: the amaxes
    const uint32_t* amaxes,      // [groups], of x
    const uint32_t* restAmaxes,  // [groups], of what is left over
    const float* threshold,
    float2* apply,               // [groups]
    float* scales,               // [groups]
    uint8_t* mask,               // [groups]
    float* scalesOther,          // [groups] in the order of the transposed grid; null: not wanted
    uint8_t* maskOther,
    int* flagged) {
    int count = 0;
    for (int g = blockIdx.x * blockDim.x + threadIdx.x; g < grid.groups; g += gridDim.x * blockDim.x) {
        float amax = amax_of_bits(amaxes[g]);
        float measure = metric != nullptr ? metric[g] : amax;
        bool falls = measure > *threshold && amax >= SMALLEST_AMAX && is_finite(amax);
        GroupScale scale = amax_over_top(top, falls ? amax_of_bits(restAmaxes[g]) : 0.0f);
        float stored = scale.multiplier == 0.0f ? 0.0f : scale.scale;
        apply[g] = make_float2(scale.multiplier, 1.0f);
        scales[g] = stored;
        mask[g] = falls ? 1 : 0;
        if (scalesOther != nullptr) {
            int fast = grid.strideRow == 1 ? grid.rowBlocks : grid.colBlocks;
            int blocks = grid.strideRow == 1 ? grid.colBlocks : grid.rowBlocks;
            long long other = (long long)(g % fast) * blocks + g / fast;
            scalesOther[other] = stored;
            maskOther[other] = falls ? 1 : 0;
        }
        count += falls ? 1 : 0;
    }
    count = __reduce_add_sync(0xFFFFFFFFu, count);
    if ((threadIdx.x & 31) == 0 && count != 0) {
        atomicAdd(flagged, count);
    }
}
