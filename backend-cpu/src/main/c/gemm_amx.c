// AMX: two by two tiles of 16 x 16 sums, 64 products a tile and instruction.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,amx-tile,amx-int8")
#include <immintrin.h>

#include "fold512.h"
#include "gemm.h"

typedef struct {
  uint8_t palette, start_row, reserved[14];
  uint16_t row_bytes[16];
  uint8_t rows[16];
} TileConfig;

void nibble_amx_begin(void) {
  TileConfig config __attribute__((aligned(64))) = {.palette = 1};
  for (int tile = 0; tile < 8; tile++) {
    config.row_bytes[tile] = 64;
    config.rows[tile] = TILE;
  }
  __asm__ volatile("" : : "r"(&config) : "memory");  // the compiler believes that the next line reads 8 bytes
  _tile_loadconfig(&config);
}

void nibble_amx_end(void) { _tile_release(); }

static void load_sums(const int32_t *whole) {
  _tile_loadd(0, whole, 64);
  _tile_loadd(1, whole + 256, 64);
  _tile_loadd(2, whole + 512, 64);
  _tile_loadd(3, whole + 768, 64);
}

static void store_sums(int32_t *whole) {
  _tile_stored(0, whole, 64);
  _tile_stored(1, whole + 256, 64);
  _tile_stored(2, whole + 512, 64);
  _tile_stored(3, whole + 768, 64);
}

static void fold(const Memory *memory, const Step *step, int64_t row, int64_t column, const int32_t *sums, float *acc) {
  const float *scales_a = memory->grid_a + step->grid_a + row * PANEL;
  const float *scales_b = memory->grid_b + step->grid_b + column * PANEL;
  int all = state(memory->state_a, step->state_a, row) == FULL;
  for (int right = 0; right < 2; right++) {
    __m512 scale_b = _mm512_loadu_ps(scales_b + right * TILE);
    __mmask16 columns = present_columns(memory, step, column, right);
    for (int down = 0; down < 2; down++) {
      const int32_t *from = sums + (down * 2 + right) * TILE * TILE;
      float *to = acc + (down * 2 + right) * TILE * TILE;
      for (int i = 0; i < TILE; i++) {
        if (all || row_present(memory, step, row, down * TILE + i)) {
          fold_row(to + i * TILE, _mm512_load_si512(from + i * TILE), scales_a[down * TILE + i], scale_b, columns);
        }
      }
    }
  }
}

void nibble_steps_amx(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                      int32_t *whole) {
  int32_t sums[PANEL * PANEL] __attribute__((aligned(64)));
  int held = 0;  // whether the tiles hold the segment so far
  for (; step < end; step++) {
    if (state(memory->state_a, step->state_a, row) == ABSENT ||
        state(memory->state_b, step->state_b, column) == ABSENT) {
      continue;
    }
    if (step->first) {
      _tile_zero(0);
      _tile_zero(1);
      _tile_zero(2);
      _tile_zero(3);
    } else if (!held) {
      load_sums(whole);
    }
    int64_t length = padded(step->length);
    const uint8_t *a = memory->a + step->a_at + row * panel_bytes(step->length, 0);
    const uint8_t *b = memory->b + step->b_at + column * panel_bytes(step->length, 1);
    for (int64_t at = 0; at < length * TILE; at += TILE * GROUP) {
      _tile_loadd(4, a + at, 64);
      _tile_loadd(6, b + at, 64);
      _tile_dpbssd(0, 4, 6);
      _tile_loadd(7, b + TILE * length + at, 64);
      _tile_dpbssd(1, 4, 7);
      _tile_loadd(5, a + TILE * length + at, 64);
      _tile_dpbssd(2, 5, 6);
      _tile_dpbssd(3, 5, 7);
    }
    held = !step->last;
    if (step->last) {
      store_sums(sums);
      fold(memory, step, row, column, sums, acc);
    }
  }
  if (held) {
    store_sums(whole);
  }
}
