// Rotary position embedding in place (dev.nibble.reference.ReferenceRotary).
#include <stdint.h>

// a' = fma(a, cos, -(b * s)), b' = fma(b, cos, a * s)
static __device__ __forceinline__ void turn(float& a, float& b, float c, float s) {
    float turned = __fmaf_rn(a, c, -__fmul_rn(b, s));
    b = __fmaf_rn(b, c, __fmul_rn(a, s));
    a = turned;
}

// Turns features i and i + half of each head of q and k by the angles, or back if inverse.
// angles: [sequence, half] pairs (cosine, sine); qkv: [tokens, 3 * heads * 2 * half].
extern "C" __global__ void rotate_in_place(
    float* __restrict__ qkv,
    const float2* __restrict__ angles,
    long long tokens,
    int sequence,
    int heads,
    int half,
    int inverse) {
    int pairs = 2 * heads * half; // of a token: q, then k
    float sign = inverse ? -1.0f : 1.0f;
    for (long long token = blockIdx.x; token < tokens; token += gridDim.x) {
        const float2* angle = angles + token % sequence * half;
        float* row = qkv + token * 3 * heads * 2 * half;
        if (half % 4 == 0) {
#pragma unroll 2
            for (int quad = threadIdx.x; quad < pairs / 4; quad += blockDim.x) {
                int head = quad / (half / 4);
                int i = 4 * (quad - head * (half / 4));
                float4 low = *reinterpret_cast<const float4*>(angle + i); // two angles
                float4 high = *reinterpret_cast<const float4*>(angle + i + 2);
                float4* first = reinterpret_cast<float4*>(row + (long long)head * 2 * half + i);
                float4 a = first[0];
                float4 b = first[half / 4];
                turn(a.x, b.x, low.x, __fmul_rn(sign, low.y));
                turn(a.y, b.y, low.z, __fmul_rn(sign, low.w));
                turn(a.z, b.z, high.x, __fmul_rn(sign, high.y));
                turn(a.w, b.w, high.z, __fmul_rn(sign, high.w));
                first[0] = a;
                first[half / 4] = b;
            }
            continue;
        }
        for (int pair = threadIdx.x; pair < pairs; pair += blockDim.x) {
            int head = pair / half;
            int i = pair - head * half;
            float* first = row + (long long)head * 2 * half + i;
            turn(first[0], first[half], angle[i].x, __fmul_rn(sign, angle[i].y));
        }
    }
}
