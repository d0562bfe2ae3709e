// Codes in both orientations of matrices whose rows begin on 16 bytes, where scales are made of amaxes: the usual cases of
// quantize_codes.cu, with the same bits. quantize_tensor_*: one scale, and codes that both orientations share. quantize_lines_*: a
// scale a row for q, and one a column for q^T. quantize_runs_*: scales of 128 neighbours, which are made here.
#include "statistics.cuh"
#include "tile_stream.cuh"

extern __shared__ __align__(128) uint8_t tileMemory[]; // a tile of elements, two of codes

#define VALUE_BYTES (TILE_COLS * TILE_COLS * 4)

enum ScaleKind {
    SCALE_TENSOR = 0,
    SCALE_LINES = 1,
    SCALE_RUNS = 2,
};

// The words of the four elements of a row that begin at quad.
template <int KIND>
static __device__ __forceinline__ void draw_words(const DrawStream& stream, uint32_t quad, uint32_t (&words)[4]) {
    if constexpr (CodeShape<KIND>::MAY_DRAW) {
        uint4 drawn = draw_quad(stream, quad);
        words[0] = drawn.x;
        words[1] = drawn.y;
        words[2] = drawn.z;
        words[3] = drawn.w;
    }
}

// All ones, or 0 where all codes of a group are 0 whatever the elements.
static __device__ __forceinline__ uint32_t all_unless_zero(float multiplier) { return multiplier == 0.0f ? 0u : 0xFFFFFFFFu; }

// What a launch is told: the codes' call, of which no scale is made yet, and what they are made of.
struct AlignedCall {
    CodesCall codes;
    const uint32_t* amaxes[2]; // bits of the amax of each group; of runs, null
    const float* moments;      // {mean |x|, mean x^2}; read by rules that need them
    Statistics statistics;
    float* out;                // the statistics vector; null: not written here
};

// The multipliers of a tile's columns, and the amaxes that they are made of.
struct ColumnScales {
    uint32_t* amaxes;   // [TILE_COLS], element 4 * lane + j at 32 * j + lane; of runs, 0 before and after
    float* multipliers; // likewise
};

static __device__ __forceinline__ void put_scale(const CodeSide& side, int rowBlock, int colBlock, float scale) {
    const Grid& grid = side.grid;
    if (rowBlock < grid.rowBlocks && colBlock < grid.colBlocks) {
        side.scales[(long long)rowBlock * grid.strideRow + (long long)colBlock * grid.strideCol] = scale;
    }
}

// Finds the amaxes of the runs of a tile; returns that of row 4 * band + i of the warp in lane 4 * band + i.
template <class Values>
static __device__ __forceinline__ uint32_t run_amaxes(const Values& values, uint32_t* amaxes) {
    int lane = threadIdx.x & 31;
    uint32_t mine = 0;
    float most[4] = {0.0f, 0.0f, 0.0f, 0.0f};
#pragma unroll
    for (int band = 0; band < Values::BANDS; band++) {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            float4 v = *values.at(Values::row_of(band) + i);
            most[0] = larger_magnitude(most[0], v.x);
            most[1] = larger_magnitude(most[1], v.y);
            most[2] = larger_magnitude(most[2], v.z);
            most[3] = larger_magnitude(most[3], v.w);
            uint32_t bits = __reduce_max_sync(0xFFFFFFFFu, __float_as_uint(largest_magnitude(0.0f, v)));
            mine = lane == 4 * band + i ? bits : mine;
        }
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        atomicMax(amaxes + 32 * j + lane, __float_as_uint(most[j]));
    }
    return mine;
}

// Makes the scales of a tile: those of the columns' multipliers go to shared memory, those of a warp's rows to its lanes, row
// 4 * band + i to lane 4 * band + i. Lines have one scale each, which the first tile that they meet stores.
template <int SCALES, class Values>
static __device__ __forceinline__ float tile_multipliers(
    const AlignedCall& call, const Values& values, const ColumnScales& columns, int row0, int col0,
    uint32_t& largest) {
    constexpr bool RUNS = SCALES == SCALE_RUNS;
    int lane = threadIdx.x & 31;
    int row = row0 + Values::row_of(lane >> 2) + (lane & 3);
    uint32_t mine = 0;
    if (RUNS) {
        mine = run_amaxes(values, columns.amaxes);
    } else if (lane < 4 * Values::BANDS && row < (int)call.codes.rows) {
        mine = call.amaxes[0][row];
    }
    float multiplier = 0.0f;
    if (lane < 4 * Values::BANDS) {
        GroupScale scale = scale_of(call.codes.side[0].rule, amax_of_bits(mine), nullptr);
        multiplier = scale.multiplier;
        if (RUNS || col0 == 0) {
            put_scale(call.codes.side[0], row, RUNS ? col0 / TILE_COLS : 0, scale.scale);
        }
        largest = max(largest, mine);
    }
    if (RUNS) {
        __syncthreads();
    }
    if (threadIdx.x < TILE_COLS) {
        int col = col0 + 4 * lane + (int)(threadIdx.x >> 5);
        uint32_t bits = 0;
        if (RUNS) {
            bits = columns.amaxes[threadIdx.x];
            columns.amaxes[threadIdx.x] = 0;
        } else if (col < (int)call.codes.cols) {
            bits = call.amaxes[1][col];
        }
        GroupScale scale = scale_of(call.codes.side[1].rule, amax_of_bits(bits), nullptr);
        columns.multipliers[threadIdx.x] = scale.multiplier;
        if (RUNS || row0 == 0) {
            put_scale(call.codes.side[1], RUNS ? row0 / TILE_COLS : 0, col, scale.scale);
        }
    }
    __syncthreads();
    return multiplier;
}

// Scales four elements by the scale of the whole tensor. No quotient is beyond what is corrected: an element is at most the amax.
template <int KIND>
static __device__ __forceinline__ void scale_tensor_four(float (&t)[4], const float2& apply, const Divisor& divisor) {
    constexpr bool ALWAYS = KIND == KIND_POWER4; // the multiplier is 1, or 0
    constexpr bool NEVER = KIND != KIND_POWER4 && KIND != KIND_INT4_NEAREST;
    if (NEVER || (!ALWAYS && apply.y == 1.0f)) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            t[j] = __fmul_rn(t[j], apply.x);
        }
    } else if (divisor.fast) {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            t[j] = corrected_quotient(t[j], divisor, __fmul_rn(t[j], divisor.reciprocal));
        }
    } else {
#pragma unroll
        for (int j = 0; j < 4; j++) {
            t[j] = __fdiv_rn(t[j], apply.y);
        }
    }
}

// The scale of a tensor, as it is applied.
struct TensorScale {
    float2 apply;
    Divisor divisor;
    uint32_t mask;
};

// Makes the scale of a tensor, which one thread stores.
static __device__ __forceinline__ GroupScale make_tensor_scale(const AlignedCall& call) {
    const CodeSide& side = call.codes.side[0];
    GroupScale scale = scale_of(side.rule, amax_of_bits(*call.amaxes[0]), call.moments);
    if (blockIdx.x == 0 && threadIdx.x == 0) {
        *side.scales = scale.scale;
        if (side.scalesOther != nullptr) {
            *side.scalesOther = scale.scale;
        }
    }
    return scale;
}

// The codes of 4 x 4 elements by the scale of the tensor.
template <int KIND>
static __device__ __forceinline__ void tensor_band(
    const Coder& coder, const TensorScale& scale, const DrawStream& stream, uint32_t quad, uint32_t quads,
    const float4 (&v)[4], uint32_t (&bytes)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float t[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
        uint32_t words[4] = {0, 0, 0, 0};
        draw_words<KIND>(stream, quad + i * quads, words);
        scale_tensor_four<KIND>(t, scale.apply, scale.divisor);
        bytes[i] = encode_bounded<KIND>(coder, t, words) & scale.mask;
    }
}

// The same by the multipliers of rows, which lie in lanes from lane0 on.
template <int KIND>
static __device__ __forceinline__ void rows_band(
    const Coder& coder, float rowMultiplier, int lane0, const DrawStream& stream, uint32_t quad, uint32_t quads,
    const float4 (&v)[4], uint32_t (&bytes)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float multiplier = __shfl_sync(0xFFFFFFFFu, rowMultiplier, lane0 + i);
        float t[4] = {
            __fmul_rn(v[i].x, multiplier),
            __fmul_rn(v[i].y, multiplier),
            __fmul_rn(v[i].z, multiplier),
            __fmul_rn(v[i].w, multiplier)};
        uint32_t words[4] = {0, 0, 0, 0};
        draw_words<KIND>(stream, quad + i * quads, words);
        bytes[i] = encode_bounded<KIND>(coder, t, words) & all_unless_zero(multiplier);
    }
}

// The multipliers of a thread's columns.
struct Columns {
    float multipliers[4];
    uint32_t mask;
};

// The same by them.
template <int KIND>
static __device__ __forceinline__ void columns_band(
    const Coder& coder, const Columns& columns, const DrawStream& stream, uint32_t quad, uint32_t quads,
    const float4 (&v)[4], uint32_t (&bytes)[4]) {
#pragma unroll
    for (int i = 0; i < 4; i++) {
        float t[4] = {
            __fmul_rn(v[i].x, columns.multipliers[0]),
            __fmul_rn(v[i].y, columns.multipliers[1]),
            __fmul_rn(v[i].z, columns.multipliers[2]),
            __fmul_rn(v[i].w, columns.multipliers[3])};
        uint32_t words[4] = {0, 0, 0, 0};
        draw_words<KIND>(stream, quad + i * quads, words);
        bytes[i] = encode_bounded<KIND>(coder, t, words) & columns.mask;
    }
}

static __device__ __forceinline__ Columns columns_of(const float* multipliers) {
    Columns columns;
    uint32_t masks[4];
#pragma unroll
    for (int j = 0; j < 4; j++) {
        columns.multipliers[j] = multipliers[32 * j + (threadIdx.x & 31)];
        masks[j] = all_unless_zero(columns.multipliers[j]);
    }
    columns.mask = pack_bytes(masks[0], masks[1], masks[2], masks[3]);
    return columns;
}

template <int KIND, int SCALES, int THREADS>
static __device__ __forceinline__ void encode_aligned(const AlignedCall& aligned) {
    using Values = TileValues<TILE_COLS, THREADS>;
    constexpr int BITS = CodeShape<KIND>::BITS;
    constexpr bool ONCE = KIND == KIND_INT4_NEAREST; // the other kinds find in the cache what was read last
    constexpr int CODE_BYTES = TILE_COLS * CodeShape<KIND>::LINE;
    __shared__ uint32_t columnAmaxes[SCALES == SCALE_RUNS ? TILE_COLS : 1];
    __shared__ float columnMultipliers[SCALES == SCALE_TENSOR ? 1 : TILE_COLS];
    const CodesCall& call = aligned.codes;
    const CodeSide& straight = call.side[0];
    const CodeSide& transposed = call.side[1];
    int rows = (int)call.rows;
    int cols = (int)call.cols;
    uint32_t quads = (uint32_t)(cols >> 2); // of a row
    Values values = {(float*)tileMemory};
    uint8_t* codes = tileMemory + VALUE_BYTES;
    DrawStream stream = seeded_stream(call.step, call.seedLow, call.seedHigh, straight.coder.address);
    DrawStream other = seeded_stream(call.step, call.seedLow, call.seedHigh, transposed.coder.address);
    if (SCALES == SCALE_RUNS) {
        if (threadIdx.x < TILE_COLS) {
            columnAmaxes[threadIdx.x] = 0;
        }
        __syncthreads();
    }
    TileWalk walk(call.tiles, call.across, SCALES != SCALE_RUNS);
    int row0 = walk.row0();
    int col0 = walk.col0();
    GroupScale scale = {0.0f, 1.0f, 1.0f};
    if (SCALES == SCALE_TENSOR) {
        scale = make_tensor_scale(aligned);
    }
    if (SCALES != SCALE_RUNS && aligned.out != nullptr && blockIdx.x == 0 && threadIdx.x == 0) {
        put_statistics(aligned.statistics, scale.scale, aligned.out);
    }
    TensorScale tensor = {
        make_float2(scale.multiplier, scale.divisor),
        divisor_of(scale.divisor, CodeShape<KIND>::MAY_DRAW),
        all_unless_zero(scale.multiplier)};
    if (walk.left > 0) {
#pragma unroll
        for (int band = 0; band < Values::BANDS; band++) {
            ask_band<ONCE>(values, call.x, rows, cols, row0, col0, band);
        }
    }
    uint32_t largest = 0;
    while (walk.left > 0) {
        walk.next();
        int nextRow = walk.row0();
        int nextCol = walk.col0();
        bool writes = row0 < straight.paddedRows && (long long)col0 * BITS / 8 < straight.pitchBytes;
        bool stages = col0 < transposed.paddedRows && (long long)row0 * BITS / 8 < transposed.pitchBytes;
        int colInTile = 4 * (threadIdx.x & 31);
        asm volatile("cp.async.wait_all;" ::: "memory");
        float rowMultiplier = 0.0f;
        Columns columns;
        if (SCALES != SCALE_TENSOR) {
            rowMultiplier =
                tile_multipliers<SCALES>(aligned, values, {columnAmaxes, columnMultipliers}, row0, col0, largest);
            columns = columns_of(columnMultipliers);
        }
#pragma unroll 1
        for (int band = 0; band < Values::BANDS; band++) {
            int rowInTile = Values::row_of(band);
            uint32_t quad = (uint32_t)(row0 + rowInTile) * quads + (uint32_t)(col0 + colInTile >> 2);
            float4 v[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                v[i] = *values.at(rowInTile + i);
            }
            uint32_t bytes[4];
            if (SCALES == SCALE_TENSOR) {
                tensor_band<KIND>(straight.coder, tensor, stream, quad, quads, v, bytes);
            } else {
                rows_band<KIND>(straight.coder, rowMultiplier, 4 * band, stream, quad, quads, v, bytes);
            }
            if (writes) {
                store_band<BITS, true>(
                    straight.codes, straight.pitchBytes, straight.paddedRows, row0 + rowInTile, col0 + colInTile, bytes);
            }
            if (SCALES != SCALE_TENSOR) {
                columns_band<KIND>(transposed.coder, columns, other, quad, quads, v, bytes);
            }
            stage_band<KIND>(codes, colInTile, rowInTile, bytes);
            if (walk.left > 0) { // what was read has been used
                ask_band<ONCE>(values, call.x, rows, cols, nextRow, nextCol, band);
            }
        }
        __syncthreads();
        if (stages) {
            store_lines<KIND, THREADS>(transposed, codes, row0, col0);
        }
        // The next tile's codes go to the other place, which all have read before this barrier.
        codes = tileMemory + VALUE_BYTES + (codes == tileMemory + VALUE_BYTES ? CODE_BYTES : 0);
        row0 = nextRow;
        col0 = nextCol;
    }
    if (SCALES == SCALE_RUNS) {
        note_amax(call.amax, largest);
    }
}

// THREADS: what is drawn twice wants more registers than 512 threads have.
#define ALIGNED_KERNEL(name, kind, scales, threads)                                                       \
    extern "C" __global__ void __launch_bounds__(threads, 2) quantize_##name(const AlignedCall call) {     \
        encode_aligned<kind, scales, threads>(call);                                                       \
    }

ALIGNED_KERNEL(tensor_int8_nearest, KIND_INT8_NEAREST, SCALE_TENSOR, 512)
ALIGNED_KERNEL(tensor_int8_stochastic, KIND_INT8_STOCHASTIC, SCALE_TENSOR, 512)
ALIGNED_KERNEL(tensor_int4_nearest, KIND_INT4_NEAREST, SCALE_TENSOR, 512)
ALIGNED_KERNEL(tensor_fp8_nearest, KIND_FP8_NEAREST, SCALE_TENSOR, 512)
ALIGNED_KERNEL(tensor_fp8_stochastic, KIND_FP8_STOCHASTIC, SCALE_TENSOR, 512)
ALIGNED_KERNEL(tensor_power4, KIND_POWER4, SCALE_TENSOR, 512)
ALIGNED_KERNEL(lines_int8_nearest, KIND_INT8_NEAREST, SCALE_LINES, 512)
ALIGNED_KERNEL(lines_int8_stochastic, KIND_INT8_STOCHASTIC, SCALE_LINES, 256)
ALIGNED_KERNEL(lines_fp8_nearest, KIND_FP8_NEAREST, SCALE_LINES, 512)
ALIGNED_KERNEL(lines_fp8_stochastic, KIND_FP8_STOCHASTIC, SCALE_LINES, 256)
ALIGNED_KERNEL(runs_int8_nearest, KIND_INT8_NEAREST, SCALE_RUNS, 512)
ALIGNED_KERNEL(runs_int8_stochastic, KIND_INT8_STOCHASTIC, SCALE_RUNS, 256)
ALIGNED_KERNEL(runs_fp8_nearest, KIND_FP8_NEAREST, SCALE_RUNS, 512)
ALIGNED_KERNEL(runs_fp8_stochastic, KIND_FP8_STOCHASTIC, SCALE_RUNS, 256)
