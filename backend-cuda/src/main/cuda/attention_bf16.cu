// Attention and its gradient on tensor cores (Dao 2023, arXiv:2307.08691): operands rounded to BF16, products, softmax and sums in FP32.
// The softmax is computed once over the keys, with a running maximum. Each gradient is summed where it is stored, keys and queries
// ascending, without atomics: the same bits for any grid.
//
// A warp works on rows of 16 (times TILES); what it multiplies them with lies in shared memory, in chunks of 8 numbers that are
// exchanged within a row so that ldmatrix meets no bank conflict.
#include "async.cuh"
#include "attention.cuh"
#include "tensor_core.cuh"

namespace {

typedef unsigned short Bf16; // bits

const float LOG2E = 1.4426950408889634f;

__device__ __forceinline__ float exp2_fast(float x) {
    float y;
    asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(y) : "f"(x));
    return y;
}

__device__ __forceinline__ uint32_t pack(float low, float high) {
    uint32_t packed;
    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(packed) : "f"(high), "f"(low));
    return packed;
}

// Offset of a chunk of 8 features in a tile [rows][D].
template <int D>
__device__ __forceinline__ int chunk_at(int row, int chunk) {
    const int chunks = D / 8;
    const int mask = chunks >= 8 ? 7 : chunks - 1;
    int turn = chunks >= 8 ? row : chunks == 4 ? row >> 1 : row >> 2;
    return row * D + ((chunk ^ (turn & mask)) << 3);
}

// Copies rows first .. first + ROWS - 1 asynchronously; zeros beyond the sequence.
template <int D, int ROWS>
__device__ __forceinline__ void load_rows(Bf16* tile, const Bf16* source, long long step, int first, int sequence) {
    const int chunks = D / 8;
#pragma unroll 4
    for (int i = threadIdx.x; i < ROWS * chunks; i += blockDim.x) {
        int row = i / chunks;
        int chunk = i % chunks;
        bool inside = first + row < sequence;
        const Bf16* from = source + (inside ? first + row : 0) * step + chunk * 8;
        int bytes = inside ? 16 : 0;
        copy_quads_async(tile + chunk_at<D>(row, chunk), from, bytes);
    }
}
__device__ __forceinline__ void matrices_transposed(uint32_t (&r)[4], const Bf16* at) {
    asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                 : "=r"(r[0]), "=r"(r[1]), "=r"(r[2]), "=r"(r[3])
                 : "r"(shared_address(at)));
}

// Left operand: rows first .. first + 15, features 16k .. 16k + 15.
template <int D>
__device__ __forceinline__ void left(uint32_t (&a)[4], const Bf16* tile, int first, int k) {
    int lane = threadIdx.x % 32;
    load_matrices(a, tile + chunk_at<D>(first + lane % 16, 2 * k + lane / 16));
}
// Right operand whose columns are rows first .. first + 15 of the tile, contraction over features 16k .. 16k + 15: b[0], b[1] for the
// first eight, b[2], b[3] for the others.
template <int D>
__device__ __forceinline__ void right(uint32_t (&b)[4], const Bf16* tile, int first, int k) {
    int lane = threadIdx.x % 32;
    load_matrices(b, tile + chunk_at<D>(first + lane % 8 + lane / 16 * 8, 2 * k + lane / 8 % 2));
}
// Right operand whose contraction is over rows first .. first + 15 of the tile, columns features 16n .. 16n + 15.
template <int D>
__device__ __forceinline__ void right_transposed(uint32_t (&b)[4], const Bf16* tile, int first, int n) {
    int lane = threadIdx.x % 32;
    matrices_transposed(b, tile + chunk_at<D>(first + lane % 16, 2 * n + lane / 16));
}

// The sums of two neighbouring tiles of 8 columns as a left operand.
__device__ __forceinline__ void as_left(uint32_t (&a)[4], const float (&low)[4], const float (&high)[4]) {
    a[0] = pack(low[0], low[1]);
    a[1] = pack(low[2], low[3]);
    a[2] = pack(high[0], high[1]);
    a[3] = pack(high[2], high[3]);
}

template <int N>
__device__ __forceinline__ void clear(float (&c)[N][4]) {
#pragma unroll
    for (int n = 0; n < N; n++) {
        c[n][0] = c[n][1] = c[n][2] = c[n][3] = 0.0f;
    }
}

// Queries in blocks of WARPS * 16 * TILES, keys in blocks of 64.
template <int D, int TILES, int WARPS>
__device__ void forward(const Bf16* qkv, float* out, float* logs, const Attention& a, long long tasks) {
    const int QUERIES = WARPS * 16 * TILES;
    const int KEYS = 64;
    extern __shared__ uint4 shared16[];
    Bf16* tileQ = reinterpret_cast<Bf16*>(shared16);
    Bf16* tileK = tileQ + QUERIES * D;    // [2][KEYS][D]
    Bf16* tileV = tileK + 2 * KEYS * D;   // [2][KEYS][D]
    int lane = threadIdx.x % 32;
    int warpRow = threadIdx.x / 32 * 16 * TILES;
    int blocks = (a.sequence + QUERIES - 1) / QUERIES;
    float factor = a.scale * LOG2E;
    for (long long work = blockIdx.x; work < tasks * blocks; work += gridDim.x) {
        Head head(a, work % tasks);
        int first = (blocks - 1 - (int)(work / tasks)) * QUERIES; // the longest rows first
        int keys = a.causal ? min(a.sequence, first + QUERIES) : a.sequence;
        int steps = (keys + KEYS - 1) / KEYS;
        const Bf16* k = qkv + head.qkv + head.width;
        const Bf16* v = k + head.width;
        long long step = 3 * head.width;
        load_rows<D, QUERIES>(tileQ, qkv + head.qkv, step, first, a.sequence);
        load_rows<D, KEYS>(tileK, k, step, 0, a.sequence);
        commit_copies();
        load_rows<D, KEYS>(tileV, v, step, 0, a.sequence);
        commit_copies();
        float o[TILES][D / 8][4];
        float maximum[TILES][2];
        float sum[TILES][2];
#pragma unroll
        for (int m = 0; m < TILES; m++) {
            clear(o[m]);
            maximum[m][0] = maximum[m][1] = __int_as_float(0xff800000);
            sum[m][0] = sum[m][1] = 0.0f;
        }
        uint32_t q[TILES][D / 16][4];
        for (int i = 0; i < steps; i++) {
            const Bf16* nowK = tileK + (i & 1) * KEYS * D;
            const Bf16* nowV = tileV + (i & 1) * KEYS * D;
            await_copies<1>(); // K is there
            __syncthreads();
            if (i == 0) {
#pragma unroll
                for (int m = 0; m < TILES; m++) {
#pragma unroll
                    for (int d = 0; d < D / 16; d++) {
                        left<D>(q[m][d], tileQ, warpRow + 16 * m, d);
                    }
                }
            }
            if (i + 1 < steps) {
                load_rows<D, KEYS>(tileK + ((i + 1) & 1) * KEYS * D, k, step, (i + 1) * KEYS, a.sequence);
            }
            commit_copies();
            float s[TILES][KEYS / 8][4];
#pragma unroll
            for (int m = 0; m < TILES; m++) {
                clear(s[m]);
            }
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
#pragma unroll
                for (int n = 0; n < KEYS / 16; n++) {
                    uint32_t b[4];
                    right<D>(b, nowK, 16 * n, d);
#pragma unroll
                    for (int m = 0; m < TILES; m++) {
                        multiply_bf16(s[m][2 * n], q[m][d], b[0], b[1]);
                        multiply_bf16(s[m][2 * n + 1], q[m][d], b[2], b[3]);
                    }
                }
            }
            int firstKey = i * KEYS;
            if (firstKey + KEYS > a.sequence || (a.causal && firstKey + KEYS - 1 > first + warpRow)) {
#pragma unroll
                for (int m = 0; m < TILES; m++) {
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                        for (int e = 0; e < 4; e++) {
                            int query = first + warpRow + 16 * m + lane / 4 + e / 2 * 8;
                            int key = firstKey + 8 * n + lane % 4 * 2 + e % 2;
                            s[m][n][e] = has_key(a, query, key) ? s[m][n][e] : __int_as_float(0xff800000);
                        }
                    }
                }
            }
#pragma unroll
            for (int m = 0; m < TILES; m++) {
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    float largest = maximum[m][half];
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++) {
                        largest = fmaxf(largest, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
                    }
                    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 1));
                    largest = fmaxf(largest, __shfl_xor_sync(0xffffffffu, largest, 2));
                    float base = largest == __int_as_float(0xff800000) ? 0.0f : largest * factor;
                    float shrink = exp2_fast(__fmaf_rn(maximum[m][half], factor, -base));
                    maximum[m][half] = largest;
                    float part = 0.0f;
#pragma unroll
                    for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                        for (int e = 2 * half; e < 2 * half + 2; e++) {
                            s[m][n][e] = exp2_fast(__fmaf_rn(s[m][n][e], factor, -base));
                            part += s[m][n][e];
                        }
                    }
                    sum[m][half] = __fmaf_rn(sum[m][half], shrink, part);
#pragma unroll
                    for (int n = 0; n < D / 8; n++) {
                        o[m][n][2 * half] *= shrink;
                        o[m][n][2 * half + 1] *= shrink;
                    }
                }
            }
            await_copies<1>(); // V is there
            __syncthreads();
            if (i + 1 < steps) {
                load_rows<D, KEYS>(tileV + ((i + 1) & 1) * KEYS * D, v, step, (i + 1) * KEYS, a.sequence);
            }
            commit_copies();
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                uint32_t p[TILES][4];
#pragma unroll
                for (int m = 0; m < TILES; m++) {
                    as_left(p[m], s[m][2 * n], s[m][2 * n + 1]);
                }
#pragma unroll
                for (int d = 0; d < D / 16; d++) {
                    uint32_t b[4];
                    right_transposed<D>(b, nowV, 16 * n, d);
#pragma unroll
                    for (int m = 0; m < TILES; m++) {
                        multiply_bf16(o[m][2 * d], p[m], b[0], b[1]);
                        multiply_bf16(o[m][2 * d + 1], p[m], b[2], b[3]);
                    }
                }
            }
        }
        await_copies<0>();
#pragma unroll
        for (int m = 0; m < TILES; m++) {
#pragma unroll
            for (int half = 0; half < 2; half++) {
                float total = sum[m][half];
                total += __shfl_xor_sync(0xffffffffu, total, 1);
                total += __shfl_xor_sync(0xffffffffu, total, 2);
                float inverse = 1.0f / total;
                int query = first + warpRow + 16 * m + lane / 4 + 8 * half;
                if (query < a.sequence) {
                    float* row = out + head.output + query * head.width + lane % 4 * 2;
#pragma unroll
                    for (int n = 0; n < D / 8; n++) {
                        *reinterpret_cast<float2*>(row + 8 * n) =
                            make_float2(o[m][n][2 * half] * inverse, o[m][n][2 * half + 1] * inverse);
                    }
                    if (lane % 4 == 0) {
                        logs[head.logs + query] = maximum[m][half] * a.scale + logf(total);
                    }
                }
            }
        }
        __syncthreads();
    }
}

// dq: queries in blocks of WARPS * 16, keys in blocks of KEYS.
template <int D, int KEYS, int WARPS>
__device__ void backward_queries(
    const Bf16* dy, const Bf16* qkv, const float* logs, const float* rowDots, float* gradQkv, const Attention& a, long long tasks) {
    const int QUERIES = WARPS * 16;
    extern __shared__ uint4 shared16[];
    Bf16* tileK = reinterpret_cast<Bf16*>(shared16); // [2][KEYS][D]; first of all q
    Bf16* tileV = tileK + 2 * KEYS * D;              // [2][KEYS][D]; first of all dy
    Bf16* tileQ = tileV + 2 * KEYS * D;
    Bf16* tileDy = tileQ + QUERIES * D;
    int lane = threadIdx.x % 32;
    int warpRow = threadIdx.x / 32 * 16;
    int blocks = (a.sequence + QUERIES - 1) / QUERIES;
    float factor = a.scale * LOG2E;
    for (long long work = blockIdx.x; work < tasks * blocks; work += gridDim.x) {
        Head head(a, work % tasks);
        int first = (blocks - 1 - (int)(work / tasks)) * QUERIES; // the longest rows first
        int keys = a.causal ? min(a.sequence, first + QUERIES) : a.sequence;
        int steps = (keys + KEYS - 1) / KEYS;
        const Bf16* k = qkv + head.qkv + head.width;
        const Bf16* v = k + head.width;
        long long step = 3 * head.width;
        load_rows<D, QUERIES>(tileQ, qkv + head.qkv, step, first, a.sequence);
        load_rows<D, QUERIES>(tileDy, dy + head.output, head.width, first, a.sequence);
        load_rows<D, KEYS>(tileK, k, step, 0, a.sequence);
        load_rows<D, KEYS>(tileV, v, step, 0, a.sequence);
        commit_copies();
        float log[2];
        float dot[2];
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int query = first + warpRow + lane / 4 + 8 * half;
            log[half] = query < a.sequence ? logs[head.logs + query] * LOG2E : 0.0f;
            dot[half] = query < a.sequence ? rowDots[head.logs + query] : 0.0f;
        }
        float dq[D / 8][4];
        clear(dq);
        uint32_t q[D / 16][4];
        uint32_t g[D / 16][4];
        for (int i = 0; i < steps; i++) {
            const Bf16* nowK = tileK + (i & 1) * KEYS * D;
            const Bf16* nowV = tileV + (i & 1) * KEYS * D;
            await_copies<0>();
            __syncthreads();
            if (i == 0) {
#pragma unroll
                for (int d = 0; d < D / 16; d++) {
                    left<D>(q[d], tileQ, warpRow, d);
                    left<D>(g[d], tileDy, warpRow, d);
                }
            }
            if (i + 1 < steps) {
                load_rows<D, KEYS>(tileK + ((i + 1) & 1) * KEYS * D, k, step, (i + 1) * KEYS, a.sequence);
                load_rows<D, KEYS>(tileV + ((i + 1) & 1) * KEYS * D, v, step, (i + 1) * KEYS, a.sequence);
                commit_copies();
            }
            float s[KEYS / 8][4];
            float dp[KEYS / 8][4];
            clear(s);
            clear(dp);
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
#pragma unroll
                for (int n = 0; n < KEYS / 16; n++) {
                    uint32_t b[4];
                    right<D>(b, nowK, 16 * n, d);
                    multiply_bf16(s[2 * n], q[d], b[0], b[1]);
                    multiply_bf16(s[2 * n + 1], q[d], b[2], b[3]);
                    right<D>(b, nowV, 16 * n, d);
                    multiply_bf16(dp[2 * n], g[d], b[0], b[1]);
                    multiply_bf16(dp[2 * n + 1], g[d], b[2], b[3]);
                }
            }
            int firstKey = i * KEYS;
            bool partial = firstKey + KEYS > a.sequence || (a.causal && firstKey + KEYS - 1 > first + warpRow);
#pragma unroll
            for (int n = 0; n < KEYS / 8; n++) {
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float p = exp2_fast(__fmaf_rn(s[n][e], factor, -log[e / 2]));
                    s[n][e] = p * (dp[n][e] - dot[e / 2]);
                    if (partial) {
                        int query = first + warpRow + lane / 4 + e / 2 * 8;
                        int key = firstKey + 8 * n + lane % 4 * 2 + e % 2;
                        s[n][e] = has_key(a, query, key) ? s[n][e] : 0.0f;
                    }
                }
            }
#pragma unroll
            for (int n = 0; n < KEYS / 16; n++) {
                uint32_t ds[4];
                as_left(ds, s[2 * n], s[2 * n + 1]);
#pragma unroll
                for (int d = 0; d < D / 16; d++) {
                    uint32_t b[4];
                    right_transposed<D>(b, nowK, 16 * n, d);
                    multiply_bf16(dq[2 * d], ds, b[0], b[1]);
                    multiply_bf16(dq[2 * d + 1], ds, b[2], b[3]);
                }
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int query = first + warpRow + lane / 4 + 8 * half;
            if (query < a.sequence) {
                float* row = gradQkv + head.qkv + query * step + lane % 4 * 2;
#pragma unroll
                for (int n = 0; n < D / 8; n++) {
                    *reinterpret_cast<float2*>(row + 8 * n) =
                        make_float2(dq[n][2 * half] * a.scale, dq[n][2 * half + 1] * a.scale);
                }
            }
        }
        __syncthreads();
    }
}

// dk and dv: keys in blocks of WARPS * 16, queries in blocks of QUERIES. Scores are transposed: rows are keys.
template <int D, int QUERIES, int WARPS>
__device__ void backward_keys(
    const Bf16* dy, const Bf16* qkv, const float* logs, const float* rowDots, float* gradQkv, const Attention& a, long long tasks) {
    const int KEYS = WARPS * 16;
    const bool HELD = D <= 64; // operands of the keys stay in registers
    extern __shared__ uint4 shared16[];
    Bf16* tileQ = reinterpret_cast<Bf16*>(shared16); // [2][QUERIES][D]
    Bf16* tileDy = tileQ + 2 * QUERIES * D;          // [2][QUERIES][D]
    Bf16* tileK = tileDy + 2 * QUERIES * D;
    Bf16* tileV = tileK + KEYS * D;
    float* log2s = reinterpret_cast<float*>(tileV + KEYS * D); // [2][QUERIES]
    float* dots = log2s + 2 * QUERIES;                         // [2][QUERIES]
    int lane = threadIdx.x % 32;
    int warpRow = threadIdx.x / 32 * 16;
    int blocks = (a.sequence + KEYS - 1) / KEYS;
    float factor = a.scale * LOG2E;
    for (long long work = blockIdx.x; work < tasks * blocks; work += gridDim.x) {
        Head head(a, work % tasks);
        int first = (int)(work / tasks) * KEYS; // under a causal mask, the first keys have the most queries
        int from = a.causal ? first / QUERIES * QUERIES : 0;
        int steps = (a.sequence - from + QUERIES - 1) / QUERIES;
        const Bf16* q = qkv + head.qkv;
        const Bf16* g = dy + head.output;
        long long step = 3 * head.width;
        auto load = [&](int i) {
            int query = from + i * QUERIES;
            load_rows<D, QUERIES>(tileQ + (i & 1) * QUERIES * D, q, step, query, a.sequence);
            load_rows<D, QUERIES>(tileDy + (i & 1) * QUERIES * D, g, head.width, query, a.sequence);
            commit_copies();
            for (int row = threadIdx.x; row < QUERIES; row += blockDim.x) {
                bool inside = query + row < a.sequence;
                log2s[(i & 1) * QUERIES + row] = inside ? logs[head.logs + query + row] * LOG2E : 0.0f;
                dots[(i & 1) * QUERIES + row] = inside ? rowDots[head.logs + query + row] : 0.0f;
            }
        };
        load_rows<D, KEYS>(tileK, q + head.width, step, first, a.sequence);
        load_rows<D, KEYS>(tileV, q + 2 * head.width, step, first, a.sequence);
        load(0);
        float dk[D / 8][4];
        float dv[D / 8][4];
        clear(dk);
        clear(dv);
        uint32_t k[HELD ? D / 16 : 1][4];
        uint32_t v[HELD ? D / 16 : 1][4];
        for (int i = 0; i < steps; i++) {
            const Bf16* nowQ = tileQ + (i & 1) * QUERIES * D;
            const Bf16* nowDy = tileDy + (i & 1) * QUERIES * D;
            const float* nowLogs = log2s + (i & 1) * QUERIES;
            const float* nowDots = dots + (i & 1) * QUERIES;
            await_copies<0>();
            __syncthreads();
            if (HELD && i == 0) {
#pragma unroll
                for (int d = 0; d < D / 16; d++) {
                    left<D>(k[HELD ? d : 0], tileK, warpRow, d);
                    left<D>(v[HELD ? d : 0], tileV, warpRow, d);
                }
            }
            if (i + 1 < steps) {
                load(i + 1);
            }
            float s[QUERIES / 8][4];
            float dp[QUERIES / 8][4];
            clear(s);
            clear(dp);
#pragma unroll
            for (int d = 0; d < D / 16; d++) {
                if (!HELD) {
                    left<D>(k[0], tileK, warpRow, d);
                    left<D>(v[0], tileV, warpRow, d);
                }
#pragma unroll
                for (int n = 0; n < QUERIES / 16; n++) {
                    uint32_t b[4];
                    right<D>(b, nowQ, 16 * n, d);
                    multiply_bf16(s[2 * n], k[HELD ? d : 0], b[0], b[1]);
                    multiply_bf16(s[2 * n + 1], k[HELD ? d : 0], b[2], b[3]);
                    right<D>(b, nowDy, 16 * n, d);
                    multiply_bf16(dp[2 * n], v[HELD ? d : 0], b[0], b[1]);
                    multiply_bf16(dp[2 * n + 1], v[HELD ? d : 0], b[2], b[3]);
                }
            }
            int firstQuery = from + i * QUERIES;
            bool partial = firstQuery + QUERIES > a.sequence || first + KEYS > a.sequence ||
                           (a.causal && first + warpRow + 15 > firstQuery);
#pragma unroll
            for (int n = 0; n < QUERIES / 8; n++) {
                int col = 8 * n + lane % 4 * 2;
                float2 log = *reinterpret_cast<const float2*>(nowLogs + col);
                float2 dot = *reinterpret_cast<const float2*>(nowDots + col);
#pragma unroll
                for (int e = 0; e < 4; e++) {
                    float p = exp2_fast(__fmaf_rn(s[n][e], factor, -(e % 2 ? log.y : log.x)));
                    float ds = p * (dp[n][e] - (e % 2 ? dot.y : dot.x));
                    if (partial) {
                        int query = firstQuery + col + e % 2;
                        int key = first + warpRow + lane / 4 + e / 2 * 8;
                        bool seen = query < a.sequence && has_key(a, query, key);
                        p = seen ? p : 0.0f;
                        ds = seen ? ds : 0.0f;
                    }
                    s[n][e] = p;
                    dp[n][e] = ds;
                }
            }
#pragma unroll
            for (int n = 0; n < QUERIES / 16; n++) {
                uint32_t p[4];
                uint32_t ds[4];
                as_left(p, s[2 * n], s[2 * n + 1]);
                as_left(ds, dp[2 * n], dp[2 * n + 1]);
#pragma unroll
                for (int d = 0; d < D / 16; d++) {
                    uint32_t b[4];
                    right_transposed<D>(b, nowDy, 16 * n, d);
                    multiply_bf16(dv[2 * d], p, b[0], b[1]);
                    multiply_bf16(dv[2 * d + 1], p, b[2], b[3]);
                    right_transposed<D>(b, nowQ, 16 * n, d);
                    multiply_bf16(dk[2 * d], ds, b[0], b[1]);
                    multiply_bf16(dk[2 * d + 1], ds, b[2], b[3]);
                }
            }
        }
#pragma unroll
        for (int half = 0; half < 2; half++) {
            int key = first + warpRow + lane / 4 + 8 * half;
            if (key < a.sequence) {
                float* row = gradQkv + head.qkv + key * step + lane % 4 * 2;
#pragma unroll
                for (int n = 0; n < D / 8; n++) {
                    *reinterpret_cast<float2*>(row + head.width + 8 * n) =
                        make_float2(dk[n][2 * half] * a.scale, dk[n][2 * half + 1] * a.scale);
                    *reinterpret_cast<float2*>(row + 2 * head.width + 8 * n) =
                        make_float2(dv[n][2 * half], dv[n][2 * half + 1]);
                }
            }
        }
        __syncthreads();
    }
}

} // namespace

// y = x rounded to BF16; count is a multiple of 8.
extern "C" __global__ void attention_round(const float* __restrict__ x, uint4* __restrict__ y, long long count) {
    long long step = (long long)gridDim.x * blockDim.x;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < count / 8; i += step) {
        float4 a = reinterpret_cast<const float4*>(x)[2 * i];
        float4 b = reinterpret_cast<const float4*>(x)[2 * i + 1];
        y[i] = make_uint4(pack(a.x, a.y), pack(a.z, a.w), pack(b.x, b.y), pack(b.z, b.w));
    }
}

// Kernels of heads of D features. Forward: 128 queries a block, 64 keys at a time, shared memory (128 + 4 * 64) * D * 2 bytes.
// Gradient of queries: 128 queries, AT keys at a time, (256 + 4 * AT) * D * 2 bytes. Of keys: 128 keys, AT queries at a time, as much
// and 16 * AT bytes.
#define ATTENTION_BF16(D, TILES, WARPS, AT, BLOCKS)                                                                                \
    extern "C" __global__ void __launch_bounds__(WARPS * 32, BLOCKS) attention_bf16_forward_##D(                                 \
        const unsigned short* __restrict__ qkv, float* __restrict__ out, float* __restrict__ logs, Attention a, long long tasks) { \
        forward<D, TILES, WARPS>(qkv, out, logs, a, tasks);                                                                      \
    }                                                                                                                            \
    extern "C" __global__ void __launch_bounds__(256, 1) attention_bf16_backward_queries_##D(                                    \
        const unsigned short* __restrict__ dy, const unsigned short* __restrict__ qkv, const float* __restrict__ logs,           \
        const float* __restrict__ rowDots, float* __restrict__ gradQkv, Attention a, long long tasks) {                          \
        backward_queries<D, AT, 8>(dy, qkv, logs, rowDots, gradQkv, a, tasks);                                                   \
    }                                                                                                                            \
    extern "C" __global__ void __launch_bounds__(256, 1) attention_bf16_backward_keys_##D(                                       \
        const unsigned short* __restrict__ dy, const unsigned short* __restrict__ qkv, const float* __restrict__ logs,           \
        const float* __restrict__ rowDots, float* __restrict__ gradQkv, Attention a, long long tasks) {                          \
        backward_keys<D, AT, 8>(dy, qkv, logs, rowDots, gradQkv, a, tasks);                                                      \
    }

ATTENTION_BF16(32, 2, 4, 64, 2)
ATTENTION_BF16(64, 2, 4, 64, 2)
ATTENTION_BF16(128, 1, 8, 32, 1)
