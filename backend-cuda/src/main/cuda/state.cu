// State programs (dev.nibble.state.StateProgram), run by one block: instruction after instruction, each elementwise over its
// threads. The plain code is ReferenceStateProgram.
#include <stdint.h>

namespace {

constexpr int MOST_VECTORS = 64; // as in StatePrograms.java

enum Operation { // the order of StateProgram.Operation
    CONSTANT,
    STATE,
    INPUT,
    ADD,
    SUBTRACT,
    MULTIPLY,
    DIVIDE,
    MAXIMUM,
    SQRT,
    GREATER,
    POWER_OF_TWO,
    LARGEST,
    ROLL,
    SELECT,
    COLUMN_AMAX,
    RESULT // writes value a to the state vector; after all others
};

struct Instruction {
    int operation;
    int out; // where its value begins among the values
    int length; // of its value, or of the state vector it writes
    int a, lengthA; // where its operands begin, and their lengths
    int b, lengthB;
    int c, lengthC;
    int vector; // state or input vector
    int element; // of the input vector
    float constant;
};

struct Vectors {
    float* at[MOST_VECTORS];
};

// Math.max: NaN if one is, and +0 above -0.
__device__ float maximum(float a, float b) {
    if (a != a) {
        return a;
    }
    if (a == 0.0f && b == 0.0f) {
        return __uint_as_float(__float_as_uint(a) & __float_as_uint(b));
    }
    return a >= b ? a : b; // b if it is NaN
}

__device__ float element(const float* values, int at, int length, int i) {
    return values[at + (length == 1 ? 0 : i)];
}

__device__ float evaluate(const Instruction& in, const float* values, const Vectors& vectors, int i) {
    switch (in.operation) {
        case CONSTANT: return in.constant;
        case STATE: return vectors.at[in.vector][i];
        case INPUT: return vectors.at[in.vector][in.element];
        case COLUMN_AMAX: return vectors.at[in.vector][i]; // another kernel has found it
        case ROLL: return i == 0 ? values[in.b] : values[in.a + i - 1];
        case LARGEST: {
            float largest = values[in.a];
            for (int j = 1; j < in.lengthA; j++) {
                largest = maximum(largest, values[in.a + j]);
            }
            return largest;
        }
        default: break;
    }
    float a = element(values, in.a, in.lengthA, i);
    switch (in.operation) {
        case SQRT: return __fsqrt_rn(a);
        case POWER_OF_TWO: return __uint_as_float(__float_as_uint(a) & 0xFF800000u);
        default: break;
    }
    float b = element(values, in.b, in.lengthB, i);
    switch (in.operation) {
        case ADD: return __fadd_rn(a, b);
        case SUBTRACT: return __fsub_rn(a, b);
        case MULTIPLY: return __fmul_rn(a, b);
        case DIVIDE: return __fdiv_rn(a, b);
        case MAXIMUM: return maximum(a, b);
        case GREATER: return a > b ? 1.0f : 0.0f;
        default: return a != 0.0f ? b : element(values, in.c, in.lengthC, i); // SELECT: NaN is true
    }
}

}  // namespace

// One block. Values lie in shared memory, or in `space` where they do not fit.
extern "C" __global__ void runStateProgram(
    const Instruction* __restrict__ program, int count, Vectors vectors, float* space, int shared) {
    extern __shared__ float local[];
    float* values = shared ? local : space;
    for (int n = 0; n < count; n++) {
        const Instruction in = program[n];
        if (in.operation == RESULT) {
            for (int i = threadIdx.x; i < in.length; i += blockDim.x) {
                vectors.at[in.vector][i] = element(values, in.a, in.lengthA, i);
            }
        } else {
            for (int i = threadIdx.x; i < in.length; i += blockDim.x) {
                values[in.out + i] = evaluate(in, values, vectors, i);
            }
            __syncthreads();
        }
    }
}

// out[column] = max|x| as bits, which start at 0: of magnitudes, integers have the order of the values, and NaN is above
// infinity. Block (x, y) takes columns 32x .. 32x + 31 of rows 256y .. 256y + 255; 32 x 8 threads.
extern "C" __global__ void columnAmax(const float* __restrict__ x, long long rows, long long cols, uint32_t* out) {
    __shared__ uint32_t partial[8][32];
    int lane = threadIdx.x & 31;
    int warp = threadIdx.x >> 5;
    long long column = blockIdx.x * 32LL + lane;
    uint32_t largest = 0;
    for (long long first = blockIdx.y * 256LL; first < rows; first += gridDim.y * 256LL) {
        for (int i = warp; i < 256; i += 8) {
            long long row = first + i;
            if (row < rows && column < cols) {
                largest = max(largest, __float_as_uint(x[row * cols + column]) & 0x7FFFFFFFu);
            }
        }
    }
    partial[warp][lane] = largest;
    __syncthreads();
    if (warp == 0 && column < cols) {
        for (int i = 1; i < 8; i++) {
            largest = max(largest, partial[i][lane]);
        }
        atomicMax(&out[column], largest);
    }
}
