// Packing, 16 rows by 64 codes at a time. Codes that lie along the contraction are a tile of A as they are, and a tile of B after
// a transposition of groups of four; codes that lie across it are the other way round.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512vnni")
#include <immintrin.h>
#include <string.h>

#include "gemm.h"

typedef struct {
  const PackCall *call;
  const uint8_t *codes;
  __m512i values;  // of the 16 codes of a format of 4 bits, in each lane
} Source;

static __m512i values_of(int64_t format) {
  static const int8_t tables[4][16] = {
      {0},
      {0, 1, 2, 3, 4, 5, 6, 7, -8, -7, -6, -5, -4, -3, -2, -1},
      {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
      {0, 1, 2, 4, 8, 16, 32, 64, 0, -1, -2, -4, -8, -16, -32, -64},
  };
  return _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)tables[format]));
}

static __mmask64 first(int64_t count) {
  return count >= 64 ? ~(__mmask64)0 : count <= 0 ? 0 : ((__mmask64)1 << count) - 1;
}

// Up to 64 neighbouring codes from element `at` on, 0 beyond them.
static inline __m512i codes_at(const Source *source, int64_t at, int64_t count) {
  if (source->call->format == FORMAT_INT8) {
    return _mm512_maskz_loadu_epi8(first(count), source->codes + at);
  }
  __m256i pairs;
  if (at & 1) {  // a stretch that begins within a byte
    uint8_t shifted[32] = {0};
    for (int64_t i = 0; i < count && i < 64; i++) {
      uint8_t byte = source->codes[(at + i) >> 1];
      shifted[i >> 1] |= ((at + i) & 1 ? byte >> 4 : byte & 15) << (i & 1 ? 4 : 0);
    }
    pairs = _mm256_loadu_si256((const __m256i *)shifted);
  } else {
    pairs = _mm256_maskz_loadu_epi8((__mmask32)first((count + 1) / 2), source->codes + (at >> 1));
  }
  __m512i wide = _mm512_cvtepu8_epi16(pairs);
  __m512i low = _mm512_and_si512(wide, _mm512_set1_epi16(15));
  __m512i high = _mm512_slli_epi16(_mm512_and_si512(wide, _mm512_set1_epi16(0xF0)), 4);
  __m512i values = _mm512_shuffle_epi8(source->values, _mm512_or_si512(low, high));
  return _mm512_maskz_mov_epi8(first(count), values);
}

// Rows and columns of a 16 x 16 matrix of 32 bits.
static inline void transpose(__m512i r[16]) {
  __m512i t[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_epi32(r[i], r[i + 1]);
    t[i + 1] = _mm512_unpackhi_epi32(r[i], r[i + 1]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    r[i] = _mm512_unpacklo_epi64(t[i], t[i + 2]);
    r[i + 1] = _mm512_unpackhi_epi64(t[i], t[i + 2]);
    r[i + 2] = _mm512_unpacklo_epi64(t[i + 1], t[i + 3]);
    r[i + 3] = _mm512_unpackhi_epi64(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    t[i] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0x88);
    t[i + 4] = _mm512_shuffle_i32x4(r[i], r[i + 4], 0xdd);
    t[i + 8] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0x88);
    t[i + 12] = _mm512_shuffle_i32x4(r[i + 8], r[i + 12], 0xdd);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    r[i] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0x88);
    r[i + 4] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0x88);
    r[i + 8] = _mm512_shuffle_i32x4(t[i], t[i + 8], 0xdd);
    r[i + 12] = _mm512_shuffle_i32x4(t[i + 4], t[i + 12], 0xdd);
  }
}

static inline void store(const PackCall *call, __m512i r[16], int turned, uint8_t *out) {
  // A wants a row of the tile in a vector, B four codes of each column.
  if ((call->side == 0) == (turned != 0)) {
    transpose(r);
  }
  __m512i bias = _mm512_set1_epi8(call->side == 1 && call->level == LEVEL_VNNI ? (char)0x80 : 0);
#pragma GCC unroll 16
  for (int i = 0; i < 16; i++) {
    _mm512_storeu_si512(out + i * 64, _mm512_xor_si512(r[i], bias));
  }
}

// Codes lie [rows][k].
static void pack_along(const Source *source, const PackBlock *block, int64_t row, uint8_t *out) {
  const PackCall *call = source->call;
  for (int64_t k = 0; k < block->length; k += GROUP) {
    __m512i r[16];
#pragma GCC unroll 16
    for (int i = 0; i < TILE; i++) {
      r[i] = row + i < call->rows ? codes_at(source, (call->first_row + row + i) * call->pitch + block->from + k,
                                             block->length - k)
                                  : _mm512_setzero_si512();
    }
    store(call, r, 0, out + k * TILE);
  }
}

// Codes lie [k][rows]: 64 rows at a time, a cache line.
static void pack_across(const Source *source, const PackBlock *block, int64_t row, int tiles, uint8_t *const *out) {
  const PackCall *call = source->call;
  int64_t count = call->rows - row;
  for (int64_t k = 0; k < block->length; k += GROUP) {
    uint8_t turned[4][TILE * GROUP] __attribute__((aligned(64)));  // [tile][k / 4][16 rows][4]
    for (int64_t i = 0; i < GROUP; i += 4) {
      __m512i line[4];
#pragma GCC unroll 4
      for (int64_t j = 0; j < 4; j++) {
        int64_t at = block->from + k + i + j;
        line[j] = k + i + j < block->length ? codes_at(source, at * call->pitch + call->first_row + row, count)
                                            : _mm512_setzero_si512();
      }
      __m512i low01 = _mm512_unpacklo_epi8(line[0], line[1]);
      __m512i high01 = _mm512_unpackhi_epi8(line[0], line[1]);
      __m512i low23 = _mm512_unpacklo_epi8(line[2], line[3]);
      __m512i high23 = _mm512_unpackhi_epi8(line[2], line[3]);
      // Four rows of each tile in its lane: the first, second, third, last four.
      __m512i q0 = _mm512_unpacklo_epi16(low01, low23);
      __m512i q1 = _mm512_unpackhi_epi16(low01, low23);
      __m512i q2 = _mm512_unpacklo_epi16(high01, high23);
      __m512i q3 = _mm512_unpackhi_epi16(high01, high23);
      __m512i t0 = _mm512_shuffle_i32x4(q0, q1, 0x44);
      __m512i t1 = _mm512_shuffle_i32x4(q0, q1, 0xee);
      __m512i t2 = _mm512_shuffle_i32x4(q2, q3, 0x44);
      __m512i t3 = _mm512_shuffle_i32x4(q2, q3, 0xee);
      _mm512_store_si512(turned[0] + i * 16, _mm512_shuffle_i32x4(t0, t2, 0x88));
      _mm512_store_si512(turned[1] + i * 16, _mm512_shuffle_i32x4(t0, t2, 0xdd));
      _mm512_store_si512(turned[2] + i * 16, _mm512_shuffle_i32x4(t1, t3, 0x88));
      _mm512_store_si512(turned[3] + i * 16, _mm512_shuffle_i32x4(t1, t3, 0xdd));
    }
    for (int tile = 0; tile < tiles; tile++) {
      if (out[tile]) {
        __m512i r[16];
#pragma GCC unroll 16
        for (int i = 0; i < 16; i++) {
          r[i] = _mm512_load_si512(turned[tile] + i * 64);
        }
        store(call, r, 1, out[tile] + k * TILE);
      }
    }
  }
}

static void sum_rows(const uint8_t *panel, int64_t length, uint8_t *out) {
  const __m512i ones = _mm512_set1_epi8(1);
  int32_t sums[PANEL];
  for (int64_t i = 0; i < PANEL; i++) {
    __m512i sum = _mm512_setzero_si512();
    for (int64_t k = 0; k < length; k += GROUP) {
      const uint8_t *codes = panel + i / TILE * TILE * length + k * TILE + i % TILE * GROUP;
      sum = _mm512_dpbusd_epi32(sum, ones, _mm512_loadu_si512(codes));
    }
    sums[i] = _mm512_reduce_add_epi32(sum);
  }
  memcpy(out, sums, sizeof sums);
}

void nibble_pack_avx512(const PackCall *call, const PackBlock *block, const uint8_t *codes, const uint8_t *states,
                        uint8_t *out) {
  Source source = {call, codes, values_of(call->format)};
  for (const PackBlock *end = block + call->blocks; block < end; block++) {
    int64_t length = padded(block->length);
    int64_t bytes = panel_bytes(block->length, call->side);
    for (int64_t panel = call->from_panel; panel < call->to_panel; panel += 2) {
      uint8_t *tiles[4] = {0};  // where they go; 0 where they are absent
      for (int i = 0; i < 2 && panel + i < call->to_panel; i++) {
        if (block->segment < 0 || states[block->segment * call->panels + panel + i] != ABSENT) {
          tiles[2 * i] = out + block->at + (panel + i) * bytes;
          tiles[2 * i + 1] = tiles[2 * i] + TILE * length;
        }
      }
      if (call->transposed) {
        pack_across(&source, block, panel * PANEL, 4, tiles);
      } else {
        for (int tile = 0; tile < 4; tile++) {
          if (tiles[tile]) {
            pack_along(&source, block, panel * PANEL + tile * TILE, tiles[tile]);
          }
        }
      }
      for (int i = 0; i < 4 && call->side == 0 && call->level == LEVEL_VNNI; i += 2) {
        if (tiles[i]) {
          sum_rows(tiles[i], length, tiles[i] + PANEL * length);
        }
      }
    }
  }
}
