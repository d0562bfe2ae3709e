// Products of 8-bit floats on the tensor cores of sm_90a. These keep fewer bits than an FP32 while they sum, so every 128 of the
// contraction the sum is added to one in FP32. A block computes tiles of 128 x 128: one warpgroup loads, two multiply 64 rows.
#include "gemm.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#include "wgmma.cuh"

namespace nibble {

namespace tile128 {
constexpr int TILE = 128;
constexpr int WIDTH = 128;
constexpr int STAGES = 6;
constexpr int STAGE_SIDE = TILE * WIDTH;
constexpr int BAND = 16;
constexpr int THREADS = 384;

/** Behind the stages. */
struct Shared {
    uint64_t full[STAGES];
    uint64_t empty[STAGES];
};
}  // namespace tile128

template <class A, class B>
struct Pair;

struct E4M3 {};
struct E5M2 {};

#define NIBBLE_FP8_PAIR(left, right)                                                                               \
    template <>                                                                                                    \
    struct Pair<left, right> {                                                                                     \
        static __device__ __forceinline__ void multiply(float (&d)[64], uint64_t a, uint64_t b, int keep) {        \
            multiply##left##right(d, a, b, keep);                                                                  \
        }                                                                                                          \
    };

NIBBLE_FP8_PAIR(E4M3, E4M3)
NIBBLE_FP8_PAIR(E4M3, E5M2)
NIBBLE_FP8_PAIR(E5M2, E4M3)
NIBBLE_FP8_PAIR(E5M2, E5M2)

__device__ __forceinline__ void loadTiles(
    const Product& p, const CUtensorMap* mapA, const CUtensorMap* mapB, uint8_t* stages, tile128::Shared& shared) {
    using namespace tile128;
    long long tiles = tileCount<TILE, TILE>(p);
    int stage = 0;
    uint32_t phase = 0;
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<TILE, TILE, BAND>(p, tile);
        long long from = place.part * p.partLength;
        long long to = place.part == p.parts - 1 ? p.k : from + p.partLength;
        for (long long k = from; k < to; k += WIDTH) {
            barrierWait(&shared.empty[stage], phase ^ 1);
            barrierExpect(&shared.full[stage], 2 * STAGE_SIDE);
            uint8_t* a = stages + stage * 2 * STAGE_SIDE;
            copyBox(a, mapA, static_cast<int>(k), static_cast<int>(place.row), &shared.full[stage]);
            copyBox(a + STAGE_SIDE, mapB, static_cast<int>(k), static_cast<int>(place.col), &shared.full[stage]);
            if (++stage == STAGES) {
                stage = 0;
                phase ^= 1;
            }
        }
    }
}

/** Scales of the rows and columns of a thread, without the planes' weights: nothing waits for them before they are needed. */
struct Scales {
    float a[2];
    float b;  // of the first column
    long long groupsA;
    long long groupsB;
    uint32_t groupA[2];
    uint32_t groupB;
    bool one;  // whether all columns of the tile have the first one's

    __device__ __forceinline__ Scales(const Product& p, long long row, long long col) {
        groupA[0] = rowGroup(p.gridA, min(row, p.m - 1));
        groupA[1] = rowGroup(p.gridA, min(row + 8, p.m - 1));
        groupB = rowGroup(p.gridB, min(col, p.n - 1));
        one = p.gridB.groupRows >= p.n || static_cast<uint32_t>(p.gridB.groupRows) % tile128::TILE == 0;
    }

    __device__ __forceinline__ void load(const Product& p, uint32_t kGroupA, uint32_t kGroupB) {
        const Term& term = p.term[0];
        groupsA = kGroupA * p.gridA.rowGroups;
        groupsB = kGroupB * p.gridB.rowGroups;
        a[0] = term.a.scales == nullptr ? 1.0f : term.a.scales[groupsA + groupA[0]];
        a[1] = term.a.scales == nullptr ? 1.0f : term.a.scales[groupsA + groupA[1]];
        b = term.b.scales == nullptr ? 1.0f : term.b.scales[groupsB + groupB];
    }

    /** acc = fma(scales, sums, acc); without Add, acc = scales * sums. */
    template <bool Add>
    __device__ __forceinline__ void apply(const Product& p, long long col, const float (&sums)[64], float (&acc)[64]) const {
        const Term& term = p.term[0];
        float scaleA[2] = {__fmul_rn(term.a.weight, a[0]), __fmul_rn(term.a.weight, a[1])};
        float scaleB = __fmul_rn(term.b.weight, b);
        float factors[2] = {__fmul_rn(scaleA[0], scaleB), __fmul_rn(scaleA[1], scaleB)};
        if (one) {
#pragma unroll
            for (int i = 0; i < 64; i++) {
                acc[i] = Add ? __fmaf_rn(factors[i / 2 % 2], sums[i], acc[i]) : __fmul_rn(factors[i / 2 % 2], sums[i]);
            }
            return;
        }
#pragma unroll
        for (int i = 0; i < 64; i++) {
            long long at = min(col + i / 4 * 8 + i % 2, p.n - 1);
            float factor = __fmul_rn(scaleA[i / 2 % 2], weightedScale(term.b, groupsB + rowGroup(p.gridB, at)));
            acc[i] = Add ? __fmaf_rn(factor, sums[i], acc[i]) : __fmul_rn(factor, sums[i]);
        }
    }
};

/** One of the two warpgroups that multiply. Blocks: whether scales change along the contraction. */
template <class Kind, bool Blocks>
__device__ __forceinline__ void multiplyTiles(const Product& p, uint8_t* stages, tile128::Shared& shared, int group) {
    using namespace tile128;
    int thread = threadIdx.x & 127;
    int lane = thread & 31;
    long long tiles = tileCount<TILE, TILE>(p);
    int stage = 0;
    uint32_t phase = 0;
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<TILE, TILE, BAND>(p, tile);
        long long row = place.row + group * 64 + (thread >> 5) * 16 + lane / 4;
        long long col = place.col + 2 * (lane % 4);
        float acc[64] = {};
        Scales scales(p, row, col);
        Segments segment(p, place.part);
        if constexpr (Blocks) {
            scales.load(p, segment.kGroupA, segment.kGroupB);
        }
        while (!segment.done()) {  // one stage each
            barrierWait(&shared.full[stage], phase);
            uint8_t* tileA = stages + stage * 2 * STAGE_SIDE;
            uint64_t a = tileDescriptor(tileA + group * 64 * WIDTH);
            uint64_t b = tileDescriptor(tileA + STAGE_SIDE);
            float sums[64];
            warpgroupArrive();
#pragma unroll
            for (int i = 0; i < WIDTH / 32; i++) {
                Kind::multiply(sums, a + 2 * i, b + 2 * i, i);
            }
            warpgroupCommit();
            warpgroupWait();
            if (lane == 0) {
                barrierArrive(&shared.empty[stage]);
            }
            if constexpr (Blocks) {
                scales.apply<true>(p, col, sums, acc);
            } else {
#pragma unroll
                for (int i = 0; i < 64; i++) {
                    acc[i] = __fadd_rn(acc[i], sums[i]);
                }
            }
            segment.advance(p);
            if constexpr (Blocks) {  // of the next stage, ahead of waiting for it
                if (!segment.done()) {
                    scales.load(p, segment.kGroupA, segment.kGroupB);
                }
            }
            if (++stage == STAGES) {
                stage = 0;
                phase ^= 1;
            }
        }
        if constexpr (!Blocks) {
            scales.load(p, 0, 0);
            scales.apply<false>(p, col, acc, acc);
        }
#pragma unroll
        for (int i = 0; i < 64; i++) {
            long long atRow = row + i / 2 % 2 * 8;
            long long atCol = col + i / 4 * 8 + i % 2;
            if (atRow < p.m && atCol < p.n) {
                store(p, place.part, atRow, atCol, acc[i]);
            }
        }
    }
}

template <class Kind, bool Blocks>
__device__ __forceinline__ void multiplyByWarpgroups(const Product& p, const CUtensorMap* mapA, const CUtensorMap* mapB) {
    using namespace tile128;
    extern __shared__ __align__(1024) uint8_t stages[];
    Shared& shared = *reinterpret_cast<Shared*>(stages + STAGES * 2 * STAGE_SIDE);
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrierInit(&shared.full[i], 1);
            barrierInit(&shared.empty[i], THREADS / 32 - 4);  // each warp that multiplies
        }
        barrierInitFence();
    }
    __syncthreads();
    int group = __shfl_sync(0xFFFFFFFF, threadIdx.x / 128, 0);
    if (group == 0) {
        shrinkRegisters<24>();
        if (threadIdx.x == 0) {
            loadTiles(p, mapA, mapB, stages, shared);
        }
    } else {
        growRegisters<240>();
        multiplyTiles<Kind, Blocks>(p, stages, shared, group - 1);
    }
}

}  // namespace nibble

#define NIBBLE_FP8_KERNEL(name, left, right, blocks)                                                               \
    extern "C" __global__ void __launch_bounds__(nibble::tile128::THREADS, 1) name(                                \
        const __grid_constant__ CUtensorMap mapA, const __grid_constant__ CUtensorMap mapB,                        \
        const __grid_constant__ nibble::Product product) {                                                         \
        nibble::multiplyByWarpgroups<nibble::Pair<nibble::left, nibble::right>, blocks>(product, &mapA, &mapB);    \
    }

NIBBLE_FP8_KERNEL(gemm_e4m3_e4m3, E4M3, E4M3, false)
NIBBLE_FP8_KERNEL(gemm_e4m3_e5m2, E4M3, E5M2, false)
NIBBLE_FP8_KERNEL(gemm_e5m2_e4m3, E5M2, E4M3, false)
NIBBLE_FP8_KERNEL(gemm_e5m2_e5m2, E5M2, E5M2, false)
NIBBLE_FP8_KERNEL(gemm_e4m3_e4m3_blocks, E4M3, E4M3, true)
NIBBLE_FP8_KERNEL(gemm_e4m3_e5m2_blocks, E4M3, E5M2, true)
NIBBLE_FP8_KERNEL(gemm_e5m2_e4m3_blocks, E5M2, E4M3, true)
NIBBLE_FP8_KERNEL(gemm_e5m2_e5m2_blocks, E5M2, E5M2, true)
#endif
