// The fold of one row of a tile with AVX-512.
#ifndef NIBBLE_FOLD512_H
#define NIBBLE_FOLD512_H

#include <immintrin.h>

#include "gemm.h"

// Which columns of a tile are present in a step.
static inline __mmask16 present_columns(const Memory *memory, const Step *step, int64_t column, int tile) {
  int how = state(memory->state_b, step->state_b, column);
  if (how != PARTIAL) {
    return how == FULL ? 0xFFFF : 0;
  }
  const float *presence = memory->grid_b + step->presence_b + column * PANEL + tile * TILE;
  return _mm512_cmp_ps_mask(_mm512_loadu_ps(presence), _mm512_setzero_ps(), _CMP_NEQ_UQ);
}

static inline int row_present(const Memory *memory, const Step *step, int64_t row, int i) {
  int how = state(memory->state_a, step->state_a, row);
  return how == FULL || (how == PARTIAL && memory->grid_a[step->presence_a + row * PANEL + i] != 0);
}

// acc = fmaf(a * b, (float) sum, acc)
static inline void fold_row(float *acc, __m512i sum, float scale_a, __m512 scale_b, __mmask16 columns) {
  __m512 scale = _mm512_mul_ps(_mm512_set1_ps(scale_a), scale_b);
  __m512 old = _mm512_loadu_ps(acc);
  _mm512_storeu_ps(acc, _mm512_mask3_fmadd_ps(scale, _mm512_cvtepi32_ps(sum), old, columns));
}

#endif
