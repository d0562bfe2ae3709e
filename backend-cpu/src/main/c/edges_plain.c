// The edges of a sum in plain loops.
#include <string.h>

#include "gemm.h"

// The first element in D of a row of a tile; returns how many of its columns are in D.
static int64_t place(const MultiplyCall *call, int64_t row, int64_t column, int64_t *at) {
  *at = call->d_at + row * call->d_pitch + column;
  int64_t left = call->columns - column;
  return left < TILE ? left : TILE;
}

static void start(const MultiplyCall *call, int64_t row, int64_t column, const float *d, float *acc) {
  memset(acc, 0, PANEL * PANEL * sizeof(float));
  for (int64_t i = 0; call->continues && i < PANEL && row * PANEL + i < call->rows; i++) {
    for (int64_t tile = 0; tile < 2; tile++) {
      int64_t at;
      int64_t width = place(call, row * PANEL + i, column * PANEL + tile * TILE, &at);
      for (int64_t j = 0; j < width; j++) {
        acc[((i / TILE * 2 + tile) * TILE + i % TILE) * TILE + j] = d[at + j];
      }
    }
  }
}

static void add(float *total, const float *part, int first) {
  for (int i = 0; i < PANEL * PANEL; i++) {
    total[i] = first ? part[i] : total[i] + part[i];
  }
}

static void finish(const MultiplyCall *call, int64_t row, int64_t column, const float *acc, float *d) {
  for (int64_t i = 0; i < PANEL && row * PANEL + i < call->rows; i++) {
    for (int64_t tile = 0; tile < 2; tile++) {
      int64_t at;
      int64_t width = place(call, row * PANEL + i, column * PANEL + tile * TILE, &at);
      const float *from = acc + ((i / TILE * 2 + tile) * TILE + i % TILE) * TILE;
      for (int64_t j = 0; j < width; j++) {
        d[at + j] = call->epilogue == 0 ? from[j] : (call->epilogue == 1 ? d[at + j] : 0) + from[j];
      }
    }
  }
}

const Edges nibble_edges_plain = {start, add, finish};
