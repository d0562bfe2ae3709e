// Any product in the order of the plain code: segments that end anywhere, planes of different arithmetic, and the sum of parts.
// Tiles of 64 x 64, a thread 4 x 4 elements; what is common has faster kernels.
#include "gemm.cuh"

namespace nibble {

constexpr int TILE = 64;
constexpr int DEPTH = 16;
constexpr int TILE_THREADS = 256;

union Word {
    int whole;
    float value;
};

struct Stage {
    Word a[DEPTH][TILE + 1];
    Word b[DEPTH][TILE + 1];
};

template <bool Exact>
__device__ __forceinline__ void fill(
    const Plane& plane, long long firstRow, long long rows, long long k, int depth, Word (&words)[DEPTH][TILE + 1]) {
    for (int i = threadIdx.x; i < TILE * DEPTH; i += TILE_THREADS) {
        int row = i / DEPTH;
        int at = i % DEPTH;
        Word word = {0};
        if (firstRow + row < rows && at < depth) {
            if constexpr (Exact) {
                word.whole = decodeInteger(plane, firstRow + row, k + at);
            } else {
                word.value = decodeFloat(plane, firstRow + row, k + at);
            }
        }
        words[at][row] = word;
    }
}

template <bool Exact, class Number>
__device__ __forceinline__ void multiplySegment(
    const Product& p, const Term& term, TilePlace place, long long from, long long to, Stage& stage, Number (&sums)[4][4]) {
    int x = threadIdx.x % 16;
    int y = threadIdx.x / 16;
    for (long long k = from; k < to; k += DEPTH) {
        int depth = static_cast<int>(min(static_cast<long long>(DEPTH), to - k));
        __syncthreads();
        fill<Exact>(term.a, place.row, p.m, k, depth, stage.a);
        fill<Exact>(term.b, place.col, p.n, k, depth, stage.b);
        __syncthreads();
        for (int at = 0; at < depth; at++) {
#pragma unroll
            for (int i = 0; i < 4; i++) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    Word left = stage.a[at][y + 16 * i];
                    Word right = stage.b[at][x + 16 * j];
                    if constexpr (Exact) {
                        sums[i][j] += left.whole * right.whole;
                    } else {
                        sums[i][j] = __fmaf_rn(left.value, right.value, sums[i][j]);
                    }
                }
            }
        }
    }
}

/** acc = fma(f, P, acc), where both blocks are present. */
template <class Number>
__device__ __forceinline__ void fold(
    const Product& p, int number, TilePlace place, long long from, const Number (&sums)[4][4], float (&acc)[4][4]) {
    const Term& term = p.term[number];
#pragma unroll
    for (int i = 0; i < 4; i++) {
        long long row = place.row + threadIdx.x / 16 + 16 * i;
        float weight = p.rowWeights == nullptr || row >= p.m ? 1.0f : p.rowWeights[number * p.m + row];
        if (row >= p.m || weight == 0.0f || !isPresent(term.a, p.gridA, row, from)) {
            continue;
        }
        float scaleA = __fmul_rn(weight, weightedScale(term.a, p.gridA, row, from));
#pragma unroll
        for (int j = 0; j < 4; j++) {
            long long col = place.col + threadIdx.x % 16 + 16 * j;
            if (col < p.n && isPresent(term.b, p.gridB, col, from)) {
                float scaleB = weightedScale(term.b, p.gridB, col, from);
                acc[i][j] = __fmaf_rn(__fmul_rn(scaleA, scaleB), static_cast<float>(sums[i][j]), acc[i][j]);
            }
        }
    }
}

__device__ __forceinline__ bool isInteger(const Plane& plane) {
    return plane.format >= F_INT8;
}

__device__ __forceinline__ bool isWide(const Plane& plane) {
    return plane.format <= F_FP16;
}

__device__ __forceinline__ void addTerm(
    const Product& p, int number, TilePlace place, long long from, long long to, Stage& stage, float (&acc)[4][4]) {
    const Term& term = p.term[number];
    if (isInteger(term.a) && isInteger(term.b)) {
        int sums[4][4] = {};
        multiplySegment<true>(p, term, place, from, to, stage, sums);
        fold(p, number, place, from, sums, acc);
    } else if (isWide(term.a) && isWide(term.b)) {
        multiplySegment<false>(p, term, place, from, to, stage, acc);
    } else {
        float sums[4][4] = {};
        multiplySegment<false>(p, term, place, from, to, stage, sums);
        fold(p, number, place, from, sums, acc);
    }
}

}  // namespace nibble

extern "C" __global__ void __launch_bounds__(nibble::TILE_THREADS)
    gemm_ordered(const __grid_constant__ nibble::Product p) {
    using namespace nibble;
    __shared__ Stage stage;
    long long tiles = tileCount<TILE, TILE>(p);
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<TILE, TILE, 8>(p, tile);
        long long end = place.part == p.parts - 1 ? p.k : (place.part + 1) * p.partLength;
        float acc[4][4] = {};
        for (long long from = place.part * p.partLength; from < end;) {
            long long to = segmentEnd(p, from, end);
            for (int term = 0; term < p.terms; term++) {
                addTerm(p, term, place, from, to, stage, acc);
            }
            from = to;
        }
#pragma unroll
        for (int i = 0; i < 16; i++) {
            long long row = place.row + threadIdx.x / 16 + i / 4 * 16;
            long long col = place.col + threadIdx.x % 16 + i % 4 * 16;
            if (row < p.m && col < p.n) {
                store(p, place.part, row, col, acc[i / 4][i % 4]);
            }
        }
    }
}

/** D = the sum of parts ascending, or is added to. parts: [count][elements]. */
extern "C" __global__ void gemm_sum_parts(const float* parts, float* d, long long elements, int count, int add) {
    long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < elements; i += step) {
        float sum = parts[i];
        for (int part = 1; part < count; part++) {
            sum = __fadd_rn(sum, parts[part * elements + i]);
        }
        d[i] = add ? __fadd_rn(d[i], sum) : sum;
    }
}
