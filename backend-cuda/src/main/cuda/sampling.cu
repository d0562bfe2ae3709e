// Which rows of dY enter a product (dev.nibble.reference.RowNorms, LeverageSampling): sums of squared codes, probabilities, draws,
// and lists of what is kept, ascending.
#include "element_code.cuh"
#include "philox.cuh"

#define MOST_TERMS 16
#define SOLVE_THREADS 1024
#define SOLVE_CACHED 32 // scores that a thread keeps in registers while lambda is searched
#define LARGEST_EXPONENT 15
#define NEVER (-1)
#define LIST_THREADS 1024

// The terms of a product as far as they decide what is drawn.
struct Terms {
    const float* scaleA[MOST_TERMS];
    const float* scaleB[MOST_TERMS];
    const unsigned long long* squaresA[MOST_TERMS]; // [tokens]
    const unsigned long long* squaresB[MOST_TERMS]; // [tokens]; of the weight gradient alone
    float weightA[MOST_TERMS];
    int planeA[MOST_TERMS];
    int count;
    int weightGradient;
};

static __device__ __forceinline__ unsigned int square_of(int format, uint32_t code) {
    int value;
    switch (format) {
        case FORMAT_INT8: value = (int8_t)code; break;
        case FORMAT_INT4: value = (int)(code << 28) >> 28; break;
        case FORMAT_UINT4: value = (int)(code & 15u); break;
        case FORMAT_E3M0: value = power_value(code & 7u, false); break;
        case FORMAT_E4M0: value = power_value(code & 0x7Fu, false); break;
        default: value = 0; // CudaSampling refuses other formats
    }
    return (unsigned int)(value * value);
}

static __device__ __forceinline__ int bits_of(int format) {
    return format == FORMAT_INT4 || format == FORMAT_UINT4 || format == FORMAT_E3M0 ? 4 : 8;
}

// Sum of code^2 of each row of an operand; padding is 0. A warp a row.
extern "C" __global__ void __launch_bounds__(256) squares_of_rows(
    const uint8_t* __restrict__ codes, long long pitchBytes, int format, long long rows, unsigned long long* squares) {
    long long warps = (long long)gridDim.x * (blockDim.x >> 5);
    int lane = threadIdx.x & 31;
    int bits = bits_of(format);
    for (long long row = (long long)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); row < rows; row += warps) {
        const uint32_t* line = (const uint32_t*)(codes + row * pitchBytes);
        unsigned long long sum = 0;
        for (long long word = lane; word < pitchBytes / 4; word += 32) {
            uint32_t packed = line[word];
            unsigned int part = 0; // at most 4 * 256^2
            for (int shift = 0; shift < 32; shift += bits) {
                part += square_of(format, packed >> shift & (bits == 4 ? 15u : 255u));
            }
            sum += part;
        }
        for (int other = 16; other > 0; other /= 2) {
            sum += __shfl_xor_sync(0xFFFFFFFFu, sum, other);
        }
        if (lane == 0) {
            squares[row] = sum;
        }
    }
}

// Sum of code^2 at each index of an operand's contraction; squares must be 0 before. A thread takes four bytes of 128 rows.
extern "C" __global__ void __launch_bounds__(256) squares_of_columns(
    const uint8_t* __restrict__ codes,
    long long pitchBytes,
    int format,
    long long rows,
    long long k,
    unsigned long long* squares) {
    int bits = bits_of(format);
    int perWord = 32 / bits;
    long long words = (k + perWord - 1) / perWord;
    long long strips = (rows + 127) / 128;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < words * strips;
         i += (long long)gridDim.x * blockDim.x) {
        long long word = i % words;
        long long from = i / words * 128;
        long long to = min(rows, from + 128);
        unsigned int sums[8] = {}; // at most 128 * 256^2
        for (long long row = from; row < to; row++) {
            uint32_t packed = *(const uint32_t*)(codes + row * pitchBytes + 4 * word);
#pragma unroll
            for (int e = 0; e < 8; e++) {
                if (e < perWord) {
                    sums[e] += square_of(format, packed >> (e * bits) & (bits == 4 ? 15u : 255u));
                }
            }
        }
#pragma unroll
        for (int e = 0; e < 8; e++) {
            long long at = word * perWord + e;
            if (e < perWord && at < k && sums[e] != 0) {
                atomicAdd(squares + at, (unsigned long long)sums[e]);
            }
        }
    }
}

// Whether rows are drawn at all: a plane whose scale is not finite has nothing to draw by.
static __device__ __forceinline__ bool draws(const Terms& terms) {
    bool finite = true;
    for (int t = 0; t < terms.count; t++) {
        finite = finite && is_finite(*terms.scaleA[t]) && is_finite(*terms.scaleB[t]);
    }
    return finite;
}

static __device__ __forceinline__ float root_of(unsigned long long squares) {
    return __fsqrt_rn(__ull2float_rn(squares));
}

// scores [terms][tokens]
extern "C" __global__ void __launch_bounds__(256) sampling_scores(const Terms terms, long long tokens, float* scores) {
    long long n = tokens * terms.count;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        int t = (int)(i / tokens);
        long long token = i % tokens;
        float scale = fabsf(__fmul_rn(terms.weightA[t], *terms.scaleA[t]));
        float score = __fmul_rn(scale, root_of(terms.squaresA[t][token]));
        if (terms.weightGradient) {
            score = __fmul_rn(score, root_of(terms.squaresB[t][token]));
        }
        scores[i] = score;
    }
}

// p * 2^24 of a row: p = min(1, lambda * score), rounded down, at least 2^-24 where the score is not 0.
static __device__ __forceinline__ unsigned int grid_probability(float score, float lambda) {
    if (score == 0.0f) {
        return 0;
    }
    float p = __fmul_rn(lambda, score);
    p = p > 1.0f ? 1.0f : p; // NaN stays, and becomes 0 next
    return max(1u, __float2uint_rz(__fmul_rn(p, 0x1p24f)));
}

// j of a row, p = 2^-j: the largest p that is not above lambda * score, at least 2^-15; NEVER where the score is 0.
static __device__ __forceinline__ int exponent_of(float score, float lambda) {
    if (score == 0.0f) {
        return NEVER;
    }
    int below = (int)(__float_as_uint(__fmul_rn(lambda, score)) >> 23) - 127;
    return max(0, min(LARGEST_EXPONENT, -below));
}

static __device__ __forceinline__ unsigned int share_of(float score, float lambda, int weightGradient) {
    if (!weightGradient) {
        return grid_probability(score, lambda);
    }
    int exponent = exponent_of(score, lambda);
    return exponent == NEVER ? 0u : 1u << (LARGEST_EXPONENT - exponent);
}

// lambda: the largest float for which the sum of all shares, an exact integer, stays within the limit; 0 if none does. Bisection
// on its bits: floats that are not negative are ordered as their bits are. One block.
extern "C" __global__ void __launch_bounds__(SOLVE_THREADS) sampling_solve(
    const float* scores, long long n, unsigned long long limit, int weightGradient, float* lambda) {
    __shared__ unsigned long long parts[SOLVE_THREADS / 32];
    __shared__ unsigned long long total;
    float cached[SOLVE_CACHED];
#pragma unroll
    for (int i = 0; i < SOLVE_CACHED; i++) {
        long long at = (long long)i * SOLVE_THREADS + threadIdx.x;
        cached[i] = at < n ? scores[at] : 0.0f; // a score of 0 adds nothing
    }
    unsigned int low = 0;
    unsigned int high = 0x7F7FFFFFu;
    while (low < high) {
        unsigned int middle = low + (high - low + 1) / 2;
        float candidate = __uint_as_float(middle);
        unsigned long long sum = 0;
#pragma unroll
        for (int i = 0; i < SOLVE_CACHED; i++) {
            sum += share_of(cached[i], candidate, weightGradient);
        }
        for (long long at = (long long)SOLVE_CACHED * SOLVE_THREADS + threadIdx.x; at < n; at += SOLVE_THREADS) {
            sum += share_of(scores[at], candidate, weightGradient);
        }
        for (int other = 16; other > 0; other /= 2) {
            sum += __shfl_xor_sync(0xFFFFFFFFu, sum, other);
        }
        if ((threadIdx.x & 31) == 0) {
            parts[threadIdx.x >> 5] = sum;
        }
        __syncthreads();
        if (threadIdx.x < 32) {
            sum = parts[threadIdx.x];
            for (int other = 16; other > 0; other /= 2) {
                sum += __shfl_xor_sync(0xFFFFFFFFu, sum, other);
            }
            if (threadIdx.x == 0) {
                total = sum;
            }
        }
        __syncthreads();
        if (total <= limit) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    if (threadIdx.x == 0) {
        *lambda = __uint_as_float(low);
    }
}

// weights [terms][tokens]: 1/p of a row that is kept, 0 of one that is not; 1 where nothing is drawn.
extern "C" __global__ void __launch_bounds__(256) sampling_weights(
    const Terms terms,
    long long tokens,
    const float* scores,
    const float* lambda,
    const StepInfo* step,
    uint32_t address,
    float* weights) {
    DrawStream stream = step_stream(step, address);
    bool drawn = draws(terms);
    long long n = tokens * terms.count;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        if (!drawn) {
            weights[i] = 1.0f;
            continue;
        }
        float p = __fmul_rn(__uint2float_rn(grid_probability(scores[i], *lambda)), 0x1p-24f);
        long long element = (long long)terms.planeA[i / tokens] * tokens + i % tokens;
        weights[i] = draw_uniform(stream, (unsigned long long)element) < p ? __fdiv_rn(1.0f, p) : 0.0f;
    }
}

// exponents [terms][tokens]: j of a token that is kept, NEVER of one that is not; 0 where nothing is drawn. counts
// [16][terms], of the tokens with each j, must be 0 before.
extern "C" __global__ void __launch_bounds__(256) sampling_exponents(
    const Terms terms,
    long long tokens,
    const float* scores,
    const float* lambda,
    const StepInfo* step,
    uint32_t address,
    int8_t* exponents,
    int* counts) {
    DrawStream stream = step_stream(step, address);
    bool drawn = draws(terms);
    long long n = tokens * terms.count;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        int t = (int)(i / tokens);
        int exponent = drawn ? exponent_of(scores[i], *lambda) : 0;
        if (exponent > 0) {
            long long element = (long long)terms.planeA[t] * tokens + i % tokens;
            float p = __uint_as_float((uint32_t)(127 - exponent) << 23);
            exponent = draw_uniform(stream, (unsigned long long)element) < p ? exponent : NEVER;
        }
        exponents[i] = (int8_t)exponent;
        if (exponent != NEVER) {
            atomicAdd(counts + exponent * terms.count + t, 1);
        }
    }
}

// Writes the indices i of 0 .. n - 1 for which keep(i), ascending, and returns their number to all threads. All threads of the
// block come here.
template <class Keep>
static __device__ int list_kept(long long n, int* list, Keep keep) {
    __shared__ int warps[LIST_THREADS / 32];
    int lane = threadIdx.x & 31;
    int warp = threadIdx.x >> 5;
    int base = 0;
    for (long long from = 0; from < n; from += LIST_THREADS) {
        long long i = from + threadIdx.x;
        bool kept = i < n && keep(i);
        unsigned int ballot = __ballot_sync(0xFFFFFFFFu, kept);
        if (lane == 0) {
            warps[warp] = __popc(ballot);
        }
        __syncthreads();
        int before = base;
        int all = 0;
        for (int w = 0; w < LIST_THREADS / 32; w++) {
            before += w < warp ? warps[w] : 0;
            all += warps[w];
        }
        if (kept) {
            list[before + __popc(ballot & ((1u << lane) - 1))] = (int)i;
        }
        base += all;
        __syncthreads();
    }
    return base;
}

static __device__ __forceinline__ void fill_tail(int* list, long long from, long long to) {
    for (long long i = from + threadIdx.x; i < to; i += LIST_THREADS) {
        list[i] = -1;
    }
}

// Block t < terms lists the tokens that term t keeps, rows [terms][tokens]; block "terms" those that any term keeps.
extern "C" __global__ void __launch_bounds__(LIST_THREADS) sampling_list_rows(
    const float* weights, long long tokens, int terms, int* rows, int* counts, int* any, int* anyCount) {
    int t = blockIdx.x;
    bool one = t < terms;
    int* list = one ? rows + t * tokens : any;
    int count = list_kept(tokens, list, [&](long long i) {
        if (one) {
            return weights[t * tokens + i] != 0.0f;
        }
        bool kept = false;
        for (int term = 0; term < terms; term++) {
            kept = kept || weights[term * tokens + i] != 0.0f;
        }
        return kept;
    });
    fill_tail(list, count, tokens);
    if (threadIdx.x == 0) {
        *(one ? counts + t : anyCount) = count;
    }
}

// Block s lists the tokens of segment s = j * terms + t behind those of the segments before it; bounds [16 * terms + 1].
extern "C" __global__ void __launch_bounds__(LIST_THREADS) sampling_list_tokens(
    const int8_t* exponents, long long tokens, int terms, const int* counts, int* list, int* bounds) {
    int segment = blockIdx.x;
    int from = 0;
    for (int s = 0; s < segment; s++) {
        from += counts[s];
    }
    int exponent = segment / terms;
    const int8_t* line = exponents + segment % terms * tokens;
    int count = list_kept(tokens, list + from, [&](long long i) { return line[i] == exponent; });
    if (threadIdx.x == 0) {
        bounds[segment] = from;
    }
    if (segment == (LARGEST_EXPONENT + 1) * terms - 1) {
        fill_tail(list, from + count, tokens * terms);
        if (threadIdx.x == 0) {
            bounds[segment + 1] = from + count;
        }
    }
}
