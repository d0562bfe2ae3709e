// Exact products of INT8 codes, folded with FP32 scales in the order that docs/numerics.md fixes:
//
//   acc = fmaf(scaleA[row] * scaleB[col], (float) P, acc)    P = the exact sum of one segment and term
//
// Reference: dev.nibble.reference.ReferenceFold; results must match it bit for bit, so no fast-math and no contraction.
//
// Both operands are packed into panels of 32 rows. For a stretch of length k, padded to p (a multiple of 64):
//   A panel: [2 tiles][p / 64][16 rows][64]    codes as they are; then [32] int32: sums of the rows' codes (AVX-512 VNNI only)
//   B panel: [2 tiles][p / 4][16 columns][4]   codes; plus 128 for AVX-512 VNNI, which multiplies unsigned by signed
// Floats are widened to FP32, without padding of the stretch:
//   A panel: [4][k][8 rows]                    B panel: [k][32 columns]
// Rows beyond the last one and the padding of a stretch are 0 in A, so that nothing of them enters a sum.
#ifndef NIBBLE_GEMM_H
#define NIBBLE_GEMM_H

#include <stdint.h>

enum { PANEL = 32, TILE = 16, GROUP = 64, LINE = 64 };

enum { LEVEL_AVX2 = 1, LEVEL_VNNI = 2, LEVEL_AMX = 4 };

enum { ABSENT = 0, PARTIAL = 1, FULL = 2 };

// Formats from FORMAT_FP32 on are sums of another kind: acc = fmaf(a, b, acc), k ascending, no scales. Those from FORMAT_E4M3 on
// are both: chains of one stretch each, folded with scales.
enum { FORMAT_INT8 = 0, FORMAT_INT4 = 1, FORMAT_UINT4 = 2, FORMAT_E3M0 = 3, FORMAT_FP32 = 4, FORMAT_BF16 = 5,
       FORMAT_E4M3 = 6, FORMAT_E5M2 = 7 };

// What nibble_pack is told, as an array of longs.
typedef struct {
  int64_t level;
  int64_t side;        // 0 for A, 1 for B
  int64_t format;      // of the stored codes
  int64_t transposed;  // whether the codes lie [k][rows]
  int64_t pitch;       // codes from one stored row to the next
  int64_t first_row;   // of the operand, that panel 0 begins with
  int64_t rows;        // from first_row on
  int64_t from_panel;
  int64_t to_panel;
  int64_t blocks;        // how many
  int64_t panels;        // of the whole side: the pitch of states
} PackCall;

// A stretch of the contraction.
typedef struct {
  int64_t from;
  int64_t length;
  int64_t at;       // where its panels begin in the packed side, bytes
  int64_t segment;  // row of states, or -1 where every panel is present
} PackBlock;

// What nibble_multiply is told, as an array of longs.
typedef struct {
  int64_t level;
  int64_t from_row, to_row;        // panels of A
  int64_t from_column, to_column;  // panels of B
  int64_t rows, columns;           // of D that the packed sides cover
  int64_t d_at;                    // element of D of their first row and column
  int64_t d_pitch;
  int64_t groups;
  int64_t epilogue;   // 0 stores, 1 adds to D, 2 adds to zeros, whatever D holds
  int64_t continues;  // whether the sums go on from what D holds
  int64_t floats;     // whether the panels are floats; 2 if their chains are folded
} MultiplyCall;

// One stretch of one term.
typedef struct {
  int64_t length;
  int64_t a_at, b_at;            // where its panels begin, bytes
  int64_t grid_a, grid_b;        // where the scales of the segment begin
  int64_t state_a, state_b;      // where the states of the segment begin; -1 where every panel is present
  int64_t presence_a, presence_b;  // where presence begins in the grids; used where a panel is partly present
  int64_t first, last;           // whether the stretch begins, ends its segment
} Step;

// Steps that a tile takes in one go, while its sums are in the nearest cache.
typedef struct {
  int64_t from_step, to_step;
  int64_t starts;  // whether the sums begin here: with 0, or with D
  int64_t ends;    // 0 goes on; 1 ends a part, the first; 2 ends a part, added to those before; 3 ends the product
                   // of one part; 4 ends the product, added to the parts before
} Group;

// What is asked for while floats are multiplied, a little after each few steps: a burst would keep the sums waiting for room in
// the queue to memory.
typedef struct {
  const char *sums;     // of D: where eight rows of them begin
  int64_t sums_pitch;   // bytes from row to row
  int64_t sums_rows;    // 0 if they are not needed
  const char *stored;   // of B: where runs of neighbours begin
  int64_t stored_pitch; // bytes from run to run
  int64_t stored_runs;
} Ahead;

// Memory of nibble_multiply. Tiles lie [panel column][panel row][2][2][16][16].
typedef struct {
  const uint8_t *a, *b;
  const float *grid_a, *grid_b;
  const uint8_t *state_a, *state_b;
  float *acc;      // sums of the area so far
  float *total;    // of the parts before
  int32_t *whole;  // exact sums of a segment that goes on in the next group
  Ahead *ahead;    // used where floats are multiplied
} Memory;

// Adds the steps of a group to the sums of one pair of panels, [2][2][16][16] each.
typedef void Kernel(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column, float *acc,
                    int32_t *whole);

Kernel nibble_steps_amx, nibble_steps_vnni, nibble_steps_avx2, nibble_steps_floats, nibble_steps_chains;

// Rows of a panel whose sums of floats are held in registers at a time.
enum { FLOAT_ROWS = 8 };

// Adds the steps of a group to the sums of the rows of a pair of panels from `top` on.
void nibble_steps_of_rows(const Memory *memory, const Step *step, const Step *end, int64_t row, int64_t column,
                          int64_t top, float *acc);

// Makes the panels from call->from_panel on.
typedef void Packer(const PackCall *call, const PackBlock *blocks, const uint8_t *codes, const uint8_t *states,
                    uint8_t *out);

Packer nibble_pack_avx512, nibble_pack_plain, nibble_pack_floats, nibble_pack_fp8;

// How sums begin and where they go: all by pairs of panels, [2][2][16][16].
typedef struct {
  void (*start)(const MultiplyCall *call, int64_t row, int64_t column, const float *d, float *acc);
  void (*add)(float *total, const float *part, int first);
  void (*finish)(const MultiplyCall *call, int64_t row, int64_t column, const float *acc, float *d);
} Edges;

extern const Edges nibble_edges_avx512, nibble_edges_plain;

static inline void end_group(const Edges *edges, const MultiplyCall *call, const Group *group, int64_t row,
                             int64_t column, const float *sums, float *total, float *d) {
  switch (group->ends) {
    case 1:
    case 2:
      edges->add(total, sums, group->ends == 1);
      break;
    case 3:
      edges->finish(call, row, column, sums, d);
      break;
    case 4:
      edges->add(total, sums, 0);
      edges->finish(call, row, column, total, d);
      break;
    default:
      break;
  }
}

void nibble_amx_begin(void);
void nibble_amx_end(void);

// Lets eight rows of D be asked for, if their sums end with this group.
static inline void sums_ahead(Ahead *ahead, const MultiplyCall *call, const Group *group, int64_t row, int64_t column,
                              const float *d) {
  ahead->sums = (const char *)(d + call->d_at + row * call->d_pitch + column * PANEL);
  ahead->sums_pitch = call->d_pitch * 4;
  ahead->sums_rows = group->ends < 3 || row >= call->rows ? 0 : call->rows - row < FLOAT_ROWS ? call->rows - row : FLOAT_ROWS;
}

static inline int64_t padded(int64_t length) { return (length + GROUP - 1) & -GROUP; }

static inline int64_t panel_bytes(int64_t length, int64_t side) {
  return PANEL * padded(length) + (side == 0 ? PANEL * 4 : 0);
}

static inline int state(const uint8_t *states, int64_t at, int64_t panel) {
  return at < 0 ? FULL : states[at + panel];
}

#endif
