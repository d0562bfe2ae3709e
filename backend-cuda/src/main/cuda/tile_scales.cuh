// Scales of the groups of a tile: which one an element has, and how they are made of the tile's amaxes.
#pragma once

#include "code_call.cuh"

// Scales of the groups that a tile touches.
struct TileScales {
    const float2* apply; // global, or of the tile in shared memory
    int rowOrigin; // row that the grid is counted from
    int colOrigin;
    int height;
    int width;
    int rowShift;   // log2 of the height, 31 if there is one block, -1 if there is no such number
    int colShift;   // likewise of the width
    int strideRow;
    int strideCol;
    bool oneColumn; // whether four columns of a thread share a group
    bool oneRow;    // whether four rows of a thread do
    CodeRange range;
};

// An integer division costs as much as rounding four elements, so the usual extents do without.
static __device__ __forceinline__ int block_shift(int extent, int blocks) {
    if (blocks == 1) {
        return 31;
    }
    return (extent & (extent - 1)) == 0 ? 31 - __clz(extent) : -1;
}

template <bool SHIFTED>
static __device__ __forceinline__ int block_of(int at, int extent, int shift) {
    return SHIFTED || shift >= 0 ? at >> shift : (int)((uint32_t)at / (uint32_t)extent);
}

static __device__ __forceinline__ TileScales tile_scales(const CodeSide& side) {
    TileScales scales;
    scales.apply = side.apply;
    scales.rowOrigin = 0;
    scales.colOrigin = 0;
    scales.height = side.grid.height;
    scales.width = side.grid.width;
    scales.rowShift = block_shift(side.grid.height, side.grid.rowBlocks);
    scales.colShift = block_shift(side.grid.width, side.grid.colBlocks);
    scales.strideRow = side.grid.strideRow;
    scales.strideCol = side.grid.strideCol;
    scales.oneColumn = (side.grid.width & 3) == 0 || side.grid.colBlocks == 1;
    scales.oneRow = (side.grid.height & 3) == 0 || side.grid.rowBlocks == 1;
    scales.range = CodeRange{(int)side.coder.low, (int)side.coder.high, side.coder.largest, side.coder.rounding};
    return scales;
}

// The scales of the blocks of a tile: applied from shared memory, stored in the order of one grid or two.
static __device__ __forceinline__ void tile_group_scales(
    const CodeSide& side, const uint32_t* amaxes, float2* apply, int row0, int col0, uint32_t& largest) {
    const Grid& grid = side.grid;
    int across = TILE_COLS / grid.width;
    int groups = (TILE_COLS / grid.height) * across;
    for (int g = threadIdx.x; g < groups; g += TILE_THREADS) {
        uint32_t bits = amaxes[g];
        largest = max(largest, bits);
        GroupScale scale = scale_of(side.rule, amax_of_bits(bits), nullptr);
        apply[g] = make_float2(scale.multiplier, scale.divisor);
        int r = row0 / grid.height + g / across;
        int c = col0 / grid.width + g % across;
        if (side.scales != nullptr && r < grid.rowBlocks && c < grid.colBlocks) {
            side.scales[(long long)r * grid.strideRow + (long long)c * grid.strideCol] = scale.scale;
            if (side.scalesOther != nullptr) { // the transposed grid counts its rows along ours
                int other = grid.strideRow == 1 ? r * grid.colBlocks + c : c * grid.rowBlocks + r;
                side.scalesOther[other] = scale.scale;
            }
        }
    }
}

