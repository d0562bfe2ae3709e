// Prepares codes for the tensor cores: 4-bit and exponent codes become whole numbers in a byte each, and rows or tokens that a draw
// keeps are gathered so that they lie next to each other.
#include "gemm.cuh"

namespace nibble {

/** Which part of a number a byte holds: all of it, or those into which numbers up to 256 are taken apart: 4 * upper + lower. */
enum Digit : int { WHOLE, UPPER, LOWER };

constexpr int UPPER_FROM = 64;  // powers of two from here on are divisible by 4, and a quarter of 256 fits a byte

__device__ __forceinline__ int digitOf(const Plane& plane, int value, int digit) {
    if (digit == WHOLE) {
        return value;
    }
    if (plane.format != F_E4M0) {
        return digit == UPPER ? 0 : value;
    }
    bool upper = abs(value) >= UPPER_FROM;
    return digit == UPPER ? (upper ? value / 4 : 0) : (upper ? 0 : value);
}

__device__ __forceinline__ int decodeNibble(int format, int nibble) {
    if (format == F_INT4) {
        return nibble << 28 >> 28;
    }
    return format == F_UINT4 ? nibble : powerOf(nibble & 7, nibble & 8);
}

}  // namespace nibble

/**
 * bytes[rows][pitch] = the digits of a plane's codes, 16 of a row at a time; behind k they are 0. The pitch is a multiple of 16.
 *
 * list, count: which rows, and how many; nullptr: all.
 */
extern "C" __global__ void gemm_unpack(
    const __grid_constant__ nibble::Plane plane, int8_t* bytes, const int* list, const int* count, long long rows, long long k,
    long long pitch, int digit) {
    using namespace nibble;
    rows = list == nullptr ? rows : *count;
    long long chunks = pitch / 16;
    long long step = static_cast<long long>(gridDim.x) * blockDim.x;
    for (long long i = static_cast<long long>(blockIdx.x) * blockDim.x + threadIdx.x; i < rows * chunks; i += step) {
        long long to = i / chunks;
        long long row = list == nullptr ? to : list[to];
        long long at = i % chunks * 16;
        union {
            int4 words;
            int8_t bytes[16];
        } out = {make_int4(0, 0, 0, 0)};
        if (plane.format == F_INT8 && at + 16 <= k) {
            out.words = *reinterpret_cast<const int4*>(plane.codes + row * plane.rowPitch + at);
        } else if (plane.format != F_INT8 && plane.format != F_E4M0 && at + 16 <= k) {
            union {
                uint2 words;
                uint8_t bytes[8];
            } in;
            in.words = *reinterpret_cast<const uint2*>(plane.codes + row * plane.rowPitch + at / 2);
#pragma unroll
            for (int j = 0; j < 16; j++) {
                out.bytes[j] = static_cast<int8_t>(decodeNibble(plane.format, in.bytes[j / 2] >> (j % 2 * 4) & 0xF));
            }
        } else {
#pragma unroll
            for (int j = 0; j < 16; j++) {
                if (at + j < k) {
                    out.bytes[j] = static_cast<int8_t>(digitOf(plane, decodeInteger(plane, row, at + j), digit));
                }
            }
        }
        *reinterpret_cast<int4*>(bytes + to * pitch + at) = out.words;
    }
}

/**
 * Cuts the segments of drawn tokens into stretches of at most `limit`, and gives each a place of its own in the gathered
 * operands, from a multiple of 128 on. One thread: there are few.
 *
 * bounds: [segments + 1], of the list of tokens. stretches: [segments * cuts]. starts: [segments * cuts], where in the list a
 * stretch begins.
 */
extern "C" __global__ void gemm_plan_stretches(
    const int* bounds, nibble::Stretch* stretches, int* starts, int segments, int terms, int cuts, int limit) {
    int place = 0;
    for (int segment = 0; segment < segments; segment++) {
        for (int cut = 0; cut < cuts; cut++) {
            int from = min(bounds[segment] + cut * limit, bounds[segment + 1]);
            int to = min(from + limit, bounds[segment + 1]);
            int at = segment * cuts + cut;
            starts[at] = from;
            int padded = (to - from + 127) / 128 * 128;
            stretches[at] = {place, place + padded, segment % terms, segment / terms};
            place += padded;
        }
    }
}

/**
 * Tells each place of the gathered operands its token and term; tokens of places that pad a stretch are -1. A block a stretch.
 *
 * end: of the list. tokens, terms: [places].
 */
extern "C" __global__ void gemm_place_tokens(
    const nibble::Stretch* stretches, const int* starts, const int* list, const int* end, int* tokens, uint8_t* terms) {
    using namespace nibble;
    Stretch stretch = stretches[blockIdx.x];
    int start = starts[blockIdx.x];
    int next = blockIdx.x + 1 < gridDim.x ? starts[blockIdx.x + 1] : *end;
    for (int i = threadIdx.x; i < stretch.to - stretch.from; i += blockDim.x) {
        tokens[stretch.from + i] = i < next - start ? list[start + i] : -1;
        terms[stretch.from + i] = static_cast<uint8_t>(stretch.term);
    }
}

/** bytes[rows][pitch] = the digits of the codes of drawn tokens; what pads a stretch is 0. A block a row, by turns. */
extern "C" __global__ void gemm_gather(
    const __grid_constant__ nibble::Product p, int right, const int* tokens, const uint8_t* terms, int8_t* bytes,
    long long rows, long long pitch, int digit) {
    using namespace nibble;
    int places = p.stretches[p.stretchCount - 1].to;  // a multiple of 128
    for (long long row = blockIdx.x; row < rows; row += gridDim.x) {
        for (int at = threadIdx.x * 4; at < places; at += blockDim.x * 4) {
            int4 token = *reinterpret_cast<const int4*>(tokens + at);
            const Term& term = p.term[terms[at]];  // of all four: stretches are longer
            const Plane& plane = right ? term.b : term.a;
            char4 four;
            four.x = token.x < 0 ? 0 : static_cast<int8_t>(digitOf(plane, decodeInteger(plane, row, token.x), digit));
            four.y = token.y < 0 ? 0 : static_cast<int8_t>(digitOf(plane, decodeInteger(plane, row, token.y), digit));
            four.z = token.z < 0 ? 0 : static_cast<int8_t>(digitOf(plane, decodeInteger(plane, row, token.z), digit));
            four.w = token.w < 0 ? 0 : static_cast<int8_t>(digitOf(plane, decodeInteger(plane, row, token.w), digit));
            *reinterpret_cast<char4*>(bytes + row * pitch + at) = four;
        }
    }
}
