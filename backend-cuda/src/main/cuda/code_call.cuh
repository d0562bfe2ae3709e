// What a launch of quantize_codes.cu is told, and the shape of a tile of each kind of code.
#pragma once

#include "common.cuh"
#include "element_code.cuh"
#include "scale.cuh"

#define TILE_COLS 128
#define TILE_THREADS 512
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
    int tiles;           // that cover both orientations with their padding
    int across;          // tiles beside each other
    int separate;        // whether q^T has scales and draws of its own; if not, it is the transpose of the codes of side 0,
                         // and grid, coder and apply of side 0 count for both
    int vector;          // whether every row begins on 16 bytes
    const StepInfo* step;
    uint32_t seedLow;
    uint32_t seedHigh;
    unsigned long long* saturated; // counts elements beyond the range; null: not asked for
    uint32_t* amax;      // bits of the largest magnitude; null: known already
    const float* hadamard;    // log2 of the runs that are transformed where they fit a tile; null: x is rounded as it is
    const float* transformed; // x transformed, for runs that do not fit
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
