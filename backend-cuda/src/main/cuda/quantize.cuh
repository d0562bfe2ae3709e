// From x to codes: a block reads a tile of ROWS x 128 elements once and writes it as q, as q^T, or as both.
#pragma once

#include "round_four.cuh"
#include "tile_codes.cuh"
#include "tile_hadamard.cuh"
#include "tile_scales.cuh"
#include "tile_values.cuh"

// Scales four elements of one group. A multiplier of 0 makes all codes 0: integers of 0 and of NaN are 0, but an 8-bit float has
// a -0.
template <bool FLOATS>
static __device__ __forceinline__ void scale_four(float (&t)[4], const float2& apply, const Divisor& divisor) {
#pragma unroll
    for (int j = 0; j < 4; j++) {
        t[j] = __fmul_rn(t[j], apply.x);
    }
    if (apply.y != 1.0f) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            t[j] = !FLOATS && divisor.fast ? fast_quotient(t[j], divisor) : __fdiv_rn(t[j], apply.y);
        }
    }
    if (FLOATS && apply.x == 0.0f) {
        t[0] = t[1] = t[2] = t[3] = 0.0f;
    }
}

// The codes of 4 x 4 elements of formats of at most 8 bits: a row in each word, an element in each byte. Elements outside of the
// matrix have code 0. INSIDE: there are none, and every row begins on 16 bytes. BLOCKS: the extents of groups are powers of two,
// and nothing is counted.
template <int KIND, bool INSIDE, bool BLOCKS>
static __device__ __forceinline__ void encode_band(
    const CodesCall& call,
    const CodeSide& side,
    const TileScales& scales,
    const DrawStream& stream,
    const float4 (&v)[4],
    int row,
    int col,
    uint32_t colMask,
    unsigned int& saturated,
    uint32_t (&bytes)[4]) {
    constexpr bool FLOATS = KIND == KIND_FP8_NEAREST || KIND == KIND_FP8_STOCHASTIC; // whose codes show the sign of 0
    constexpr bool ALWAYS = KIND == KIND_INT8_STOCHASTIC || KIND == KIND_INT4_STOCHASTIC || KIND == KIND_FP8_STOCHASTIC;
    const bool drawn = ALWAYS || (CodeShape<KIND>::MAY_DRAW && (scales.range.rounding == ROUND_STOCHASTIC ||
                                                                scales.range.rounding == ROUND_STOCHASTIC_LOG));
    int lastRow = INSIDE ? 0x7FFFFFFF : (int)call.rows - 1;
    int lastCol = INSIDE ? 0x7FFFFFFF : (int)call.cols - 1;
    int base = min(col, lastCol) - scales.colOrigin;
    int colGroup = block_of<BLOCKS>(base, scales.width, scales.colShift) * scales.strideCol;
    int colGroups[4] = {colGroup, 0, 0, 0};
    if (!scales.oneColumn) {
#pragma unroll
        for (int j = 1; j < 4; j++) {
            int at = min(col + j, lastCol) - scales.colOrigin;
            colGroups[j] = block_of<BLOCKS>(at, scales.width, scales.colShift) * scales.strideCol;
        }
    }
    float2 apply[4];
    Divisor divisor = divisor_of(1.0f, drawn);
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i == 0 || !scales.oneRow) {
            int at = min(row + i, lastRow) - scales.rowOrigin;
            const float2* line = scales.apply + block_of<BLOCKS>(at, scales.height, scales.rowShift) * scales.strideRow;
            apply[0] = line[colGroup];
            if (scales.oneColumn) {
                if (!FLOATS && apply[0].y != 1.0f) {
                    divisor = divisor_of(apply[0].y, drawn);
                }
            } else {
#pragma unroll
                for (int j = 1; j < 4; j++) {
                    apply[j] = line[colGroups[j]];
                }
            }
        }
        uint32_t words[4] = {0, 0, 0, 0};
        if (drawn) {
            if (INSIDE) {
                uint4 quad = draw_quad(
                    stream, (unsigned long long)(uint32_t)(row + i) * (uint32_t)(call.cols >> 2) + (uint32_t)(col >> 2));
                words[0] = quad.x;
                words[1] = quad.y;
                words[2] = quad.z;
                words[3] = quad.w;
            } else {
                draw_four(stream, (unsigned long long)((row + i) * call.cols + col), words); // call.cols has 64 bits
            }
        }
        float t[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
        if (scales.oneColumn) {
            scale_four<FLOATS>(t, apply[0], divisor);
        } else {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                t[j] = FLOATS && apply[j].x == 0.0f ? 0.0f : apply_scale(apply[j].x, apply[j].y, t[j]);
            }
        }
        if (!BLOCKS && call.saturated != nullptr && row + i <= lastRow) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                saturated += col + j <= lastCol && (t[j] > side.coder.high || t[j] < side.coder.low) ? 1 : 0;
            }
        }
        uint32_t packed = encode_four<KIND>(side.coder, scales.range, t, words);
        bytes[i] = INSIDE ? packed : row + i <= lastRow ? packed & colMask : 0;
    }
}

// Codes of 16 and 32 bits: unscaled, nothing is drawn.
template <int KIND>
static __device__ __forceinline__ void wide_band(
    const CodesCall& call, const CodeSide& side, const CodeSide& transposed, const float4 (&v)[4], uint8_t* tile,
    int row, int col, int colInTile, int rowInTile) {
    constexpr int BITS = CodeShape<KIND>::BITS;
    uint32_t code[4][4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float element[4] = {v[i].x, v[i].y, v[i].z, v[i].w}; // 0 beyond the matrix has code 0
#pragma unroll
        for (int j = 0; j < 4; j++) {
            code[i][j] = code_of<KIND>(side.coder, CodeRange{0, 0, 0, 0}, element[j], 0.0f);
        }
        long long byte = (long long)col * BITS / 8;
        if (side.codes != nullptr && byte < side.pitchBytes && row + i < side.paddedRows) {
            store_wide<BITS>(side.codes + (row + i) * side.pitchBytes + byte, code[i]);
        }
    }
    if (transposed.codes != nullptr) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            uint32_t down[4] = {code[0][j], code[1][j], code[2][j], code[3][j]};
            store_wide<BITS>(tile + byte_offset<KIND>(colInTile + j, rowInTile * BITS / 8), down);
        }
    }
}

// The bytes of four columns that lie in the matrix.
static __device__ __forceinline__ uint32_t column_mask(int col, int cols) {
    int inside = cols - col;
    return inside >= 4 ? 0xFFFFFFFFu : inside <= 0 ? 0u : 0xFFFFFFFFu >> (32 - 8 * inside);
}

// What a pass over a tile makes: with the scales and draws of one side, codes for one side or for both.
struct Pass {
    int how;         // side whose grid, coder and scales count
    bool straight;   // whether q is written
    bool transposed; // whether q^T is written
};

// Pass number p of a tile. Where q^T has scales of its own, it is made in a second pass, with x from the cache.
static __device__ __forceinline__ Pass pass_of(const CodesCall& call, int p) {
    Pass pass;
    pass.how = p;
    pass.straight = p == 0 && call.side[0].codes != nullptr;
    pass.transposed = p == call.separate && call.side[1].codes != nullptr;
    return pass;
}

template <int KIND>
using Tile = TileValues<CodeShape<KIND>::ROWS, TILE_THREADS>;

// Rounds a warp's bands of a tile: writes q, and puts q^T into the tile of codes.
template <int KIND, bool INSIDE, bool BLOCKS>
static __device__ __forceinline__ void encode_bands(
    const CodesCall& call,
    const Pass& pass,
    const TileScales& scales,
    const DrawStream& stream,
    const Tile<KIND>& values,
    uint8_t* tile,
    int row0,
    int col0,
    bool measured,
    unsigned int& saturated,
    float& most) {
    constexpr int BITS = CodeShape<KIND>::BITS;
    int colInTile = 4 * (threadIdx.x & 31);
    int col = col0 + colInTile;
    uint32_t colMask = column_mask(col, (int)call.cols);
    const CodeSide& straight = call.side[0];
#pragma unroll 1
    for (int band = 0; band < Tile<KIND>::BANDS; band++) {
        int rowInTile = Tile<KIND>::row_of(band);
        int row = row0 + rowInTile;
        float4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i] = *values.at(rowInTile + i);
        }
        if (measured) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                most = largest_magnitude(most, v[i]);
            }
        }
        if constexpr (BITS > 8) {
            wide_band<KIND>(call, straight, call.side[1], v, tile, row, col, colInTile, rowInTile);
        } else {
            uint32_t bytes[4];
            encode_band<KIND, INSIDE, BLOCKS>(call, call.side[pass.how], scales, stream, v, row, col, colMask, saturated, bytes);
            if (pass.straight) {
                store_band<BITS, INSIDE>(straight.codes, straight.pitchBytes, straight.paddedRows, row, col, bytes);
            }
            if (pass.transposed) {
                stage_band<KIND>(tile, colInTile, rowInTile, bytes);
            }
        }
    }
}

// Rounds one tile with the given scales and writes what is asked for.
template <int KIND, bool BLOCKS>
static __device__ __forceinline__ void encode_tile(
    const CodesCall& call,
    const Pass& pass,
    const TileScales& scales,
    const DrawStream& stream,
    const Tile<KIND>& values,
    uint8_t* tile,
    int row0,
    int col0,
    bool measured,
    unsigned int& saturated,
    float& most) {
    // Tiles inside the matrix have code of their own where there are registers for it.
    constexpr bool TWICE = CodeShape<KIND>::BITS <= 8 &&
                           !(BLOCKS && (KIND == KIND_FP8_STOCHASTIC || KIND == KIND_POWER4 || KIND == KIND_POWER8));
    bool inside = TWICE && call.vector && row0 + CodeShape<KIND>::ROWS <= (int)call.rows &&
                  col0 + TILE_COLS <= (int)call.cols;
    if (inside) {
        encode_bands<KIND, true, BLOCKS>(
            call, pass, scales, stream, values, tile, row0, col0, measured, saturated, most);
    } else {
        encode_bands<KIND, false, BLOCKS>(
            call, pass, scales, stream, values, tile, row0, col0, measured, saturated, most);
    }
    if (pass.transposed) {
        const CodeSide& side = call.side[1];
        __syncthreads();
        store_transposed<KIND>(side.codes, side.pitchBytes, side.paddedRows, tile, row0, col0);
        __syncthreads();
    }
}

static __device__ __forceinline__ void count_saturated(const CodesCall& call, unsigned int saturated) {
    if (call.saturated != nullptr) {
        saturated = __reduce_add_sync(0xFFFFFFFFu, saturated);
        if ((threadIdx.x & 31) == 0 && saturated != 0) {
            atomicAdd(call.saturated, (unsigned long long)saturated);
        }
    }
}

// What a block keeps of a tile: its elements, and its codes on their way to q^T.
template <int KIND>
struct TileMemory {
    static constexpr int VALUES = CodeShape<KIND>::ROWS * TILE_COLS * 4; // bytes
    static constexpr int CODES = TILE_COLS * CodeShape<KIND>::LINE;
};

extern __shared__ __align__(128) uint8_t tileMemory[];

// Codes with scales that are there already: side[i].apply.
template <int KIND>
static __device__ __forceinline__ void encode_matrix(const CodesCall& call) {
    Tile<KIND> values = {(float*)tileMemory};
    uint8_t* tile = tileMemory + TileMemory<KIND>::VALUES;
    unsigned int saturated = 0;
    float most = 0.0f;
    for (uint32_t index = blockIdx.x; index < (uint32_t)call.tiles; index += gridDim.x) {
        // From the end: what a pass before has read last is still in the cache.
        uint32_t tileIndex = (uint32_t)call.tiles - 1 - index;
        int row0 = (int)(tileIndex / (uint32_t)call.across) * CodeShape<KIND>::ROWS;
        int col0 = (int)(tileIndex % (uint32_t)call.across) * TILE_COLS;
        values.load(call.x, (int)call.rows, (int)call.cols, call.vector, row0, col0);
#pragma unroll 1
        for (int p = 0; p <= call.separate; p++) {
            const CodeSide& side = call.side[p];
            TileScales scales = tile_scales(side);
            DrawStream stream = seeded_stream(call.step, call.seedLow, call.seedHigh, side.coder.address);
            bool measured = p == 0 && call.amax != nullptr;
            encode_tile<KIND, false>(
                call, pass_of(call, p), scales, stream, values, tile, row0, col0, measured, saturated, most);
        }
    }
    count_saturated(call, saturated);
    note_amax(call.amax, __float_as_uint(most));
}

// Codes of blocks whose extents divide 128, so that a tile holds whole blocks: amax, scales and codes in one pass over memory.
template <int KIND>
static __device__ __forceinline__ void encode_blocks(const CodesCall& call) {
    Tile<KIND> values = {(float*)tileMemory};
    uint8_t* tile = tileMemory + TileMemory<KIND>::VALUES;
    uint32_t* amaxes = (uint32_t*)tile; // [2][MOST_TILE_GROUPS], before there are codes
    __shared__ float2 apply[2 * MOST_TILE_GROUPS];
    unsigned int saturated = 0;
    uint32_t largest = 0;
    float most = 0.0f;
    int log2 = call.hadamard != nullptr ? tile_hadamard_log2(call.hadamard, call.cols) : -1;
    const float* x = call.hadamard != nullptr && log2 < 0 ? call.transformed : call.x;
    for (uint32_t index = blockIdx.x; index < (uint32_t)call.tiles; index += gridDim.x) {
        int row0 = (int)(index / (uint32_t)call.across) * CodeShape<KIND>::ROWS;
        int col0 = (int)(index % (uint32_t)call.across) * TILE_COLS;
        for (int p = 0; p <= call.separate; p++) {
            int groups = (TILE_COLS / call.side[p].grid.height) * (TILE_COLS / call.side[p].grid.width);
            for (int g = threadIdx.x; g < groups; g += TILE_THREADS) {
                amaxes[p * MOST_TILE_GROUPS + g] = 0;
            }
        }
        __syncthreads();
        values.load(x, (int)call.rows, (int)call.cols, call.vector, row0, col0);
        if (log2 > 0) {
            hadamard_tile(values, log2);
        }
        TileAmax first(call.side[0].grid, amaxes);
        if (call.separate) {
            TileAmax second(call.side[1].grid, amaxes + MOST_TILE_GROUPS);
            values.each_row([&](int row, const float4& v) {
                first.take(row, v);
                second.take(row, v);
            });
            second.flush();
        } else {
            values.each_row([&](int row, const float4& v) { first.take(row, v); });
        }
        first.flush();
        __syncthreads();
        for (int p = 0; p <= call.separate; p++) {
            int from = p * MOST_TILE_GROUPS;
            tile_group_scales(call.side[p], amaxes + from, apply + from, row0, col0, largest);
        }
        __syncthreads();
#pragma unroll 1
        for (int p = 0; p <= call.separate; p++) {
            const CodeSide& side = call.side[p];
            TileScales scales = tile_scales(side);
            scales.apply = apply + p * MOST_TILE_GROUPS;
            scales.rowOrigin = min(row0, (int)call.rows - 1); // a tile of padding has groups, too
            scales.colOrigin = min(col0, (int)call.cols - 1);
            scales.rowShift = 31 - __clz(side.grid.height); // the extents divide 128
            scales.colShift = 31 - __clz(side.grid.width);
            scales.strideRow = TILE_COLS >> scales.colShift;
            scales.strideCol = 1;
            DrawStream stream = seeded_stream(call.step, call.seedLow, call.seedHigh, side.coder.address);
            encode_tile<KIND, true>(
                call, pass_of(call, p), scales, stream, values, tile, row0, col0, false, saturated, most);
        }
        __syncthreads();
    }
    note_amax(call.amax, largest);
}
