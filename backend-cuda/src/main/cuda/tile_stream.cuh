// Tiles of a matrix whose rows begin on 16 bytes, one after the other: while a tile is rounded, the next one comes into the places
// whose elements are done with. Elements beyond the matrix are 0, and so are their codes.
#pragma once

#include "async.cuh"
#include "round_bounded.cuh"
#include "tile_scales.cuh"
#include "tile_values.cuh"

// Which tile a block is at. Blocks go along rows of tiles, and skip as many as there are blocks.
struct TileWalk {
    int left; // tiles to come, this one included
    int down; // of the tile, in tiles
    int across;
    int stepDown;
    int stepAcross;
    int lastDown;
    int lastAcross;
    bool backwards; // from the last tile: where a pass before has read all, what it has read last is still in the cache

    __device__ __forceinline__ TileWalk(int tiles, int width, bool fromTheEnd) {
        int grid = (int)gridDim.x;
        int first = (int)blockIdx.x;
        left = first < tiles ? (tiles - 1 - first) / grid + 1 : 0;
        down = first / width;
        across = first - down * width;
        stepDown = grid / width;
        stepAcross = grid - stepDown * width;
        lastDown = tiles / width - 1;
        lastAcross = width - 1;
        backwards = fromTheEnd;
    }

    __device__ __forceinline__ void next() {
        left--;
        down += stepDown;
        across += stepAcross;
        if (across > lastAcross) {
            across -= lastAcross + 1;
            down++;
        }
    }

    __device__ __forceinline__ int row0() const { return (backwards ? lastDown - down : down) * TILE_COLS; }

    __device__ __forceinline__ int col0() const { return (backwards ? lastAcross - across : across) * TILE_COLS; }
};

// Copies 16 bytes that nobody will read again: the second cache drops them first, and keeps what is written.
static __device__ __forceinline__ void copy_quads_once(void* to, const void* from) {
    unsigned long long policy;
    asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
    asm volatile("cp.async.cg.shared.global.L2::cache_hint [%0], [%1], 16, %2;" ::"r"(shared_address(to)), "l"(from), "l"(policy)
                 : "memory");
}

// Asks for four rows of a tile; all copies of a thread go to places that it alone reads. ONCE: with the note that this is the last
// time.
template <bool ONCE, class Values>
static __device__ __forceinline__ void ask_band(
    const Values& values, const float* x, int rows, int cols, int row0, int col0, int band) {
    int rowInTile = Values::row_of(band);
    int row = row0 + rowInTile;
    int col = col0 + 4 * (threadIdx.x & 31);
    const float* from = x + (long long)row * cols + col;
    if (row0 + TILE_COLS <= rows && col0 + TILE_COLS <= cols) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            if (ONCE) {
                copy_quads_once(values.at(rowInTile + i), from + (long long)i * cols);
            } else {
                copy_quads_async(values.at(rowInTile + i), from + (long long)i * cols, 16);
            }
        }
        return;
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        bool inside = row + i < rows && col < cols;
        copy_quads_async(values.at(rowInTile + i), inside ? from + (long long)i * cols : x, inside ? 16 : 0);
    }
}

// Writes a tile of q^T that lies in the codes.
template <int KIND, int THREADS>
static __device__ __forceinline__ void store_lines(const CodeSide& side, const uint8_t* tile, int row0, int col0) {
    constexpr int CHUNKS = CodeShape<KIND>::CHUNKS;
    constexpr int STEP = THREADS / CHUNKS; // columns that the block writes at once
    int chunk = threadIdx.x % CHUNKS;
    int first = threadIdx.x / CHUNKS;
    uint8_t* to = side.codes + (col0 + first) * side.pitchBytes + (long long)row0 * CodeShape<KIND>::BITS / 8 + chunk * 16;
#pragma unroll
    for (int i = 0; i < TILE_COLS / STEP; i++) {
        int col = first + i * STEP;
        uint4 line = *(const uint4*)(tile + chunk_offset<KIND>(col, chunk));
        int swap = word_swap<KIND>(col);
        if (swap & 1) {
            line = make_uint4(line.y, line.x, line.w, line.z);
        }
        if (swap & 2) {
            line = make_uint4(line.z, line.w, line.x, line.y);
        }
        *(uint4*)(to + i * STEP * side.pitchBytes) = line;
    }
}
