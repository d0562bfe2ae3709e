// Codes of a matrix in one or both orientations (dev.nibble.reference.PlaneRounding): quantize_codes_* with the scales of a pass
// before, quantize_blocks_* for blocks whose extents divide 128, scales included. One kernel a kind of code; any grid size gives
// the same bits.
#include "quantize.cuh"

#define CODES_KERNEL(name, kind)                                                                         \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2) quantize_codes_##name(const CodesCall call) { \
        encode_matrix<kind>(call);                                                                        \
    }

#define BLOCKS_KERNEL(name, kind)                                                                         \
    extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2) quantize_blocks_##name(const CodesCall call) { \
        encode_blocks<kind>(call);                                                                         \
    }

CODES_KERNEL(int8_nearest, KIND_INT8_NEAREST)
CODES_KERNEL(int8_stochastic, KIND_INT8_STOCHASTIC)
CODES_KERNEL(int4_nearest, KIND_INT4_NEAREST)
CODES_KERNEL(int4_stochastic, KIND_INT4_STOCHASTIC)
CODES_KERNEL(fp8_nearest, KIND_FP8_NEAREST)
CODES_KERNEL(fp8_stochastic, KIND_FP8_STOCHASTIC)
CODES_KERNEL(power4, KIND_POWER4)
CODES_KERNEL(power8, KIND_POWER8)
CODES_KERNEL(half, KIND_HALF)
CODES_KERNEL(float, KIND_FLOAT)

BLOCKS_KERNEL(int8_nearest, KIND_INT8_NEAREST)
BLOCKS_KERNEL(int8_stochastic, KIND_INT8_STOCHASTIC)
BLOCKS_KERNEL(int4_nearest, KIND_INT4_NEAREST)
BLOCKS_KERNEL(int4_stochastic, KIND_INT4_STOCHASTIC)
BLOCKS_KERNEL(fp8_nearest, KIND_FP8_NEAREST)
BLOCKS_KERNEL(fp8_stochastic, KIND_FP8_STOCHASTIC)
BLOCKS_KERNEL(power4, KIND_POWER4)
BLOCKS_KERNEL(power8, KIND_POWER8)

// Both digits of one draw. Index 0: as the matrix lies; 1: transposed.
struct DigitsCall {
    const float* x; // [rows, cols], dense
    long long rows;
    long long cols;
    uint8_t* upper[2]; // null: not asked for
    uint8_t* lower[2];
    long long pitchBytes[2];
    long long paddedRows[2];
    const float2* apply; // {multiplier, divisor} of the tensor
    const StepInfo* step;
    uint32_t seedLow;
    uint32_t seedHigh;
    Coder coder;
    int vector;
    int padding;
};

extern "C" __global__ void __launch_bounds__(TILE_THREADS, 2) quantize_digits(const DigitsCall call) {
    constexpr int KIND = KIND_DIGIT;
    __shared__ __align__(16) uint8_t tiles[2][TILE_COLS * CodeShape<KIND>::LINE];
    long long rows = max(call.paddedRows[0], call.pitchBytes[1] * 2);
    long long cols = max(call.pitchBytes[0] * 2, call.paddedRows[1]);
    long long across = (cols + TILE_COLS - 1) / TILE_COLS;
    long long count = across * ((rows + TILE_COLS - 1) / TILE_COLS);
    float2 apply = *call.apply;
    DrawStream stream = seeded_stream(call.step, call.seedLow, call.seedHigh, call.coder.address);
    int warp = threadIdx.x >> 5;
    int lane = threadIdx.x & 31;
    for (long long index = blockIdx.x; index < count; index += gridDim.x) {
        uint32_t tile = (uint32_t)(count - 1 - index); // from the end: what was read last is in the cache
        int row0 = (int)(tile / (uint32_t)across) * TILE_COLS;
        int col0 = (int)(tile % (uint32_t)across) * TILE_COLS;
        int col = col0 + 4 * lane;
        uint32_t colMask = column_mask(col, (int)call.cols);
        for (int band = warp; band < 32; band += TILE_THREADS / 32) {
            int row = row0 + 4 * band;
            float4 v[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                v[i] = load_four(call.x, row + i, col, (int)call.rows, (int)call.cols, call.vector);
            }
            uint32_t high[4];
            uint32_t low[4];
#pragma unroll
            for (int i = 0; i < 4; i++) {
                float element[4] = {v[i].x, v[i].y, v[i].z, v[i].w};
                uint32_t words[4];
                draw_four(stream, (unsigned long long)((row + i) * call.cols + col), words);
                uint32_t up[4];
                uint32_t down[4];
#pragma unroll
                for (int j = 0; j < 4; j++) { // a multiplier of 0 makes 0 or NaN, whose digits are 0
                    float t = apply_scale(apply.x, apply.y, element[j]);
                    digit_codes(call.coder, t, uniform_of(words[j]), up[j], down[j]);
                }
                uint32_t mask = row + i < call.rows ? colMask : 0;
                high[i] = pack_bytes(up[0], up[1], up[2], up[3]) & mask;
                low[i] = pack_bytes(down[0], down[1], down[2], down[3]) & mask;
            }
            store_band<4>(call.upper[0], call.pitchBytes[0], call.paddedRows[0], row, col, high);
            store_band<4>(call.lower[0], call.pitchBytes[0], call.paddedRows[0], row, col, low);
            if (call.upper[1] != nullptr) {
                stage_band<KIND>(tiles[0], 4 * lane, 4 * band, high);
                stage_band<KIND>(tiles[1], 4 * lane, 4 * band, low);
            }
        }
        if (call.upper[1] != nullptr) {
            __syncthreads();
            store_transposed<KIND>(call.upper[1], call.pitchBytes[1], call.paddedRows[1], tiles[0], row0, col0);
            store_transposed<KIND>(call.lower[1], call.pitchBytes[1], call.paddedRows[1], tiles[1], row0, col0);
            __syncthreads();
        }
    }
}
