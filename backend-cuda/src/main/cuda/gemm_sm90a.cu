// Products with scales that reach along the whole contraction, or none, on the tensor cores of sm_90a: INT8 exactly, BF16 and
// FP16 with FP32 sums. Two warpgroups of a block multiply 64 rows of a tile each, a warp loads.
#include "gemm.cuh"

#ifdef __CUDA_ARCH_FEAT_SM90_ALL
#include "wgmma.cuh"

namespace nibble {

constexpr int ROWS = 128;   // of a tile
constexpr int WIDTH = 128;  // bytes of the contraction in a stage
constexpr int BAND = 16;
constexpr int GROUPS = 2;  // that multiply

/** Tiles of 128 x 256, one block on a multiprocessor: fewest bytes from the cache for a multiplication. */
struct Wide {
    static constexpr int COLS = 256;
    static constexpr int STAGES = 4;
    static constexpr int THREADS = 384;
    static constexpr int BLOCKS = 1;
};

/** Tiles of 128 x 128, two blocks on a multiprocessor: one stores while the other multiplies. */
struct Narrow {
    static constexpr int COLS = 128;
    static constexpr int STAGES = 3;
    static constexpr int THREADS = 288;
    static constexpr int BLOCKS = 2;
};

template <class Layout>
struct Shared {
    static constexpr int STAGE_A = ROWS * WIDTH;
    static constexpr int STAGE = STAGE_A + Layout::COLS * WIDTH;

    uint8_t stages[Layout::STAGES][STAGE];
    uint64_t full[Layout::STAGES];
    uint64_t empty[Layout::STAGES];
    float scaleA[GROUPS][2][ROWS / GROUPS];    // [warpgroup][turn][row]
    float scaleB[GROUPS][2][Layout::COLS];     // [warpgroup][turn][column]
};

struct Int8 {
    using Sum = int;
    static constexpr int BYTES = 1;
    static constexpr bool SCALED = true;
    static constexpr bool DRAWN = false;

    template <int N>
    static __device__ __forceinline__ void multiply(int (&d)[N], uint64_t a, uint64_t b, int keep) {
        multiplyInt8(d, a, b, keep);
    }
};

/** The rows of D that are listed. */
struct Int8Drawn : Int8 {
    static constexpr bool DRAWN = true;
};

struct Bf16 {
    using Sum = float;
    static constexpr int BYTES = 2;
    static constexpr bool SCALED = false;
    static constexpr bool DRAWN = false;

    template <int N>
    static __device__ __forceinline__ void multiply(float (&d)[N], uint64_t a, uint64_t b, int keep) {
        multiplyBf16(d, a, b, keep);
    }
};

struct Fp16 {
    using Sum = float;
    static constexpr int BYTES = 2;
    static constexpr bool SCALED = false;
    static constexpr bool DRAWN = false;

    template <int N>
    static __device__ __forceinline__ void multiply(float (&d)[N], uint64_t a, uint64_t b, int keep) {
        multiplyFp16(d, a, b, keep);
    }
};

/** Returns how many rows of D are computed. */
template <class Kind>
__device__ __forceinline__ long long rowCount(const Product& p) {
    return Kind::DRAWN ? *p.rowCount : p.m;
}

/** The part of the contraction that a tile sums in this launch: one segment of one part. */
struct Range {
    long long from;
    long long to;

    __device__ __forceinline__ Range(const Product& p, int part) {
        long long begin = part * p.partLength;
        long long end = part == p.parts - 1 ? p.k : begin + p.partLength;
        from = min(begin + p.first, end);
        to = min(from + p.limit, end);
    }

    __device__ __forceinline__ int steps(int elements) const {
        return static_cast<int>((to - from + elements - 1) / elements);
    }
};

/** Which stage is next, and how often it was used. */
template <int Stages>
struct Turn {
    int stage = 0;
    uint32_t phase = 0;

    __device__ __forceinline__ void advance() {
        if (++stage == Stages) {
            stage = 0;
            phase ^= 1;
        }
    }
};

template <class Kind, class Layout>
__device__ __forceinline__ void loadTiles(
    const Product& p, const CUtensorMap* mapA, const CUtensorMap* mapB, Shared<Layout>& shared) {
    constexpr int ELEMENTS = WIDTH / Kind::BYTES;
    long long tiles = tileCount<ROWS, Layout::COLS>(p, rowCount<Kind>(p));
    Turn<Layout::STAGES> turn;
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<ROWS, Layout::COLS, BAND>(p, tile, rowCount<Kind>(p));
        Range range(p, place.part);
        int steps = range.steps(ELEMENTS);
        for (int step = 0; step < steps; step++) {
            uint64_t* full = &shared.full[turn.stage];
            uint8_t* stage = shared.stages[turn.stage];
            int k = static_cast<int>(range.from) + step * ELEMENTS;
            barrierWait(&shared.empty[turn.stage], turn.phase ^ 1);
            barrierExpect(full, Shared<Layout>::STAGE);
            copyBox(stage, mapA, k, static_cast<int>(place.row), full);
            copyBox(stage + Shared<Layout>::STAGE_A, mapB, k, static_cast<int>(place.col), full);
            turn.advance();
        }
    }
}

/** Adds a product to what the launch before has left. */
template <class Kind>
__device__ __forceinline__ float finish(
    const Product& p, long long at, bool present, float scaleA, float scaleB, typename Kind::Sum product) {
    float sum = static_cast<float>(product);
    float before = p.carry == nullptr ? 0.0f : p.carry[at];
    if constexpr (Kind::SCALED) {
        sum = present ? __fmaf_rn(__fmul_rn(scaleA, scaleB), sum, before) : before;
    } else if (p.carry != nullptr) {
        sum = __fadd_rn(before, sum);
    }
    return p.add ? __fadd_rn(p.out[at], sum) : sum;
}

/** Finishes and stores the elements of a thread in one row; columns are those of the tile that exist. */
template <class Kind, class Layout>
__device__ __forceinline__ void storeRow(const Product& p, long long atRow, int columns, int lane, bool present, float scaleA,
    const float* scalesB, const typename Kind::Sum* sums) {
    bool pairs = (atRow & 1) == 0 && (p.n & 1) == 0;
#pragma unroll
    for (int j = 0; j < Layout::COLS / 8; j++) {
        int col = 8 * j + 2 * (lane % 4);
        long long at = atRow + col;
        float scaleB0 = Kind::SCALED ? scalesB[col] : 1.0f;
        float scaleB1 = Kind::SCALED ? scalesB[col + 1] : 1.0f;
        if (pairs && col < columns) {
            float first = finish<Kind>(p, at, present, scaleA, scaleB0, sums[4 * j]);
            float second = finish<Kind>(p, at + 1, present, scaleA, scaleB1, sums[4 * j + 1]);
            __stcs(reinterpret_cast<float2*>(p.out + at), make_float2(first, second));  // D is larger than the cache
        } else {
            if (col < columns) {
                p.out[at] = finish<Kind>(p, at, present, scaleA, scaleB0, sums[4 * j]);
            }
            if (col + 1 < columns) {
                p.out[at + 1] = finish<Kind>(p, at + 1, present, scaleA, scaleB1, sums[4 * j + 1]);
            }
        }
    }
}

/** Copies the scales of a tile; they arrive while the tensor cores work. */
template <class Layout>
__device__ __forceinline__ void loadScales(
    const Product& p, TilePlace place, int group, int turn, Shared<Layout>& shared) {
    const Term& term = p.term[0];
    int thread = threadIdx.x & 127;
    for (int i = thread; i < Layout::COLS; i += 128) {
        long long col = place.col + i;
        shared.scaleB[group][turn][i] = col < p.n ? weightedScale(term.b, rowGroup(p.gridB, col)) : 0.0f;
    }
    long long row = place.row + group * (ROWS / GROUPS) + thread;
    if (thread < ROWS / GROUPS && row < p.m) {
        shared.scaleA[group][turn][thread] = weightedScale(term.a, rowGroup(p.gridA, row));
    }
}

/** One of the warpgroups that multiply. */
template <class Kind, class Layout>
__device__ __forceinline__ void multiplyTiles(const Product& p, Shared<Layout>& shared, int group) {
    constexpr int ELEMENTS = WIDTH / Kind::BYTES;
    constexpr int SUMS = Layout::COLS / 2;
    int thread = threadIdx.x & 127;
    int lane = thread & 31;
    long long tiles = tileCount<ROWS, Layout::COLS>(p, rowCount<Kind>(p));
    Turn<Layout::STAGES> turn;
    int scaleTurn = 0;
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<ROWS, Layout::COLS, BAND>(p, tile, rowCount<Kind>(p));
        int steps = Range(p, place.part).steps(ELEMENTS);
        if constexpr (Kind::SCALED) {
            loadScales(p, place, group, scaleTurn, shared);
        }
        typename Kind::Sum sums[SUMS];
        for (int step = 0; step < steps; step++) {
            barrierWait(&shared.full[turn.stage], turn.phase);
            uint8_t* stage = shared.stages[turn.stage];
            uint64_t a = tileDescriptor(stage + group * (ROWS / GROUPS) * WIDTH);
            uint64_t b = tileDescriptor(stage + Shared<Layout>::STAGE_A);
            warpgroupArrive();
#pragma unroll
            for (int i = 0; i < WIDTH / 32; i++) {
                Kind::multiply(sums, a + 2 * i, b + 2 * i, step + i);
            }
            warpgroupCommit();
            warpgroupWait();
            if (lane == 0) {
                barrierArrive(&shared.empty[turn.stage]);
            }
            turn.advance();
        }
        if constexpr (Kind::SCALED) {
            warpgroupSync(1 + group);
        }
        int columns = static_cast<int>(min(p.n - place.col, static_cast<long long>(Layout::COLS)));
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int inGroup = thread / 32 * 16 + half * 8 + lane / 4;
            long long row = place.row + group * (ROWS / GROUPS) + inGroup;
            if (row < rowCount<Kind>(p) && steps > 0) {
                row = Kind::DRAWN ? p.rows[row] : row;
                float weight = p.rowWeights == nullptr ? 1.0f : p.rowWeights[row];
                float scaleA = Kind::SCALED ? __fmul_rn(weight, shared.scaleA[group][scaleTurn][inGroup]) : 1.0f;
                storeRow<Kind, Layout>(p, (place.part * p.m + row) * p.n + place.col, columns, lane, weight != 0.0f, scaleA,
                    shared.scaleB[group][scaleTurn], sums + 2 * half);
            }
        }
        scaleTurn ^= 1;
    }
}

template <class Kind, class Layout>
__device__ __forceinline__ void multiplyByWarpgroups(const Product& p, const CUtensorMap* mapA, const CUtensorMap* mapB) {
    extern __shared__ __align__(1024) uint8_t memory[];
    Shared<Layout>& shared = *reinterpret_cast<Shared<Layout>*>(memory);
    if (threadIdx.x == 0) {
        for (int i = 0; i < Layout::STAGES; i++) {
            barrierInit(&shared.full[i], 1);
            barrierInit(&shared.empty[i], GROUPS * 4);  // warps
        }
        barrierInitFence();
    }
    __syncthreads();
    int group = __shfl_sync(0xFFFFFFFF, threadIdx.x / 128, 0);
    if (group == GROUPS) {
        if constexpr (Layout::BLOCKS == 1) {
            shrinkRegisters<24>();
        }
        if (threadIdx.x == GROUPS * 128) {
            loadTiles<Kind, Layout>(p, mapA, mapB, shared);
        }
    } else {
        if constexpr (Layout::BLOCKS == 1) {
            growRegisters<240>();
        }
        multiplyTiles<Kind, Layout>(p, shared, group);
    }
}

}  // namespace nibble

#define NIBBLE_WARPGROUP_KERNEL(name, kind, layout)                                                                \
    extern "C" __global__ void __launch_bounds__(nibble::layout::THREADS, nibble::layout::BLOCKS) name(            \
        const __grid_constant__ CUtensorMap mapA, const __grid_constant__ CUtensorMap mapB,                        \
        const __grid_constant__ nibble::Product product) {                                                         \
        nibble::multiplyByWarpgroups<nibble::kind, nibble::layout>(product, &mapA, &mapB);                         \
    }

NIBBLE_WARPGROUP_KERNEL(gemm_int8_wide, Int8, Wide)
NIBBLE_WARPGROUP_KERNEL(gemm_int8_narrow, Int8, Narrow)
NIBBLE_WARPGROUP_KERNEL(gemm_int8_drawn_wide, Int8Drawn, Wide)
NIBBLE_WARPGROUP_KERNEL(gemm_int8_drawn_narrow, Int8Drawn, Narrow)
NIBBLE_WARPGROUP_KERNEL(gemm_bf16_wide, Bf16, Wide)
NIBBLE_WARPGROUP_KERNEL(gemm_bf16_narrow, Bf16, Narrow)
NIBBLE_WARPGROUP_KERNEL(gemm_fp16_wide, Fp16, Wide)
NIBBLE_WARPGROUP_KERNEL(gemm_fp16_narrow, Fp16, Narrow)
#endif
