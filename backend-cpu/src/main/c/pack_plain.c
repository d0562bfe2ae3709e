// Packing in plain loops, for processors without AVX-512, and the specification of pack_avx512.c.
#include <string.h>

#include "gemm.h"

static int8_t nibble(int64_t format, uint8_t bits) {
  if (format == FORMAT_UINT4) {
    return (int8_t)bits;
  }
  if (format == FORMAT_INT4) {
    return (int8_t)(bits < 8 ? bits : bits - 16);
  }
  int8_t size = bits & 7 ? (int8_t)(1 << ((bits & 7) - 1)) : 0;
  return (int8_t)(bits & 8 ? -size : size);
}

static int8_t code(const PackCall *call, const uint8_t *codes, int64_t row, int64_t k) {
  int64_t at = call->transposed ? k * call->pitch + row : row * call->pitch + k;
  if (call->format == FORMAT_INT8) {
    return (int8_t)codes[at];
  }
  return nibble(call->format, at & 1 ? codes[at >> 1] >> 4 : codes[at >> 1] & 15);
}

void nibble_pack_plain(const PackCall *call, const PackBlock *block, const uint8_t *codes, const uint8_t *states,
                       uint8_t *out) {
  uint8_t bias = call->side == 1 && call->level == LEVEL_VNNI ? 128 : 0;
  for (const PackBlock *end = block + call->blocks; block < end; block++) {
    int64_t length = padded(block->length);
    for (int64_t panel = call->from_panel; panel < call->to_panel; panel++) {
      if (block->segment >= 0 && states[block->segment * call->panels + panel] == ABSENT) {
        continue;
      }
      uint8_t *to = out + block->at + panel * panel_bytes(block->length, call->side);
      int32_t sums[PANEL] = {0};
      for (int64_t i = 0; i < PANEL; i++) {
        int64_t row = panel * PANEL + i;
        uint8_t *tile = to + i / TILE * TILE * length;
        for (int64_t k = 0; k < length; k++) {
          int8_t value = row < call->rows && k < block->length
                             ? code(call, codes, call->first_row + row, block->from + k)
                             : 0;
          sums[i] += value;
          int64_t at = call->side == 0 ? k / GROUP * TILE * GROUP + i % TILE * GROUP + k % GROUP
                                       : k / 4 * 64 + i % TILE * 4 + k % 4;
          tile[at] = (uint8_t)value + bias;
        }
      }
      if (call->side == 0) {
        memcpy(to + PANEL * length, sums, sizeof sums);
      }
    }
  }
}
