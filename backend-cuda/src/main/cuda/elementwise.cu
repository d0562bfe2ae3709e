// Operations that look at one element, or a few, at a time: addition, SwiGLU, ReLU, means of rows.
#include "exponential.cuh"
#include "grid.cuh"

namespace {

template <class F>
__device__ __forceinline__ float4 map(float4 a, F f) {
    return make_float4(f(a.x), f(a.y), f(a.z), f(a.w));
}
template <class F>
__device__ __forceinline__ float4 map(float4 a, float4 b, F f) {
    return make_float4(f(a.x, b.x), f(a.y, b.y), f(a.z, b.z), f(a.w, b.w));
}
template <class F>
__device__ __forceinline__ float4 map(float4 a, float4 b, float4 c, F f) {
    return make_float4(f(a.x, b.x, c.x), f(a.y, b.y, c.y), f(a.z, b.z, c.z), f(a.w, b.w, c.w));
}

// y[i] = f(a[i], b[i]), all bases aligned.
template <class F>
__device__ __forceinline__ void binary(const float* a, const float* b, float* y, long long count, F f) {
    long long whole = count / 4;
    for (long long i = first_index(); i < whole; i += index_step()) {
        store4(y + 4 * i, map(load4(a + 4 * i), load4(b + 4 * i), f));
    }
    for (long long i = 4 * whole + first_index(); i < count; i += index_step()) {
        y[i] = f(a[i], b[i]);
    }
}

__device__ __forceinline__ float swish(float gate, float up) {
    return __fmul_rn(__fmul_rn(gate, sigmoid_exact(gate)), up);
}

__device__ __forceinline__ float2 swish_gradients(float dh, float gate, float up) { // of gate, of up
    float s = sigmoid_exact(gate);
    float slope = __fmaf_rn(__fmul_rn(gate, s), __fsub_rn(1.0f, s), s);
    return make_float2(__fmul_rn(__fmul_rn(dh, up), slope), __fmul_rn(dh, __fmul_rn(gate, s)));
}

} // namespace

// target += addend; they may be the same tensor.
extern "C" __global__ void add_in_place(float* target, const float* addend, long long count) {
    binary(target, addend, target, count, [](float a, float b) { return __fadd_rn(a, b); });
}

extern "C" __global__ void swiglu(const float* __restrict__ gateUp, float* __restrict__ h, long long rows, int hidden) {
    if (hidden % 4 == 0) {
        for_each_element(rows, hidden / 4, [&](long long row, int quad) {
            const float* gate = gateUp + row * 2 * hidden + 4 * quad;
            float4 value = map(load4(gate), load4(gate + hidden), [](float g, float u) { return swish(g, u); });
            store4(h + row * hidden + 4 * quad, value);
        });
        return;
    }
    for_each_element(rows, hidden, [&](long long row, int col) {
        const float* gate = gateUp + row * 2 * hidden + col;
        h[row * hidden + col] = swish(gate[0], gate[hidden]);
    });
}

extern "C" __global__ void swiglu_backward(
    const float* __restrict__ dh,
    const float* __restrict__ gateUp,
    float* __restrict__ gradGateUp,
    long long rows,
    int hidden) {
    if (hidden % 4 == 0) {
        for_each_element(rows, hidden / 4, [&](long long row, int quad) {
            long long at = row * 2 * hidden + 4 * quad;
            float4 d = load4(dh + row * hidden + 4 * quad);
            float4 gate = load4(gateUp + at);
            float4 up = load4(gateUp + at + hidden);
            float2 x = swish_gradients(d.x, gate.x, up.x);
            float2 y = swish_gradients(d.y, gate.y, up.y);
            float2 z = swish_gradients(d.z, gate.z, up.z);
            float2 w = swish_gradients(d.w, gate.w, up.w);
            store4(gradGateUp + at, make_float4(x.x, y.x, z.x, w.x));
            store4(gradGateUp + at + hidden, make_float4(x.y, y.y, z.y, w.y));
        });
        return;
    }
    for_each_element(rows, hidden, [&](long long row, int col) {
        long long at = row * 2 * hidden + col;
        float2 gradients = swish_gradients(dh[row * hidden + col], gateUp[at], gateUp[at + hidden]);
        gradGateUp[at] = gradients.x;
        gradGateUp[at + hidden] = gradients.y;
    });
}

// y = max(x, +0): +0 for -0, NaN for NaN.
extern "C" __global__ void relu(const float* __restrict__ x, float* __restrict__ y, long long count) {
    binary(x, x, y, count, [](float a, float) { return a <= 0.0f ? 0.0f : a; });
}

// dx = y <= 0 ? +0 : dy
extern "C" __global__ void relu_backward(
    const float* __restrict__ dy, const float* __restrict__ y, float* __restrict__ dx, long long count) {
    binary(dy, y, dx, count, [](float d, float value) { return value <= 0.0f ? 0.0f : d; });
}

// y[g] = (first row + the others, ascending) * (1 / group)
extern "C" __global__ void mean_rows(
    const float* __restrict__ x, float* __restrict__ y, long long groups, int group, int width) {
    float inverse = __fdiv_rn(1.0f, (float)group);
    for_each_element(groups, width, [&](long long g, int col) {
        const float* source = x + g * group * width + col;
        float sum = source[0];
#pragma unroll 8
        for (int row = 1; row < group; row++) {
            sum = __fadd_rn(sum, source[(long long)row * width]);
        }
        y[g * width + col] = __fmul_rn(sum, inverse);
    });
}

// dx[g * group + i] = dy[g] * (1 / group)
extern "C" __global__ void mean_rows_backward(
    const float* __restrict__ dy, float* __restrict__ dx, long long groups, int group, int width) {
    float inverse = __fdiv_rn(1.0f, (float)group);
    for_each_element(groups * group, width, [&](long long row, int col) {
        dx[row * width + col] = __fmul_rn(dy[row / group * width + col], inverse);
    });
}

// target[toRow + i, toCol + j] = source[fromRow + i, fromCol + j] for i < rows, j < cols, bits as they are; the addresses are those of
// the blocks' first elements, steps those from row to row.
extern "C" __global__ void copy_block(
    const unsigned* __restrict__ source,
    long long sourceStep,
    unsigned* __restrict__ target,
    long long targetStep,
    long long rows,
    int cols) {
    for_each_element(rows, cols, [&](long long row, int col) { target[row * targetStep + col] = source[row * sourceStep + col]; });
}

// target[toRow + j, toCol + i] = source[fromRow + i, fromCol + j]: 32 x 32 elements at a time through shared memory. Blocks of 256.
extern "C" __global__ void __launch_bounds__(256) copy_block_transposed(
    const unsigned* __restrict__ source,
    long long sourceStep,
    unsigned* __restrict__ target,
    long long targetStep,
    long long rows,
    int cols) {
    __shared__ unsigned tile[32][33];
    long long across = (cols + 31) / 32;
    long long tiles = (rows + 31) / 32 * across;
    int x = threadIdx.x % 32;
    int y = threadIdx.x / 32;
    for (long long work = blockIdx.x; work < tiles; work += gridDim.x) {
        long long firstRow = work / across * 32;
        long long firstCol = work % across * 32;
        for (int i = y; i < 32; i += 8) {
            if (firstRow + i < rows && firstCol + x < cols) {
                tile[i][x] = source[(firstRow + i) * sourceStep + firstCol + x];
            }
        }
        __syncthreads();
        for (int i = y; i < 32; i += 8) {
            if (firstCol + i < cols && firstRow + x < rows) {
                target[(firstCol + i) * targetStep + firstRow + x] = tile[x][i];
            }
        }
        __syncthreads();
    }
}
