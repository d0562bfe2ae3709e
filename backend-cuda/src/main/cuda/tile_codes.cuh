// How codes leave a tile: lines of q at once, lines of q^T through shared memory.
//
// A thread holds 4 x 4 elements: 4 rows of four columns, so that a warp writes whole lines of q, and a 4 x 4 transpose in registers
// gives 4 rows of q^T, which pass through shared memory to become lines of q^T.
#pragma once

#include "code_call.cuh"

// Four codes of 4 or 8 bits, each in a byte of its own.
static __device__ __forceinline__ uint32_t pack_bytes(uint32_t a, uint32_t b, uint32_t c, uint32_t d) {
    return __byte_perm(__byte_perm(a, b, 0x0040), __byte_perm(c, d, 0x0040), 0x5410);
}

// Stores four codes of a row of q, or of q^T, of which each has a byte.
template <int BITS>
static __device__ __forceinline__ void store_bytes(uint8_t* at, uint32_t bytes) {
    if (BITS == 4) { // nibbles move together: byte 1 beside byte 0, byte 3 beside byte 2
        bytes &= 0x0F0F0F0Fu;
        bytes |= bytes >> 4;
        *(uint16_t*)at = (uint16_t)__byte_perm(bytes, 0, 0x4420);
    } else {
        *(uint32_t*)at = bytes;
    }
}

// Rows to columns: byte j of row[i] becomes byte i of row[j].
static __device__ __forceinline__ void transpose_bytes(uint32_t (&row)[4]) {
    uint32_t low = __byte_perm(row[0], row[1], 0x5140);
    uint32_t lowBelow = __byte_perm(row[2], row[3], 0x5140);
    uint32_t high = __byte_perm(row[0], row[1], 0x7362);
    uint32_t highBelow = __byte_perm(row[2], row[3], 0x7362);
    row[0] = __byte_perm(low, lowBelow, 0x5410);
    row[1] = __byte_perm(low, lowBelow, 0x7632);
    row[2] = __byte_perm(high, highBelow, 0x5410);
    row[3] = __byte_perm(high, highBelow, 0x7632);
}

// Stores four wide codes of a row of q, or of q^T.
template <int BITS>
static __device__ __forceinline__ void store_wide(uint8_t* at, const uint32_t (&code)[4]) {
    if (BITS == 16) {
        *(uint2*)at = make_uint2(__byte_perm(code[0], code[1], 0x5410), __byte_perm(code[2], code[3], 0x5410));
    } else {
        *(uint4*)at = make_uint4(code[0], code[1], code[2], code[3]);
    }
}

// Where byte "byte" of a column of the tile lies: chunks of 16 bytes are swapped, and the words in them, so that neighbouring
// threads, which hold columns 4 apart, meet in different banks.
template <int KIND>
static __device__ __forceinline__ int chunk_offset(int col, int chunk) {
    constexpr int CHUNKS = CodeShape<KIND>::CHUNKS;
    return col * CodeShape<KIND>::LINE + ((chunk ^ (col >> 2)) & (CHUNKS - 1)) * 16;
}

template <int KIND>
static __device__ __forceinline__ int word_swap(int col) {
    return CodeShape<KIND>::BITS <= 8 ? (col >> 2) / CodeShape<KIND>::CHUNKS & 3 : 0;
}

template <int KIND>
static __device__ __forceinline__ int byte_offset(int col, int byte) {
    return chunk_offset<KIND>(col, byte >> 4) + ((byte & 15) ^ word_swap<KIND>(col) << 2);
}

// Writes 4 x 4 codes to q: a row in each word, an element in each byte. INSIDE: they lie in the matrix.
template <int BITS, bool INSIDE = false>
static __device__ __forceinline__ void store_band(
    uint8_t* codes, long long pitchBytes, long long paddedRows, int row, int col, const uint32_t (&bytes)[4]) {
    int byte = BITS == 4 ? col / 2 : col;
    if (!INSIDE && (codes == nullptr || byte >= pitchBytes)) {
        return;
    }
    uint8_t* at = codes + row * pitchBytes + byte;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (INSIDE || row + i < paddedRows) {
            store_bytes<BITS>(at + i * pitchBytes, bytes[i]);
        }
    }
}

// Puts the four rows of each of a thread's columns beside each other into the tile of q^T; bytes is transposed.
template <int KIND>
static __device__ __forceinline__ void stage_band(uint8_t* tile, int colInTile, int rowInTile, uint32_t (&bytes)[4]) {
    constexpr int BITS = CodeShape<KIND>::BITS;
    transpose_bytes(bytes);
    uint8_t* at = tile + byte_offset<KIND>(colInTile, rowInTile * BITS / 8);
#pragma unroll
    for (int j = 0; j < 4; j++) { // columns that a thread holds are swapped alike
        store_bytes<BITS>(at + j * CodeShape<KIND>::LINE, bytes[j]);
    }
}

// Writes the tile of q^T, padding included.
template <int KIND>
static __device__ __forceinline__ void store_transposed(
    uint8_t* codes, long long pitchBytes, long long paddedRows, const uint8_t* tile, int row0, int col0) {
    constexpr int CHUNKS = CodeShape<KIND>::CHUNKS;
    constexpr int STEP = TILE_THREADS / CHUNKS; // columns that the block writes at once
    int chunk = threadIdx.x % CHUNKS;
    int first = threadIdx.x / CHUNKS;
    long long byte = (long long)row0 * CodeShape<KIND>::BITS / 8 + chunk * 16;
    int count = byte < pitchBytes ? (int)min(paddedRows - col0, (long long)TILE_COLS) : 0;
    uint8_t* to = codes + (col0 + first) * pitchBytes + byte;
#pragma unroll
    for (int i = 0; i < TILE_COLS / STEP; i++) {
        int col = first + i * STEP;
        if (col < count) {
            uint4 line = *(const uint4*)(tile + chunk_offset<KIND>(col, chunk));
            int swap = word_swap<KIND>(col);
            if (swap & 1) {
                line = make_uint4(line.y, line.x, line.w, line.z);
            }
            if (swap & 2) {
                line = make_uint4(line.z, line.w, line.x, line.y);
            }
            *(uint4*)(to + i * STEP * pitchBytes) = line;
        }
    }
}
