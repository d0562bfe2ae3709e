// Attention of tokens that follow those of a cache of keys and values (dev.nibble.reference.ReferenceCachedAttention), FP32, to the
// plain code's bits: every product is a chain of fma, features or keys ascending, the softmax's sum a LaneSum. Positions are read from
// memory, so that the launches of one token are those of the next.
//
// Of head t = sequence * heads + head the cache holds keys [size, capacity] in row 2t and values [capacity, size] in row 2t + 1.
#include "exponential.cuh"
#include "lanesum.cuh"

namespace {

// dev.nibble.backend.cuda.CudaCachedAttention writes it.
struct Cache {
    int rows;    // of each sequence
    int capacity;
    int heads;
    int size;    // features of a head
    float scale; // of the scores
};

__device__ __forceinline__ long long head_begin(const Cache& c, long long row, int head) {
    return 2 * (row / c.rows * c.heads + head) * c.capacity * c.size;
}

__device__ __forceinline__ bool is_place(const Cache& c, int place) { return place >= 0 && place < c.capacity; }

} // namespace

// Turns q and k of each row by the angles of its position, and puts k and v into the cache. A block is a row.
// angles: [capacity, size / 2] pairs (cosine, sine), or null; qkv: [rows, 3 * heads * size].
extern "C" __global__ void cache_put(
    float* __restrict__ qkv,
    const int* __restrict__ places,
    const float2* __restrict__ angles,
    float* __restrict__ cache,
    Cache c,
    long long rows) {
    int half = c.size / 2;
    int pairs = c.heads * half; // of q, of k, of v
    long long width = (long long)c.heads * c.size;
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        int place = places[row];
        if (!is_place(c, place)) {
            continue;
        }
        for (int pair = threadIdx.x; pair < 3 * pairs; pair += blockDim.x) {
            int part = pair / pairs; // 0: q, 1: k, 2: v
            int head = (pair - part * pairs) / half;
            int i = pair % half;
            float* first = qkv + row * 3 * width + part * width + (long long)head * c.size + i;
            float a = first[0];
            float b = first[half];
            if (part < 2 && angles != nullptr) {
                float2 angle = angles[(long long)place * half + i];
                float turned = __fmaf_rn(a, angle.x, -__fmul_rn(b, angle.y));
                b = __fmaf_rn(b, angle.x, __fmul_rn(a, angle.y));
                a = turned;
                first[0] = a;
                first[half] = b;
            }
            float* keys = cache + head_begin(c, row, head);
            if (part == 1) {
                keys[(long long)i * c.capacity + place] = a;
                keys[(long long)(i + half) * c.capacity + place] = b;
            } else if (part == 2) {
                float* value = keys + (long long)(c.capacity + place) * c.size;
                value[i] = a;
                value[i + half] = b;
            }
        }
    }
}

// out[row] = softmax(q * keys * scale) * values over positions 0 .. places[row]; NaN where that is no position. A block is a head of a row.
// Shared memory: q, [size] filled up to a multiple of 4, since it is read by fours, then the weights of the keys, [capacity].
extern "C" __global__ void cached_attention(
    const float* __restrict__ qkv,
    const int* __restrict__ places,
    const float* __restrict__ cache,
    float* __restrict__ out,
    Cache c,
    long long rows) {
    extern __shared__ float q[];
    __shared__ float maxima[32];
    __shared__ float total;
    float* p = q + (c.size + 3) / 4 * 4;
    long long width = (long long)c.heads * c.size;
    int warps = blockDim.x / 32;
    for (long long task = blockIdx.x; task < rows * c.heads; task += gridDim.x) {
        long long row = task / c.heads;
        int head = (int)(task % c.heads);
        int place = places[row];
        int seen = is_place(c, place) ? place + 1 : 0;
        const float* keys = cache + head_begin(c, row, head);
        const float* values = keys + (long long)c.capacity * c.size;
        float* target = out + row * width + (long long)head * c.size;
        __syncthreads(); // before the next task's q replaces this one's
        for (int d = threadIdx.x; d < c.size; d += blockDim.x) {
            q[d] = qkv[row * 3 * width + (long long)head * c.size + d];
        }
        __syncthreads();
        float maximum = __int_as_float(0xff800000);
        for (int key = threadIdx.x; key < seen; key += blockDim.x) {
            float sum = 0.0f;
#pragma unroll 8
            for (int d = 0; d < c.size; d++) {
                sum = __fmaf_rn(q[d], keys[(long long)d * c.capacity + key], sum);
            }
            float s = __fmul_rn(sum, c.scale);
            p[key] = s;
            maximum = max_or_nan(maximum, s);
        }
#pragma unroll
        for (int other = 16; other > 0; other /= 2) {
            maximum = max_or_nan(maximum, __shfl_xor_sync(0xffffffffu, maximum, other));
        }
        if (threadIdx.x % 32 == 0) {
            maxima[threadIdx.x / 32] = maximum;
        }
        __syncthreads();
        for (int warp = 0; warp < warps; warp++) {
            maximum = max_or_nan(maximum, maxima[warp]);
        }
        for (int key = threadIdx.x; key < seen; key += blockDim.x) {
            p[key] = exp_exact(__fsub_rn(p[key], maximum));
        }
        float inverse = __fdiv_rn(1.0f, lanesum_block(seen, LaneSumOf{p}, &total)); // waits for all weights
        for (int d = threadIdx.x; d < c.size; d += blockDim.x) {
            float sum = 0.0f;
#pragma unroll 8
            for (int key = 0; key < seen; key++) {
                sum = __fmaf_rn(p[key], values[(long long)key * c.size + d], sum);
            }
            target[d] = seen == 0 ? __int_as_float(0x7fffffff) : __fmul_rn(sum, inverse);
        }
    }
}
