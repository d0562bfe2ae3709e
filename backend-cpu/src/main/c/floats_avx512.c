// FP32 with AVX-512: eight rows by two vectors of sums in registers, one chain of fused multiply-adds each, k ascending.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include <immintrin.h>

#include "gemm.h"

enum { ROWS = 8 };

static void steps_of_rows(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, int top,
                          float *acc) {
  float *left = acc + top / TILE * 2 * TILE * TILE + top % TILE * TILE;
  float *right = left + TILE * TILE;
  __m512 sums[ROWS][2];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
    sums[i][0] = _mm512_loadu_ps(left + i * TILE);
    sums[i][1] = _mm512_loadu_ps(right + i * TILE);
  }
  for (; step < end; step++) {
    const float *a = (const float *)(memory->a + step->a_at) + (row * PANEL + top) * step->length;
    const float *b = (const float *)(memory->b + step->b_at) + column * PANEL * step->length;
    for (int64_t k = 0; k < step->length; k++) {
      __m512 b0 = _mm512_load_ps(b);
      __m512 b1 = _mm512_load_ps(b + TILE);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        __m512 all = _mm512_set1_ps(a[i]);
        sums[i][0] = _mm512_fmadd_ps(all, b0, sums[i][0]);
        sums[i][1] = _mm512_fmadd_ps(all, b1, sums[i][1]);
      }
      a += ROWS;
      b += PANEL;
    }
  }
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
    _mm512_storeu_ps(left + i * TILE, sums[i][0]);
    _mm512_storeu_ps(right + i * TILE, sums[i][1]);
  }
}

void nibble_steps_floats(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                         int32_t *whole) {
  (void)whole;
  for (int top = 0; top < PANEL; top += ROWS) {
    steps_of_rows(memory, step, end, row, column, top, acc);
  }
}

static __mmask16 first(int64_t count) { return count >= TILE ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1; }

// Up to 16 neighbouring elements, 0 beyond them.
static inline __m512 elements(const PackCall *call, const uint8_t *codes, int64_t at, int64_t count) {
  if (call->format == FORMAT_FP32) {
    return _mm512_maskz_loadu_ps(first(count), (const float *)codes + at);
  }
  __m256i halves = _mm256_maskz_loadu_epi16(first(count), (const uint16_t *)codes + at);
  return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(halves), 16));
}

// Sixteen rows of the panel from `top` on, at one k.
static inline void put(const PackCall *call, float *panel, int64_t length, int64_t k, int64_t top, __m512 values) {
  if (call->side == 1) {
    _mm512_storeu_ps(panel + k * PANEL + top, values);
  } else {
    float *to = panel + top * length + k * ROWS;
    _mm256_storeu_ps(to, _mm512_castps512_ps256(values));
    _mm256_storeu_ps(to + ROWS * length, _mm512_extractf32x8_ps(values, 1));
  }
}

static inline void transpose(__m512 r[16]) {
  __m512 t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_ps(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 1] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i]), _mm512_castps_pd(t[i + 2])));
    r[i + 2] = _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
    r[i + 3] = _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(t[i + 1]), _mm512_castps_pd(t[i + 3])));
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_f32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_f32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_f32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_f32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

void nibble_pack_floats(const PackCall *call, const PackBlock *block, const uint8_t *codes, const uint8_t *states,
                        uint8_t *out) {
  (void)states;
  for (const PackBlock *end = block + call->blocks; block < end; block++) {
    float *panels = (float *)(out + block->at);
    int64_t bytes = PANEL * block->length;
    if (call->transposed) {
      // Along the stored rows, whose elements are neighbours; all panels of the call share a row of the cache.
      for (int64_t k = 0; k < block->length; k++) {
        int64_t at = (block->from + k) * call->pitch + call->first_row;
        for (int64_t row = call->from_panel * PANEL; row < call->to_panel * PANEL; row += TILE) {
          __m512 values = elements(call, codes, at + row, call->rows - row);
          put(call, panels + row / PANEL * bytes, block->length, k, row % PANEL, values);
        }
      }
      continue;
    }
    for (int64_t row = call->from_panel * PANEL; row < call->to_panel * PANEL; row += TILE) {
      for (int64_t k = 0; k < block->length; k += TILE) {
        int64_t count = block->length - k;
        __m512 r[16];
#pragma GCC unroll 16
        for (int64_t i = 0; i < TILE; i++) {
          int64_t at = (call->first_row + row + i) * call->pitch + block->from + k;
          r[i] = row + i < call->rows ? elements(call, codes, at, count) : _mm512_setzero_ps();
        }
        transpose(r);
#pragma GCC unroll 16
        for (int64_t i = 0; i < TILE; i++) {
          if (i < count) {
            put(call, panels + row / PANEL * bytes, block->length, k + i, row % PANEL, r[i]);
          }
        }
      }
    }
  }
}
