// AVX2: four rows by eight columns of sums. |b| times a with the sign of b, in pairs: at most 2 * 127 * 127, which fits 16 bits.
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#include <string.h>

#include "gemm.h"

enum { ROWS = 4, COLUMNS = 8 };

static inline __m256i four_codes(const uint8_t *a) {
  int32_t codes;
  memcpy(&codes, a, 4);
  return _mm256_set1_epi32(codes);
}

static inline int is_present(const float *grid, const uint8_t *states, int64_t at, int64_t presence, int64_t panel, int i) {
  int how = state(states, at, panel);
  return how == FULL || (how == PARTIAL && grid[presence + panel * PANEL + i] != 0);
}

static void fold(const Memory *memory, const Step *step, int64_t row, int64_t column, int top, int left, const __m256i *sums,
                 float *acc) {
  const float *scales_a = memory->grid_a + step->grid_a + row * PANEL + top;
  const float *scales_b = memory->grid_b + step->grid_b + column * PANEL + left;
  int full = state(memory->state_a, step->state_a, row) == FULL && state(memory->state_b, step->state_b, column) == FULL;
  for (int i = 0; i < ROWS; i++) {
    __m256 scale = _mm256_mul_ps(_mm256_set1_ps(scales_a[i]), _mm256_loadu_ps(scales_b));
    __m256 old = _mm256_loadu_ps(acc + i * TILE);
    __m256 sum = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sums[i]), old);
    if (full) {
      _mm256_storeu_ps(acc + i * TILE, sum);
      continue;
    }
    float values[COLUMNS];
    _mm256_storeu_ps(values, sum);
    if (is_present(memory->grid_a, memory->state_a, step->state_a, step->presence_a, row, top + i)) {
      for (int j = 0; j < COLUMNS; j++) {
        if (is_present(memory->grid_b, memory->state_b, step->state_b, step->presence_b, column, left + j)) {
          acc[i * TILE + j] = values[j];
        }
      }
    }
  }
}

// Rows top to top + 3, columns left to left + 7 of the panels.
static void steps_of_part(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, int top,
                          int left, float *acc, int32_t *whole) {
  const __m256i ones = _mm256_set1_epi16(1);
  __m256i sums[ROWS];
  int held = 0;
  for (; step < end; step++) {
    if (state(memory->state_a, step->state_a, row) == ABSENT ||
        state(memory->state_b, step->state_b, column) == ABSENT) {
      continue;
    }
    for (int i = 0; i < ROWS; i++) {
      if (step->first) {
        sums[i] = _mm256_setzero_si256();
      } else if (!held) {
        sums[i] = _mm256_loadu_si256((const __m256i *)(whole + i * TILE));
      }
    }
    int64_t length = padded(step->length);
    const uint8_t *a = memory->a + step->a_at + row * panel_bytes(step->length, 0) + top / TILE * TILE * length +
                       top % TILE * GROUP;
    const uint8_t *b = memory->b + step->b_at + column * panel_bytes(step->length, 1) + left / TILE * TILE * length +
                       left % TILE * 4;
    int64_t quads = (step->length + 3) / 4;
    for (int64_t quad = 0; quad < quads; quad++) {
      __m256i codes_b = _mm256_loadu_si256((const __m256i *)(b + quad * 64));
      __m256i size_b = _mm256_abs_epi8(codes_b);
      const uint8_t *codes = a + quad / 16 * TILE * GROUP + quad % 16 * 4;
#pragma GCC unroll 4
      for (int i = 0; i < ROWS; i++) {
        __m256i signed_a = _mm256_sign_epi8(four_codes(codes + i * GROUP), codes_b);
        __m256i pairs = _mm256_maddubs_epi16(size_b, signed_a);
        sums[i] = _mm256_add_epi32(sums[i], _mm256_madd_epi16(pairs, ones));
      }
    }
    held = !step->last;
    if (step->last) {
      fold(memory, step, row, column, top, left, sums, acc);
    }
  }
  if (held) {
    for (int i = 0; i < ROWS; i++) {
      _mm256_storeu_si256((__m256i *)(whole + i * TILE), sums[i]);
    }
  }
}

void nibble_steps_avx2(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                       int32_t *whole) {
  for (int top = 0; top < PANEL; top += ROWS) {
    for (int left = 0; left < PANEL; left += COLUMNS) {
      int at = (top / TILE * 2 + left / TILE) * TILE * TILE + top % TILE * TILE + left % TILE;
      steps_of_part(memory, step, end, row, column, top, left, acc + at, whole + at);
    }
  }
}
