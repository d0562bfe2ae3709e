// What is known of a matrix before it is rounded: amax of each group, moments, scales, quantiles, the statistics vector
// (dev.nibble.reference.ScaleGrid, Moments, GroupScale, BlockMetric).
#include "lanesum.cuh"
#include "moments.cuh"
#include "quantize.cuh"
#include "statistics.cuh"

#define STRIP_ROWS 32 // rows that a warp takes at once

// Bits of the largest magnitude of a matrix of n elements; atomics on integers lose no NaN. Nothing is done while a given scale is
// in force: state, if not null, is positive then, and the codes' pass measures, too.
extern "C" __global__ void __launch_bounds__(256) amax_matrix(
    const float* __restrict__ x, long long n, const float* state, uint32_t* amax) {
    if (state != nullptr && *state > 0.0f) {
        return;
    }
    float most = 0.0f;
    long long stride = (long long)gridDim.x * blockDim.x;
    long long first = (long long)blockIdx.x * blockDim.x + threadIdx.x;
    long long fours = n / 4;
#pragma unroll 4
    for (long long i = first; i < fours; i += stride) {
        most = largest_magnitude(most, ((const float4*)x)[i]);
    }
    for (long long i = 4 * fours + first; i < n; i += stride) {
        most = larger_magnitude(most, x[i]);
    }
    uint32_t largest = __float_as_uint(most);
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

#define LINE_WARPS 8
#define LINE_ROWS 16   // rows that a warp takes at once
#define LINE_VECTORS 4 // of a row that a thread holds

// Bits of the amax of each row, of each column, and of all; all must be 0 before. A block takes 128 rows of 512 columns.
extern "C" __global__ void __launch_bounds__(32 * LINE_WARPS, 4) amax_lines(
    const float* __restrict__ x,
    long long rows,
    long long cols,
    int vector,
    uint32_t* rowAmaxes, // [rows]
    uint32_t* colAmaxes, // [cols]
    uint32_t* amax) {
    constexpr int WIDTH = TILE_COLS * LINE_VECTORS;
    __shared__ __align__(16) float parts[LINE_WARPS][WIDTH];
    int warp = threadIdx.x >> 5;
    int lane = threadIdx.x & 31;
    long long across = (cols + WIDTH - 1) / WIDTH;
    long long down = (rows + LINE_WARPS * LINE_ROWS - 1) / (LINE_WARPS * LINE_ROWS);
    uint32_t all = 0;
    for (long long part = blockIdx.x; part < across * down; part += gridDim.x) {
        int row0 = (int)(part / across) * LINE_WARPS * LINE_ROWS + warp * LINE_ROWS;
        int col0 = (int)(part % across) * WIDTH;
        float4 most[LINE_VECTORS];
#pragma unroll
        for (int c = 0; c < LINE_VECTORS; c++) {
            most[c] = make_float4(0.0f, 0.0f, 0.0f, 0.0f);
        }
        uint32_t mine = 0; // amax of row row0 + lane
#pragma unroll 2
        for (int i = 0; i < LINE_ROWS; i++) {
            float4 v[LINE_VECTORS];
#pragma unroll
            for (int c = 0; c < LINE_VECTORS; c++) {
                v[c] = load_four(x, row0 + i, col0 + c * TILE_COLS + 4 * lane, (int)rows, (int)cols, vector);
            }
            float largest = 0.0f;
#pragma unroll
            for (int c = 0; c < LINE_VECTORS; c++) {
                most[c].x = larger_magnitude(most[c].x, v[c].x);
                most[c].y = larger_magnitude(most[c].y, v[c].y);
                most[c].z = larger_magnitude(most[c].z, v[c].z);
                most[c].w = larger_magnitude(most[c].w, v[c].w);
                largest = largest_magnitude(largest, v[c]);
            }
            uint32_t bits = __reduce_max_sync(0xFFFFFFFFu, __float_as_uint(largest));
            mine = lane == i ? bits : mine;
        }
        if (lane < LINE_ROWS && mine != 0) {
            atomicMax(rowAmaxes + row0 + lane, mine); // a row beyond the matrix has none
        }
        all = max(all, mine);
#pragma unroll
        for (int c = 0; c < LINE_VECTORS; c++) {
            *(float4*)&parts[warp][c * TILE_COLS + 4 * lane] = most[c];
        }
        __syncthreads();
        for (int i = threadIdx.x; i < WIDTH; i += 32 * LINE_WARPS) {
            float largest = 0.0f;
#pragma unroll
            for (int w = 0; w < LINE_WARPS; w++) {
                largest = larger_magnitude(largest, parts[w][i]);
            }
            if (largest != 0.0f) {
                atomicMax(colAmaxes + col0 + i, __float_as_uint(largest)); // nor has a column
            }
        }
        __syncthreads();
    }
    note_amax(amax, all);
}

extern __shared__ __align__(16) float momentStages[]; // [MOMENT_WARPS][MOMENT_FLOATS]

// Mean |x|, mean x^2 and the largest magnitude: LaneSum along each row, then over the rows. Each block has a warp for either mean; the
// one that begins last adds, so that it waits for rows of blocks that have begun. Nothing is done while a given scale is in force:
// state, if not null, is positive then.
extern "C" __global__ void __launch_bounds__(32 * (MOMENT_WARPS + 2)) moments_matrix(
    const float* __restrict__ x,
    long long rows,
    long long cols,
    int vector,
    const float* state,
    uint32_t* amax,
    uint32_t* begun,         // [2], warps that add the rows' sums; 0 before
    volatile uint32_t* sums, // of |x| and of x * x of each row: [2][rows]; 0 before
    float* moments) {        // {mean |x|, mean x^2}
    if (state != nullptr && *state > 0.0f) {
        return;
    }
    int lane = threadIdx.x & 31;
    int half = lane / NIBBLE_LANES;
    int warp = threadIdx.x >> 5;
    if (warp >= MOMENT_WARPS) {
        int which = warp - MOMENT_WARPS;
        uint32_t before = lane == 0 ? atomicAdd(begun + which, 1u) : 0;
        if (__shfl_sync(0xFFFFFFFFu, before, 0) + 1 == gridDim.x) {
            float sum = SumsOfRows{sums + which * rows, rows}.add();
            if (lane == 0) {
                moments[which] = __fdiv_rn(sum, __ll2float_rn(rows * cols));
            }
        }
        return;
    }
    int width = (int)cols;
    long long first = ((long long)blockIdx.x * MOMENT_WARPS + warp) * MOMENT_ROWS;
    long long step = (long long)gridDim.x * MOMENT_WARPS * MOMENT_ROWS;
    MomentStages coming = {momentStages + warp * MOMENT_FLOATS, x, rows, width, first, step, 0, 0, 0};
    if (vector) {
        for (int i = 0; i < MOMENT_STAGES - 1; i++) {
            coming.ask();
        }
    }
    float most = 0.0f;
    for (long long row0 = first; row0 < rows; row0 += step) {
        long long row = row0 + half;
        Moments own = {0.0f, 0.0f, most};
        if (vector) {
            for (int col = 0; col < width; col += MOMENT_COLS) {
                coming.ask();
                coming.add_to(own);
            }
        } else if (row < rows) {
#pragma unroll 8
            for (int i = lane % NIBBLE_LANES; i < width; i += NIBBLE_LANES) {
                own.add(x[row * cols + i]);
            }
        }
        most = own.most;
        float size = lanesum_fold_half_warp(own.size);
        float square = lanesum_fold_half_warp(own.square);
        if (row < rows && lane % NIBBLE_LANES == 0) {
            sums[row] = __float_as_uint(size) | SUM_IS_THERE;
            sums[rows + row] = __float_as_uint(square) | SUM_IS_THERE;
        }
    }
    note_amax(amax, __float_as_uint(most));
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

// Finds the next eight bits of the answer, and how many of the values that share them come before it. One warp, eight counts a
// lane.
static __device__ __forceinline__ void find_digit(
    const uint32_t* counts, uint32_t known, int shift, uint32_t& prefix, long long& left) {
    int lane = threadIdx.x;
    long long rest = left;
    uint32_t own = 0;
#pragma unroll
    for (int i = 0; i < 8; i++) {
        own += counts[8 * lane + i];
    }
    long long before = own; // of this lane and those below
    for (int below = 1; below < 32; below *= 2) {
        long long other = __shfl_up_sync(0xFFFFFFFFu, before, below);
        before += lane >= below ? other : 0;
    }
    before -= own;
    bool found = before < rest && rest <= before + own;
    __syncwarp();
    if (found) {
        int digit = 8 * lane;
        rest -= before;
        while (rest > counts[digit]) {
            rest -= counts[digit];
            digit++;
        }
        left = rest;
        prefix = known | (uint32_t)digit << shift;
    }
}

// The value of a rank (from 1, ascending; NaN is the largest) among values that are not negative. One block of 1024 threads:
// eight bits of the answer a pass.
extern "C" __global__ void __launch_bounds__(1024) select_rank(
    const uint32_t* values, long long n, long long rank, float* result) {
    __shared__ uint32_t counts[256];
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
                atomicAdd(counts + (bits >> shift & 255u), 1u);
            }
        }
        __syncthreads();
        if (threadIdx.x < 32) {
            find_digit(counts, known, shift, prefix, left);
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        *result = __uint_as_float(prefix);
    }
}

// One thread.
extern "C" __global__ void write_statistics(const Statistics from, float* out) {
    put_statistics(from, from.scale != nullptr ? *from.scale : 0.0f, out);
}
