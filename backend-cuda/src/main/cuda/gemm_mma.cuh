// Products on the tensor cores of any architecture since sm_80: mma.sync. A block computes tiles of 128 x 128. Scales of any
// granularity, masks, several terms; formats beyond a byte come as several passes. A segment may begin where 16 bytes of the
// contraction do. What differs between formats is a Kind: how a stage gets into shared memory, and what multiplies it there.
#pragma once
#include "async.cuh"
#include "gemm.cuh"

namespace nibble {

constexpr int TILE = 128;
constexpr int TILE_THREADS = 256;

/** The scale groups that a tile meets. */
struct TileGroups {
    uint32_t firstA;
    uint32_t lastA;
    uint32_t firstB;
    uint32_t lastB;

    __device__ __forceinline__ TileGroups(const Product& p, TilePlace place) {
        firstA = rowGroup(p.gridA, place.row);
        lastA = rowGroup(p.gridA, min(place.row + TILE, p.m) - 1);
        firstB = rowGroup(p.gridB, place.col);
        lastB = rowGroup(p.gridB, min(place.col + TILE, p.n) - 1);
    }
};

/** Which elements of a tile have a term in a segment. */
enum Presence : int { NONE, SOME, ALL };

__device__ __forceinline__ Presence presence(const Plane& plane, long long rowGroups, uint32_t kGroup, uint32_t first, uint32_t last) {
    if (plane.mask == nullptr) {
        return ALL;
    }
    if (last != first) {
        return SOME;  // each element looks for itself
    }
    return plane.mask[kGroup * rowGroups + first] != 0 ? ALL : NONE;
}

/** Walks over the stages of a tile: segments ascending, passes in order, the contraction of a segment in steps. */
template <int Depth>
struct Cursor {
    Segments segment;
    uint32_t k;  // first index of the stage
    int stretch;
    int pass;
    int term;      // that the pass belongs to
    int shift;     // of the pass
    bool opens;    // whether the pass is the first of its term
    bool closes;   // whether it is the last
    Presence present;
    bool done;

    __device__ __forceinline__ void start(const Product& p, TilePlace place, const TileGroups& groups) {
        done = false;
        present = ALL;
        stretch = -1;
        pass = -1;
        if (p.stretches != nullptr) {
            nextStretch(p);
            return;
        }
        segment = Segments(p, place.part);
        if (segment.done()) {
            done = true;
            return;
        }
        nextPass(p, groups);
    }

    /** Goes on to the next stage, and returns whether it is of another pass or segment. */
    __device__ __forceinline__ bool advance(const Product& p, const TileGroups& groups) {
        k += Depth;
        if (k < segment.to) {
            return false;
        }
        if (p.stretches == nullptr) {
            nextPass(p, groups);
        } else if (!closes) {
            pass++;
            k = segment.from;
            look(p);
        } else {
            nextStretch(p);
        }
        return true;
    }

    /** Whether the sums of a term are complete after this stage. */
    __device__ __forceinline__ bool isLast() const {
        return closes && k + Depth >= segment.to;
    }

    __device__ __forceinline__ bool isFirst() const {
        return opens && k == segment.from;
    }

  private:
    /** Keeps what each stage of a pass asks for. */
    __device__ __forceinline__ void look(const Product& p) {
        term = p.pass[pass].term;
        shift = p.pass[pass].shift;
        opens = pass == 0 || p.pass[pass - 1].term != term;
        closes = pass + 1 == p.passes || p.pass[pass + 1].term != term;
    }

    __device__ __forceinline__ void nextStretch(const Product& p) {
        while (++stretch < p.stretchCount) {
            Stretch next = p.stretches[stretch];
            if (next.from < next.to) {
                segment.from = next.from;
                segment.to = next.to;
                segment.kGroupA = 0;
                segment.kGroupB = 0;
                k = next.from;
                pass = 0;
                while (p.pass[pass].term != next.term) {
                    pass++;
                }
                look(p);
                return;
            }
        }
        done = true;
    }

    __device__ __forceinline__ void nextPass(const Product& p, const TileGroups& groups) {
        while (true) {
            if (++pass == p.passes) {
                pass = 0;
                segment.advance(p);
                if (segment.done()) {
                    done = true;
                    return;
                }
            }
            const Term& term = p.term[p.pass[pass].term];
            Presence a = presence(term.a, p.gridA.rowGroups, segment.kGroupA, groups.firstA, groups.lastA);
            Presence b = presence(term.b, p.gridB.rowGroups, segment.kGroupB, groups.firstB, groups.lastB);
            if (a != NONE && b != NONE) {
                present = a == ALL ? b : a;
                k = segment.from;
                look(p);
                return;
            }
        }
    }
};

/** A stage in shared memory; a row is 16 bytes longer than the contraction it holds, so that reading meets all banks. */
template <int Width>
struct Stage {
    static constexpr int PITCH = Width + 16;
    uint8_t a[TILE * PITCH];
    uint8_t b[TILE * PITCH];
    float scaleA[TILE];
    float scaleB[TILE];
};

/** Indexes of the contraction that a stage holds. */
template <class Kind, int Width>
constexpr int DEPTH = Width / Kind::ELEMENT;

/** Returns the first bytes of 16; the others become 0. */
__device__ __forceinline__ uint4 firstBytes(uint4 quads, int count) {
    uint32_t* words = &quads.x;
#pragma unroll
    for (int i = 0; i < 4; i++) {
        int left = count - 4 * i;
        words[i] = left >= 4 ? words[i] : left <= 0 ? 0 : words[i] & ((1u << 8 * left) - 1);
    }
    return quads;
}

/** What a thread brings of each stage: 16 bytes of some rows of both sides. Kinds that pack hold them until the stage before is used. */
template <class Kind, int Width>
struct Copies {
    static constexpr bool PACKS = Kind::CODE < Kind::ELEMENT;
    static constexpr int CHUNKS = DEPTH<Kind, Width> * Kind::CODE / 16;  // of a row
    static constexpr int ROWS = TILE_THREADS / CHUNKS;                   // from one of the thread's rows to the next
    static constexpr int COUNT = TILE / ROWS;
    static constexpr int PITCH = Stage<Width>::PITCH;

    const uint8_t* a;  // of the first row, at index 0
    const uint8_t* b;
    const uint8_t* somewhere;  // that can be read
    long long stepA;           // bytes from one of the thread's rows to the next
    long long stepB;
    uint32_t insideA;  // bit i: whether row i exists
    uint32_t insideB;
    int formatA;
    int formatB;

    __device__ __forceinline__ void aim(
        const Product& p, TilePlace place, long long rows, const Cursor<DEPTH<Kind, Width>>& cursor) {
        if (cursor.done) {
            return;
        }
        const Pass& pass = p.pass[cursor.pass];
        const Term& term = p.term[cursor.term];
        int row = threadIdx.x / CHUNKS;
        somewhere = reinterpret_cast<const uint8_t*>(pass.a);
        a = somewhere + (place.row + row) * term.a.rowPitch;
        b = reinterpret_cast<const uint8_t*>(pass.b) + (place.col + row) * term.b.rowPitch;
        stepA = ROWS * term.a.rowPitch;
        stepB = ROWS * term.b.rowPitch;
        formatA = term.a.format;
        formatB = term.b.format;
        insideA = 0;
        insideB = 0;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            insideA |= place.row + row + i * ROWS < rows ? 1u << i : 0;
            insideB |= place.col + row + i * ROWS < p.n ? 1u << i : 0;
        }
    }

    __device__ __forceinline__ void start(const Cursor<DEPTH<Kind, Width>>& cursor, Stage<Width>& stage) {
        int at = threadIdx.x % CHUNKS * 16;
        long long k = static_cast<long long>(cursor.k) * Kind::CODE + at;
        int codes = min(DEPTH<Kind, Width>, static_cast<int>(cursor.segment.to) - static_cast<int>(cursor.k));
        int left = min(16, codes * Kind::CODE - at);
        int offset = threadIdx.x / CHUNKS * PITCH + at;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            bool hasA = left > 0 && (insideA >> i & 1) != 0;
            bool hasB = left > 0 && (insideB >> i & 1) != 0;
            const uint8_t* fromA = hasA ? a + i * stepA + k : somewhere;
            const uint8_t* fromB = hasB ? b + i * stepB + k : somewhere;
            if constexpr (PACKS) {
                heldA[i] = *reinterpret_cast<const uint4*>(fromA);
                heldB[i] = *reinterpret_cast<const uint4*>(fromB);
                leftA[i] = hasA ? left : 0;
                leftB[i] = hasB ? left : 0;
            } else {
                int to = offset + i * ROWS * PITCH;
                copy_quads_async(stage.a + to, fromA, hasA ? left : 0);
                copy_quads_async(stage.b + to, fromB, hasB ? left : 0);
            }
        }
        heldFormatA = formatA;
        heldFormatB = formatB;
    }

    /** Writes what is held into its stage. */
    __device__ __forceinline__ void finish(Stage<Width>& stage) const {
        constexpr int GROWTH = Kind::ELEMENT / Kind::CODE;
        int offset = threadIdx.x / CHUNKS * PITCH + threadIdx.x % CHUNKS * 16 * GROWTH;
#pragma unroll
        for (int i = 0; i < COUNT; i++) {
            int to = offset + i * ROWS * PITCH;
            Kind::pack(firstBytes(heldA[i], leftA[i]), heldFormatA, stage.a + to);
            Kind::pack(firstBytes(heldB[i], leftB[i]), heldFormatB, stage.b + to);
        }
    }

  private:
    static constexpr int HELD = PACKS ? COUNT : 1;
    uint4 heldA[HELD];
    uint4 heldB[HELD];
    int leftA[HELD];
    int leftB[HELD];
    int heldFormatA;
    int heldFormatB;
};

/** Copies the scales of a segment, with its last stage. */
template <int Depth, int Width>
__device__ __forceinline__ void loadScales(
    const Product& p, TilePlace place, const Cursor<Depth>& cursor, Stage<Width>& stage, uint32_t group) {
    bool left = threadIdx.x < TILE;
    int row = threadIdx.x % TILE;
    const Plane& plane = left ? p.term[cursor.term].a : p.term[cursor.term].b;
    const Grid& grid = left ? p.gridA : p.gridB;
    long long index = (left ? cursor.segment.kGroupA : cursor.segment.kGroupB) * grid.rowGroups + group;
    bool inside = (left ? place.row + row < p.m : place.col + row < p.n) && plane.scales != nullptr;
    const void* from = inside ? static_cast<const void*>(plane.scales + index) : p.pass[cursor.pass].a;
    copy_async<4>((left ? stage.scaleA : stage.scaleB) + row, from, inside ? 4 : 0);
}

/** Starts the copies of a stage, and goes on to the next. */
template <class Kind, int Width>
__device__ __forceinline__ void loadStage(const Product& p, TilePlace place, long long rows, const TileGroups& groups,
    Cursor<DEPTH<Kind, Width>>& ahead, Copies<Kind, Width>& copies, Stage<Width>& stage, uint32_t group) {
    if (ahead.done) {
        return;
    }
    copies.start(ahead, stage);
    if (ahead.isLast()) {
        loadScales(p, place, ahead, stage, group);
    }
    if (ahead.advance(p, groups)) {
        copies.aim(p, place, rows, ahead);
    }
}

/** The rows and columns of a thread: register [i][j][2h + e] is row 16i + 8h + lane/4, column 8j + 2 * (lane%4) + e of its warp. */
struct Fragment {
    int row;
    int col;
};

/** The weight of a row that does not come from its scale; 0 leaves the row out. */
__device__ __forceinline__ float rowWeight(const Product& p, int term, int stretch, long long row) {
    if (p.stretches != nullptr) {
        return static_cast<float>(1 << p.stretches[stretch].exponent);
    }
    return p.rowWeights == nullptr || row >= rowsOf(p) ? 1.0f : p.rowWeights[term * p.m + rowOf(p, row)];
}

__device__ __forceinline__ float toFloat(int sum) {
    return __int2float_rn(sum);
}

__device__ __forceinline__ float toFloat(float sum) {
    return sum;
}

/** acc = fma(f, P, acc) for all elements of a thread. All: whether every element has a term. */
template <bool All, int Depth, int Width, class Number>
__device__ __forceinline__ void fold(const Product& p, TilePlace place, const Cursor<Depth>& cursor, const Stage<Width>& stage,
    Fragment at, const Number (&sums)[4][4][4], float (&acc)[4][4][4]) {
    const Term& term = p.term[cursor.term];
    float scalesB[4][2];
    uint32_t present = 0xFF;
    bool unscaledA = term.a.scales == nullptr;
    bool unscaledB = term.b.scales == nullptr;
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int e = 0; e < 2; e++) {
            int col = at.col + 8 * j + e;
            scalesB[j][e] = __fmul_rn(term.b.weight, unscaledB ? 1.0f : stage.scaleB[col]);
            if constexpr (!All) {
                long long group = cursor.segment.kGroupB * p.gridB.rowGroups;
                if (place.col + col < p.n && !isPresent(term.b, group + rowGroup(p.gridB, place.col + col))) {
                    present &= ~(1u << (2 * j + e));
                }
            }
        }
    }
#pragma unroll
    for (int i = 0; i < 4; i++) {
#pragma unroll
        for (int h = 0; h < 2; h++) {
            int row = at.row + 16 * i + 8 * h;
            float scaleA = __fmul_rn(term.a.weight, unscaledA ? 1.0f : stage.scaleA[row]);
            uint32_t here = present;
            if constexpr (!All) {
                float weight = rowWeight(p, cursor.term, cursor.stretch, place.row + row);
                scaleA = __fmul_rn(weight, scaleA);
                long long group = cursor.segment.kGroupA * p.gridA.rowGroups;
                bool absent = place.row + row < p.m && !isPresent(term.a, group + rowGroup(p.gridA, place.row + row));
                here = weight == 0.0f || absent ? 0 : here;
            }
#pragma unroll
            for (int j = 0; j < 4; j++) {
#pragma unroll
                for (int e = 0; e < 2; e++) {
                    float& to = acc[i][j][2 * h + e];
                    float sum = __fmaf_rn(__fmul_rn(scaleA, scalesB[j][e]), toFloat(sums[i][j][2 * h + e]), to);
                    to = All || (here >> (2 * j + e) & 1) ? sum : to;
                }
            }
        }
    }
}

template <class Kind, int Width>
__device__ __forceinline__ void multiplyStage(
    const Stage<Width>& stage, int warpRow, int warpCol, int lane, typename Kind::Number (&sums)[4][4][4]) {
    constexpr int PITCH = Stage<Width>::PITCH;
    const uint8_t* a = stage.a + (warpRow + lane % 16) * PITCH + lane / 16 * 16;
    const uint8_t* b = stage.b + (warpCol + lane / 16 * 8 + lane % 8) * PITCH + lane / 8 % 2 * 16;
#pragma unroll
    for (int k = 0; k < Width; k += 32) {
        uint32_t left[4][4];
        uint32_t right[2][4];
#pragma unroll
        for (int i = 0; i < 4; i++) {
            load_matrices(left[i], a + i * 16 * PITCH + k);
        }
#pragma unroll
        for (int j = 0; j < 2; j++) {
            load_matrices(right[j], b + j * 16 * PITCH + k);
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
#pragma unroll
            for (int j = 0; j < 4; j++) {
                Kind::multiply(sums[i][j], left[i], right[j / 2][j % 2 * 2], right[j / 2][j % 2 * 2 + 1]);
            }
        }
    }
}

__device__ __forceinline__ int shifted(int sum, int bits) {
    return sum << bits;
}

/** Floats come in one pass. */
__device__ __forceinline__ float shifted(float sum, int) {
    return sum;
}

template <class Kind, int Width, int Stages>
__device__ __forceinline__ void multiplyByWarps(const Product& p) {
    using Number = typename Kind::Number;
    constexpr bool PACKS = Copies<Kind, Width>::PACKS;
    static_assert(!PACKS || Stages == 2, "what is held is for the next stage");
    extern __shared__ __align__(128) uint8_t memory[];
    Stage<Width>* stages = reinterpret_cast<Stage<Width>*>(memory);
    int lane = threadIdx.x % 32;
    int warp = threadIdx.x / 32;
    int warpRow = warp / 4 * 64;
    int warpCol = warp % 4 * 32;
    Fragment at = {warpRow + lane / 4, warpCol + lane % 4 * 2};
    long long rows = rowsOf(p);
    long long tiles = tileCount<TILE, TILE>(p, rows);
    for (long long tile = blockIdx.x; tile < tiles; tile += gridDim.x) {
        TilePlace place = tilePlace<TILE, TILE, 8>(p, tile, rows);
        TileGroups groups(p, place);
        uint32_t group = threadIdx.x < TILE ? rowGroup(p.gridA, place.row + threadIdx.x)
                                            : rowGroup(p.gridB, place.col + threadIdx.x - TILE);
        bool weighted = p.stretches != nullptr || p.rowWeights != nullptr;
        Cursor<DEPTH<Kind, Width>> ahead;
        Cursor<DEPTH<Kind, Width>> cursor;
        ahead.start(p, place, groups);
        cursor = ahead;
        Copies<Kind, Width> copies;
        copies.aim(p, place, rows, ahead);
#pragma unroll
        for (int i = 0; i < Stages - 1; i++) {
            loadStage(p, place, rows, groups, ahead, copies, stages[i], group);
            commit_copies();
        }
        if constexpr (PACKS) {
            if (!cursor.done) {
                copies.finish(stages[0]);
            }
        }
        float acc[4][4][4] = {};
        Number sums[4][4][4];
        int slot = 0;
        while (!cursor.done) {
            await_copies<Stages - 2>();
            __syncthreads();
            Stage<Width>& next = stages[slot == 0 ? Stages - 1 : slot - 1];
            bool more = !ahead.done;
            loadStage(p, place, rows, groups, ahead, copies, next, group);
            commit_copies();
            bool first = cursor.isFirst();
            if (first || (cursor.shift > 0 && cursor.k == cursor.segment.from)) {
#pragma unroll
                for (int i = 0; i < 64; i++) {
                    Number& sum = sums[i / 16][i / 4 % 4][i % 4];
                    sum = first ? 0 : shifted(sum, cursor.shift);
                }
            }
            multiplyStage<Kind>(stages[slot], warpRow, warpCol, lane, sums);
            if (cursor.isLast()) {
                if (cursor.present == ALL && !weighted) {
                    fold<true>(p, place, cursor, stages[slot], at, sums, acc);
                } else {
                    fold<false>(p, place, cursor, stages[slot], at, sums, acc);
                }
            }
            if constexpr (PACKS) {
                if (more) {
                    copies.finish(next);
                }
            }
            cursor.advance(p, groups);
            slot = slot + 1 == Stages ? 0 : slot + 1;
        }
#pragma unroll
        for (int i = 0; i < 64; i++) {
            long long row = place.row + at.row + i / 16 * 16 + i / 2 % 2 * 8;
            long long col = place.col + at.col + i / 4 % 4 * 8 + i % 2;
            if (row < rows && col < p.n) {
                store(p, place.part, rowOf(p, row), col, acc[i / 16][i / 4 % 4][i % 4]);
            }
        }
        __syncthreads();  // the next tile's copies write the same stages
    }
}

}  // namespace nibble
