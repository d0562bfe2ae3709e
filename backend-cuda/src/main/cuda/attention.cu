// Attention and its gradient without a matrix of scores in memory (dev.nibble.reference.ReferenceAttention), FP32, to the plain
// code's bits: every product is a chain of fma with features, keys or queries ascending, the softmax's sum a LaneSum over keys. So the
// maximum comes from a pass of its own over the keys, and each gradient is summed where it is stored: no atomics, any grid.
//
// A block of 256 threads works on TILE queries and TILE keys at a time, thread (y, x) = (threadIdx / 16, threadIdx mod 16) on queries
// y + 16i and keys x + 16j: its keys are all of LaneSum's partial sum x. Heads of size <= SIZE are filled up with zeros.
#include "attention.cuh"
#include "exponential.cuh"
#include "lanesum.cuh"

namespace {

__device__ __forceinline__ bool sees(const Attention& a, int query, int key) {
    return query < a.sequence && has_key(a, query, key);
}

// Whether each query of a tile sees each key of another one.
template <int TILE>
__device__ __forceinline__ bool all_see(const Attention& a, int queries, int keys) {
    return queries + TILE <= a.sequence && keys + TILE <= a.sequence && (!a.causal || keys + TILE - 1 <= queries);
}

template <int SIZE, int TILE>
struct Shape {
    static const int PER = TILE / 16;            // queries, and keys, of a thread
    static const int PITCH = SIZE + 4;           // floats from row to row of a tile of features
    static const int SCORES = TILE + 16;         // floats from row to row of a tile of scores
    static const int COLS = SIZE / 16;           // features of a thread
    static const int RUN = COLS < 4 ? COLS : 4;  // that lie together
    static const int FEATURES = TILE * PITCH;    // floats of a tile of features
};

// A run of floats in registers.
template <int RUN>
__device__ __forceinline__ void load_run(float (&values)[RUN], const float* x) {
    if (RUN == 4) {
        float4 v = *reinterpret_cast<const float4*>(x);
        values[0] = v.x;
        values[1 % RUN] = v.y;
        values[2 % RUN] = v.z;
        values[3 % RUN] = v.w;
    } else if (RUN == 2) {
        float2 v = *reinterpret_cast<const float2*>(x);
        values[0] = v.x;
        values[1 % RUN] = v.y;
    } else {
        values[0] = *x;
    }
}

// Rows first .. first + TILE - 1 of a matrix whose rows are step apart; zeros beyond its rows and columns.
template <int SIZE, int TILE>
__device__ __forceinline__ void load_tile(
    float* tile, const float* source, long long step, int first, const Attention& a) {
    using S = Shape<SIZE, TILE>;
    if (a.size == SIZE && first + TILE <= a.sequence && a.size % 4 == 0) {
        const int quads = SIZE / 4;
#pragma unroll 4
        for (int i = threadIdx.x; i < TILE * quads; i += 256) {
            int row = i / quads;
            int col = i % quads * 4;
            *reinterpret_cast<float4*>(tile + row * S::PITCH + col) =
                *reinterpret_cast<const float4*>(source + (first + row) * step + col);
        }
        return;
    }
    for (int i = threadIdx.x; i < TILE * SIZE; i += 256) {
        int row = i / SIZE;
        int col = i % SIZE;
        bool inside = first + row < a.sequence && col < a.size;
        tile[row * S::PITCH + col] = inside ? source[(first + row) * step + col] : 0.0f;
    }
}

// sums[i][j] = chain over features of left[y + 16i] * right[x + 16j].
template <int SIZE, int TILE>
__device__ __forceinline__ void multiply_features(
    float (&sums)[TILE / 16][TILE / 16], const float* left, const float* right, int size) {
    using S = Shape<SIZE, TILE>;
    const float* a = left + threadIdx.x / 16 * S::PITCH;
    const float* b = right + threadIdx.x % 16 * S::PITCH;
#pragma unroll
    for (int i = 0; i < S::PER; i++) {
#pragma unroll
        for (int j = 0; j < S::PER; j++) {
            sums[i][j] = 0.0f;
        }
    }
#pragma unroll 2
    for (int d = 0; d < size; d += 4) {
        float4 u[S::PER];
        float4 v[S::PER];
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
            u[i] = *reinterpret_cast<const float4*>(a + 16 * i * S::PITCH + d);
            v[i] = *reinterpret_cast<const float4*>(b + 16 * i * S::PITCH + d);
        }
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
#pragma unroll
            for (int j = 0; j < S::PER; j++) {
                float sum = __fmaf_rn(u[i].x, v[j].x, sums[i][j]);
                sum = __fmaf_rn(u[i].y, v[j].y, sum);
                sum = __fmaf_rn(u[i].z, v[j].z, sum);
                sums[i][j] = __fmaf_rn(u[i].w, v[j].w, sum);
            }
        }
    }
}

// The column of feature c of this thread.
template <int SIZE, int TILE>
__device__ __forceinline__ int column(int c) {
    using S = Shape<SIZE, TILE>;
    return c / S::RUN * 16 * S::RUN + threadIdx.x % 16 * S::RUN + c % S::RUN;
}

// sums[i][c] += chain over keys of weights[y + 16i][key] * values[key][column(c)], keys that the query sees, ascending.
template <int SIZE, int TILE, bool ALL>
__device__ __forceinline__ void add_weighted_keys(
    float (&sums)[TILE / 16][SIZE / 16],
    const float* weights,
    const float* values,
    const Attention& a,
    int queries,
    int keys) {
    using S = Shape<SIZE, TILE>;
    int y = threadIdx.x / 16;
    int end = ALL ? TILE : min(TILE, a.sequence - keys);
#pragma unroll 2
    for (int first = 0; first < end; first += 4) { // weights behind the end are there, and not seen
        float weight[S::PER][4];
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
            load_run<4>(weight[i], weights + (y + 16 * i) * S::SCORES + first);
        }
#pragma unroll
        for (int key = 0; key < 4; key++) {
#pragma unroll
            for (int c = 0; c < S::COLS; c += S::RUN) {
                float value[S::RUN];
                load_run<S::RUN>(value, values + (first + key) * S::PITCH + column<SIZE, TILE>(c));
#pragma unroll
                for (int i = 0; i < S::PER; i++) {
#pragma unroll
                    for (int r = 0; r < S::RUN; r++) {
                        float sum = __fmaf_rn(weight[i][key], value[r], sums[i][c + r]);
                        sums[i][c + r] =
                            ALL || sees(a, queries + y + 16 * i, keys + first + key) ? sum : sums[i][c + r];
                    }
                }
            }
        }
    }
}

// sums[i][c] += chain over queries of weights[query][PER * y + i] * values[query][column(c)], queries that see the key, ascending.
template <int SIZE, int TILE, bool ALL>
__device__ __forceinline__ void add_weighted_queries(
    float (&sums)[TILE / 16][SIZE / 16],
    const float* weights,
    const float* values,
    const Attention& a,
    int queries,
    int keys) {
    using S = Shape<SIZE, TILE>;
    int first = threadIdx.x / 16 * S::PER;
    int end = ALL ? TILE : min(TILE, a.sequence - queries);
#pragma unroll 2
    for (int query = 0; query < end; query++) {
        float weight[S::PER];
        load_run<S::PER>(weight, weights + query * S::SCORES + first);
#pragma unroll
        for (int c = 0; c < S::COLS; c += S::RUN) {
            float value[S::RUN];
            load_run<S::RUN>(value, values + query * S::PITCH + column<SIZE, TILE>(c));
#pragma unroll
            for (int i = 0; i < S::PER; i++) {
#pragma unroll
                for (int r = 0; r < S::RUN; r++) {
                    float sum = __fmaf_rn(weight[i], value[r], sums[i][c + r]);
                    sums[i][c + r] = ALL || sees(a, queries + query, keys + first + i) ? sum : sums[i][c + r];
                }
            }
        }
    }
}

template <int PER, int COLS>
__device__ __forceinline__ void clear(float (&sums)[PER][COLS]) {
#pragma unroll
    for (int i = 0; i < PER; i++) {
#pragma unroll
        for (int c = 0; c < COLS; c++) {
            sums[i][c] = 0.0f;
        }
    }
}

// Tiles of keys that queries from first on see.
template <int TILE>
__device__ __forceinline__ int tiles_seen(const Attention& a, int first) {
    int keys = a.causal ? min(a.sequence, first + TILE) : a.sequence;
    return (keys + TILE - 1) / TILE;
}

template <int SIZE, int TILE>
__device__ void forward(const float* qkv, float* out, float* logs, const Attention& a, long long tasks) {
    using S = Shape<SIZE, TILE>;
    extern __shared__ float4 shared4[];
    float* tileQ = reinterpret_cast<float*>(shared4);
    float* tileKv = tileQ + S::FEATURES;
    float* tileP = tileKv + S::FEATURES;
    int y = threadIdx.x / 16;
    int x = threadIdx.x % 16;
    int tiles = (a.sequence + TILE - 1) / TILE;
    for (long long work = blockIdx.x; work < tasks * tiles; work += gridDim.x) {
        Head head(a, work % tasks);
        int queries = (tiles - 1 - (int)(work / tasks)) * TILE; // the longest rows first
        int seen = tiles_seen<TILE>(a, queries);
        const float* k = qkv + head.qkv + head.width;
        const float* v = k + head.width;
        float s[S::PER][S::PER];
        float maximum[S::PER];
        float sum[S::PER];
        float o[S::PER][S::COLS];
        clear(o);
        load_tile<SIZE, TILE>(tileQ, qkv + head.qkv, 3 * head.width, queries, a);
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
            maximum[i] = __int_as_float(0xff800000);
            sum[i] = 0.0f;
        }
        for (int tile = 0; tile < seen; tile++) {
            load_tile<SIZE, TILE>(tileKv, k, 3 * head.width, tile * TILE, a);
            __syncthreads();
            multiply_features<SIZE, TILE>(s, tileQ, tileKv, a.size);
#pragma unroll
            for (int i = 0; i < S::PER; i++) {
#pragma unroll
                for (int j = 0; j < S::PER; j++) {
                    if (sees(a, queries + y + 16 * i, tile * TILE + x + 16 * j)) {
                        maximum[i] = max_or_nan(maximum[i], __fmul_rn(s[i][j], a.scale));
                    }
                }
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
#pragma unroll
            for (int other = 8; other > 0; other /= 2) {
                maximum[i] = max_or_nan(maximum[i], __shfl_xor_sync(0xffffffffu, maximum[i], other));
            }
        }
        for (int tile = 0; tile < seen; tile++) {
            int keys = tile * TILE;
            load_tile<SIZE, TILE>(tileKv, k, 3 * head.width, keys, a);
            __syncthreads();
            multiply_features<SIZE, TILE>(s, tileQ, tileKv, a.size);
#pragma unroll
            for (int i = 0; i < S::PER; i++) {
#pragma unroll
                for (int j = 0; j < S::PER; j++) {
                    float p = exp_exact(__fsub_rn(__fmul_rn(s[i][j], a.scale), maximum[i]));
                    p = sees(a, queries + y + 16 * i, keys + x + 16 * j) ? p : 0.0f;
                    sum[i] = __fadd_rn(sum[i], p); // adding +0 to what is never negative changes nothing
                    tileP[(y + 16 * i) * S::SCORES + x + 16 * j] = p;
                }
            }
            __syncthreads();
            load_tile<SIZE, TILE>(tileKv, v, 3 * head.width, keys, a);
            __syncthreads();
            if (all_see<TILE>(a, queries, keys)) {
                add_weighted_keys<SIZE, TILE, true>(o, tileP, tileKv, a, queries, keys);
            } else {
                add_weighted_keys<SIZE, TILE, false>(o, tileP, tileKv, a, queries, keys);
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
            int query = queries + y + 16 * i;
            float total = lanesum_fold_half_warp(sum[i]);
            float inverse = __fdiv_rn(1.0f, total);
            if (query < a.sequence) {
                if (x == 0) {
                    logs[head.logs + query] = (float)log_sum_exp(maximum[i], total);
                }
#pragma unroll
                for (int c = 0; c < S::COLS; c++) {
                    int col = column<SIZE, TILE>(c);
                    if (col < a.size) {
                        out[head.output + query * head.width + col] = __fmul_rn(o[i][c], inverse);
                    }
                }
            }
        }
    }
}

// Probabilities p = exp(s - log) and gradients dS = (p * (dP - rowDot)) * scale of a tile, into shared memory (p only where it is
// asked for); 0 where a query does not see a key.
template <int SIZE, int TILE, bool WITH_P>
__device__ __forceinline__ void score_gradients(
    const float* tileQ,
    const float* tileK,
    const float* tileDy,
    const float* tileV,
    float* tileP,
    float* tileDs,
    const float* logs,
    const float* rowDots,
    const Attention& a,
    int queries,
    int keys) {
    using S = Shape<SIZE, TILE>;
    int y = threadIdx.x / 16;
    int x = threadIdx.x % 16;
    float s[S::PER][S::PER];
    float dp[S::PER][S::PER];
    multiply_features<SIZE, TILE>(s, tileQ, tileK, a.size);
    multiply_features<SIZE, TILE>(dp, tileDy, tileV, a.size);
#pragma unroll
    for (int i = 0; i < S::PER; i++) {
        int query = queries + y + 16 * i;
        float log = query < a.sequence ? logs[query] : 0.0f;
        float rowDot = query < a.sequence ? rowDots[query] : 0.0f;
#pragma unroll
        for (int j = 0; j < S::PER; j++) {
            bool seen = sees(a, query, keys + x + 16 * j);
            float p = exp_exact(__fsub_rn(__fmul_rn(s[i][j], a.scale), log));
            float ds = __fmul_rn(__fmul_rn(p, __fsub_rn(dp[i][j], rowDot)), a.scale);
            int at = (y + 16 * i) * S::SCORES + x + 16 * j;
            tileDs[at] = seen ? ds : 0.0f;
            if (WITH_P) {
                tileP[at] = seen ? p : 0.0f;
            }
        }
    }
}

template <int SIZE, int TILE>
__device__ void backward_queries(
    const float* dy, const float* qkv, const float* logs, const float* rowDots, float* gradQkv, const Attention& a, long long tasks) {
    using S = Shape<SIZE, TILE>;
    extern __shared__ float4 shared4[];
    float* tileQ = reinterpret_cast<float*>(shared4);
    float* tileDy = tileQ + S::FEATURES;
    float* tileK = tileDy + S::FEATURES;
    float* tileV = tileK + S::FEATURES;
    float* tileDs = tileV + S::FEATURES;
    int tiles = (a.sequence + TILE - 1) / TILE;
    for (long long work = blockIdx.x; work < tasks * tiles; work += gridDim.x) {
        Head head(a, work % tasks);
        int queries = (tiles - 1 - (int)(work / tasks)) * TILE; // the longest rows first
        int seen = tiles_seen<TILE>(a, queries);
        const float* k = qkv + head.qkv + head.width;
        float dq[S::PER][S::COLS];
        clear(dq);
        load_tile<SIZE, TILE>(tileQ, qkv + head.qkv, 3 * head.width, queries, a);
        load_tile<SIZE, TILE>(tileDy, dy + head.output, head.width, queries, a);
        for (int tile = 0; tile < seen; tile++) {
            int keys = tile * TILE;
            load_tile<SIZE, TILE>(tileK, k, 3 * head.width, keys, a);
            load_tile<SIZE, TILE>(tileV, k + head.width, 3 * head.width, keys, a);
            __syncthreads();
            score_gradients<SIZE, TILE, false>(
                tileQ, tileK, tileDy, tileV, tileDs, tileDs, logs + head.logs, rowDots + head.logs, a, queries, keys);
            __syncthreads();
            if (all_see<TILE>(a, queries, keys)) {
                add_weighted_keys<SIZE, TILE, true>(dq, tileDs, tileK, a, queries, keys);
            } else {
                add_weighted_keys<SIZE, TILE, false>(dq, tileDs, tileK, a, queries, keys);
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
            int query = queries + threadIdx.x / 16 + 16 * i;
#pragma unroll
            for (int c = 0; c < S::COLS; c++) {
                int col = column<SIZE, TILE>(c);
                if (query < a.sequence && col < a.size) {
                    gradQkv[head.qkv + query * 3 * head.width + col] = dq[i][c];
                }
            }
        }
    }
}

template <int SIZE, int TILE>
__device__ void backward_keys(
    const float* dy, const float* qkv, const float* logs, const float* rowDots, float* gradQkv, const Attention& a, long long tasks) {
    using S = Shape<SIZE, TILE>;
    extern __shared__ float4 shared4[];
    float* tileK = reinterpret_cast<float*>(shared4);
    float* tileV = tileK + S::FEATURES;
    float* tileQ = tileV + S::FEATURES;
    float* tileDy = tileQ + S::FEATURES;
    float* tileP = tileDy + S::FEATURES;
    float* tileDs = tileP + TILE * S::SCORES;
    int tiles = (a.sequence + TILE - 1) / TILE;
    for (long long work = blockIdx.x; work < tasks * tiles; work += gridDim.x) {
        Head head(a, work % tasks);
        int keys = (int)(work / tasks) * TILE; // under a causal mask, the first keys have the most queries
        const float* k = qkv + head.qkv + head.width;
        float dk[S::PER][S::COLS];
        float dv[S::PER][S::COLS];
        clear(dk);
        clear(dv);
        load_tile<SIZE, TILE>(tileK, k, 3 * head.width, keys, a);
        load_tile<SIZE, TILE>(tileV, k + head.width, 3 * head.width, keys, a);
        for (int queries = a.causal ? keys : 0; queries < a.sequence; queries += TILE) {
            load_tile<SIZE, TILE>(tileQ, qkv + head.qkv, 3 * head.width, queries, a);
            load_tile<SIZE, TILE>(tileDy, dy + head.output, head.width, queries, a);
            __syncthreads();
            score_gradients<SIZE, TILE, true>(
                tileQ, tileK, tileDy, tileV, tileP, tileDs, logs + head.logs, rowDots + head.logs, a, queries, keys);
            __syncthreads();
            if (all_see<TILE>(a, queries, keys)) {
                add_weighted_queries<SIZE, TILE, true>(dk, tileDs, tileQ, a, queries, keys);
                add_weighted_queries<SIZE, TILE, true>(dv, tileP, tileDy, a, queries, keys);
            } else {
                add_weighted_queries<SIZE, TILE, false>(dk, tileDs, tileQ, a, queries, keys);
                add_weighted_queries<SIZE, TILE, false>(dv, tileP, tileDy, a, queries, keys);
            }
            __syncthreads();
        }
#pragma unroll
        for (int i = 0; i < S::PER; i++) {
            int key = keys + threadIdx.x / 16 * S::PER + i;
#pragma unroll
            for (int c = 0; c < S::COLS; c++) {
                int col = column<SIZE, TILE>(c);
                if (key < a.sequence && col < a.size) {
                    long long at = head.qkv + key * 3 * head.width + col;
                    gradQkv[at + head.width] = dk[i][c];
                    gradQkv[at + 2 * head.width] = dv[i][c];
                }
            }
        }
    }
}

} // namespace

// rowDots[head, token] = LaneSum of dy * out over the features of a head. A half warp a row; laid out like the logs.
extern "C" __global__ void attention_row_dots(
    const float* __restrict__ dy, const float* __restrict__ out, float* __restrict__ rowDots, Attention a, long long tasks) {
    long long rows = tasks * a.sequence;
    long long step = (long long)gridDim.x * (blockDim.x / NIBBLE_LANES);
    long long first = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
    for (long long base = 0; base < rows; base += step) { // all lanes of a warp together
        long long row = base + first;
        bool there = row < rows;
        Head head(a, there ? row / a.sequence : 0);
        long long at = head.output + row % a.sequence * head.width;
        float sum = lanesum_half_warp(there ? a.size : 0, LaneSumOfProducts{dy + at, out + at});
        if (there && threadIdx.x % NIBBLE_LANES == 0) {
            rowDots[row] = sum;
        }
    }
}

// The kernels of heads up to SIZE, with the dynamic shared memory of forward (2 tiles of features and one of scores), of the gradient
// of queries (4 and one) and of that of keys and values (4 and two). Blocks of 256 threads.
#define ATTENTION_KERNELS(SIZE, FORWARD_TILE, BACKWARD_TILE, BLOCKS)                                                              \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) attention_forward_##SIZE(                                         \
        const float* __restrict__ qkv, float* __restrict__ out, float* __restrict__ logs, Attention a, long long tasks) {       \
        forward<SIZE, FORWARD_TILE>(qkv, out, logs, a, tasks);                                                                   \
    }                                                                                                                           \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) attention_backward_queries_##SIZE(                                \
        const float* __restrict__ dy, const float* __restrict__ qkv, const float* __restrict__ logs,                            \
        const float* __restrict__ rowDots, float* __restrict__ gradQkv, Attention a, long long tasks) {                         \
        backward_queries<SIZE, BACKWARD_TILE>(dy, qkv, logs, rowDots, gradQkv, a, tasks);                                        \
    }                                                                                                                           \
    extern "C" __global__ void __launch_bounds__(256, BLOCKS) attention_backward_keys_##SIZE(                                   \
        const float* __restrict__ dy, const float* __restrict__ qkv, const float* __restrict__ logs,                            \
        const float* __restrict__ rowDots, float* __restrict__ gradQkv, Attention a, long long tasks) {                         \
        backward_keys<SIZE, BACKWARD_TILE>(dy, qkv, logs, rowDots, gradQkv, a, tasks);                                           \
    }

ATTENTION_KERNELS(16, 64, 64, 2)
ATTENTION_KERNELS(32, 64, 64, 2)
ATTENTION_KERNELS(64, 64, 64, 2)
ATTENTION_KERNELS(128, 64, 32, 2)
ATTENTION_KERNELS(256, 32, 16, 1)
