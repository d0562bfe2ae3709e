// The edges of a sum with AVX-512: a row of a tile is a vector. Reference: edges_plain.c.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include <immintrin.h>

#include "gemm.h"

// Columns of a tile that are in D.
static inline __mmask16 inside(const MultiplyCall *call, int64_t column) {
  int64_t left = call->columns - column;
  return left >= TILE ? 0xFFFF : left <= 0 ? 0 : (1 << left) - 1;
}

static void start(const MultiplyCall *call, int64_t row, int64_t column, const float *d, float *acc) {
  for (int i = 0; i < PANEL * PANEL; i += TILE) {
    _mm512_storeu_ps(acc + i, _mm512_setzero_ps());
  }
  const float *from = d + call->d_at + row * PANEL * call->d_pitch + column * PANEL;
  for (int64_t i = 0; call->continues && i < PANEL && row * PANEL + i < call->rows; i++) {
    for (int64_t tile = 0; tile < 2; tile++) {
      __m512 old = _mm512_maskz_loadu_ps(inside(call, column * PANEL + tile * TILE), from + i * call->d_pitch + tile * TILE);
      _mm512_storeu_ps(acc + ((i / TILE * 2 + tile) * TILE + i % TILE) * TILE, old);
    }
  }
}

static void add(float *total, const float *part, int first) {
  for (int i = 0; i < PANEL * PANEL; i += TILE) {
    __m512 sum = _mm512_loadu_ps(part + i);
    _mm512_storeu_ps(total + i, first ? sum : _mm512_add_ps(_mm512_loadu_ps(total + i), sum));
  }
}

static void finish(const MultiplyCall *call, int64_t row, int64_t column, const float *acc, float *d) {
  float *to = d + call->d_at + row * PANEL * call->d_pitch + column * PANEL;
  __mmask16 left = inside(call, column * PANEL);
  __mmask16 right = inside(call, column * PANEL + TILE);
  int64_t rows = call->rows - row * PANEL;
  for (int64_t i = 0; i < PANEL && i < rows; i++, to += call->d_pitch) {
    const float *from = acc + (i / TILE * 2 * TILE + i % TILE) * TILE;
    __m512 a = _mm512_loadu_ps(from);
    __m512 b = _mm512_loadu_ps(from + TILE * TILE);
    if (call->epilogue == 1) {
      a = _mm512_add_ps(_mm512_maskz_loadu_ps(left, to), a);
      b = _mm512_add_ps(_mm512_maskz_loadu_ps(right, to + TILE), b);
    } else if (call->epilogue == 2) {
      a = _mm512_add_ps(_mm512_setzero_ps(), a);  // which makes +0 of -0
      b = _mm512_add_ps(_mm512_setzero_ps(), b);
    }
    _mm512_mask_storeu_ps(to, left, a);
    _mm512_mask_storeu_ps(to + TILE, right, b);
  }
}

const Edges nibble_edges_avx512 = {start, add, finish};
