// From x to codes: the tile that a block reads once and writes as q, as q^T, or as both.
//
// A block of 256 threads takes tiles of ROWS x 128 elements. A thread holds 4 x 4 elements: 4 rows of a float4, so that a warp
// reads and writes whole lines of q, the four draws of a row come from one Philox block where the columns divide by 4, and a
// 4 x 4 transpose in registers gives 4 rows of q^T, which pass through shared memory to become lines of q^T.
#pragma once

#include "common.cuh"
#include "element_code.cuh"
#include "philox.cuh"
#include "scale.cuh"

#define TILE_COLS 128
#define TILE_THREADS 256
#define MOST_TILE_GROUPS 1024 // of a tile whose scales are made in the kernel

enum CodeKind {
    KIND_INT8_NEAREST = 0,
    KIND_INT8_STOCHASTIC = 1,
    KIND_INT4_NEAREST = 2,
    KIND_INT4_STOCHASTIC = 3,
    KIND_FP8_NEAREST = 4,
    KIND_FP8_STOCHASTIC = 5,
    KIND_POWER4 = 6,
    KIND_POWER8 = 7,
    KIND_HALF = 8,
    KIND_FLOAT = 9,
    KIND_DIGIT = 10,
};

// One orientation of the codes. Codes are padded with 0: rows to paddedRows, columns to the pitch.
struct CodeSide {
    uint8_t* codes;      // null: this orientation is not asked for
    long long pitchBytes;
    long long paddedRows;
    const float2* apply; // {multiplier, divisor} of each group; of the kernels that make the scales themselves, null
    float* scales;       // of those: the stored scales in the order of the grid; null if there are none
    float* scalesOther;  // and in the order of the transposed grid; null
    Grid grid;
    Coder coder;
    Rule rule;           // of the kernels that make the scales themselves
};

struct CodesCall {
    const float* x;      // [rows, cols], dense
    long long rows;
    long long cols;
    CodeSide side[2];    // q, q^T
    int separate;        // whether q^T has scales and draws of its own; if not, it is the transpose of the codes of side 0,
                         // and grid, coder and apply of side 0 count for both
    int vector;          // whether every row begins on 16 bytes
    const StepInfo* step;
    uint32_t seedLow;
    uint32_t seedHigh;
    unsigned long long* saturated; // counts elements beyond the range; null: not asked for
    uint32_t* amax;      // bits of the largest magnitude; null: known already
};

template <int KIND>
struct CodeShape {
    static constexpr int BITS = KIND == KIND_FLOAT  ? 32
                                : KIND == KIND_HALF ? 16
                                : KIND == KIND_INT4_NEAREST || KIND == KIND_INT4_STOCHASTIC || KIND == KIND_POWER4 ||
                                        KIND == KIND_DIGIT
                                    ? 4
                                    : 8;
    static constexpr int ROWS = BITS == 32 ? 64 : 128;
    static constexpr int LINE = ROWS * BITS / 8; // bytes of a column of a tile in q^T
    static constexpr int CHUNKS = LINE / 16;
    static constexpr bool MAY_DRAW = KIND == KIND_INT8_STOCHASTIC || KIND == KIND_INT4_STOCHASTIC ||
                                     KIND == KIND_FP8_STOCHASTIC || KIND == KIND_POWER4 || KIND == KIND_POWER8 ||
                                     KIND == KIND_DIGIT;
    static constexpr bool SCALED = KIND != KIND_FLOAT && KIND != KIND_HALF;
};

// What of a coder every element asks for.
struct CodeRange {
    int low;      // smallest and largest integer code
    int high;
    int largest;  // of an exponent format
    int rounding; // RoundingKind
};

template <int KIND>
static __device__ __forceinline__ uint32_t code_of(const Coder& coder, const CodeRange& range, float t, float u) {
    if (KIND == KIND_INT8_NEAREST || KIND == KIND_INT4_NEAREST) {
        return (uint32_t)nearest_code(t, range.low, range.high);
    }
    if (KIND == KIND_INT8_STOCHASTIC || KIND == KIND_INT4_STOCHASTIC) {
        return (uint32_t)stochastic_code(t, u, range.low, range.high);
    }
    if (KIND == KIND_FP8_NEAREST) {
        return fp8_code(coder, t, u, false);
    }
    if (KIND == KIND_FP8_STOCHASTIC) {
        return fp8_code(coder, t, u, true);
    }
    if (KIND == KIND_POWER4) {
        return power_code<3>(range.largest, range.rounding, t, u);
    }
    if (KIND == KIND_POWER8) {
        return power_code<7>(range.largest, range.rounding, t, u);
    }
    if (KIND == KIND_HALF) {
        return coder.format == FORMAT_BF16 ? bf16_code(t) : fp16_code(t);
    }
    return __float_as_uint(t);
}

// The four words of a row of a thread's elements: element .. element + 3.
static __device__ __forceinline__ void draw_four(
    const DrawStream& stream, unsigned long long element, uint32_t (&words)[4]) {
    uint4 first = draw_quad(stream, element >> 2);
    int shift = (int)(element & 3);
    if (shift == 0) {
        words[0] = first.x;
        words[1] = first.y;
        words[2] = first.z;
        words[3] = first.w;
        return;
    }
    uint4 second = draw_quad(stream, (element >> 2) + 1);
#pragma unroll
    for (int j = 0; j < 4; j++) {
        int at = j + shift;
        words[j] = at < 4 ? draw_word(first, at) : draw_word(second, at - 4);
    }
}

// Four elements of a row; 0 beyond the matrix.
static __device__ __forceinline__ float4 load_four(const float* x, int row, int col, int rows, int cols, int vector) {
    float4 v = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
    if (row < rows && col < cols) {
        const float* at = x + (long long)row * cols + col;
        if (vector) {
            v = *(const float4*)at;
        } else {
            v.x = at[0];
            v.y = col + 1 < cols ? at[1] : 0.0f;
            v.z = col + 2 < cols ? at[2] : 0.0f;
            v.w = col + 3 < cols ? at[3] : 0.0f;
        }
    }
    return v;
}

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

static __device__ __forceinline__ int block_of(int at, int extent, int shift) {
    return shift >= 0 ? at >> shift : (int)((uint32_t)at / (uint32_t)extent);
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

// Four scaled elements to codes, each in a byte.
template <int KIND>
static __device__ __forceinline__ uint32_t encode_four(
    const Coder& coder, const CodeRange& range, const float (&t)[4], const uint32_t (&words)[4]) {
    if (KIND == KIND_FP8_NEAREST && coder.overflow < OVERFLOW_PAPER) {
        return coder.format == FORMAT_E4M3 ? e4m3_nearest_four(t) : e5m2_nearest_four(t);
    }
    uint32_t code[4];
    if (KIND == KIND_FP8_STOCHASTIC && coder.overflow < OVERFLOW_PAPER) {
        bool e4m3 = coder.format == FORMAT_E4M3;
#pragma unroll
        for (int j = 0; j < 4; j++) {
            float u = uniform_of(words[j]);
            code[j] = e4m3 ? fp8_stochastic<3, 7>(t[j], u, 0x7E) : fp8_stochastic<2, 15>(t[j], u, 0x7B);
        }
        return pack_bytes(code[0], code[1], code[2], code[3]);
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        code[j] = code_of<KIND>(coder, range, t[j], CodeShape<KIND>::MAY_DRAW ? uniform_of(words[j]) : 0.0f);
    }
    return pack_bytes(code[0], code[1], code[2], code[3]);
}

// The codes of 4 x 4 elements of formats of at most 8 bits: a row in each word, an element in each byte. Elements outside of the
// matrix have code 0.
template <int KIND>
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
    const bool drawn = CodeShape<KIND>::MAY_DRAW &&
                       (scales.range.rounding == ROUND_STOCHASTIC || scales.range.rounding == ROUND_STOCHASTIC_LOG);
    int lastRow = (int)call.rows - 1;
    int lastCol = (int)call.cols - 1;
    int base = min(col, lastCol) - scales.colOrigin;
    int colGroup = block_of(base, scales.width, scales.colShift) * scales.strideCol;
    int colGroups[4] = {colGroup, 0, 0, 0};
    if (!scales.oneColumn) {
#pragma unroll
        for (int j = 1; j < 4; j++) {
            int at = min(col + j, lastCol) - scales.colOrigin;
            colGroups[j] = block_of(at, scales.width, scales.colShift) * scales.strideCol;
        }
    }
    float2 apply[4];
    bool divided = false;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i == 0 || !scales.oneRow) {
            int at = min(row + i, lastRow) - scales.rowOrigin;
            const float2* line = scales.apply + block_of(at, scales.height, scales.rowShift) * scales.strideRow;
            apply[0] = line[colGroup];
            divided = apply[0].y != 1.0f;
#pragma unroll
            for (int j = 1; j < 4; j++) {
                apply[j] = apply[0];
                if (!scales.oneColumn) {
                    apply[j] = line[colGroups[j]];
                    divided = divided || apply[j].y != 1.0f;
                }
            }
        }
        uint32_t words[4] = {0, 0, 0, 0};
        if (drawn) {
            draw_four(stream, (unsigned long long)((row + i) * call.cols + col), words); // call.cols has 64 bits
        }
        float t[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
#pragma unroll
        for (int j = 0; j < 4; j++) {
            t[j] = __fmul_rn(t[j], apply[j].x);
        }
        if (divided) {
#pragma unroll
            for (int j = 0; j < 4; j++) { // a divisor of 1 changes nothing
                t[j] = __fdiv_rn(t[j], apply[j].y);
            }
        }
        if (KIND == KIND_FP8_NEAREST || KIND == KIND_FP8_STOCHASTIC) {
#pragma unroll
            for (int j = 0; j < 4; j++) { // integers of 0 and of NaN are 0; of an 8-bit float the sign of 0 counts
                t[j] = apply[j].x == 0.0f ? 0.0f : t[j];
            }
        }
        if (call.saturated != nullptr && row + i <= lastRow) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                saturated += col + j <= lastCol && (t[j] > side.coder.high || t[j] < side.coder.low) ? 1 : 0;
            }
        }
        uint32_t packed = encode_four<KIND>(side.coder, scales.range, t, words);
        bytes[i] = row + i <= lastRow ? packed & colMask : 0;
    }
}

// Writes 4 x 4 codes to q: a row in each word, an element in each byte.
template <int BITS>
static __device__ __forceinline__ void store_band(
    uint8_t* codes, long long pitchBytes, long long paddedRows, int row, int col, const uint32_t (&bytes)[4]) {
    int byte = BITS == 4 ? col / 2 : col;
    if (codes == nullptr || byte >= pitchBytes) {
        return;
    }
    uint8_t* at = codes + row * pitchBytes + byte;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (row + i < paddedRows) {
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

// Writes the tile of q^T, padding included.
template <int KIND>
static __device__ __forceinline__ void store_transposed(
    uint8_t* codes, long long pitchBytes, long long paddedRows, const uint8_t* tile, int row0, int col0) {
    constexpr int CHUNKS = CodeShape<KIND>::CHUNKS;
    long long byte0 = (long long)row0 * CodeShape<KIND>::BITS / 8;
#pragma unroll
    for (int i = threadIdx.x; i < TILE_COLS * CHUNKS; i += TILE_THREADS) {
        int col = i / CHUNKS;
        int chunk = i % CHUNKS;
        long long byte = byte0 + chunk * 16;
        if (col0 + col < paddedRows && byte < pitchBytes) {
            uint4 line = *(const uint4*)(tile + chunk_offset<KIND>(col, chunk));
            int swap = word_swap<KIND>(col);
            if (swap & 1) {
                line = make_uint4(line.y, line.x, line.w, line.z);
            }
            if (swap & 2) {
                line = make_uint4(line.z, line.w, line.x, line.y);
            }
            *(uint4*)(codes + (col0 + col) * pitchBytes + byte) = line;
        }
    }
}

// Tiles that cover both orientations with their padding.
template <int KIND>
static __device__ __forceinline__ void tile_counts(const CodesCall& call, long long& down, long long& across) {
    constexpr int BITS = CodeShape<KIND>::BITS;
    long long rows = 0;
    long long cols = 0;
    if (call.side[0].codes != nullptr) {
        rows = call.side[0].paddedRows;
        cols = call.side[0].pitchBytes * 8 / BITS;
    }
    if (call.side[1].codes != nullptr) {
        rows = max(rows, call.side[1].pitchBytes * 8 / BITS);
        cols = max(cols, call.side[1].paddedRows);
    }
    down = (rows + CodeShape<KIND>::ROWS - 1) / CodeShape<KIND>::ROWS;
    across = (cols + TILE_COLS - 1) / TILE_COLS;
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

// Rounds one tile with the given scales and writes what is asked for.
template <int KIND>
static __device__ __forceinline__ void encode_tile(
    const CodesCall& call,
    const Pass& pass,
    const TileScales& scales,
    const DrawStream& stream,
    uint8_t* tile,
    int row0,
    int col0,
    bool measured,
    unsigned int& saturated,
    uint32_t& largest) {
    constexpr int BITS = CodeShape<KIND>::BITS;
    constexpr int WARPS = TILE_THREADS / 32;
    constexpr int BANDS = CodeShape<KIND>::ROWS / 4 / WARPS; // of a warp
    int warp = threadIdx.x >> 5;
    int lane = threadIdx.x & 31;
    int col = col0 + 4 * lane;
    uint32_t colMask = column_mask(col, (int)call.cols);
    const CodeSide& how = call.side[pass.how];
    const CodeSide& straight = call.side[0];
    const CodeSide& transposed = call.side[1];
    float4 next[4];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        next[i] = load_four(call.x, row0 + 4 * warp + i, col, (int)call.rows, (int)call.cols, call.vector);
    }
#pragma unroll 1
    for (int band = 0; band < BANDS; band++) {
        int rowInTile = 4 * (band * WARPS + warp);
        int row = row0 + rowInTile;
        float4 v[4] = {next[0], next[1], next[2], next[3]};
        if (band + 1 < BANDS) { // the next rows are on their way while these are rounded
#pragma unroll
            for (int i = 0; i < 4; i++) {
                next[i] = load_four(call.x, row + 4 * WARPS + i, col, (int)call.rows, (int)call.cols, call.vector);
            }
        }
        if (measured) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                uint32_t pair = max(magnitude_bits(v[i].x), magnitude_bits(v[i].y));
                largest = max(largest, max(pair, max(magnitude_bits(v[i].z), magnitude_bits(v[i].w))));
            }
        }
        if constexpr (BITS > 8) {
            wide_band<KIND>(call, straight, transposed, v, tile, row, col, 4 * lane, rowInTile);
        } else {
            uint32_t bytes[4];
            encode_band<KIND>(call, how, scales, stream, v, row, col, colMask, saturated, bytes);
            if (pass.straight) {
                store_band<BITS>(straight.codes, straight.pitchBytes, straight.paddedRows, row, col, bytes);
            }
            if (pass.transposed) {
                stage_band<KIND>(tile, 4 * lane, rowInTile, bytes);
            }
        }
    }
    if (pass.transposed) {
        __syncthreads();
        store_transposed<KIND>(
            transposed.codes, transposed.pitchBytes, transposed.paddedRows, tile, row0, col0);
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

// Adds to the largest magnitude of a tensor; all lanes of a warp come here.
static __device__ __forceinline__ void note_amax(uint32_t* amax, uint32_t largest) {
    largest = __reduce_max_sync(0xFFFFFFFFu, largest);
    if (amax != nullptr && (threadIdx.x & 31) == 0 && largest != 0) {
        atomicMax(amax, largest);
    }
}

// Codes with scales that are there already: side[i].apply.
template <int KIND>
static __device__ __forceinline__ void encode_matrix(const CodesCall& call) {
    __shared__ __align__(16) uint8_t tile[TILE_COLS * CodeShape<KIND>::LINE];
    long long down;
    long long across;
    tile_counts<KIND>(call, down, across);
    unsigned int saturated = 0;
    uint32_t largest = 0;
    for (long long index = blockIdx.x; index < down * across; index += gridDim.x) {
        // From the end: what a pass before has read last is still in the cache.
        long long tileIndex = down * across - 1 - index;
        int row0 = (int)(tileIndex / across) * CodeShape<KIND>::ROWS;
        int col0 = (int)(tileIndex % across) * TILE_COLS;
        for (int p = 0; p <= call.separate; p++) {
            const CodeSide& side = call.side[p];
            TileScales scales = tile_scales(side);
            DrawStream stream = seeded_stream(call.step, call.seedLow, call.seedHigh, side.coder.address);
            encode_tile<KIND>(
                call,
                pass_of(call, p),
                scales,
                stream,
                tile,
                row0,
                col0,
                call.amax != nullptr,
                saturated,
                largest);
        }
    }
    count_saturated(call, saturated);
    note_amax(call.amax, largest);
}

// The amax of each group of a tile while a thread goes down its rows: bits in shared memory, [128 / height][128 / width]. The
// extents divide 128.
struct TileAmax {
    uint32_t* amaxes;
    int rowShift;
    int colShift;
    int current; // row of groups of the largest magnitudes so far; -1 before the first
    uint32_t largest[4];

    __device__ __forceinline__ TileAmax(const Grid& grid, uint32_t* at) {
        amaxes = at;
        rowShift = 31 - __clz(grid.height);
        colShift = 31 - __clz(grid.width);
        current = -1;
        largest[0] = largest[1] = largest[2] = largest[3] = 0;
    }

    // Takes four elements at [row, 4 * lane .. 4 * lane + 3] of the tile; all lanes of a warp come with the same row.
    __device__ __forceinline__ void take(int row, const float4& v) {
        int rowGroup = row >> rowShift;
        if (rowGroup != current) {
            flush();
            current = rowGroup;
            largest[0] = largest[1] = largest[2] = largest[3] = 0;
        }
        largest[0] = max(largest[0], magnitude_bits(v.x));
        largest[1] = max(largest[1], magnitude_bits(v.y));
        largest[2] = max(largest[2], magnitude_bits(v.z));
        largest[3] = max(largest[3], magnitude_bits(v.w));
    }

    __device__ __forceinline__ void flush() {
        if (current < 0) {
            return;
        }
        int lane = threadIdx.x & 31;
        uint32_t* line = amaxes + (current << (7 - colShift));
        if (colShift == 7) {
            uint32_t m = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
            m = __reduce_max_sync(0xFFFFFFFFu, m);
            if (lane == 0) {
                atomicMax(line, m);
            }
        } else if (colShift >= 2) {
            uint32_t m = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
            int lanes = 1 << (colShift - 2);
            for (int other = 1; other < lanes; other *= 2) {
                m = max(m, __shfl_xor_sync(0xFFFFFFFFu, m, other));
            }
            if ((lane & (lanes - 1)) == 0) {
                atomicMax(line + (4 * lane >> colShift), m);
            }
        } else {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                atomicMax(line + ((4 * lane + j) >> colShift), largest[j]);
            }
        }
    }
};

// Reads a tile and gives each row of a thread to body(row, v).
template <class Body>
static __device__ __forceinline__ void each_row(
    const float* x, int rows, int cols, int vector, int row0, int col0, Body body) {
    int warp = threadIdx.x >> 5;
    int col = col0 + 4 * (threadIdx.x & 31);
#pragma unroll 2
    for (int group = warp; group < 32; group += TILE_THREADS / 32) {
        float4 v[4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            v[i] = load_four(x, row0 + 4 * group + i, col, rows, cols, vector);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            body(4 * group + i, v[i]);
        }
    }
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

// Codes of blocks whose extents divide 128, so that a tile holds whole blocks: amax, scales and codes in one pass over memory.
template <int KIND>
static __device__ __forceinline__ void encode_blocks(const CodesCall& call) {
    __shared__ __align__(16) uint8_t tile[TILE_COLS * CodeShape<KIND>::LINE];
    __shared__ uint32_t amaxes[2][MOST_TILE_GROUPS];
    __shared__ float2 apply[2][MOST_TILE_GROUPS];
    long long down;
    long long across;
    tile_counts<KIND>(call, down, across);
    unsigned int saturated = 0;
    uint32_t largest = 0;
    for (long long index = blockIdx.x; index < down * across; index += gridDim.x) {
        int row0 = (int)(index / across) * CodeShape<KIND>::ROWS;
        int col0 = (int)(index % across) * TILE_COLS;
        for (int p = 0; p <= call.separate; p++) {
            int groups = (TILE_COLS / call.side[p].grid.height) * (TILE_COLS / call.side[p].grid.width);
            for (int g = threadIdx.x; g < groups; g += TILE_THREADS) {
                amaxes[p][g] = 0;
            }
        }
        __syncthreads();
        TileAmax first(call.side[0].grid, amaxes[0]);
        if (call.separate) {
            TileAmax second(call.side[1].grid, amaxes[1]);
            each_row(call.x, (int)call.rows, (int)call.cols, call.vector, row0, col0, [&](int row, const float4& v) {
                first.take(row, v);
                second.take(row, v);
            });
            second.flush();
        } else {
            each_row(call.x, (int)call.rows, (int)call.cols, call.vector, row0, col0, [&](int row, const float4& v) {
                first.take(row, v);
            });
        }
        first.flush();
        __syncthreads();
        for (int p = 0; p <= call.separate; p++) {
            tile_group_scales(call.side[p], amaxes[p], apply[p], row0, col0, largest);
        }
        __syncthreads();
        for (int p = 0; p <= call.separate; p++) {
            const CodeSide& side = call.side[p];
            TileScales scales = tile_scales(side);
            scales.apply = apply[p];
            scales.rowOrigin = row0;
            scales.colOrigin = col0;
            scales.rowShift = 31 - __clz(side.grid.height); // the extents divide 128
            scales.colShift = 31 - __clz(side.grid.width);
            scales.strideRow = TILE_COLS >> scales.colShift;
            scales.strideCol = 1;
            DrawStream stream = seeded_stream(call.step, call.seedLow, call.seedHigh, side.coder.address);
            encode_tile<KIND>(call, pass_of(call, p), scales, stream, tile, row0, col0, false, saturated, largest);
        }
        __syncthreads();
    }
    count_saturated(call, saturated);
    note_amax(call.amax, largest);
}
