// Attention of one head, some queries at a time. Reference: dev.nibble.reference.ReferenceAttention. What the mask hides is left out
// of a sum, not multiplied by 0.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,prfchw")
#include <string.h>

#include "exp512.h"
#include "neural.h"
#include "transpose512.h"

#define INLINE static inline __attribute__((always_inline))

// GAP keeps matrices from lying whole pages apart, where the processor takes a load for one of what was just stored.
enum { LANES = 16, LINE = 16, GAP = 9 * LINE };  // elements

// Rows ahead of that which is read or written: each is on another page, where the processor does not look by itself.
enum { AHEAD = 16 };

INLINE __mmask16 first_lanes(int64_t count) { return count >= LANES ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1; }

static float float_of(int64_t bits) {
  uint32_t low = (uint32_t)bits;
  float value;
  memcpy(&value, &low, sizeof value);
  return value;
}

// Where the matrices lie in a head's working memory. Tokens and features are padded to whole panels; what lies in the padding
// reaches no result.
typedef struct {
  int64_t tokens, features;
  int64_t pitch;          // of scores: a line more than the tokens, so that rows do not share their sets of the cache
  float *sums;            // [QUERIES]
  float *q, *k, *v, *dy;  // [tokens][features]; k and v share their memory
  float *dk, *dv;         // [tokens][features]
  float *k_across;        // panels of keys: [tokens / 32][size][32]
  float *v_across;        // panels of values, alike
  float *p, *ds;          // [QUERIES][pitch]
  float *rows;            // [QUERIES][features]: outputs, or gradients of q
} Head;

static int64_t padded(int64_t length) { return (length + WIDTH_OF_PANEL - 1) & -WIDTH_OF_PANEL; }

static Head head_of(int64_t sequence, int64_t size, float *memory, float **end) {
  Head h;
  h.tokens = padded(sequence);
  h.features = padded(size);
  h.pitch = h.tokens + LINE;
  int64_t matrix = h.tokens * h.features + GAP;
  h.sums = memory;
  h.q = h.sums + QUERIES;
  h.k = h.q + matrix;
  h.v = h.k;
  h.dy = h.k + matrix;
  h.dk = h.dy + matrix;
  h.dv = h.dk + matrix;
  h.k_across = h.dv + matrix;
  h.v_across = h.k_across + matrix;
  h.p = h.v_across + matrix;
  h.ds = h.p + QUERIES * h.pitch + GAP;
  h.rows = h.ds + QUERIES * h.pitch + GAP;
  *end = h.rows + QUERIES * h.features;
  return h;
}

int64_t nibble_attention_bytes(int64_t sequence, int64_t size) {
  float *end;
  head_of(sequence, size, 0, &end);
  return (int64_t)((uintptr_t)end);
}

INLINE void ask_to_read(const float *row, int64_t size) {
  for (int64_t i = 0; i < size; i += LINE) {
    __builtin_prefetch(row + i, 0, 2);
  }
}

INLINE void ask_to_write(const float *row, int64_t size) {
  for (int64_t i = 0; i < size; i += LINE) {
    __builtin_prefetch(row + i, 1, 2);
  }
}

// Copies rows of `size` elements, zeros behind them.
static void pack(const float *from, int64_t pitch, int64_t rows, int64_t size, float *to, int64_t features) {
  for (int64_t row = 0; row < rows; row++) {
    ask_to_read(from + (row + AHEAD) * pitch, size);
    for (int64_t i = 0; i < features; i += LANES) {
      _mm512_store_ps(to + row * features + i, _mm512_maskz_loadu_ps(first_lanes(size - i), from + row * pitch + i));
    }
  }
}

static void unpack(const float *from, int64_t features, int64_t rows, int64_t size, float *to, int64_t pitch) {
  for (int64_t row = 0; row < rows; row++) {
    ask_to_write(to + (row + AHEAD) * pitch, size);
    for (int64_t i = 0; i < size; i += LANES) {
      _mm512_mask_storeu_ps(to + row * pitch + i, first_lanes(size - i), _mm512_load_ps(from + row * features + i));
    }
  }
}

// Writes panels in which 32 rows are neighbours.
static void pack_across(const float *from, int64_t pitch, int64_t rows, int64_t size, float *to) {
  for (int64_t row = 0; row < rows; row += LANES) {
    float *panel = to + row / WIDTH_OF_PANEL * WIDTH_OF_PANEL * size + row % WIDTH_OF_PANEL;
    for (int64_t i = 0; i < LANES; i++) {
      ask_to_read(from + (row + AHEAD + i) * pitch, size);
    }
    for (int64_t d = 0; d < size; d += LANES) {
      __m512 r[LANES];
#pragma GCC unroll 16
      for (int64_t i = 0; i < LANES; i++) {
        r[i] = row + i < rows ? _mm512_maskz_loadu_ps(first_lanes(size - d), from + (row + i) * pitch + d)
                              : _mm512_setzero_ps();
      }
      transpose(r);
#pragma GCC unroll 16
      for (int64_t i = 0; i < LANES; i++) {
        if (d + i < size) {
          _mm512_store_ps(panel + (d + i) * WIDTH_OF_PANEL, r[i]);
        }
      }
    }
  }
}

// Eight rows of 32 sums.
typedef struct {
  __m512 left[ROWS_OF_TILE], right[ROWS_OF_TILE];
} Tile;

INLINE void clear(Tile *t) {
#pragma GCC unroll 8
  for (int i = 0; i < ROWS_OF_TILE; i++) {
    t->left[i] = _mm512_setzero_ps();
    t->right[i] = _mm512_setzero_ps();
  }
}

INLINE void load(Tile *t, const float *from, int64_t pitch) {
#pragma GCC unroll 8
  for (int i = 0; i < ROWS_OF_TILE; i++) {
    t->left[i] = _mm512_load_ps(from + i * pitch);
    t->right[i] = _mm512_load_ps(from + i * pitch + LANES);
  }
}

INLINE void store(const Tile *t, float *to, int64_t pitch) {
#pragma GCC unroll 8
  for (int i = 0; i < ROWS_OF_TILE; i++) {
    _mm512_store_ps(to + i * pitch, t->left[i]);
    _mm512_store_ps(to + i * pitch + LANES, t->right[i]);
  }
}

// sum[i][c] = fma(a[i * row + s * step], b[s * b_step + c], sum[i][c]) for `steps` steps s, ascending.
INLINE void multiply(Tile *t, const float *a, int64_t row, int64_t step, const float *b, int64_t b_step, int64_t steps) {
  for (; steps > 0; steps--, a += step, b += b_step) {
    __m512 b0 = _mm512_load_ps(b);
    __m512 b1 = _mm512_load_ps(b + LANES);
#pragma GCC unroll 8
    for (int i = 0; i < ROWS_OF_TILE; i++) {
      __m512 all = _mm512_set1_ps(a[i * row]);
      t->left[i] = _mm512_fmadd_ps(all, b0, t->left[i]);
      t->right[i] = _mm512_fmadd_ps(all, b1, t->right[i]);
    }
  }
}

// One step, for the rows of `chosen` alone.
INLINE void multiply_some(Tile *t, const float *a, int64_t row, const float *b, unsigned chosen) {
  __m512 b0 = _mm512_load_ps(b);
  __m512 b1 = _mm512_load_ps(b + LANES);
#pragma GCC unroll 8
  for (int i = 0; i < ROWS_OF_TILE; i++) {
    __mmask16 lanes = chosen >> i & 1 ? 0xFFFF : 0;
    __m512 all = _mm512_set1_ps(a[i * row]);
    t->left[i] = _mm512_mask3_fmadd_ps(all, b0, t->left[i], lanes);
    t->right[i] = _mm512_mask3_fmadd_ps(all, b1, t->right[i], lanes);
  }
}

static int64_t least(int64_t a, int64_t b) { return a < b ? a : b; }

static int64_t keys_of(const AttentionCall *call, int64_t query) { return call->causal ? query + 1 : call->sequence; }

// to[row][key] = a[first + row] . b[key], for the keys that the rows see, and some more.
static void scores(const AttentionCall *call, const Head *h, const float *a, const float *across, float *to) {
  int64_t seen = keys_of(call, call->first + call->rows - 1);
  for (int64_t key = 0; key < seen; key += WIDTH_OF_PANEL) {
    int64_t from = call->causal && key > call->first ? (key - call->first) & -ROWS_OF_TILE : 0;
    for (int64_t row = from; row < call->rows; row += ROWS_OF_TILE) {
      Tile t;
      clear(&t);
      multiply(&t, a + (call->first + row) * h->features, h->features, 1, across + key * call->size, WIDTH_OF_PANEL,
               call->size);
      store(&t, to + row * h->pitch + key, h->pitch);
    }
  }
}

// rows[row] = the sum of weights[row][key] * values[key] over the keys that the row sees, ascending.
static void weighted_keys(const AttentionCall *call, const Head *h, const float *weights, const float *values) {
  for (int64_t row = 0; row < call->rows; row += ROWS_OF_TILE) {
    int64_t shared = keys_of(call, call->first + row);
    int64_t end = call->causal ? least(shared + ROWS_OF_TILE - 1, call->sequence) : shared;
    const float *a = weights + row * h->pitch;
    for (int64_t d = 0; d < h->features; d += WIDTH_OF_PANEL) {
      Tile t;
      clear(&t);
      multiply(&t, a, h->pitch, 1, values + d, h->features, shared);
      for (int64_t key = shared; key < end; key++) {
        multiply_some(&t, a + key, h->pitch, values + key * h->features + d, ~0u << (key - shared + 1));
      }
      store(&t, h->rows + row * h->features + d, h->features);
    }
  }
}

// to[key] += the sum of weights[row][key] * values[first + row] over the rows that see the key, ascending.
static void weighted_queries(const AttentionCall *call, const Head *h, const float *weights, const float *values,
                             float *to) {
  int64_t keys = keys_of(call, call->first + call->rows - 1);
  for (int64_t key = 0; key < keys; key += ROWS_OF_TILE) {
    int64_t row = call->causal && key > call->first ? key - call->first : 0;  // sees the first key
    int64_t all = call->causal && key + ROWS_OF_TILE - 1 > call->first ? key + ROWS_OF_TILE - 1 - call->first : 0;
    int64_t shared = least(all, call->rows);
    for (int64_t d = 0; d < h->features; d += WIDTH_OF_PANEL) {
      const float *b = values + call->first * h->features + d;
      Tile t;
      load(&t, to + key * h->features + d, h->features);
      for (int64_t some = row; some < shared; some++) {
        multiply_some(&t, weights + some * h->pitch + key, 1, b + some * h->features,
                      (2u << (call->first + some - key)) - 1);
      }
      multiply(&t, weights + shared * h->pitch + key, 1, h->pitch, b + shared * h->features, h->features,
               call->rows - shared);
      store(&t, to + key * h->features + d, h->features);
    }
  }
}

// The order of dev.nibble.reference.LaneSum.
INLINE float fold(__m512 sum) {
  __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(sum), _mm512_extractf32x8_ps(sum, 1));
  __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
  __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
  return _mm_cvtss_f32(_mm_add_ss(two, _mm_movehdup_ps(two)));
}

// Turns a row of scores into exponentials; returns their maximum, NaN if one is.
static float exponentials(float *s, int64_t keys, float scale, float *sum) {
  __m512 lowest = _mm512_set1_ps(-__builtin_inff());
  __m512 largest = lowest;
  __mmask16 unordered = 0;
  for (int64_t i = 0; i < keys; i += LANES) {
    __m512 x = _mm512_mask_mul_ps(lowest, first_lanes(keys - i), _mm512_load_ps(s + i), _mm512_set1_ps(scale));
    _mm512_store_ps(s + i, x);
    unordered |= _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    largest = _mm512_max_ps(x, largest);
  }
  float maximum = unordered ? __builtin_nanf("") : _mm512_reduce_max_ps(largest);
  __m512 total = _mm512_setzero_ps();
  for (int64_t i = 0; i < keys; i += LANES) {
    __m512 p = exp16(_mm512_sub_ps(_mm512_load_ps(s + i), _mm512_set1_ps(maximum)));
    _mm512_store_ps(s + i, p);
    total = _mm512_mask_add_ps(total, first_lanes(keys - i), p, total);
  }
  *sum = fold(total);
  return maximum;
}

void nibble_attention(const AttentionCall *call, const float *qkv, float *out, float *logs, float *memory) {
  float *end;
  Head h = head_of(call->sequence, call->size, memory, &end);
  if (call->first == 0) {
    pack(qkv + call->q_at, call->qkv_pitch, call->sequence, call->size, h.q, h.features);
    pack(qkv + call->v_at, call->qkv_pitch, call->sequence, call->size, h.v, h.features);
    pack_across(qkv + call->k_at, call->qkv_pitch, call->sequence, call->size, h.k_across);
  }
  scores(call, &h, h.q, h.k_across, h.p);
  for (int64_t row = 0; row < call->rows; row++) {
    int64_t query = call->first + row;
    ask_to_write(out + call->output_at + query * call->output_pitch, call->size);
    logs[call->logs_at + query] =
        exponentials(h.p + row * h.pitch, keys_of(call, query), float_of(call->scale), h.sums + row);
  }
  weighted_keys(call, &h, h.p, h.v);
  for (int64_t row = 0; row < call->rows; row++) {
    __m512 inverse = _mm512_set1_ps(1.0f / h.sums[row]);
    float *to = out + call->output_at + (call->first + row) * call->output_pitch;
    for (int64_t i = 0; i < call->size; i += LANES) {
      __m512 y = _mm512_mul_ps(_mm512_load_ps(h.rows + row * h.features + i), inverse);
      _mm512_mask_storeu_ps(to + i, first_lanes(call->size - i), y);
    }
  }
}

// Turns scores into probabilities, and gradients of probabilities into those of scores.
static void gradient_of_scores(const AttentionCall *call, const Head *h, const float *dy, const float *out,
                               const float *logs) {
  __m512 scale = _mm512_set1_ps(float_of(call->scale));
  for (int64_t row = 0; row < call->rows; row++) {
    int64_t query = call->first + row;
    int64_t at = call->output_at + query * call->output_pitch;
    ask_to_read(out + at + AHEAD * call->output_pitch, call->size);
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < call->size; i += LANES) {
      __mmask16 lanes = first_lanes(call->size - i);
      sum = _mm512_mask3_fmadd_ps(_mm512_maskz_loadu_ps(lanes, dy + at + i), _mm512_maskz_loadu_ps(lanes, out + at + i),
                                  sum, lanes);
    }
    __m512 dot = _mm512_set1_ps(fold(sum));
    __m512 log = _mm512_set1_ps(logs[call->logs_at + query]);
    float *p = h->p + row * h->pitch;
    float *ds = h->ds + row * h->pitch;
    int64_t keys = keys_of(call, query);
    for (int64_t i = 0; i < keys; i += LANES) {
      __m512 gradient = _mm512_sub_ps(_mm512_load_ps(ds + i), dot);
      __m512 own = exp16(_mm512_sub_ps(_mm512_mul_ps(_mm512_load_ps(p + i), scale), log));
      _mm512_store_ps(p + i, own);
      _mm512_store_ps(ds + i, _mm512_mul_ps(_mm512_mul_ps(gradient, own), scale));
    }
  }
}

void nibble_attention_backward(const AttentionCall *call, const float *grad_output, const float *qkv, const float *out,
                               const float *logs, float *grad_qkv, float *memory) {
  float *end;
  Head h = head_of(call->sequence, call->size, memory, &end);
  if (call->first == 0) {
    pack(qkv + call->q_at, call->qkv_pitch, call->sequence, call->size, h.q, h.features);
    pack(qkv + call->k_at, call->qkv_pitch, call->sequence, call->size, h.k, h.features);
    pack(grad_output + call->output_at, call->output_pitch, call->sequence, call->size, h.dy, h.features);
    pack_across(qkv + call->k_at, call->qkv_pitch, call->sequence, call->size, h.k_across);
    pack_across(qkv + call->v_at, call->qkv_pitch, call->sequence, call->size, h.v_across);
    memset(h.dk, 0, (size_t)(h.k_across - h.dk) * sizeof *h.dk);
  }
  scores(call, &h, h.q, h.k_across, h.p);
  scores(call, &h, h.dy, h.v_across, h.ds);
  gradient_of_scores(call, &h, grad_output, out, logs);
  weighted_keys(call, &h, h.ds, h.k);
  unpack(h.rows, h.features, call->rows, call->size, grad_qkv + call->q_at + call->first * call->qkv_pitch,
         call->qkv_pitch);
  weighted_queries(call, &h, h.ds, h.q, h.dk);
  weighted_queries(call, &h, h.p, h.dy, h.dv);
  if (call->first + call->rows == call->sequence) {
    unpack(h.dk, h.features, call->sequence, call->size, grad_qkv + call->k_at, call->qkv_pitch);
    unpack(h.dv, h.features, call->sequence, call->size, grad_qkv + call->v_at, call->qkv_pitch);
  }
}
