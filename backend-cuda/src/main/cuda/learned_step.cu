// Learned steps (dev.nibble.reference.ReferenceLearnedStep): the gradient of a step, the straight-through gradient, and the search
// for a block size of the Hadamard transform.
#include "element_code.cuh"
#include "lanesum.cuh"
#include "transform.cuh"

#define FINISH_THREADS 1024 // of what adds the rows' sums

// Along each row, t = y / step: sums[row] = LaneSum of r * (rint(t) - t inside, +-top outside) by fma; r stays where t is inside
// +-top, and is 0 elsewhere. A half warp a row.
extern "C" __global__ void __launch_bounds__(256) straight_through(
    float* r, const float* __restrict__ y, const float* step, float top, long long rows, long long cols, float* sums) {
    long long halves = (long long)gridDim.x * blockDim.x / NIBBLE_LANES;
    long long rounds = (rows + halves - 1) / halves;
    float s = *step;
    for (long long round = 0; round < rounds; round++) { // the same number for all threads: they fold together
        long long row = round * halves + ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
        bool valid = row < rows;
        float partial = 0.0f;
#pragma unroll 4
        for (long long i = threadIdx.x & (NIBBLE_LANES - 1); valid && i < cols; i += NIBBLE_LANES) {
            long long at = row * cols + i;
            float t = __fdiv_rn(y[at], s);
            float delta = fabsf(t) > top ? copysignf(top, t) : __fsub_rn(rintf(t), t);
            float gradient = r[at];
            partial = __fmaf_rn(gradient, delta, partial);
            r[at] = fabsf(t) <= top ? gradient : 0.0f;
        }
        float sum = lanesum_fold_half_warp(partial);
        if (valid && (threadIdx.x & (NIBBLE_LANES - 1)) == 0) {
            sums[row] = sum;
        }
    }
}

// stepGradient += (LaneSum of the rows' sums) * gain. One block.
extern "C" __global__ void __launch_bounds__(FINISH_THREADS) step_gradient(
    const float* sums, long long rows, float gain, float* stepGradient) {
    __shared__ float near[NIBBLE_NEAR];
    float sum = lanesum_near<FINISH_THREADS>(sums, rows, near);
    if (threadIdx.x == 0) {
        *stepGradient = __fadd_rn(*stepGradient, __fmul_rn(sum, gain));
    }
}

// y = Hadamard transform of x with a block size that the host knows.
extern "C" __global__ void __launch_bounds__(HADAMARD_THREADS) search_transform(
    const float* x, float* y, long long rows, long long cols, float log2) {
    __shared__ float chunk[HADAMARD_CHUNK];
    hadamard_matrix(x, y, rows, cols, log2, chunk);
}

// Along each row of x: LaneSum of |x|, and the largest magnitude of all. A half warp a row.
extern "C" __global__ void __launch_bounds__(256) search_magnitudes(
    const float* __restrict__ x, long long rows, long long cols, float* sums, uint32_t* amax) {
    long long halves = (long long)gridDim.x * blockDim.x / NIBBLE_LANES;
    long long rounds = (rows + halves - 1) / halves;
    uint32_t largest = 0;
    for (long long round = 0; round < rounds; round++) {
        long long row = round * halves + ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
        bool valid = row < rows;
        const float* line = x + (valid ? row : 0) * cols;
        float sum = lanesum_half_warp(valid ? cols : 0, [&](long long i, float partial) {
            largest = max(largest, magnitude_bits(line[i]));
            return __fadd_rn(partial, fabsf(line[i]));
        });
        if (valid && (threadIdx.x & (NIBBLE_LANES - 1)) == 0) {
            sums[row] = sum;
        }
    }
    largest = __reduce_max_sync(0xFFFFFFFFu, largest);
    if ((threadIdx.x & 31) == 0 && largest != 0) {
        atomicMax(amax, largest);
    }
}

// The first step of a matrix, from its rows' sums: {scale, multiplier, divisor}. One block.
extern "C" __global__ void __launch_bounds__(FINISH_THREADS) search_step(
    const float* sums, const uint32_t* amax, long long rows, long long cols, float top, float* step) {
    __shared__ float near[NIBBLE_NEAR];
    float sum = lanesum_near<FINISH_THREADS>(sums, rows, near);
    if (threadIdx.x == 0) {
        float mean = __fdiv_rn(sum, __ll2float_rn(rows * cols));
        GroupScale scale = mean_magnitude_scale(top, amax_of_bits(*amax), mean);
        step[0] = scale.scale;
        step[1] = scale.multiplier;
        step[2] = scale.divisor;
    }
}

// Along each row: LaneSum of e * e, e = fma(-scale, code, x). A half warp a row.
extern "C" __global__ void __launch_bounds__(256) search_errors(
    const float* __restrict__ x, long long rows, long long cols, const float* step, int top, float* sums) {
    float scale = step[0];
    float multiplier = step[1];
    float divisor = step[2];
    long long halves = (long long)gridDim.x * blockDim.x / NIBBLE_LANES;
    long long rounds = (rows + halves - 1) / halves;
    for (long long round = 0; round < rounds; round++) {
        long long row = round * halves + ((long long)blockIdx.x * blockDim.x + threadIdx.x) / NIBBLE_LANES;
        bool valid = row < rows;
        const float* line = x + (valid ? row : 0) * cols;
        float sum = lanesum_half_warp(valid ? cols : 0, [&](long long i, float partial) {
            float value = line[i];
            int code = nearest_code(apply_scale(multiplier, divisor, value), -top, top);
            float error = __fmaf_rn(-scale, __int2float_rn(code), value);
            return __fmaf_rn(error, error, partial);
        });
        if (valid && (threadIdx.x & (NIBBLE_LANES - 1)) == 0) {
            sums[row] = sum;
        }
    }
}

// error = LaneSum of the rows' sums. One block.
extern "C" __global__ void __launch_bounds__(FINISH_THREADS) search_error(const float* sums, long long rows, float* error) {
    __shared__ float near[NIBBLE_NEAR];
    float sum = lanesum_near<FINISH_THREADS>(sums, rows, near);
    if (threadIdx.x == 0) {
        *error = sum;
    }
}

// Takes a size whose product of errors is smaller than those before it. The first size stands where all products are NaN. kept
// holds the smallest product so far. One thread.
extern "C" __global__ void search_compare(const float* errors, float log2, int first, float* kept, float* best) {
    float smallest = first ? __int_as_float(0x7F800000) : *kept;
    float score = __fmul_rn(errors[0], errors[1]);
    bool smaller = score < smallest;
    *kept = smaller ? score : smallest;
    if (first || smaller) {
        *best = log2;
    }
}
