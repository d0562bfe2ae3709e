// The norm of all gradients, the control vector, AdamW, and averages of weights (dev.nibble.reference.ReferenceGradientNorm,
// ReferenceOptimizer, ReferenceAdamW). Learning rate, clip, updates and whether the step is skipped are read on the device. Each kernel takes several
// tensors in one launch: the tables are parameters.
#include "common.cuh"

#define CHUNK 4096        // elements of a partial sum of squares, and of a block's part of an update
#define SQUARES_TENSORS 120
#define UPDATE_TENSORS 56
#define AVERAGE_TENSORS 120

// dev.nibble.spi.Control
enum { GRADIENT_NORM, CLIP, SKIPPED, UPDATES, LEARNING_RATE };

struct SquaresTensor {
    const float* x;
    long long elements;
    long long firstChunk; // of the launch
};
struct SquaresTable {
    long long count;
    long long chunks;
    SquaresTensor tensors[SQUARES_TENSORS];
};

struct UpdateTensor {
    float* parameter;
    const float* gradient;
    float* first;
    float* second;
    long long elements;
    long long firstChunk; // of the launch
    float weightDecay;
    float unused;
};
struct UpdateTable {
    long long count;
    long long chunks;
    UpdateTensor tensors[UPDATE_TENSORS];
};

struct AverageTensor {
    float* average;
    const float* value;
    long long elements;
    long long firstChunk; // of the launch
};
struct AverageTable {
    long long count;
    long long chunks;
    AverageTensor tensors[AVERAGE_TENSORS];
};

namespace {

// The tensor that a chunk belongs to.
template <class Table>
__device__ __forceinline__ int tensor_of(const Table& table, long long chunk) {
    int low = 0;
    int high = (int)table.count;
    while (high - low > 1) {
        int middle = (low + high) / 2;
        if (table.tensors[middle].firstChunk <= chunk) {
            low = middle;
        } else {
            high = middle;
        }
    }
    return low;
}

__device__ __forceinline__ double add_square(double sum, float x) { // the square is exact in FP64
    return __fma_rn((double)x, (double)x, sum);
}

__device__ __forceinline__ double from_lane(double value, int other) {
    return __shfl_xor_sync(0xffffffffu, value, other);
}

} // namespace

// partials[chunk] = sum of squares of 4096 elements in LaneSum order, FP64. A quad of threads a chunk: thread q has lanes 4q .. 4q+3.
extern "C" __global__ void __launch_bounds__(128) gradient_squares(
    const __grid_constant__ SquaresTable table, double* __restrict__ partials) {
    long long step = (long long)gridDim.x * (blockDim.x / 4);
    long long own = ((long long)blockIdx.x * blockDim.x + threadIdx.x) / 4;
    int lane = threadIdx.x % 4 * 4;
    for (long long base = 0; base < table.chunks; base += step) { // all lanes of a warp together
        long long chunk = base + own;
        double a = 0.0;
        double b = 0.0;
        double c = 0.0;
        double d = 0.0;
        if (chunk < table.chunks) {
            const SquaresTensor& tensor = table.tensors[tensor_of(table, chunk)];
            long long from = (chunk - tensor.firstChunk) * CHUNK;
            const float* x = tensor.x + from;
            int count = (int)min((long long)CHUNK, tensor.elements - from);
            int whole = count / 16 * 16;
#pragma unroll 8
            for (int i = lane; i < whole; i += 16) {
                float4 v = *reinterpret_cast<const float4*>(x + i);
                a = add_square(a, v.x);
                b = add_square(b, v.y);
                c = add_square(c, v.z);
                d = add_square(d, v.w);
            }
            int i = whole + lane;
            a = i < count ? add_square(a, x[i]) : a;
            b = i + 1 < count ? add_square(b, x[i + 1]) : b;
            c = i + 2 < count ? add_square(c, x[i + 2]) : c;
            d = i + 3 < count ? add_square(d, x[i + 3]) : d;
        }
#pragma unroll
        for (int other = 2; other > 0; other /= 2) { // lanes 8, then 4 apart
            a = __dadd_rn(a, from_lane(a, other));
            b = __dadd_rn(b, from_lane(b, other));
            c = __dadd_rn(c, from_lane(c, other));
            d = __dadd_rn(d, from_lane(d, other));
        }
        if (chunk < table.chunks && lane == 0) {
            partials[chunk] = __dadd_rn(__dadd_rn(a, c), __dadd_rn(b, d));
        }
    }
}

// Fills the control vector. The partial sums are added ascending by one thread, while the others fetch the next of them. One block
// of 256 threads.
extern "C" __global__ void __launch_bounds__(256) control(
    const double* __restrict__ partials,
    long long chunks,
    const NonFiniteRecord* __restrict__ nonFinite,
    const StepInfo* __restrict__ info,
    float maxNorm,
    float* __restrict__ control) {
    const int tile = 1024;
    __shared__ double stages[2][tile];
    double sum = 0.0;
    for (long long from = -tile; from < chunks; from += tile) {
        double* now = stages[from / tile & 1];
        double* later = stages[(from / tile + 1) & 1];
        if (threadIdx.x >= 32) {
            for (int i = threadIdx.x - 32; i < tile; i += 224) {
                long long chunk = from + tile + i;
                later[i] = chunk < chunks ? partials[chunk] : 0.0;
            }
        } else if (threadIdx.x == 0 && from >= 0) {
            int count = (int)min((long long)tile, chunks - from);
#pragma unroll 16
            for (int i = 0; i < count; i++) {
                sum = __dadd_rn(sum, now[i]);
            }
        }
        __syncthreads();
    }
    if (threadIdx.x == 0) {
        float norm = (float)__dsqrt_rn(sum);
        bool finite = (__float_as_uint(norm) & 0x7f800000u) != 0x7f800000u;
        bool skipped = !finite || nonFinite->count != 0;
        float clip = __fdiv_rn(maxNorm, norm);
        control[GRADIENT_NORM] = norm;
        control[CLIP] = clip > 1.0f ? 1.0f : clip; // NaN stays
        control[SKIPPED] = skipped ? 1.0f : 0.0f;
        control[UPDATES] = __fadd_rn(control[UPDATES], skipped ? 0.0f : 1.0f);
        control[LEARNING_RATE] = info->learningRate;
    }
}

// AdamW. corrections[t] = (1 / (1 - beta1^t), 1 / (1 - beta2^t)) for t < known, from the host's StrictMath; both are 1 from there on, or
// nearly so: then they are computed here. A block works on chunks of 4096 elements.
extern "C" __global__ void __launch_bounds__(256) adamw(
    const __grid_constant__ UpdateTable table,
    const float* __restrict__ control,
    const StepInfo* __restrict__ info,
    const float2* __restrict__ corrections,
    long long known,
    float beta1,
    float beta2,
    float epsilon) {
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    float clip = control[CLIP];
    float updates = control[UPDATES];
    float rate = -info->learningRate;
    float rest1 = __fsub_rn(1.0f, beta1);
    float rest2 = __fsub_rn(1.0f, beta2);
    float2 correction;
    if (updates >= 0.0f && updates < (float)known) {
        correction = corrections[(long long)updates];
    } else {
        correction.x = (float)(1.0 / (1.0 - pow((double)beta1, (double)updates)));
        correction.y = (float)(1.0 / (1.0 - pow((double)beta2, (double)updates)));
    }
    for (long long chunk = blockIdx.x; chunk < table.chunks; chunk += gridDim.x) {
        const UpdateTensor& tensor = table.tensors[tensor_of(table, chunk)];
        long long from = (chunk - tensor.firstChunk) * CHUNK;
        int count = (int)min((long long)CHUNK, tensor.elements - from);
        float decay = tensor.weightDecay;
        float* parameter = tensor.parameter + from;
        const float* gradient = tensor.gradient + from;
        float* first = tensor.first + from;
        float* second = tensor.second + from;
        auto update = [&](float& p, float g, float& m, float& v) {
            g = __fmul_rn(g, clip);
            m = __fmaf_rn(beta1, m, __fmul_rn(rest1, g));
            v = __fmaf_rn(beta2, v, __fmul_rn(__fmul_rn(rest2, g), g));
            float root = __fsqrt_rn(__fmul_rn(v, correction.y));
            float u = __fdiv_rn(__fmul_rn(m, correction.x), __fadd_rn(root, epsilon));
            p = __fmaf_rn(rate, __fmaf_rn(decay, p, u), p);
        };
#pragma unroll 2
        for (int i = 4 * threadIdx.x; i < count / 4 * 4; i += 4 * blockDim.x) {
            float4 p = *reinterpret_cast<const float4*>(parameter + i);
            float4 g = *reinterpret_cast<const float4*>(gradient + i);
            float4 m = *reinterpret_cast<const float4*>(first + i);
            float4 v = *reinterpret_cast<const float4*>(second + i);
            update(p.x, g.x, m.x, v.x);
            update(p.y, g.y, m.y, v.y);
            update(p.z, g.z, m.z, v.z);
            update(p.w, g.w, m.w, v.w);
            *reinterpret_cast<float4*>(parameter + i) = p;
            *reinterpret_cast<float4*>(first + i) = m;
            *reinterpret_cast<float4*>(second + i) = v;
        }
        for (int i = count / 4 * 4 + threadIdx.x; i < count; i += blockDim.x) {
            update(parameter[i], gradient[i], first[i], second[i]);
        }
    }
}

// share = 1 - min(decay, (1 + t) / (10 + t)) with t updates; average = fma(share, value - average, average). A block works on chunks of
// 4096 elements.
extern "C" __global__ void __launch_bounds__(256) averages(
    const __grid_constant__ AverageTable table, const float* __restrict__ control, float decay) {
    if (control[SKIPPED] != 0.0f) {
        return;
    }
    float updates = control[UPDATES];
    float most = __fdiv_rn(__fadd_rn(1.0f, updates), __fadd_rn(10.0f, updates));
    float share = __fsub_rn(1.0f, most < decay ? most : decay);
    auto moved = [&](float a, float x) { return __fmaf_rn(share, __fsub_rn(x, a), a); };
    for (long long chunk = blockIdx.x; chunk < table.chunks; chunk += gridDim.x) {
        const AverageTensor& tensor = table.tensors[tensor_of(table, chunk)];
        long long from = (chunk - tensor.firstChunk) * CHUNK;
        int count = (int)min((long long)CHUNK, tensor.elements - from);
        float* average = tensor.average + from;
        const float* value = tensor.value + from;
#pragma unroll 2
        for (int i = 4 * threadIdx.x; i < count / 4 * 4; i += 4 * blockDim.x) {
            float4 a = *reinterpret_cast<const float4*>(average + i);
            float4 x = *reinterpret_cast<const float4*>(value + i);
            a = make_float4(moved(a.x, x.x), moved(a.y, x.y), moved(a.z, x.z), moved(a.w, x.w));
            *reinterpret_cast<float4*>(average + i) = a;
        }
        for (int i = count / 4 * 4 + threadIdx.x; i < count; i += blockDim.x) {
            average[i] = moved(average[i], value[i]);
        }
    }
}
