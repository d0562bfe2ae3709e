// FP32 with AVX-512: eight rows by two vectors of sums in registers, one chain of fused multiply-adds each, k ascending.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include <immintrin.h>

#include "gemm.h"
#include "transpose512.h"

enum { ROWS = FLOAT_ROWS, STRETCH = 16 };

// One step of k of eight rows.
static inline __attribute__((always_inline)) void multiply(__m512 sums[ROWS][2], const float *a, const float *b) {
  __m512 b0 = _mm512_load_ps(b);
  __m512 b1 = _mm512_load_ps(b + TILE);
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
    __m512 all = _mm512_set1_ps(a[i]);
    sums[i][0] = _mm512_fmadd_ps(all, b0, sums[i][0]);
    sums[i][1] = _mm512_fmadd_ps(all, b1, sums[i][1]);
  }
}

// Asks for what lies `at` bytes behind the beginning of each run.
static inline __attribute__((always_inline)) void ask_for(const Ahead *ahead, int64_t at) {
  const char *run = ahead->stored + at;
  for (int64_t i = 0; i < ahead->stored_runs; i++, run += ahead->stored_pitch) {
    _mm_prefetch(run, _MM_HINT_T1);
  }
}

void nibble_steps_of_rows(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column,
                          int64_t top, float *acc) {
  float *left = acc + top / TILE * 2 * TILE * TILE + top % TILE * TILE;
  float *right = left + TILE * TILE;
  __m512 sums[ROWS][2];
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
    sums[i][0] = _mm512_load_ps(left + i * TILE);
    sums[i][1] = _mm512_load_ps(right + i * TILE);
  }
  Ahead ahead = *memory->ahead;
  int64_t line = 0;
  for (; step < end; step++) {
    const float *a = (const float *)(memory->a + step->a_at) + (row * PANEL + top) * step->length;
    const float *b = (const float *)(memory->b + step->b_at) + column * PANEL * step->length;
    for (int64_t k = 0; k < step->length; k += STRETCH, line += LINE) {
      if (ahead.sums_rows > 0) {
        // Two lines of a row; the panel to the left has asked for the one before.
        _mm_prefetch(ahead.sums + LINE, _MM_HINT_T1);
        _mm_prefetch(ahead.sums + PANEL * 4 - 1, _MM_HINT_T1);
        ahead.sums += ahead.sums_pitch;
        ahead.sums_rows--;
      }
      ask_for(&ahead, line);
      if (step->length - k >= STRETCH) {
#pragma GCC unroll 4
        for (int i = 0; i < STRETCH; i++) {
          multiply(sums, a + i * ROWS, b + i * PANEL);
        }
      } else {
        for (int64_t i = 0; i < step->length - k; i++) {
          multiply(sums, a + i * ROWS, b + i * PANEL);
        }
      }
      a += STRETCH * ROWS;
      b += STRETCH * PANEL;
    }
  }
  ask_for(&ahead, line);
#pragma GCC unroll 8
  for (int i = 0; i < ROWS; i++) {
    _mm512_store_ps(left + i * TILE, sums[i][0]);
    _mm512_store_ps(right + i * TILE, sums[i][1]);
  }
}

void nibble_steps_floats(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                         int32_t *whole) {
  (void)whole;
  for (int top = 0; top < PANEL; top += ROWS) {
    nibble_steps_of_rows(memory, step, end, row, column, top, acc);
    memory->ahead->sums += memory->ahead->sums_pitch * ROWS;
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

// Codes lie [k][rows]: along the stored rows, whose elements are neighbours. Few panels of A at a time: a row of each goes to
// lines that share their place in the nearest cache.
static void pack_across(const PackCall *call, const PackBlock *block, const uint8_t *codes, uint8_t *out) {
  int64_t panel = PANEL * block->length;  // elements
  float *panels = (float *)(out + block->at);
  int64_t width = call->side == 1 ? 8 : 2;
  for (int64_t from = call->from_panel; from < call->to_panel; from += width) {
    int64_t to = call->to_panel - from < width ? call->to_panel : from + width;
    int whole = call->format == FORMAT_FP32 && to * PANEL <= call->rows;
    for (int64_t k = 0; k < block->length; k++) {
      int64_t at = (block->from + k) * call->pitch + call->first_row;
      const float *stored = (const float *)codes + at;
      for (int64_t row = from * PANEL; whole && row < to * PANEL; row += PANEL) {
        float *own = panels + row * block->length;
        put(call, own, block->length, k, 0, _mm512_loadu_ps(stored + row));
        put(call, own, block->length, k, TILE, _mm512_loadu_ps(stored + row + TILE));
      }
      for (int64_t row = from * PANEL; !whole && row < to * PANEL; row += TILE) {
        put(call, panels + row / PANEL * panel, block->length, k, row % PANEL,
            elements(call, codes, at + row, call->rows - row));
      }
    }
  }
}

// Codes lie [rows][k]: sixteen rows by sixteen codes at a time.
static void pack_along(const PackCall *call, const PackBlock *block, const uint8_t *codes, uint8_t *out) {
  int64_t length = block->length;
  for (int64_t row = call->from_panel * PANEL; row < call->to_panel * PANEL; row += TILE) {
    float *panel = (float *)(out + block->at) + row / PANEL * PANEL * length;
    int64_t top = row % PANEL;
    for (int64_t k = 0; k < length; k += TILE) {
      int64_t count = length - k;
      int64_t at = (call->first_row + row) * call->pitch + block->from + k;
      __m512 r[16];
      if (call->format == FORMAT_FP32 && count >= TILE && row + TILE <= call->rows) {
        const float *stored = (const float *)codes + at;
#pragma GCC unroll 16
        for (int64_t i = 0; i < TILE; i++) {
          r[i] = _mm512_loadu_ps(stored + i * call->pitch);
        }
        transpose(r);
#pragma GCC unroll 16
        for (int64_t i = 0; i < TILE; i++) {
          put(call, panel, length, k + i, top, r[i]);
        }
        continue;
      }
#pragma GCC unroll 16
      for (int64_t i = 0; i < TILE; i++) {
        r[i] = row + i < call->rows ? elements(call, codes, at + i * call->pitch, count) : _mm512_setzero_ps();
      }
      transpose(r);
#pragma GCC unroll 16
      for (int64_t i = 0; i < TILE; i++) {
        if (i < count) {
          put(call, panel, length, k + i, top, r[i]);
        }
      }
    }
  }
}

void nibble_pack_floats(const PackCall *call, const PackBlock *block, const uint8_t *codes, const uint8_t *states,
                        uint8_t *out) {
  (void)states;
  for (const PackBlock *end = block + call->blocks; block < end; block++) {
    if (call->transposed) {
      pack_across(call, block, codes, out);
    } else {
      pack_along(call, block, codes, out);
    }
  }
}
