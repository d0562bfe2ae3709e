// Exact products of bytes with block scales and masks on the tensor cores of sm_90a, where a tile of 128 x 128 has one scale on
// each side at a time, and of gathered tokens. A warp decides which blocks are multiplied and loads them; two warpgroups multiply 64 rows each.
#include "gemm.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#include "wgmma.cuh"

namespace nibble {

constexpr int TILE = 128;
constexpr int WIDTH = 128;  // bytes of the contraction in a stage
constexpr int STAGES = 6;
constexpr int STAGE_SIDE = TILE * WIDTH;
constexpr int BAND = 16;
constexpr int GROUPS = 2;  // warpgroups that multiply
constexpr int THREADS = 384;
constexpr int MAPPED_TERMS = 2;

/** What a stage is to the sum of its term. */
enum Flags : int { FIRST = 1, LAST = 2, PRESENT = 4, END = 8 };

struct Shared {
    uint8_t stages[STAGES][2 * STAGE_SIDE];
    uint64_t full[STAGES];
    uint64_t empty[STAGES];
    float factor[STAGES];  // of the sum that the stage completes
    int flags[STAGES];
};

/** Which stage is next, and how often all were used. */
struct Turn {
    int stage = 0;
    uint32_t phase = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == STAGES) {
            stage = 0;
            phase ^= 1;
        }
    }
};

/** Matrices of the terms' planes. */
struct Maps {
    const CUtensorMap* a[MAPPED_TERMS];
    const CUtensorMap* b[MAPPED_TERMS];
};

/** One stage of a tile. */
struct Step {
    uint32_t k;
    int term;
    int flags;
    float factor;
};

/** Returns stage `number` of a tile: segments ascending, terms in order, the contraction of a segment in stages. */
__device__ __forceinline__ Step stepOf(
    const Product& p, uint32_t number, uint32_t from, uint32_t stages, uint32_t ofSegment, uint32_t groupA, uint32_t groupB) {
    uint32_t segment = number / (p.terms * ofSegment);
    uint32_t inSegment = number - segment * p.terms * ofSegment;
    uint32_t length = min(ofSegment, stages - segment * ofSegment);  // of the last, it may be shorter
    Step step;
    step.term = inSegment / length;
    uint32_t at = inSegment - step.term * length;
    step.k = from + (segment * ofSegment + at) * WIDTH;
    const Term& term = p.term[step.term];
    long long a = step.k / static_cast<uint32_t>(p.gridA.groupK) * p.gridA.rowGroups + groupA;
    long long b = step.k / static_cast<uint32_t>(p.gridB.groupK) * p.gridB.rowGroups + groupB;
    step.factor = __fmul_rn(weightedScale(term.a, a), weightedScale(term.b, b));
    bool present = isPresent(term.a, a) && isPresent(term.b, b);
    step.flags = (at == 0 ? FIRST : 0) | (at == length - 1 ? LAST : 0) | (present ? PRESENT : 0);
    return step;
}

/** Loads one stage; all lanes keep the turn, one loads. */
__device__ __forceinline__ void loadStage(const CUtensorMap* mapA, const CUtensorMap* mapB, Shared& shared, Turn& turn, TilePlace place,
    int k, int flags, float factor) {
    if ((threadIdx.x & 31) == 0) {
        uint64_t* full = &shared.full[turn.stage];
        uint8_t* stage = shared.stages[turn.stage];
        barrierWait(&shared.empty[turn.stage], turn.phase ^ 1);
        shared.factor[turn.stage] = factor;
        shared.flags[turn.stage] = flags;
        barrierExpect(full, 2 * STAGE_SIDE);
        copyBox(stage, mapA, k, static_cast<int>(place.row), full);
        copyBox(stage + STAGE_SIDE, mapB, k, static_cast<int>(place.col), full);
    }
    turn.advance();
}

/** Loads a tile of gathered tokens: all terms read the same two matrices. */
__device__ __forceinline__ void loadStretches(
    const Product& p, const Maps& maps, Shared& shared, Turn& turn, TilePlace place) {
    for (int number = 0; number < p.stretchCount; number++) {
        Stretch stretch = p.stretches[number];
        const Term& term = p.term[stretch.term];
        float scaleA = __fmul_rn(static_cast<float>(1 << stretch.exponent), weightedScale(term.a, 0));
        float factor = __fmul_rn(scaleA, weightedScale(term.b, 0));
        for (int k = stretch.from; k < stretch.to; k += WIDTH) {
            int flags = (k == stretch.from ? FIRST : 0) | (k + WIDTH >= stretch.to ? LAST : 0) | PRESENT;
            loadStage(maps.a[0], maps.b[0], shared, turn, place, k, flags, factor);
        }
    }
}

/** The warp that loads: each lane looks at a stage of its own, then all are loaded in order. */
__device__ __forceinline__ void loadTiles(const Product& p, const Maps& maps, Shared& shared, uint32_t ofSegment) {
    int lane = threadIdx.x & 31;
    long long tiles = tileCount<TILE, TILE>(p);
    Turn turn;
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<TILE, TILE, BAND>(p, tile);
        if (p.stretches != nullptr) {
            loadStretches(p, maps, shared, turn, place);
        }
        uint32_t from = static_cast<uint32_t>(place.part * p.partLength);
        uint32_t to = static_cast<uint32_t>(place.part == p.parts - 1 ? p.k : from + p.partLength);
        uint32_t stages = (to - from + WIDTH - 1) / WIDTH;
        uint32_t total = p.stretches != nullptr ? 0 : stages * p.terms;
        uint32_t groupA = rowGroup(p.gridA, place.row);
        uint32_t groupB = rowGroup(p.gridB, place.col);
        for (uint32_t base = 0; base < total; base += 32) {
            Step mine = {0, 0, 0, 0.0f};
            if (base + lane < total) {
                mine = stepOf(p, base + lane, from, stages, ofSegment, groupA, groupB);
            }
            for (int i = 0; i < 32; i++) {
                int flags = __shfl_sync(0xFFFFFFFF, mine.flags, i);
                int k = static_cast<int>(__shfl_sync(0xFFFFFFFF, mine.k, i));
                int term = __shfl_sync(0xFFFFFFFF, mine.term, i);
                float factor = __shfl_sync(0xFFFFFFFF, mine.factor, i);
                if ((flags & PRESENT) != 0) {
                    loadStage(term == 0 ? maps.a[0] : maps.a[1], term == 0 ? maps.b[0] : maps.b[1], shared, turn, place, k,
                        flags, factor);
                }
            }
        }
        if (lane == 0) {
            barrierWait(&shared.empty[turn.stage], turn.phase ^ 1);
            shared.flags[turn.stage] = END;
            barrierArrive(&shared.full[turn.stage]);
        }
        turn.advance();
    }
}

/** One of the warpgroups that multiply. */
__device__ __forceinline__ void multiplyTiles(const Product& p, Shared& shared, int group) {
    int thread = threadIdx.x & 127;
    int lane = thread & 31;
    long long tiles = tileCount<TILE, TILE>(p);
    Turn turn;
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        float acc[64] = {};
        int sums[64];
        while (true) {
            barrierWait(&shared.full[turn.stage], turn.phase);
            int flags = shared.flags[turn.stage];
            float factor = shared.factor[turn.stage];
            if ((flags & END) != 0) {
                break;
            }
            uint8_t* stage = shared.stages[turn.stage];
            uint64_t a = tileDescriptor(stage + group * (TILE / GROUPS) * WIDTH);
            uint64_t b = tileDescriptor(stage + STAGE_SIDE);
            int keep = flags & FIRST ? 0 : 1;
            warpgroupArrive();
#pragma unroll
            for (int i = 0; i < WIDTH / 32; i++) {
                multiplyInt8(sums, a + 2 * i, b + 2 * i, keep + i);
            }
            warpgroupCommit();
            warpgroupWait();
            if (lane == 0) {
                barrierArrive(&shared.empty[turn.stage]);
            }
            turn.advance();
            if ((flags & LAST) != 0) {
#pragma unroll
                for (int i = 0; i < 64; i++) {
                    acc[i] = __fmaf_rn(factor, __int2float_rn(sums[i]), acc[i]);
                }
            }
        }
        if (lane == 0) {
            barrierArrive(&shared.empty[turn.stage]);
        }
        turn.advance();
        TilePlace place = tilePlace<TILE, TILE, BAND>(p, tile);
        int columns = static_cast<int>(min(p.n - place.col, static_cast<long long>(TILE)));
        bool pairs = (p.n & 1) == 0;
#pragma unroll
        for (int half = 0; half < 2; half++) {
            long long row = place.row + group * (TILE / GROUPS) + thread / 32 * 16 + half * 8 + lane / 4;
            long long atRow = (place.part * p.m + row) * p.n + place.col;
#pragma unroll
            for (int j = 0; j < TILE / 8; j++) {
                int col = 8 * j + 2 * (lane % 4);
                float first = acc[4 * j + 2 * half];
                float second = acc[4 * j + 2 * half + 1];
                if (row < p.m && pairs && !p.add && col < columns) {
                    *reinterpret_cast<float2*>(p.out + atRow + col) = make_float2(first, second);
                } else if (row < p.m && col < columns) {
                    store(p, place.part, row, place.col + col, first);
                    if (col + 1 < columns) {
                        store(p, place.part, row, place.col + col + 1, second);
                    }
                }
            }
        }
    }
}

}  // namespace nibble

/** ofSegment: stages of each segment but the last of a part. */
extern "C" __global__ void __launch_bounds__(nibble::THREADS, 1) gemm_int8_blocks(
    const __grid_constant__ CUtensorMap mapA0, const __grid_constant__ CUtensorMap mapB0,
    const __grid_constant__ CUtensorMap mapA1, const __grid_constant__ CUtensorMap mapB1,
    const __grid_constant__ nibble::Product product, int ofSegment) {
    using namespace nibble;
    extern __shared__ __align__(1024) uint8_t memory[];
    Shared& shared = *reinterpret_cast<Shared*>(memory);
    if (threadIdx.x == 0) {
        for (int i = 0; i < STAGES; i++) {
            barrierInit(&shared.full[i], 1);
            barrierInit(&shared.empty[i], GROUPS * 4);  // warps
        }
        barrierInitFence();
    }
    __syncthreads();
    int group = __shfl_sync(0xFFFFFFFF, threadIdx.x / 128, 0);
    if (group == GROUPS) {
        shrinkRegisters<56>();
        if (threadIdx.x / 32 == GROUPS * 4) {
            Maps maps = {{&mapA0, &mapA1}, {&mapB0, &mapB1}};
            loadTiles(product, maps, shared, static_cast<uint32_t>(ofSegment));
        }
    } else {
        growRegisters<224>();
        multiplyTiles(product, shared, group);
    }
}
#endif
