// Transforms alone (dev.nibble.quant.Transform), and what codes mean (dev.nibble.spi.QuantizeOps.dequantize).
#include "element_code.cuh"
#include "transform.cuh"

// y = block Hadamard transform of x; the state holds log2 of the block size. x and y may be the same. Nothing is done for runs that
// another kernel transforms in its tiles, if "large" says so.
extern "C" __global__ void __launch_bounds__(HADAMARD_THREADS) transform_hadamard(
    const float* x, float* y, long long rows, long long cols, const float* state, int large) {
    __shared__ float chunk[HADAMARD_CHUNK];
    if (large && tile_hadamard_log2(state, cols) >= 0) {
        return;
    }
    hadamard_matrix(x, y, rows, cols, *state, chunk);
}

// y = x * d[col], or x / d[col]. x and y may be the same.
extern "C" __global__ void __launch_bounds__(256) transform_columns(
    const float* x, float* y, long long rows, long long cols, const float* d, int inverse) {
    long long n = rows * cols;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row;
        long long col;
        row_and_column(i, cols, row, col);
        float factor = d[col];
        y[i] = inverse ? quotient_of(x[i], factor) : product_of(x[i], factor);
    }
}

// out = fma(scale, code, out), from +0 with the first plane; an operand [rows, k] with scales [kGroups][rowGroups].
extern "C" __global__ void __launch_bounds__(256) dequantize_plane(
    const uint8_t* __restrict__ codes,
    long long pitchBytes,
    int format,
    const float* __restrict__ scales, // null: 1
    float weight,                     // of the plane; multiplies its scales
    long long rows,
    long long k,
    int groupRows,
    int groupK,
    int rowGroups,
    int first,
    float* __restrict__ out) { // [rows, k]
    long long n = rows * k;
    for (long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x; i < n; i += (long long)gridDim.x * blockDim.x) {
        long long row;
        long long col;
        row_and_column(i, k, row, col);
        float scale = 1.0f;
        if (scales != nullptr) {
            scale = scales[(long long)((uint32_t)col / (uint32_t)groupK) * rowGroups + (uint32_t)row / (uint32_t)groupRows];
        }
        float code = code_value(format, codes + row * pitchBytes, col);
        out[i] = __fmaf_rn(__fmul_rn(weight, scale), code, first ? 0.0f : out[i]);
    }
}
