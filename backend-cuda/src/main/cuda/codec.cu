// Tensors that are kept, packed (dev.nibble.quant.TensorCodec). The plain code is ReferenceCodec. A warp packs or unpacks a
// group of at most 128 elements.
#include <stdint.h>

#include "element_code.cuh"
#include "scale.cuh"

namespace {

constexpr int GROUP = 128;
constexpr int FORM_BF16 = 1; // the order of TensorCodec.Form
constexpr unsigned ALL = 0xFFFFFFFFu;

// Where a group lies.
struct Place {
    long long row;
    long long group; // in its row
    int count; // of its elements
    int highBits; // of a code, beyond eight
    int highBytes;
    long long byte; // where its codes begin
};

__device__ int highBytesOf(int count, int highBits) {
    int perByte = highBits == 0 ? 1 : 8 / highBits;
    return highBits == 0 ? 0 : (count + perByte - 1) / perByte;
}

__device__ Place placeOf(long long number, long long cols, long long rowBytes, int bits) {
    long long perRow = (cols + GROUP - 1) / GROUP;
    Place p;
    p.row = number / perRow;
    p.group = number % perRow;
    p.count = static_cast<int>(min(static_cast<long long>(GROUP), cols - p.group * GROUP));
    p.highBits = bits - 8;
    p.highBytes = highBytesOf(p.count, p.highBits);
    p.byte = p.row * rowBytes + p.group * (GROUP + highBytesOf(GROUP, p.highBits));
    return p;
}

__device__ uint32_t amaxBits(const float* x, int count, int lane) {
    uint32_t largest = 0;
    for (int i = lane; i < count; i += 32) {
        largest = max(largest, magnitude_bits(x[i]));
    }
    return __reduce_max_sync(ALL, largest);
}

// ReferenceCodec.scale: one ulp less where scale times top overflows.
__device__ GroupScale codecScale(float top, float amax) {
    GroupScale scale = amax_over_top(top, amax);
    if (isinf(__fmul_rn(scale.scale, top))) {
        scale.scale = __uint_as_float(__float_as_uint(scale.scale) - 1u);
    }
    return scale;
}

__device__ int codeOf(const GroupScale& scale, float x, float top) {
    if (scale.multiplier == 0.0f) {
        return 0;
    }
    float code = rintf(__fmul_rn(x, scale.multiplier));
    return code != code ? 0 : static_cast<int>(fmaxf(-top, fminf(top, code)));
}

}  // namespace

extern "C" __global__ void codecEncode(
    const float* __restrict__ values,
    uint8_t* __restrict__ codes,
    float* __restrict__ scales,
    long long rows,
    long long cols,
    long long rowBytes,
    int bits,
    int form) {
    int lane = threadIdx.x & 31;
    long long number = (blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x) >> 5;
    long long perRow = (cols + GROUP - 1) / GROUP;
    if (number >= rows * perRow) {
        return;
    }
    Place p = placeOf(number, cols, rowBytes, bits);
    const float* x = values + p.row * cols + p.group * GROUP;
    uint8_t* out = codes + p.byte;
    if (form == FORM_BF16) {
        for (int i = lane; i < p.count; i += 32) {
            uint32_t code = bf16_code(x[i]);
            out[i] = static_cast<uint8_t>(code);
            out[p.count + i] = static_cast<uint8_t>(code >> 8);
        }
        return;
    }
    float top = static_cast<float>((1 << (bits - 1)) - 1);
    GroupScale scale = codecScale(top, amax_of_bits(amaxBits(x, p.count, lane)));
    for (int i = lane; i < p.count; i += 32) {
        out[i] = static_cast<uint8_t>(codeOf(scale, x[i], top));
    }
    int mask = (1 << p.highBits) - 1;
    for (int j = lane; j < p.highBytes; j += 32) {
        int packed = 0;
        for (int i = j, shift = 0; i < p.count; i += p.highBytes, shift += p.highBits) {
            packed |= ((codeOf(scale, x[i], top) >> 8) & mask) << shift;
        }
        out[p.count + j] = static_cast<uint8_t>(packed);
    }
    if (lane == 0) {
        scales[number] = scale.scale;
    }
}

extern "C" __global__ void codecDecode(
    float* __restrict__ values,
    const uint8_t* __restrict__ codes,
    const float* __restrict__ scales,
    long long rows,
    long long cols,
    long long rowBytes,
    int bits,
    int form) {
    int lane = threadIdx.x & 31;
    long long number = (blockIdx.x * static_cast<long long>(blockDim.x) + threadIdx.x) >> 5;
    long long perRow = (cols + GROUP - 1) / GROUP;
    if (number >= rows * perRow) {
        return;
    }
    Place p = placeOf(number, cols, rowBytes, bits);
    float* x = values + p.row * cols + p.group * GROUP;
    const uint8_t* in = codes + p.byte;
    if (form == FORM_BF16) {
        for (int i = lane; i < p.count; i += 32) {
            uint32_t code = static_cast<uint32_t>(in[p.count + i]) << 8 | in[i];
            x[i] = __uint_as_float(code << 16);
        }
        return;
    }
    float scale = scales[number];
    for (int i = lane; i < p.count; i += 32) {
        int code = static_cast<int8_t>(in[i]);
        if (p.highBits > 0) {
            int field = in[p.count + i % p.highBytes] >> (p.highBits * (i / p.highBytes));
            int upper = static_cast<int>(static_cast<uint32_t>(field) << (32 - p.highBits)) >> (32 - p.highBits);
            code = upper * 256 | (code & 0xFF);
        }
        x[i] = __fmul_rn(static_cast<float>(code), scale);
    }
}
