// What 8-bit floats stand for, with AVX-512.
#ifndef NIBBLE_DECODE512_H
#define NIBBLE_DECODE512_H

#include <immintrin.h>

// The values of 16 codes at scale 1, exactly. Reference: dev.nibble.tensor.Fp8.
static inline __m512 decode_fp8(__m512i code, int mantissa, int bias) {
  __m512i magnitude = _mm512_and_si512(code, _mm512_set1_epi32(0x7F));
  __m512i shifted = _mm512_slli_epi32(magnitude, 23 - mantissa);
  __m512i bits = _mm512_add_epi32(shifted, _mm512_set1_epi32((127 - bias) << 23));
  // With an exponent of one, a subnormal code is too large by exactly that power of two.
  __m512i smallest = _mm512_set1_epi32((128 - bias) << 23);
  __mmask16 small = _mm512_cmplt_epi32_mask(magnitude, _mm512_set1_epi32(1 << mantissa));
  __m512 exact = _mm512_sub_ps(_mm512_castsi512_ps(_mm512_add_epi32(shifted, smallest)), _mm512_castsi512_ps(smallest));
  bits = _mm512_mask_mov_epi32(bits, small, _mm512_castps_si512(exact));
  __mmask16 special = _mm512_cmpge_epi32_mask(magnitude, _mm512_set1_epi32(mantissa == 3 ? 0x7F : 0x7C));
  bits = _mm512_mask_or_epi32(bits, special, shifted, _mm512_set1_epi32(0x7F800000));
  __m512i sign = _mm512_slli_epi32(_mm512_and_si512(code, _mm512_set1_epi32(0x80)), 24);
  return _mm512_castsi512_ps(_mm512_or_si512(bits, sign));
}

#endif
