// Products in FP32 with each sum in the order of the plain code: one chain of fused multiply-adds for wider floats, chains of at
// most 128 for 8-bit floats and operands of different families. A block computes tiles of 128 x 128, a thread 8 x 8 elements.
#include "gemm.cuh"

namespace nibble {

constexpr int TILE = 128;
constexpr int DEPTH = 16;  // of the contraction at a time
constexpr int TILE_THREADS = 256;
constexpr int PITCH = TILE + 4;

/** A stage in shared memory: an index of the contraction after the other, so that a thread reads neighbours. */
struct Stage {
    float a[DEPTH][PITCH];
    float b[DEPTH][PITCH];
};

/**
 * Reads four neighbours of a row. Behind the end of a segment they are `beyond`: -0 on the left and +0 on the right, since adding
 * their product, -0, changes no sum, not even -0.
 */
__device__ __forceinline__ float4 readFour(const Plane& plane, long long row, long long rows, long long k, long long to, float beyond) {
    float4 four = make_float4(beyond, beyond, beyond, beyond);
    if (row >= rows || k >= to) {
        return four;
    }
    const uint8_t* code = plane.codes + row * plane.rowPitch + k * plane.kPitch;
    if (plane.format == F_FP32 && plane.kPitch == 4 && k + 4 <= to && (reinterpret_cast<uintptr_t>(code) & 15) == 0) {
        return *reinterpret_cast<const float4*>(code);
    }
    float* values = &four.x;
    bool whole = k + 4 <= to && (k & 3) == 0;  // rows of all formats begin where four codes may be read at once
    if (whole && (plane.format == F_E4M3 || plane.format == F_E5M2)) {
        uint32_t codes = *reinterpret_cast<const uint32_t*>(code);
#pragma unroll
        for (int i = 0; i < 4; i++) {
            uint32_t one = codes >> (8 * i) & 0xFF;
            values[i] = plane.format == F_E4M3 ? decodeE4M3(one) : decodeE5M2(one);
        }
        return four;
    }
    if (whole && plane.format == F_INT8) {
        char4 codes = *reinterpret_cast<const char4*>(code);
        return make_float4(codes.x, codes.y, codes.z, codes.w);
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (k + i < to) {
            values[i] = decodeFloat(plane, row, k + i);
        }
    }
    return four;
}

/** What a thread brings from memory for the next stage: 2 x 4 elements of each side. */
struct Fetched {
    float4 a[2];
    float4 b[2];
};

__device__ __forceinline__ void fetch(
    const Product& p, const Term& term, TilePlace place, long long k, long long to, Fetched& fetched) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = threadIdx.x / 4 + i * 64;
        int at = threadIdx.x % 4 * 4;
        fetched.a[i] = readFour(term.a, place.row + row, p.m, k + at, to, -0.0f);
        fetched.b[i] = readFour(term.b, place.col + row, p.n, k + at, to, 0.0f);
    }
}

__device__ __forceinline__ void stash(Stage& stage, const Fetched& fetched) {
#pragma unroll
    for (int i = 0; i < 2; i++) {
        int row = threadIdx.x / 4 + i * 64;
        int at = threadIdx.x % 4 * 4;
        stage.a[at][row] = fetched.a[i].x;
        stage.a[at + 1][row] = fetched.a[i].y;
        stage.a[at + 2][row] = fetched.a[i].z;
        stage.a[at + 3][row] = fetched.a[i].w;
        stage.b[at][row] = fetched.b[i].x;
        stage.b[at + 1][row] = fetched.b[i].y;
        stage.b[at + 2][row] = fetched.b[i].z;
        stage.b[at + 3][row] = fetched.b[i].w;
    }
}

/** Row i of a thread's elements is 4y + i, or 64 more: warps then read neighbours. */
__device__ __forceinline__ int place8(int thread, int i) {
    return i / 4 * 64 + thread * 4 + i % 4;
}

__device__ __forceinline__ void multiplyStage(const Stage& stage, int x, int y, float (&sums)[8][8]) {
#pragma unroll
    for (int k = 0; k < DEPTH; k++) {
        float left[8];
        float right[8];
        *reinterpret_cast<float4*>(left) = *reinterpret_cast<const float4*>(&stage.a[k][y * 4]);
        *reinterpret_cast<float4*>(left + 4) = *reinterpret_cast<const float4*>(&stage.a[k][y * 4 + 64]);
        *reinterpret_cast<float4*>(right) = *reinterpret_cast<const float4*>(&stage.b[k][x * 4]);
        *reinterpret_cast<float4*>(right + 4) = *reinterpret_cast<const float4*>(&stage.b[k][x * 4 + 64]);
#pragma unroll
        for (int i = 0; i < 8; i++) {
#pragma unroll
            for (int j = 0; j < 8; j++) {
                sums[i][j] = __fmaf_rn(left[i], right[j], sums[i][j]);
            }
        }
    }
}

/** Sums a segment of one term: chains go on from what is in sums. */
__device__ __forceinline__ void multiplySegment(
    const Product& p, const Term& term, TilePlace place, long long from, long long to, Stage (&stages)[2], float (&sums)[8][8]) {
    int x = threadIdx.x % 16;
    int y = threadIdx.x / 16;
    Fetched fetched;
    fetch(p, term, place, from, to, fetched);
    stash(stages[0], fetched);
    __syncthreads();
    int slot = 0;
    for (long long k = from; k < to; k += DEPTH) {
        bool more = k + DEPTH < to;
        if (more) {
            fetch(p, term, place, k + DEPTH, to, fetched);
        }
        multiplyStage(stages[slot], x, y, sums);
        if (more) {
            stash(stages[slot ^ 1], fetched);
        }
        __syncthreads();
        slot ^= 1;
    }
}

/** acc = fma(f, P, acc) for all elements of a thread. */
__device__ __forceinline__ void fold(
    const Product& p, int number, TilePlace place, const Segments& segment, const float (&sums)[8][8], float (&acc)[8][8]) {
    const Term& term = p.term[number];
    long long groupsA = segment.kGroupA * p.gridA.rowGroups;
    long long groupsB = segment.kGroupB * p.gridB.rowGroups;
    float scalesB[8];
    uint32_t present = 0;
#pragma unroll
    for (int j = 0; j < 8; j++) {
        long long col = place.col + place8(threadIdx.x % 16, j);
        long long group = groupsB + rowGroup(p.gridB, col);
        bool here = col < p.n && isPresent(term.b, group);
        scalesB[j] = here ? weightedScale(term.b, group) : 0.0f;
        present |= here ? 1u << j : 0;
    }
#pragma unroll
    for (int i = 0; i < 8; i++) {
        long long row = place.row + place8(threadIdx.x / 16, i);
        long long group = groupsA + rowGroup(p.gridA, row);
        float weight = p.rowWeights == nullptr || row >= p.m ? 1.0f : p.rowWeights[number * p.m + row];
        if (row < p.m && weight != 0.0f && isPresent(term.a, group)) {
            float scaleA = __fmul_rn(weight, weightedScale(term.a, group));
#pragma unroll
            for (int j = 0; j < 8; j++) {
                float sum = __fmaf_rn(__fmul_rn(scaleA, scalesB[j]), sums[i][j], acc[i][j]);
                acc[i][j] = present >> j & 1 ? sum : acc[i][j];
            }
        }
    }
}

__device__ __forceinline__ void storeTile(const Product& p, TilePlace place, const float (&acc)[8][8]) {
#pragma unroll
    for (int i = 0; i < 8; i++) {
        long long row = place.row + place8(threadIdx.x / 16, i);
#pragma unroll
        for (int j = 0; j < 8; j++) {
            long long col = place.col + place8(threadIdx.x % 16, j);
            if (row < p.m && col < p.n) {
                store(p, place.part, row, col, acc[i][j]);
            }
        }
    }
}

template <bool Chains>
__device__ __forceinline__ void multiplyFloats(const Product& p) {
    __shared__ __align__(16) Stage stages[2];
    long long tiles = tileCount<TILE, TILE>(p);
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<TILE, TILE, 8>(p, tile);
        float acc[8][8] = {};
        for (Segments segment(p, place.part); !segment.done(); segment.advance(p)) {
            for (int term = 0; term < p.terms; term++) {
                if constexpr (Chains) {
                    float sums[8][8] = {};
                    multiplySegment(p, p.term[term], place, segment.from, segment.to, stages, sums);
                    fold(p, term, place, segment, sums, acc);
                } else {
                    multiplySegment(p, p.term[term], place, segment.from, segment.to, stages, acc);
                }
            }
        }
        storeTile(p, place, acc);
    }
}

}  // namespace nibble

extern "C" __global__ void __launch_bounds__(nibble::TILE_THREADS, 1)
    gemm_float(const __grid_constant__ nibble::Product product) {
    nibble::multiplyFloats<false>(product);
}

extern "C" __global__ void __launch_bounds__(nibble::TILE_THREADS, 1)
    gemm_chains(const __grid_constant__ nibble::Product product) {
    nibble::multiplyFloats<true>(product);
}
