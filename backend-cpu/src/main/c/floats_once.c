// Products of floats whose rows of A are so few that a panel of B meets all of them at once. B is packed a group at a time, and
// multiplied before it leaves the nearest caches; what the next group is packed from is asked for meanwhile, so that nothing
// waits for memory.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,prfchw")
#include "gemm.h"

// Lets stored elements of some rows of B along a group be asked for: an equal part of them with each of `parts`.
static int64_t stored(const PackCall *pack, const PackBlock *first, const PackBlock *last, const uint8_t *codes,
                      int64_t parts, Ahead *ahead) {
  int64_t size = pack->format == FORMAT_FP32 ? 4 : 2;
  int64_t length = last->from + last->length - first->from;
  int64_t at = pack->transposed ? first->from * pack->pitch + pack->first_row : pack->first_row * pack->pitch + first->from;
  int64_t runs = pack->transposed ? length : pack->rows;
  ahead->stored = (const char *)codes + at * size;
  ahead->stored_pitch = pack->pitch * size;
  ahead->stored_runs = (runs + parts - 1) / parts;
  return runs;
}

// The rows of B that an area has, from its column `from` on.
static PackCall rows_of_area(const PackCall *pack, int64_t from, int64_t columns) {
  PackCall own = *pack;
  own.first_row += from * PANEL;
  own.rows -= from * PANEL;
  own.rows = own.rows < columns * PANEL ? own.rows : columns * PANEL;
  own.from_panel = 0;
  own.to_panel = (own.rows + PANEL - 1) / PANEL;
  return own;
}

// As nibble_multiply, but B is not packed yet; `panels` has room for a group of an area. Blocks and steps of B lie as if the
// area were all of B.
void nibble_multiply_once(const MultiplyCall *call, const PackCall *pack, const PackBlock *blocks, const uint8_t *codes,
                          const uint8_t *a, const Group *groups, const Step *steps, uint8_t *panels, float *acc,
                          float *total, float *d) {
  const Edges *edges = &nibble_edges_avx512;
  int64_t rows = call->to_row - call->from_row;
  int64_t columns = call->to_column - call->from_column;
  PackCall area = rows_of_area(pack, call->from_column, columns);
  for (const Group *group = groups; group < groups + call->groups; group++) {
    uint8_t *b = panels - blocks[group->from_step].at;  // where the area would begin, were all of it packed
    area.blocks = group->to_step - group->from_step;
    nibble_pack_floats(&area, blocks + group->from_step, codes, 0, b);
    Ahead ahead = {0, 0, 0, 0, 0, 0};
    Memory memory = {a, b, 0, 0, 0, 0, acc, total, 0, &ahead};
    const Group *then = group + 1 < groups + call->groups ? group + 1 : groups;
    PackCall at = then == groups ? rows_of_area(pack, call->to_column, columns) : area;
    int64_t runs = 0;
    if (at.rows > 0) {
      int64_t parts = rows * columns * (PANEL / FLOAT_ROWS);
      runs = stored(&at, blocks + then->from_step, blocks + then->to_step - 1, codes, parts, &ahead);
    }
    int64_t runs_each = ahead.stored_runs;
    for (int64_t column = call->from_column; column < call->to_column; column++) {
      for (int64_t row = call->from_row; row < call->to_row; row++) {
        int64_t tile = ((column - call->from_column) * rows + row - call->from_row) * PANEL * PANEL;
        if (group->starts) {
          edges->start(call, row, column, d, acc + tile);
        }
        for (int64_t top = 0; top < PANEL; top += FLOAT_ROWS) {
          if (row * PANEL + top < call->rows) {
            sums_ahead(&ahead, call, group, row * PANEL + top, column, d);
            ahead.stored_runs = runs < runs_each ? runs : runs_each;
            nibble_steps_of_rows(&memory, steps + group->from_step, steps + group->to_step, row,
                                 column - call->from_column, top, acc + tile);
            ahead.stored += ahead.stored_runs * ahead.stored_pitch;
            runs -= ahead.stored_runs;
          }
        }
        end_group(edges, call, group, row, column, acc + tile, total + tile, d);
      }
    }
  }
}
