// The exponential of dev.nibble.reference.Exp, 16 at a time.
#ifndef NIBBLE_EXP512_H
#define NIBBLE_EXP512_H

#include <immintrin.h>

static inline __attribute__((always_inline)) __m512 exp16(__m512 x) {
  // The first operand is dropped where one is NaN.
  __m512 bounded = _mm512_max_ps(_mm512_set1_ps(-104.0f), _mm512_min_ps(_mm512_set1_ps(89.0f), x));
  __m512 rounder = _mm512_set1_ps(0x1.8p23f);
  __m512 n = _mm512_sub_ps(_mm512_fmadd_ps(bounded, _mm512_set1_ps(0x1.715476p+0f), rounder), rounder);
  __m512 r = _mm512_fmadd_ps(n, _mm512_set1_ps(0x1.05c61p-29f),
                             _mm512_fmadd_ps(n, _mm512_set1_ps(-0x1.62e43p-1f), bounded));
  __m512 p = _mm512_fmadd_ps(_mm512_set1_ps(0x1.6a2434p-10f), r, _mm512_set1_ps(0x1.1239e2p-7f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.5558f2p-5f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.555492p-3f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(0x1.fffffcp-2f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.0f));
  // Rounded once, as the two factors of the reference are: the first of them is exact.
  return _mm512_scalef_ps(p, n);
}

#endif
