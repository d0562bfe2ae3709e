// INT8 blocks with a residual where their amax is above a threshold (dev.nibble.reference.TensorQuantizer.addResidual), both
// planes in one pass over memory: for blocks whose extents divide 128, the first plane to nearest by AmaxOverTop, and
// Criterion.ABSMAX.
#include "quantize.cuh"

#define KIND KIND_INT8_NEAREST
#define INT8_TOP 127.0f

// One plane. Index 0: as the matrix lies, scales and masks in the order of the grid; 1: transposed.
struct FallbackPlane {
    uint8_t* codes[2]; // null: not asked for
    long long pitchBytes[2];
    long long paddedRows[2];
    float* scales[2];  // null: not asked for
    uint8_t* masks[2]; // of the residual; null: not asked for
};

struct FallbackCall {
    const float* x; // [rows, cols], dense
    long long rows;
    long long cols;
    FallbackPlane first;
    FallbackPlane residual;
    Grid grid;
    const float* threshold;
    uint32_t* amaxes; // [groups]
    uint32_t* amax;   // bits of the largest magnitude
    int* flagged;     // blocks that fall back; 0 before
    int vector;
    int padding;
};

// A group of a tile.
struct TileGroup {
    float multiplier; // of the first plane
    float scale;      // of the first plane
    float rest;       // multiplier of the residual; 0: no codes
    int falls;
};

static __device__ __forceinline__ float rest_of(const TileGroup& group, float x) {
    if (group.falls == 0) {
        return 0.0f;
    }
    int code = nearest_code(__fmul_rn(x, group.multiplier), -127, 127);
    return __fmaf_rn(-group.scale, __int2float_rn(code), x);
}

static __device__ __forceinline__ uint32_t first_code(const TileGroup& group, float x) {
    return group.multiplier == 0.0f ? 0u : (uint32_t)nearest_code(__fmul_rn(x, group.multiplier), -127, 127);
}

static __device__ __forceinline__ uint32_t rest_code(const TileGroup& group, float x) {
    return group.rest == 0.0f ? 0u : (uint32_t)nearest_code(__fmul_rn(rest_of(group, x), group.rest), -127, 127);
}

// Writes the codes of one plane of a tile; all 0 without a look at x where nothing is present.
template <bool RESIDUAL>
static __device__ __forceinline__ void write_plane(
    const FallbackCall& call,
    const FallbackPlane& plane,
    const TileGroup* groups,
    bool present,
    const Tile<KIND>& values,
    uint8_t* tile,
    int row0,
    int col0) {
    int warp = threadIdx.x >> 5;
    int lane = threadIdx.x & 31;
    int across = TILE_COLS / call.grid.width;
    int colGroup = 4 * lane / call.grid.width;
    int rowShift = 31 - __clz(call.grid.height); // the extents are powers of two
    int col = col0 + 4 * lane;
    for (int band = warp; band < 32; band += TILE_THREADS / 32) {
        int row = row0 + 4 * band;
        uint32_t bytes[4] = {};
        if (present) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
                const TileGroup& group = groups[((4 * band + i) >> rowShift) * across + colGroup];
                float4 v = *values.at(4 * band + i);
                float element[4] = {v.x, v.y, v.z, v.w}; // 0 beyond the matrix has code 0
                uint32_t code[4];
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    code[j] = RESIDUAL ? rest_code(group, element[j]) : first_code(group, element[j]);
                }
                bytes[i] = pack_bytes(code[0], code[1], code[2], code[3]);
            }
        }
        store_band<8>(plane.codes[0], plane.pitchBytes[0], plane.paddedRows[0], row, col, bytes);
        if (plane.codes[1] != nullptr) {
            stage_band<KIND>(tile, 4 * lane, 4 * band, bytes);
        }
    }
    if (plane.codes[1] != nullptr) {
        __syncthreads();
        store_transposed<KIND>(plane.codes[1], plane.pitchBytes[1], plane.paddedRows[1], tile, row0, col0);
        __syncthreads();
    }
}

static __device__ __forceinline__ void store_group(
    const Grid& grid, const FallbackPlane& plane, long long r, long long c, float scale, int mask) {
    long long own = r * grid.strideRow + c * grid.strideCol;
    long long other = grid.strideRow == 1 ? r * grid.colBlocks + c : c * grid.rowBlocks + r;
#pragma unroll
    for (int side = 0; side < 2; side++) {
        long long at = side == 0 ? own : other;
        if (plane.scales[side] != nullptr) {
            plane.scales[side][at] = scale;
        }
        if (plane.masks[side] != nullptr) {
            plane.masks[side][at] = (uint8_t)mask;
        }
    }
}

extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2) quantize_fallback(const FallbackCall call) {
    Tile<KIND> values = {(float*)tileMemory};
    uint8_t* tile = tileMemory + TileMemory<KIND>::VALUES;
    uint32_t* amaxes = (uint32_t*)tile; // while there are no codes
    __shared__ TileGroup groups[MOST_TILE_GROUPS];
    const Grid& grid = call.grid;
    long long rows = max(call.first.paddedRows[0], call.first.pitchBytes[1]);
    rows = max(rows, max(call.residual.paddedRows[0], call.residual.pitchBytes[1]));
    long long cols = max(call.first.pitchBytes[0], call.first.paddedRows[1]);
    cols = max(cols, max(call.residual.pitchBytes[0], call.residual.paddedRows[1]));
    long long across = (cols + TILE_COLS - 1) / TILE_COLS;
    long long down = (rows + TILE_COLS - 1) / TILE_COLS;
    int tileAcross = TILE_COLS / grid.width;
    int count = TILE_COLS / grid.height * tileAcross;
    float threshold = *call.threshold;
    uint32_t largest = 0;
    int flagged = 0;
    for (long long index = blockIdx.x; index < down * across; index += gridDim.x) {
        int row0 = (int)(index / across) * TILE_COLS;
        int col0 = (int)(index % across) * TILE_COLS;
        for (int g = threadIdx.x; g < count; g += TILE_THREADS) {
            amaxes[g] = 0;
        }
        values.load(call.x, (int)call.rows, (int)call.cols, call.vector, row0, col0);
        __syncthreads();
        TileAmax sizes(grid, amaxes);
        values.each_row([&](int row, const float4& v) {
            sizes.take(row, v);
        });
        sizes.flush();
        __syncthreads();
        bool falls = false;
        for (int g = threadIdx.x; g < count; g += TILE_THREADS) {
            float amax = amax_of_bits(amaxes[g]);
            largest = max(largest, amaxes[g]);
            GroupScale scale = amax_over_top(INT8_TOP, amax);
            groups[g].multiplier = scale.multiplier;
            groups[g].scale = scale.scale;
            groups[g].rest = 0.0f;
            groups[g].falls = amax > threshold && amax >= SMALLEST_AMAX && is_finite(amax);
            long long r = row0 / grid.height + g / tileAcross;
            long long c = col0 / grid.width + g % tileAcross;
            if (r < grid.rowBlocks && c < grid.colBlocks) {
                call.amaxes[r * grid.strideRow + c * grid.strideCol] = amaxes[g];
                store_group(grid, call.first, r, c, scale.scale, 1);
                flagged += groups[g].falls;
                falls = falls || groups[g].falls != 0;
            }
        }
        bool present = __syncthreads_or(falls ? 1 : 0) != 0;
        write_plane<false>(call, call.first, groups, true, values, tile, row0, col0);
        if (present) {
            __syncthreads();
            for (int g = threadIdx.x; g < count; g += TILE_THREADS) {
                amaxes[g] = 0;
            }
            __syncthreads();
            TileAmax left(grid, amaxes);
            int colGroup = 4 * (threadIdx.x & 31) / grid.width;
            values.each_row([&](int row, const float4& v) {
                const TileGroup& group = groups[(row >> left.rowShift) * tileAcross + colGroup];
                left.take(
                    row, make_float4(rest_of(group, v.x), rest_of(group, v.y), rest_of(group, v.z), rest_of(group, v.w)));
            });
            left.flush();
            __syncthreads();
        }
        for (int g = threadIdx.x; g < count; g += TILE_THREADS) {
            GroupScale scale = amax_over_top(INT8_TOP, groups[g].falls != 0 ? amax_of_bits(amaxes[g]) : 0.0f);
            groups[g].rest = scale.multiplier;
            long long r = row0 / grid.height + g / tileAcross;
            long long c = col0 / grid.width + g % tileAcross;
            if (r < grid.rowBlocks && c < grid.colBlocks) {
                store_group(grid, call.residual, r, c, scale.multiplier == 0.0f ? 0.0f : scale.scale, groups[g].falls);
            }
        }
        __syncthreads();
        write_plane<true>(call, call.residual, groups, present, values, tile, row0, col0);
        __syncthreads();
    }
    note_amax(call.amax, largest);
    flagged = __reduce_add_sync(0xFFFFFFFFu, flagged);
    if ((threadIdx.x & 31) == 0 && flagged != 0) {
        atomicAdd(call.flagged, flagged);
    }
}
