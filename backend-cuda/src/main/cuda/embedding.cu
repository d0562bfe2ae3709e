// Rows of a table and their gradient (dev.nibble.reference.ReferenceEmbedding). No float atomics: each row of the table is summed by
// one thread a column, tokens ascending.
#include <stdint.h>

#define LISTED 2048 // tokens of a bucket that are summed together, at most
#define LOOKED_AT 4  // tokens of a thread at a time
#define AHEAD 16     // rows on their way while one is added

// y[t] = table[ids[t]]; a token that names no row becomes NaN.
extern "C" __global__ void embedding(
    const int* __restrict__ ids,
    const float* __restrict__ table,
    float* __restrict__ y,
    long long tokens,
    int vocabulary,
    int width) {
    for (long long token = blockIdx.x; token < tokens; token += gridDim.x) {
        int id = ids[token];
        bool known = id >= 0 && id < vocabulary;
        const float* source = table + (long long)(known ? id : 0) * width;
        float* target = y + token * width;
        if (known && width % 4 == 0) {
#pragma unroll 4
            for (int col = 4 * threadIdx.x; col < width; col += 4 * blockDim.x) {
                *reinterpret_cast<float4*>(target + col) = *reinterpret_cast<const float4*>(source + col);
            }
        } else {
            for (int col = threadIdx.x; col < width; col += blockDim.x) {
                target[col] = known ? source[col] : __int_as_float(0x7fffffff);
            }
        }
    }
}

// Four tokens' numbers; -1 behind the last. from is a multiple of 4.
static __device__ __forceinline__ int4 four_ids(const int* ids, long long from, long long tokens) {
    if (from + 3 < tokens) {
        return *reinterpret_cast<const int4*>(ids + from);
    }
    return make_int4(
        from < tokens ? ids[from] : -1, from + 1 < tokens ? ids[from + 1] : -1, from + 2 < tokens ? ids[from + 2] : -1, -1);
}

// Sorts a list ascending: bitonic, filled up to a power of two. All threads of the block come here.
static __device__ void sort_listed(unsigned long long* listed, int count) {
    int padded = 1;
    while (padded < count) {
        padded *= 2;
    }
    for (int i = count + threadIdx.x; i < padded; i += blockDim.x) {
        listed[i] = ~0ull;
    }
    __syncthreads();
    for (int run = 2; run <= padded; run *= 2) {
        for (int apart = run / 2; apart > 0; apart /= 2) {
            for (int pair = threadIdx.x; pair < padded / 2; pair += blockDim.x) {
                int low = 2 * pair - (pair & (apart - 1));
                int high = low + apart;
                unsigned long long a = listed[low];
                unsigned long long b = listed[high];
                if ((a > b) == ((low & run) == 0)) {
                    listed[low] = b;
                    listed[high] = a;
                }
            }
            __syncthreads();
        }
    }
}

// gradTable[ids[t]] += dy[t], t ascending. Rows of the table fall into buckets, id mod buckets; a block takes a bucket and
// blockDim.x columns (gridDim.y blocks take all columns), finds the bucket's tokens in order, 2048 at most at a time, sorts
// them by row, and adds them to it. blockDim.x = 256.
extern "C" __global__ void __launch_bounds__(256) embedding_backward(
    const int* __restrict__ ids,
    const float* __restrict__ dy,
    float* __restrict__ gradTable,
    long long tokens,
    int vocabulary,
    int width,
    int buckets) {
    __shared__ unsigned long long listed[LISTED]; // row of the table << 32 | token
    __shared__ int warpCounts[8];
    int lane = threadIdx.x % 32;
    int warp = threadIdx.x / 32;
    for (int bucket = blockIdx.x; bucket < buckets; bucket += gridDim.x) {
        long long from = 0;
        int4 later = four_ids(ids, LOOKED_AT * threadIdx.x, tokens);
        while (from < tokens) {
            int count = 0; // uniform in the block
            while (from < tokens && count <= LISTED - LOOKED_AT * (int)blockDim.x) {
                long long token = from + LOOKED_AT * threadIdx.x;
                int seen[LOOKED_AT];
                int found = 0;
                int4 now = later;
                later = four_ids(ids, token + LOOKED_AT * (long long)blockDim.x, tokens);
                int read[LOOKED_AT] = {now.x, now.y, now.z, now.w};
#pragma unroll
                for (int i = 0; i < LOOKED_AT; i++) {
                    int id = read[i];
                    bool mine = id >= 0 && id < vocabulary && (unsigned)id % (unsigned)buckets == (unsigned)bucket;
                    seen[i] = mine ? id : -1;
                    found += mine ? 1 : 0;
                }
                if (__syncthreads_or(found)) {
                    int before = found; // of this warp, up to this thread
#pragma unroll
                    for (int other = 1; other < 32; other *= 2) {
                        int theirs = __shfl_up_sync(0xffffffffu, before, other);
                        before += lane >= other ? theirs : 0;
                    }
                    if (lane == 31) {
                        warpCounts[warp] = before;
                    }
                    __syncthreads();
                    int at = count + before - found;
                    for (int other = 0; other < 8; other++) {
                        int theirs = warpCounts[other];
                        at += other < warp ? theirs : 0;
                        count += theirs;
                    }
#pragma unroll
                    for (int i = 0; i < LOOKED_AT; i++) {
                        if (seen[i] >= 0) {
                            listed[at] = (unsigned long long)seen[i] << 32 | (unsigned)(token + i);
                            at++;
                        }
                    }
                    __syncthreads();
                }
                from += LOOKED_AT * (long long)blockDim.x;
            }
            sort_listed(listed, count);
            for (int col = blockIdx.y * blockDim.x + threadIdx.x; col < width; col += gridDim.y * blockDim.x) {
                float* target = nullptr;
                float sum = 0.0f;
                for (int first = 0; first < count; first += AHEAD) { // several loads at a time, added in order
                    float values[AHEAD];
                    float before[AHEAD];  // of the table, where a row of it begins
                    unsigned begins = 0u; // bit i: one begins
#pragma unroll
                    for (int i = 0; i < AHEAD; i++) { // no branch, so that all loads are on their way together
                        int entry = min(first + i, count - 1);
                        unsigned long long now = listed[entry];
                        bool begin = entry == 0 || listed[max(entry - 1, 0)] >> 32 != now >> 32;
                        const float* value = dy + (long long)(unsigned)now * width + col;
                        const float* row = gradTable + (long long)(now >> 32) * width + col;
                        begins |= begin ? 1u << i : 0u;
                        values[i] = *value;
                        before[i] = *(begin ? row : value);
                    }
#pragma unroll
                    for (int i = 0; i < AHEAD; i++) {
                        if (first + i < count) {
                            if (begins >> i & 1) {
                                if (target != nullptr) {
                                    *target = sum;
                                }
                                target = gradTable + (long long)(listed[first + i] >> 32) * width + col;
                                sum = before[i];
                            }
                            sum = __fadd_rn(sum, values[i]);
                        }
                    }
                }
                if (target != nullptr) {
                    *target = sum;
                }
            }
            __syncthreads();
        }
    }
}
