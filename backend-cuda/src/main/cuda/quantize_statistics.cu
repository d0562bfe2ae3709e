// What is known of a matrix before it is rounded: amax of each group, moments, scales, quantiles, the statistics vector
// (dev.nibble.reference.ScaleGrid, Moments, GroupScale, BlockMetric).
#include "lanesum.cuh"
#include "quantize.cuh"

#define STRIP_ROWS 32 // rows that a warp takes at once

// Bits of the largest magnitude of a matrix of n elements; atomics on integers lose no NaN. Nothing is done while a given scale is
// in force: state, if not null, is positive then, and the codes' pass measures, too.
extern "C" __global__ void __launch_bounds__(256) amax_matrix(
    const float* __restrict__ x, long long n, const float* state, uint32_t* amax) {
    if (state != nullptr && *state > 0.0f) {
        return;
    }
    uint32_t largest = 0;
    long long stride = (long long)gridDim.x * blockDim.x;
    long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long fours = n / 4;
#pragma unroll 4
    for (long long i = first; i < fours; i += stride) {
        float4 v = ((const float4*)x)[i];
        largest = max(largest, max(max(magnitude_bits(v.x), magnitude_bits(v.y)), max(magnitude_bits(v.z), magnitude_bits(v.w))));
    }
    for (long long i = 4 * fours + first; i < n; i += stride) {
        largest = max(largest, magnitude_bits(x[i]));
    }
    __shared__ uint32_t warps[8];
    largest = __reduce_max_sync(0xFFFFFFFFu, largest);
    if ((threadIdx.x & 31) == 0) {
        warps[threadIdx.x >> 5] = largest;
    }
    __syncthreads();
    if (threadIdx.x == 0) {
        for (int warp = 1; warp < 8; warp++) {
            largest = max(largest, warps[warp]);
        }
        if (largest != 0) {
            atomicMax(amax, largest);
        }
    }
}

// Puts the maxima of four columns of each lane into the groups of one row of blocks.
static __device__ __forceinline__ void flush_amaxes(
    const Grid& grid, uint32_t* amaxes, int rowGroup, long long col, long long cols, const uint32_t (&largest)[4]) {
    long long line = (long long)rowGroup * grid.strideRow;
    bool whole = grid.colBlocks == 1 || grid.width % TILE_COLS == 0;
    if (whole) { // a warp's columns lie in one block
        uint32_t m = max(max(largest[0], largest[1]), max(largest[2], largest[3]));
        m = __reduce_max_sync(0xFFFFFFFFu, m);
        if ((threadIdx.x & 31) == 0 && m != 0) {
            atomicMax(amaxes + line + (col < cols ? col / grid.width * grid.strideCol : 0), m);
        }
        return;
    }
#pragma unroll
    for (int j = 0; j < 4; j++) {
        if (col + j < cols && largest[j] != 0) {
            atomicMax(amaxes + line + (col + j) / grid.width * grid.strideCol, largest[j]);
        }
    }
}

// Bits of the amax of each group of one or two grids over the same matrix; amaxes must be 0 before.
extern "C" __global__ void __launch_bounds__(256) amax_groups(
    const float* __restrict__ x,
    long long rows,
    long long cols,
    int vector,
    const Grid first,
    uint32_t* firstAmaxes,
    const Grid second,
    uint32_t* secondAmaxes, // null: one grid
    uint32_t* amax) {
    long long across = (cols + TILE_COLS - 1) / TILE_COLS;
    long long down = (rows + STRIP_ROWS - 1) / STRIP_ROWS;
    long long warps = (long long)gridDim.x * (blockDim.x >> 5);
    int lane = threadIdx.x & 31;
    uint32_t all = 0;
    for (long long strip = (long long)blockIdx.x * (blockDim.x >> 5) + (threadIdx.x >> 5); strip < across * down;
         strip += warps) {
        long long row0 = strip / across * STRIP_ROWS;
        long long col = strip % across * TILE_COLS + 4 * lane;
        int count = (int)min((long long)STRIP_ROWS, rows - row0);
        uint32_t one[4] = {0, 0, 0, 0};
        uint32_t two[4] = {0, 0, 0, 0};
        int oneGroup = (int)(row0 / first.height);
        int twoGroup = secondAmaxes != nullptr ? (int)(row0 / second.height) : 0;
        int oneLeft = first.height - (int)(row0 % first.height);
        int twoLeft = secondAmaxes != nullptr ? second.height - (int)(row0 % second.height) : 0;
#pragma unroll 4
        for (int i = 0; i < count; i++) {
            float4 v = load_four(x, (int)row0 + i, (int)col, (int)rows, (int)cols, vector);
            uint32_t m[4] = {magnitude_bits(v.x), magnitude_bits(v.y), magnitude_bits(v.z), magnitude_bits(v.w)};
#pragma unroll
            for (int j = 0; j < 4; j++) {
                one[j] = max(one[j], m[j]);
                two[j] = max(two[j], m[j]);
                all = max(all, m[j]);
            }
            bool last = i == count - 1;
            if (--oneLeft == 0 || last) {
                flush_amaxes(first, firstAmaxes, oneGroup, col, cols, one);
                one[0] = one[1] = one[2] = one[3] = 0;
                oneLeft = first.height;
                oneGroup++;
            }
            if (secondAmaxes != nullptr && (--twoLeft == 0 || last)) {
                flush_amaxes(second, secondAmaxes, twoGroup, col, cols, two);
                two[0] = two[1] = two[2] = two[3] = 0;
                twoLeft = second.height;
                twoGroup++;
            }
        }
    }
    all = __reduce_max_sync(0xFFFFFFFFu, all);
    if (lane == 0 && all != 0) {
        atomicMax(amax, all);
    }
}

// Adds four elements of a row to the partial sums of a thread.
static __device__ __forceinline__ void add_moments(const float4& v, float4& size, float4& square) {
    size.x = __fadd_rn(size.x, fabsf(v.x));
    size.y = __fadd_rn(size.y, fabsf(v.y));
    size.z = __fadd_rn(size.z, fabsf(v.z));
    size.w = __fadd_rn(size.w, fabsf(v.w));
    square.x = __fmaf_rn(v.x, v.x, square.x);
    square.y = __fmaf_rn(v.y, v.y, square.y);
    square.z = __fmaf_rn(v.z, v.z, square.z);
    square.w = __fmaf_rn(v.w, v.w, square.w);
}

static __device__ __forceinline__ uint32_t largest_of(const float4& v) {
    return max(max(magnitude_bits(v.x), magnitude_bits(v.y)), max(magnitude_bits(v.z), magnitude_bits(v.w)));
}

#define MOMENT_LOADS 8 // vectors that a thread has on their way

// Sums of |x| and of x * x along each row by LaneSum, four threads a row, and the largest magnitude. Nothing is done while a given
// scale is in force: state, if not null, is positive then.
extern "C" __global__ void __launch_bounds__(256) moments_rows(
    const float* __restrict__ x,
    long long rows,
    long long cols,
    int vector,
    const float* state,
    float* magnitudes, // [rows]
    float* squares,    // [rows]
    uint32_t* amax) {
    if (state != nullptr && *state > 0.0f) {
        return;
    }
    long long rowsAtOnce = (long long)gridDim.x * blockDim.x / 4;
    long long rounds = (rows + rowsAtOnce - 1) / rowsAtOnce;
    int quarter = threadIdx.x & 3;
    int width = (int)cols;
    uint32_t largest = 0;
    for (long long round = 0; round < rounds; round++) { // the same number for all threads: they fold together
        long long row = round * rowsAtOnce + ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 4;
        float4 size = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        float4 square = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        int length = row < rows ? width : 0;
        int i = 4 * quarter;
        for (; i + 16 * (MOMENT_LOADS - 1) + 4 <= length; i += 16 * MOMENT_LOADS) {
            float4 v[MOMENT_LOADS];
#pragma unroll
            for (int load = 0; load < MOMENT_LOADS; load++) {
                v[load] = load_four(x, (int)row, i + 16 * load, (int)rows, width, vector);
            }
#pragma unroll
            for (int load = 0; load < MOMENT_LOADS; load++) {
                add_moments(v[load], size, square);
                largest = max(largest, largest_of(v[load]));
            }
        }
        for (; i < length; i += 16) { // 0 beyond the row adds nothing to sums that are not negative
            float4 v = load_four(x, (int)row, i, (int)rows, width, vector);
            add_moments(v, size, square);
            largest = max(largest, largest_of(v));
        }
        float sizes = lanesum_fold_quad(size);
        float sum = lanesum_fold_quad(square);
        if (row < rows && quarter == 0) {
            magnitudes[row] = sizes;
            squares[row] = sum;
        }
    }
    note_amax(amax, largest);
}

// moments = {mean |x|, mean x^2} of the rows' sums. One warp.
extern "C" __global__ void __launch_bounds__(32) moments_finish(
    const float* magnitudes, const float* squares, long long rows, long long cols, const float* state, float* moments) {
    if (state != nullptr && *state > 0.0f) {
        return;
    }
    float sum = lanesum_half_warp(rows, LaneSumOf{threadIdx.x < NIBBLE_LANES ? magnitudes : squares});
    if ((threadIdx.x & (NIBBLE_LANES - 1)) == 0) {
        moments[threadIdx.x / NIBBLE_LANES] = __fdiv_rn(sum, __ll2float_rn(rows * cols));
    }
}

// Scales of all groups: how they are applied, and as they are stored in the order of one or two grids.
extern "C" __global__ void __launch_bounds__(256) group_scales(
    const Rule rule,
    const Grid grid,
    const uint32_t* amaxes, // [groups]
    const float* moments,   // {mean |x|, mean x^2}; read by rules that need them
    float unit,             // factor of the stored scale
    float2* apply,          // [groups]
    float* scales,          // [groups]; null: not stored
    float* scalesOther) {   // [groups] in the order of the transposed grid; null: not wanted
    for (int g = blockIdx.x * blockDim.x + threadIdx.x; g < grid.groups; g += gridDim.x * blockDim.x) {
        GroupScale scale = scale_of(rule, amax_of_bits(amaxes[g]), moments);
        apply[g] = make_float2(scale.multiplier, scale.divisor);
        float stored = __fmul_rn(unit, scale.scale);
        if (scales != nullptr) {
            scales[g] = stored;
        }
        if (scalesOther != nullptr) {
            int slow = grid.strideRow == 1 ? grid.rowBlocks : grid.colBlocks; // the faster index of g
            int blocks = grid.strideRow == 1 ? grid.colBlocks : grid.rowBlocks;
            scalesOther[(long long)(g % slow) * blocks + g / slow] = stored;
        }
    }
}

// The value of a rank (from 1, ascending; NaN is the largest) among values that are not negative. One block of 1024 threads:
// eight bits of the answer a pass.
extern "C" __global__ void __launch_bounds__(1024) select_rank(
    const uint32_t* values, long long n, long long rank, float* result) {
    __shared__ unsigned long long counts[256];
    __shared__ uint32_t prefix;
    __shared__ long long left;
    if (threadIdx.x == 0) {
        prefix = 0;
        left = rank;
    }
    for (int shift = 24; shift >= 0; shift -= 8) {
        for (int i = threadIdx.x; i < 256; i += blockDim.x) {
            counts[i] = 0;
        }
        __syncthreads();
        uint32_t known = prefix;
        uint32_t mask = shift == 24 ? 0u : 0xFFFFFFFFu << (shift + 8);
        for (long long i = threadIdx.x; i < n; i += blockDim.x) {
            uint32_t bits = values[i] & 0x7FFFFFFFu;
            bits = bits > 0x7F800000u ? 0x7FC00000u : bits;
            if ((bits & mask) == known) {
                atomicAdd(counts + (bits >> shift & 255u), 1ull);
            }
        }
        __syncthreads();
        if (threadIdx.x == 0) {
            long long rest = left;
            int digit = 0;
            while ((unsigned long long)rest > counts[digit]) {
                rest -= (long long)counts[digit];
                digit++;
            }
            left = rest;
            prefix = known | (uint32_t)digit << shift;
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        *result = __uint_as_float(prefix);
    }
}

// What the statistics are made of; null where there is none of it.
struct Statistics {
    const uint32_t* amax;                // bits of the largest magnitude
    const int* flagged;                  // blocks that have a residual
    const float* threshold;              // that decided
    const float* median;                 // of the amaxes of the blocks
    const unsigned long long* saturated; // elements beyond the range of the codes
    const float* scale;                  // the one scale of the first plane
    long long blocks;                    // that could have a residual
    long long elements;
    NonFiniteRecord* record;
    int place;                           // whose operand it is
    int padding;
};

// The statistics vector, in the order of dev.nibble.quant.Statistic, and the note of an operand that is not finite. One thread.
extern "C" __global__ void write_statistics(const Statistics from, float* out) {
    float amax = amax_of_bits(*from.amax);
    out[0] = amax;
    out[1] = from.flagged != nullptr ? __fdiv_rn(__int2float_rn(*from.flagged), __ll2float_rn(from.blocks)) : 0.0f;
    out[2] = from.threshold != nullptr ? *from.threshold : 0.0f;
    out[3] = from.median == nullptr || amax == 0.0f ? 0.0f : __fdiv_rn(amax, *from.median);
    out[4] = from.saturated != nullptr
                 ? __fdiv_rn(__ull2float_rn(*from.saturated), __ll2float_rn(from.elements))
                 : 0.0f;
    out[5] = from.scale != nullptr ? *from.scale : 0.0f;
    if (!is_finite(amax)) {
        noteNonFinite(from.record, from.place);
    }
}
