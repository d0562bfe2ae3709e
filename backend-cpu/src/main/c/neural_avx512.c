// Passes over rows: SwiGLU and its gradient, sums of squares, largest magnitudes, packing of what is kept.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include "exp512.h"
#include "neural.h"

#define INLINE static inline __attribute__((always_inline))

// Elements from what a pass reads to what it asks for. That is pages ahead, where the processor does not look by itself, and it
// goes to the L2 cache, which waits for more lines at a time than the nearest one.
enum { LANES = 16, AHEAD = 4096 };

INLINE __mmask16 first_lanes(int64_t count) { return count >= LANES ? 0xFFFF : (1 << count) - 1; }

INLINE __m512 sigmoid(__m512 x) {
  __m512 one = _mm512_set1_ps(1.0f);
  return _mm512_div_ps(one, _mm512_add_ps(one, exp16(_mm512_mul_ps(x, _mm512_set1_ps(-1.0f)))));
}

void nibble_swiglu(const float *gate_up, int64_t hidden, int64_t from, int64_t to, float *h) {
  for (int64_t row = from; row < to; row++) {
    const float *gate = gate_up + row * 2 * hidden;
    for (int64_t i = 0; i < hidden; i += LANES) {
      __mmask16 lanes = first_lanes(hidden - i);
      __m512 x = _mm512_maskz_loadu_ps(lanes, gate + i);
      __m512 y = _mm512_mul_ps(_mm512_mul_ps(x, sigmoid(x)), _mm512_maskz_loadu_ps(lanes, gate + hidden + i));
      _mm512_mask_storeu_ps(h + row * hidden + i, lanes, y);
    }
  }
}

void nibble_swiglu_backward(const float *grad_output, const float *gate_up, int64_t hidden, int64_t from, int64_t to,
                            float *grad_gate_up) {
  for (int64_t row = from; row < to; row++) {
    const float *gate = gate_up + row * 2 * hidden;
    float *gradient = grad_gate_up + row * 2 * hidden;
    for (int64_t i = 0; i < hidden; i += LANES) {
      __mmask16 lanes = first_lanes(hidden - i);
      __m512 x = _mm512_maskz_loadu_ps(lanes, gate + i);
      __m512 up = _mm512_maskz_loadu_ps(lanes, gate + hidden + i);
      __m512 dh = _mm512_maskz_loadu_ps(lanes, grad_output + row * hidden + i);
      __m512 s = sigmoid(x);
      __m512 gs = _mm512_mul_ps(x, s);
      __m512 slope = _mm512_fmadd_ps(gs, _mm512_sub_ps(_mm512_set1_ps(1.0f), s), s);
      _mm512_mask_storeu_ps(gradient + hidden + i, lanes, _mm512_mul_ps(dh, gs));
      _mm512_mask_storeu_ps(gradient + i, lanes, _mm512_mul_ps(_mm512_mul_ps(dh, up), slope));
    }
  }
}

double nibble_squares(const float *x, int64_t from, int64_t to) {
  __m512d low = _mm512_setzero_pd();
  __m512d high = _mm512_setzero_pd();
  for (int64_t i = from; i < to; i += LANES) {
    __builtin_prefetch(x + i + AHEAD, 0, 2);
    __mmask16 lanes = first_lanes(to - i);
    __m512 all = _mm512_maskz_loadu_ps(lanes, x + i);
    // A square is exact in FP64, so fusing it with the addition changes nothing; nor does adding the 0 of a lane beyond the end.
    __m512d a = _mm512_cvtps_pd(_mm512_castps512_ps256(all));
    __m512d b = _mm512_cvtps_pd(_mm512_extractf32x8_ps(all, 1));
    low = _mm512_fmadd_pd(a, a, low);
    high = _mm512_fmadd_pd(b, b, high);
  }
  __m512d eight = _mm512_add_pd(low, high);
  __m256d four = _mm256_add_pd(_mm512_castpd512_pd256(eight), _mm512_extractf64x4_pd(eight, 1));
  __m128d two = _mm_add_pd(_mm256_castpd256_pd128(four), _mm256_extractf128_pd(four, 1));
  return _mm_cvtsd_f64(_mm_add_sd(two, _mm_unpackhi_pd(two, two)));
}

float nibble_largest(const float *x, int64_t from, int64_t to) {
  // As whole numbers, magnitudes have the order of their values, and NaN is above infinity.
  __m512i sign = _mm512_set1_epi32((int)0x80000000);
  __m512i largest[4] = {_mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512()};
  int64_t i = from;
  for (; i + 4 * LANES <= to; i += 4 * LANES) {
#pragma GCC unroll 4
    for (int j = 0; j < 4; j++) {
      __builtin_prefetch(x + i + j * LANES + AHEAD, 0, 2);
      largest[j] = _mm512_max_epu32(largest[j], _mm512_andnot_si512(sign, _mm512_loadu_si512(x + i + j * LANES)));
    }
  }
  for (; i < to; i += LANES) {
    __m512i last = _mm512_maskz_loadu_epi32(first_lanes(to - i), x + i);
    largest[0] = _mm512_max_epu32(largest[0], _mm512_andnot_si512(sign, last));
  }
  __m512i both = _mm512_max_epu32(_mm512_max_epu32(largest[0], largest[1]), _mm512_max_epu32(largest[2], largest[3]));
  return _mm_cvtss_f32(_mm_castsi128_ps(_mm_cvtsi32_si128((int)_mm512_reduce_max_epu32(both))));
}

enum { GROUP = 128, VECTORS = GROUP / LANES };

void nibble_group_sizes(const float *x, int64_t from, int64_t to, float *sizes) {
  for (int64_t group = from; group < to; group++) {
    sizes[group - from] = nibble_largest(x, group * GROUP, (group + 1) * GROUP);
  }
}

INLINE void store_bytes(uint8_t *to, __m512i codes) { _mm_storeu_si128((__m128i *)to, _mm512_cvtepi32_epi8(codes)); }

void nibble_encode_10(const float *x, const float *multipliers, int64_t from, int64_t to, uint8_t *bytes) {
  for (int64_t group = from; group < to; group++) {
    uint8_t *out = bytes + group * (GROUP + GROUP / 4);
    __m512 multiplier = _mm512_set1_ps(multipliers[group - from]);
    __m512i codes[VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < VECTORS; i++) {
      // NaN and infinity, whose multiplier is 0, become a number whose lower bits are 0.
      codes[i] = _mm512_cvt_roundps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + group * GROUP + i * LANES), multiplier),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
      store_bytes(out + i * LANES, codes[i]);
    }
#pragma GCC unroll 2
    for (int i = 0; i < VECTORS / 4; i++) {
      __m512i high = _mm512_and_si512(_mm512_srli_epi32(codes[i], 8), _mm512_set1_epi32(3));
      __m512i second = _mm512_and_si512(_mm512_srli_epi32(codes[i + 2], 6), _mm512_set1_epi32(12));
      __m512i third = _mm512_and_si512(_mm512_srli_epi32(codes[i + 4], 4), _mm512_set1_epi32(48));
      __m512i fourth = _mm512_and_si512(_mm512_srli_epi32(codes[i + 6], 2), _mm512_set1_epi32(192));
      store_bytes(out + GROUP + i * LANES, _mm512_or_si512(_mm512_or_si512(high, second), _mm512_or_si512(third, fourth)));
    }
  }
}

void nibble_encode_bf16(const float *x, int64_t from, int64_t to, uint8_t *bytes) {
  for (int64_t group = from; group < to; group++) {
    uint8_t *out = bytes + group * 2 * GROUP;
    for (int i = 0; i < GROUP; i += LANES) {
      __m512 value = _mm512_loadu_ps(x + group * GROUP + i);
      __m512i bits = _mm512_castps_si512(value);
      __m512i odd = _mm512_and_si512(_mm512_srli_epi32(bits, 16), _mm512_set1_epi32(1));
      __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7FFF)), odd);
      __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
      __m512i codes = _mm512_mask_mov_epi32(_mm512_srli_epi32(rounded, 16), nan, _mm512_set1_epi32(0x7FC0));
      store_bytes(out + i, codes);
      store_bytes(out + GROUP + i, _mm512_srli_epi32(codes, 8));
    }
  }
}

INLINE __m512i load_bytes(const uint8_t *from) { return _mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)from)); }

void nibble_decode_10(const uint8_t *bytes, const float *scales, int64_t from, int64_t to, float *x) {
  for (int64_t group = from; group < to; group++) {
    const uint8_t *codes = bytes + group * (GROUP + GROUP / 4);
    __m512 scale = _mm512_set1_ps(scales[group]);
#pragma GCC unroll 8
    for (int i = 0; i < VECTORS; i++) {
      // Bits 8 and 9 move to the highest place, and come back with their sign.
      __m512i high = load_bytes(codes + GROUP + i % 2 * LANES);
      high = _mm512_srai_epi32(_mm512_slli_epi32(high, 30 - i / 2 * 2), 30);
      __m512i code = _mm512_or_si512(_mm512_slli_epi32(high, 8), load_bytes(codes + i * LANES));
      _mm512_storeu_ps(x + group * GROUP + i * LANES, _mm512_mul_ps(_mm512_cvtepi32_ps(code), scale));
    }
  }
}

void nibble_decode_bf16(const uint8_t *bytes, int64_t from, int64_t to, float *x) {
  for (int64_t group = from; group < to; group++) {
    const uint8_t *codes = bytes + group * 2 * GROUP;
    for (int i = 0; i < GROUP; i += LANES) {
      __m512i upper = _mm512_slli_epi32(load_bytes(codes + GROUP + i), 24);
      __m512i lower = _mm512_slli_epi32(load_bytes(codes + i), 16);
      _mm512_storeu_si512(x + group * GROUP + i, _mm512_or_si512(upper, lower));
    }
  }
}
