// Products of 8-bit floats with AVX-512: codes become FP32 as they are packed, and each stretch is a chain of its own,
//
//   acc = fmaf(scaleA[row] * scaleB[col], chain, acc)    chain = fmaf(a, b, chain), k ascending, from 0
//
// Panels are those of floats_avx512.c.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include <immintrin.h>

#include "decode512.h"
#include "fold512.h"
#include "gemm.h"

enum { ROWS = 8 };

static inline __attribute__((always_inline)) void fold(const Memory *memory, const Step *step, int64_t row, int64_t column,
                                                       int top, __m512 sums[ROWS][2], float *left) {
  int how = state(memory->state_a, step->state_a, row);
  const float *scales_a = memory->grid_a + step->grid_a + row * PANEL + top;
  const float *scales_b = memory->grid_b + step->grid_b + column * PANEL;
#pragma GCC unroll 2
  for (int right = 0; right < 2; right++) {
    __m512 scale_b = _mm512_loadu_ps(scales_b + right * TILE);
    __mmask16 columns = present_columns(memory, step, column, right);
    float *acc = left + right * TILE * TILE;
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      __mmask16 there = how == FULL || row_present(memory, step, row, top + i) ? columns : 0;
      __m512 scale = _mm512_mul_ps(_mm512_set1_ps(scales_a[i]), scale_b);
      __m512 old = _mm512_loadu_ps(acc + i * TILE);
      _mm512_storeu_ps(acc + i * TILE, _mm512_mask3_fmadd_ps(scale, sums[i][right], old, there));
    }
  }
}

static void steps_of_rows(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, int top,
                          float *acc) {
  float *left = acc + top / TILE * 2 * TILE * TILE + top % TILE * TILE;
  for (; step < end; step++) {
    if (state(memory->state_a, step->state_a, row) == ABSENT || state(memory->state_b, step->state_b, column) == ABSENT) {
      continue;
    }
    __m512 sums[ROWS][2];
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      sums[i][0] = sums[i][1] = _mm512_setzero_ps();
    }
    const float *a = (const float *)(memory->a + step->a_at) + (row * PANEL + top) * step->length;
    const float *b = (const float *)(memory->b + step->b_at) + column * PANEL * step->length;
    for (int64_t k = 0; k < step->length; k++, a += ROWS, b += PANEL) {
      __m512 b0 = _mm512_load_ps(b);
      __m512 b1 = _mm512_load_ps(b + TILE);
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        __m512 all = _mm512_set1_ps(a[i]);
        sums[i][0] = _mm512_fmadd_ps(all, b0, sums[i][0]);
        sums[i][1] = _mm512_fmadd_ps(all, b1, sums[i][1]);
      }
    }
    fold(memory, step, row, column, top, sums, left);
  }
}

void nibble_steps_chains(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                         int32_t *whole) {
  (void)whole;
  for (int top = 0; top < PANEL; top += ROWS) {
    steps_of_rows(memory, step, end, row, column, top, acc);
  }
}

static inline __mmask16 first(int64_t count) { return count >= TILE ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1; }

static inline __m512 values(const PackCall *call, __m128i codes) {
  __m512i wide = _mm512_cvtepu8_epi32(codes);
  return call->format == FORMAT_E4M3 ? decode_fp8(wide, 3, 7) : decode_fp8(wide, 2, 15);
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

// Rows and columns of a 16 x 16 matrix of bytes.
static inline void transpose(__m128i r[16]) {
  for (int width = 0; width < 4; width++) {
    __m128i t[16];
#pragma GCC unroll 8
    for (int i = 0; i < 8; i++) {
      t[2 * i] = _mm_unpacklo_epi8(r[i], r[i + 8]);
      t[2 * i + 1] = _mm_unpackhi_epi8(r[i], r[i + 8]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < 16; i++) {
      r[i] = t[i];
    }
  }
}

static void pack_across(const PackCall *call, const PackBlock *block, const uint8_t *codes, float *panels) {
  int64_t panel = PANEL * block->length;
  // Few panels of A at a time: a row of each goes to lines that share their place in the nearest cache.
  int64_t width = call->side == 1 ? 8 * PANEL : 2 * PANEL;
  int64_t end_row = call->to_panel * PANEL;
  for (int64_t from = call->from_panel * PANEL; from < end_row; from += width) {
    int64_t to = end_row - from < width ? end_row : from + width;
    for (int64_t k = 0; k < block->length; k++) {
      const uint8_t *line = codes + (block->from + k) * call->pitch + call->first_row;
      for (int64_t row = from; row < to; row += TILE) {
        __m128i some = _mm_maskz_loadu_epi8(first(call->rows - row), line + row);
        put(call, panels + row / PANEL * panel, block->length, k, row % PANEL, values(call, some));
      }
    }
  }
}

static void pack_along(const PackCall *call, const PackBlock *block, const uint8_t *codes, float *panels) {
  int64_t panel = PANEL * block->length;
  for (int64_t row = call->from_panel * PANEL; row < call->to_panel * PANEL; row += TILE) {
    for (int64_t k = 0; k < block->length; k += TILE) {
      int64_t count = block->length - k;
      __m128i r[16];
#pragma GCC unroll 16
      for (int64_t i = 0; i < TILE; i++) {
        const uint8_t *line = codes + (call->first_row + row + i) * call->pitch + block->from + k;
        r[i] = row + i < call->rows ? _mm_maskz_loadu_epi8(first(count), line) : _mm_setzero_si128();
      }
      transpose(r);
      for (int64_t i = 0; i < TILE && i < count; i++) {
        put(call, panels + row / PANEL * panel, block->length, k + i, row % PANEL, values(call, r[i]));
      }
    }
  }
}

void nibble_pack_fp8(const PackCall *call, const PackBlock *block, const uint8_t *codes, const uint8_t *states,
                     uint8_t *out) {
  (void)states;
  for (const PackBlock *end = block + call->blocks; block < end; block++) {
    float *panels = (float *)(out + block->at);
    if (call->transposed) {
      pack_across(call, block, codes, panels);
    } else {
      pack_along(call, block, codes, panels);
    }
  }
}
