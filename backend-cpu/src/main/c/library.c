// What this library is and what it may use here.
#define _GNU_SOURCE
#include <cpuid.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "gemm.h"

enum { VERSION = 6, ARCH_REQ_XCOMP_PERM = 0x1023, XFEATURE_XTILEDATA = 18 };

int64_t nibble_version(void) { return VERSION; }

static uint64_t enabled_state(void) {
  uint32_t low, high;
  __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (uint64_t)high << 32 | low;
}

// Levels that the processor has and the operating system saves the registers of. Linux grants the tiles of AMX to a process
// that asks for them.
int64_t nibble_levels(void) {
  uint32_t a, b, c, d;
  if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & bit_OSXSAVE) || !(c & bit_FMA)) {
    return 0;
  }
  uint64_t saved = enabled_state();
  if ((saved & 6) != 6 || !__get_cpuid_count(7, 0, &a, &b, &c, &d) || !(b & bit_AVX2)) {
    return 0;
  }
  int64_t levels = LEVEL_AVX2;
  uint32_t needed = bit_AVX512F | bit_AVX512BW | bit_AVX512VL | bit_AVX512DQ;
  if ((saved & 0xE0) != 0xE0 || (b & needed) != needed) {
    return levels;
  }
  if (c & (1u << 11)) {  // AVX512_VNNI
    levels |= LEVEL_VNNI;
  }
  int tiles = (d & (1u << 24)) && (d & (1u << 25)) && (saved & 0x60000) == 0x60000;  // AMX-TILE, AMX-INT8
  if (tiles && syscall(SYS_arch_prctl, ARCH_REQ_XCOMP_PERM, XFEATURE_XTILEDATA) == 0) {
    levels |= LEVEL_AMX;
  }
  return levels;
}

enum { LARGE_PAGE = 1 << 21 };

// Memory on large pages, if the system has some: packed panels are read in many places at once, and small pages have too many
// addresses to remember. Returns 0 if there is not enough.
void *nibble_allocate(int64_t bytes) {
  size_t size = (size_t)(bytes + LARGE_PAGE - 1) & -(size_t)LARGE_PAGE;
  void *memory = aligned_alloc(LARGE_PAGE, size);
  if (memory) {
    madvise(memory, size, MADV_HUGEPAGE);  // only a wish: nothing depends on the answer
  }
  return memory;
}

void nibble_free(void *memory) { free(memory); }

void nibble_pack(const PackCall *call, const PackBlock *blocks, const uint8_t *codes, const uint8_t *states,
                 uint8_t *out) {
  if (call->format >= FORMAT_E4M3) {
    nibble_pack_fp8(call, blocks, codes, states, out);
  } else if (call->format >= FORMAT_FP32) {
    nibble_pack_floats(call, blocks, codes, states, out);
  } else if (call->level == LEVEL_AVX2) {
    nibble_pack_plain(call, blocks, codes, states, out);
  } else {
    nibble_pack_avx512(call, blocks, codes, states, out);
  }
}

void nibble_multiply(const MultiplyCall *call, const uint8_t *a, const float *grid_a, const uint8_t *state_a,
                     const uint8_t *b, const float *grid_b, const uint8_t *state_b, const Group *groups,
                     const Step *steps, float *acc, float *total, int32_t *whole, float *d) {
  Ahead ahead = {0, 0, 0, 0, 0, 0};
  Memory memory = {a, b, grid_a, grid_b, state_a, state_b, acc, total, whole, &ahead};
  int tiles = call->level == LEVEL_AMX && !call->floats;
  Kernel *kernel = call->floats == 2           ? nibble_steps_chains
                   : call->floats              ? nibble_steps_floats
                   : call->level == LEVEL_AMX  ? nibble_steps_amx
                   : call->level == LEVEL_VNNI ? nibble_steps_vnni
                                               : nibble_steps_avx2;
  if (tiles) {
    nibble_amx_begin();
  }
  const Edges *edges = call->level == LEVEL_AVX2 ? &nibble_edges_plain : &nibble_edges_avx512;
  int64_t rows = call->to_row - call->from_row;
  float one[PANEL * PANEL] __attribute__((aligned(64)));
  for (const Group *group = groups; group < groups + call->groups; group++) {
    for (int64_t column = call->from_column; column < call->to_column; column++) {
      for (int64_t row = call->from_row; row < call->to_row; row++) {
        int64_t at = ((column - call->from_column) * rows + row - call->from_row) * PANEL * PANEL;
        // Sums that need no second group stay where they are made.
        int alone = group->starts && group->ends;
        float *sums = alone ? one : acc + at;
        if (group->starts) {
          edges->start(call, row, column, d, sums);
        }
        if (call->floats) {
          sums_ahead(&ahead, call, group, row * PANEL, column, d);
        }
        kernel(&memory, steps + group->from_step, steps + group->to_step, row, column, sums, whole + at);
        end_group(edges, call, group, row, column, sums, total + at, d);
      }
    }
  }
  if (tiles) {
    nibble_amx_end();
  }
}
