// AVX-512 VNNI: eight rows by two vectors of sums in registers. The instruction multiplies unsigned by signed bytes, so B holds
// codes + 128, and each sum starts at -128 times the sum of its row of A.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#include <immintrin.h>
#include <string.h>

#include "fold512.h"
#include "gemm.h"

enum { ROWS = 8 };

static inline __m512i four_codes(const uint8_t *a) {
  int32_t codes;
  memcpy(&codes, a, 4);
  return _mm512_set1_epi32(codes);
}

// Rows top to top + 7 of the panel.
static void steps_of_rows(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, int top,
                          float *acc, int32_t *whole) {
  __m512i sums[ROWS][2];
  int tile = top / TILE * 2 * TILE * TILE + top % TILE * TILE;  // of the left tile, in acc and whole
  int held = 0;
  for (; step < end; step++) {
    int how_a = state(memory->state_a, step->state_a, row);
    if (how_a == ABSENT || state(memory->state_b, step->state_b, column) == ABSENT) {
      continue;
    }
    int64_t length = padded(step->length);
    const uint8_t *panel = memory->a + step->a_at + row * panel_bytes(step->length, 0);
    const int32_t *row_sums = (const int32_t *)(panel + PANEL * length);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      int32_t correction = -128 * row_sums[top + i];
      if (step->first) {
        sums[i][0] = sums[i][1] = _mm512_set1_epi32(correction);
      } else {
        if (!held) {
          sums[i][0] = _mm512_loadu_si512(whole + tile + i * TILE);
          sums[i][1] = _mm512_loadu_si512(whole + tile + TILE * TILE + i * TILE);
        }
        sums[i][0] = _mm512_add_epi32(sums[i][0], _mm512_set1_epi32(correction));
        sums[i][1] = _mm512_add_epi32(sums[i][1], _mm512_set1_epi32(correction));
      }
    }
    const uint8_t *a = panel + top / TILE * TILE * length + top % TILE * GROUP;
    const uint8_t *b = memory->b + step->b_at + column * panel_bytes(step->length, 1);
    int64_t quads = (step->length + 3) / 4;
    for (int64_t quad = 0; quad < quads; quad++) {
      __m512i b0 = _mm512_loadu_si512(b + quad * 64);
      __m512i b1 = _mm512_loadu_si512(b + TILE * length + quad * 64);
      const uint8_t *codes = a + quad / 16 * TILE * GROUP + quad % 16 * 4;
#pragma GCC unroll 8
      for (int i = 0; i < ROWS; i++) {
        __m512i four = four_codes(codes + i * GROUP);
        sums[i][0] = _mm512_dpbusd_epi32(sums[i][0], b0, four);
        sums[i][1] = _mm512_dpbusd_epi32(sums[i][1], b1, four);
      }
    }
    held = !step->last;
    if (step->last) {
      const float *scales_a = memory->grid_a + step->grid_a + row * PANEL + top;
      const float *scales_b = memory->grid_b + step->grid_b + column * PANEL;
      for (int right = 0; right < 2; right++) {
        __m512 scale_b = _mm512_loadu_ps(scales_b + right * TILE);
        __mmask16 columns = present_columns(memory, step, column, right);
#pragma GCC unroll 8
        for (int i = 0; i < ROWS; i++) {
          if (how_a == FULL || row_present(memory, step, row, top + i)) {
            fold_row(acc + tile + right * TILE * TILE + i * TILE, sums[i][right], scales_a[i], scale_b, columns);
          }
        }
      }
    }
  }
  if (held) {
#pragma GCC unroll 8
    for (int i = 0; i < ROWS; i++) {
      _mm512_storeu_si512(whole + tile + i * TILE, sums[i][0]);
      _mm512_storeu_si512(whole + tile + TILE * TILE + i * TILE, sums[i][1]);
    }
  }
}

void nibble_steps_vnni(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                       int32_t *whole) {
  for (int top = 0; top < PANEL; top += ROWS) {
    steps_of_rows(memory, step, end, row, column, top, acc, whole);
  }
}
