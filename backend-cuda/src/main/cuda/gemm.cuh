#pragma once
// A matrix product D[M, N] = A[M, K] * B[N, K]^T as the launcher describes it, and what all its kernels share. The order of
// each sum is that of dev.nibble.gemm.GemmSpec. dev.nibble.backend.cuda.ProductArguments writes these structs.
#include <cuda_fp16.h>

#include <cstdint>

namespace nibble {

constexpr int MAX_TERMS = 16;
constexpr int MAX_PASSES = 64;

/** Ordinals of dev.nibble.tensor.DType. */
enum Format : int { F_FP32, F_BF16, F_FP16, F_E4M3, F_E5M2, F_INT8, F_INT4, F_UINT4, F_E3M0, F_E4M0 };

/** Ordinals of dev.nibble.gemm.Arithmetic. */
enum Arithmetic : int { EXACT, CHAIN, FLOAT };

/** Which scale an element of an operand has: scales and masks lie [kGroups][rowGroups]. */
struct Grid {
    long long groupRows;
    long long groupK;
    long long rowGroups;
};

/** A plane of an operand. */
struct Plane {
    const uint8_t* codes;
    const float* scales;  // nullptr: 1
    const uint8_t* mask;  // nullptr: every block is present
    long long rowPitch;   // bytes from one row to the next; a row of a 4-bit format begins on a byte
    long long kPitch;     // bytes from one index of the contraction to the next; of no meaning for 4-bit formats
    int format;
    float weight;
};

struct Term {
    Plane a;
    Plane b;
};

/** One product of bytes: all of a term, or one of those into which codes beyond a byte are taken apart. */
struct Pass {
    const int8_t* a;
    const int8_t* b;
    int term;
    int shift;  // bits by which the sums so far of this term are shifted first
};

/** A stretch of gathered tokens that has a weight of its own; from and to are multiples of 128. */
struct Stretch {
    int from;
    int to;
    int term;
    int exponent;  // its terms weigh 2^exponent
};

struct Product {
    long long m;
    long long n;
    long long k;
    long long limit;       // indexes that a segment has at most
    long long partLength;  // indexes of each part but the last
    Grid gridA;
    Grid gridB;
    const float* rowWeights;    // [terms][m]; 0 leaves a row of a term out; nullptr: 1
    const int* rows;            // of D that are computed, ascending, -1 behind them; A holds no others; nullptr: all
    const int* rowCount;        // how many
    const Stretch* stretches;   // these take the place of parts and segments; nullptr: none
    const float* carry;         // [parts][m][n], what the sums go on from; nullptr: 0
    float* out;                 // [parts][m][n]
    int stretchCount;
    int parts;
    int terms;
    int passes;
    int add;  // whether out is added to
    int first;  // of sm_90a: where in a part the one segment of this launch begins
    Term term[MAX_TERMS];
    Pass pass[MAX_PASSES];
};

static_assert(sizeof(Plane) == 48 && sizeof(Pass) == 24 && sizeof(Stretch) == 16 && sizeof(Product) == 3232,
    "ProductArguments writes these structs byte by byte");

/** Returns the end of the segment that begins at an index. */
__device__ __forceinline__ long long segmentEnd(const Product& p, long long at, long long to) {
    long long next = p.limit > to - at ? to : at + p.limit;
    next = min(next, (at / p.gridA.groupK + 1) * p.gridA.groupK);
    next = min(next, (at / p.gridB.groupK + 1) * p.gridB.groupK);
    return next;
}

/** Walks over the segments of a part, ascending, without a division. Extents are below 2^31. */
struct Segments {
    uint32_t from;
    uint32_t to;
    uint32_t end;      // of the part
    uint32_t kGroupA;  // which scale along the contraction
    uint32_t kGroupB;

    Segments() = default;

    __device__ __forceinline__ Segments(const Product& p, int part) {
        long long first = part * p.partLength;
        from = static_cast<uint32_t>(first);
        end = static_cast<uint32_t>(part == p.parts - 1 ? p.k : first + p.partLength);
        kGroupA = static_cast<uint32_t>(first / p.gridA.groupK);
        kGroupB = static_cast<uint32_t>(first / p.gridB.groupK);
        nextA = (kGroupA + 1) * static_cast<uint32_t>(p.gridA.groupK);
        nextB = (kGroupB + 1) * static_cast<uint32_t>(p.gridB.groupK);
        findEnd(p);
    }

    __device__ __forceinline__ bool done() const {
        return from >= end;
    }

    __device__ __forceinline__ void advance(const Product& p) {
        from = to;
        if (from == nextA) {
            kGroupA++;
            nextA += static_cast<uint32_t>(p.gridA.groupK);
        }
        if (from == nextB) {
            kGroupB++;
            nextB += static_cast<uint32_t>(p.gridB.groupK);
        }
        findEnd(p);
    }

  private:
    uint32_t nextA;  // where the next scale begins
    uint32_t nextB;

    __device__ __forceinline__ void findEnd(const Product& p) {
        to = p.limit > end - from ? end : from + static_cast<uint32_t>(p.limit);
        to = min(to, min(nextA, nextB));
    }
};

/** Returns which of the scales down the rows a row has. */
__device__ __forceinline__ uint32_t rowGroup(const Grid& grid, long long row) {
    return grid.groupRows == 1 ? static_cast<uint32_t>(row)
                               : static_cast<uint32_t>(row) / static_cast<uint32_t>(grid.groupRows);
}

__device__ __forceinline__ long long groupOf(const Grid& grid, long long row, long long at) {
    return at / grid.groupK * grid.rowGroups + row / grid.groupRows;
}

/** Returns what a code of E3M0 or E4M0 stands for: 0 or +-2^(k-1). */
__device__ __forceinline__ int powerOf(int k, bool negative) {
    int magnitude = k == 0 ? 0 : 1 << (k - 1);
    return negative ? -magnitude : magnitude;
}

/** Returns the integer that a code stands for. */
__device__ __forceinline__ int decodeInteger(const Plane& plane, long long row, long long at) {
    const uint8_t* codes = plane.codes + row * plane.rowPitch;
    if (plane.format == F_INT8) {
        return static_cast<int8_t>(codes[at * plane.kPitch]);
    }
    if (plane.format == F_E4M0) {
        int code = codes[at * plane.kPitch];
        return powerOf(code & 0x7F, code & 0x80);
    }
    int nibble = codes[at >> 1] >> ((at & 1) << 2) & 0xF;
    if (plane.format == F_INT4) {
        return nibble << 28 >> 28;
    }
    return plane.format == F_UINT4 ? nibble : powerOf(nibble & 7, nibble & 8);
}

__device__ __forceinline__ float decodeE4M3(uint32_t code) {
    uint32_t magnitude = code & 0x7F;
    // The exponent is moved by a multiplication, which makes subnormal codes normal numbers.
    float value = magnitude == 0x7F ? __int_as_float(0x7FC00000) : __uint_as_float(magnitude << 20) * 0x1p120f;
    return code & 0x80 ? -value : value;
}

__device__ __forceinline__ float decodeE5M2(uint32_t code) {
    return __half2float(__ushort_as_half(static_cast<unsigned short>(code << 8)));
}

/** Returns the number that a code stands for at scale 1. */
__device__ __forceinline__ float decodeFloat(const Plane& plane, long long row, long long at) {
    const uint8_t* code = plane.codes + row * plane.rowPitch + at * plane.kPitch;
    switch (plane.format) {
        case F_FP32:
            return *reinterpret_cast<const float*>(code);
        case F_BF16:
            return __uint_as_float(uint32_t{*reinterpret_cast<const uint16_t*>(code)} << 16);
        case F_FP16:
            return __half2float(*reinterpret_cast<const __half*>(code));
        case F_E4M3:
            return decodeE4M3(*code);
        case F_E5M2:
            return decodeE5M2(*code);
        default:
            return static_cast<float>(decodeInteger(plane, row, at));
    }
}

/** Returns the scale of a group, with the weight of its plane. */
__device__ __forceinline__ float weightedScale(const Plane& plane, long long group) {
    return __fmul_rn(plane.weight, plane.scales == nullptr ? 1.0f : plane.scales[group]);
}

__device__ __forceinline__ bool isPresent(const Plane& plane, long long group) {
    return plane.mask == nullptr || plane.mask[group] != 0;
}

/** Returns the scale of a row, with the weight of its plane. */
__device__ __forceinline__ float weightedScale(const Plane& plane, const Grid& grid, long long row, long long at) {
    return weightedScale(plane, groupOf(grid, row, at));
}

__device__ __forceinline__ bool isPresent(const Plane& plane, const Grid& grid, long long row, long long at) {
    return plane.mask == nullptr || isPresent(plane, groupOf(grid, row, at));
}

/** Returns how many rows of D are computed. */
__device__ __forceinline__ long long rowsOf(const Product& p) {
    return p.rows == nullptr ? p.m : *p.rowCount;
}

/** Returns which row of D a row of A, below rowsOf, is for. */
__device__ __forceinline__ long long rowOf(const Product& p, long long row) {
    return p.rows == nullptr ? row : p.rows[row];
}

/** Stores a finished sum. */
__device__ __forceinline__ void store(const Product& p, int part, long long row, long long col, float sum) {
    long long at = (part * p.m + row) * p.n + col;
    p.out[at] = p.add ? __fadd_rn(p.out[at], sum) : sum;
}

/** Where a tile lies. Tiles that read the same rows of A follow each other, in bands that a cache holds. */
struct TilePlace {
    int part;
    long long row;
    long long col;
};

template <int Rows, int Cols, int Band>
__device__ __forceinline__ TilePlace tilePlace(const Product& p, long long tile, long long rows) {
    long long rowTiles = (rows + Rows - 1) / Rows;
    long long colTiles = (p.n + Cols - 1) / Cols;
    long long inPart = tile % (rowTiles * colTiles);
    long long band = inPart / (Band * colTiles);
    long long height = min(static_cast<long long>(Band), rowTiles - band * Band);
    long long inBand = inPart - band * Band * colTiles;
    return {static_cast<int>(tile / (rowTiles * colTiles)), (band * Band + inBand % height) * Rows, inBand / height * Cols};
}

template <int Rows, int Cols, int Band>
__device__ __forceinline__ TilePlace tilePlace(const Product& p, long long tile) {
    return tilePlace<Rows, Cols, Band>(p, tile, p.m);
}

template <int Rows, int Cols>
__device__ __forceinline__ long long tileCount(const Product& p, long long rows) {
    return (rows + Rows - 1) / Rows * ((p.n + Cols - 1) / Cols) * p.parts;
}

template <int Rows, int Cols>
__device__ __forceinline__ long long tileCount(const Product& p) {
    return tileCount<Rows, Cols>(p, p.m);
}

}  // namespace nibble
