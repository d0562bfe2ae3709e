// Quantization with AVX-512: 64 codes of a row at a time, so that they leave as whole lines.
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq")
#include "quantize.h"

#include <immintrin.h>
#include <string.h>

#include "decode512.h"

enum { LANES = 16, STEP = 64, PART = 1024, QUADS = 32, ONE = 0x3F800000 };

// Forces a copy for each kind, in which its tests are constants.
#define INLINE static inline __attribute__((always_inline))

INLINE __mmask16 first(int64_t count) { return count >= LANES ? 0xFFFF : count <= 0 ? 0 : (1 << count) - 1; }

INLINE __mmask64 first_bytes(int64_t count) {
  return count >= 64 ? ~(__mmask64)0 : count <= 0 ? 0 : ((__mmask64)1 << count) - 1;
}

INLINE float float_of(int64_t bits) {
  uint32_t low = (uint32_t)bits;
  float value;
  memcpy(&value, &low, sizeof value);
  return value;
}

INLINE __m512i xor3(__m512i a, __m512i b, __m512i c) { return _mm512_ternarylogic_epi64(a, b, c, 0x96); }

// Words of 8 blocks of Philox4x32-10 from `quad` on; a word lies in the lower half of each 64-bit lane, and what is above it does
// not count.
INLINE void eight_quads(const QuantizeCall *call, int64_t quad, uint32_t *words) {
  const __m512i m0 = _mm512_set1_epi64(0xD2511F53);
  const __m512i m1 = _mm512_set1_epi64(0xCD9E8D57);
  const __m512i count = _mm512_set_epi64(7, 6, 5, 4, 3, 2, 1, 0);
  uint32_t k0 = (uint32_t)call->key;
  uint32_t k1 = (uint32_t)(call->key >> 32);
  __m512i c0 = _mm512_add_epi64(count, _mm512_set1_epi64(quad));
  __m512i c1 = _mm512_set1_epi64(call->counter1);
  __m512i c2 = _mm512_set1_epi64(call->counter2);
  __m512i c3 = _mm512_set1_epi64(call->counter3);
#pragma GCC unroll 10
  for (int round = 0; round < 10; round++) {
    __m512i p0 = _mm512_mul_epu32(c0, m0);
    __m512i p1 = _mm512_mul_epu32(c2, m1);
    c0 = xor3(_mm512_srli_epi64(p1, 32), c1, _mm512_set1_epi64(k0));
    c2 = xor3(_mm512_srli_epi64(p0, 32), c3, _mm512_set1_epi64(k1));
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  __m512i front = _mm512_mask_shuffle_epi32(c0, 0xAAAA, c1, _MM_PERM_CCAA);  // words 0 and 1 of each block
  __m512i back = _mm512_mask_shuffle_epi32(c2, 0xAAAA, c3, _MM_PERM_CCAA);   // words 2 and 3
  const __m512i lower = _mm512_set_epi64(11, 3, 10, 2, 9, 1, 8, 0);
  const __m512i upper = _mm512_set_epi64(15, 7, 14, 6, 13, 5, 12, 4);
  _mm512_storeu_si512(words, _mm512_permutex2var_epi64(front, lower, back));
  _mm512_storeu_si512(words + LANES, _mm512_permutex2var_epi64(front, upper, back));
}

// Words of the elements from `element` on; returns where the first one's is.
static const uint32_t *draw(const QuantizeCall *call, int64_t element, int64_t count, uint32_t *words) {
  int64_t quad = element >> 2;
  int64_t end = ((element + count - 1) >> 2) + 1;
  for (uint32_t *to = words; quad < end; quad += QUADS, to += 4 * QUADS) {
    // Four at a time hide the latency of the multiplications.
#pragma GCC unroll 4
    for (int i = 0; i < QUADS; i += 8) {
      eight_quads(call, quad + i, to + 4 * i);
    }
  }
  return words + (element & 3);
}

// What is the same for all elements of a call.
typedef struct {
  __m512 low, high, divisor, steps, step_unit;
  __m512i largest, beyond_code, limit, small;
  int mantissa, bias, dropped;
} Constants;

static Constants constants_of(const QuantizeCall *call) {
  Constants k;
  k.low = _mm512_set1_ps(float_of(call->low));
  k.high = _mm512_set1_ps(float_of(call->high));
  k.divisor = _mm512_set1_ps(float_of(call->divisor));
  k.largest = _mm512_set1_epi32((int)call->largest);
  k.beyond_code = _mm512_set1_epi32((int)call->beyond_code);
  k.limit = _mm512_set1_epi32((int)call->limit);
  k.mantissa = (int)call->mantissa;
  k.bias = (int)call->bias;
  k.dropped = 23 - k.mantissa;
  k.small = _mm512_set1_epi32((128 - k.bias) << 23);
  // The last bit of this power of two is the step of the subnormal codes: adding it rounds to them.
  k.step_unit = _mm512_castsi512_ps(_mm512_set1_epi32((127 + 1 - k.bias - k.mantissa + 23) << 23));
  k.steps = _mm512_castsi512_ps(_mm512_set1_epi32((127 + k.bias - 1 + k.mantissa) << 23));
  return k;
}

INLINE __m512 uniform(const uint32_t *words) {
  __m512i bits = _mm512_srli_epi32(_mm512_loadu_si512(words), 8);
  return _mm512_mul_ps(_mm512_cvtepi32_ps(bits), _mm512_set1_ps(0x1p-24f));
}

INLINE __m512i whole(const Constants *k, int drawn, __m512 t, __m512 u) {
  t = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(t, t, _CMP_ORD_Q), t);
  t = _mm512_min_ps(_mm512_max_ps(t, k->low), k->high);
  if (!drawn) {
    return _mm512_cvt_roundps_epi32(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  }
  __m512 floor = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  __m512i code = _mm512_cvtps_epi32(floor);
  __mmask16 up = _mm512_cmp_ps_mask(u, _mm512_sub_ps(t, floor), _CMP_LT_OQ);
  return _mm512_mask_add_epi32(code, up, code, _mm512_set1_epi32(1));
}

// The nearest code of each magnitude, without a bound.
INLINE __m512i nearest_fp8(const Constants *k, __m512i magnitude, __mmask16 small) {
  __m512i odd = _mm512_and_si512(_mm512_srli_epi32(magnitude, k->dropped), _mm512_set1_epi32(1));
  __m512i half = _mm512_set1_epi32((1 << (k->dropped - 1)) - 1);
  __m512i rounded = _mm512_add_epi32(_mm512_add_epi32(magnitude, half), odd);
  __m512i normal = _mm512_sub_epi32(_mm512_srli_epi32(rounded, k->dropped),
                                    _mm512_set1_epi32((127 - k->bias) << k->mantissa));
  __m512i sum = _mm512_castps_si512(_mm512_add_ps(_mm512_castsi512_ps(magnitude), k->step_unit));
  return _mm512_mask_sub_epi32(normal, small, sum, _mm512_castps_si512(k->step_unit));
}

// The code at or below each magnitude, or the next one where u is less than the fraction of the step.
INLINE __m512i drawn_fp8(const Constants *k, __m512i magnitude, __mmask16 small, __m512 u) {
  __m512i rest = _mm512_and_si512(magnitude, _mm512_set1_epi32((1 << k->dropped) - 1));
  __m512 unit = _mm512_castsi512_ps(_mm512_set1_epi32((127 - k->dropped) << 23));
  __m512 fraction = _mm512_mul_ps(_mm512_cvtepi32_ps(rest), unit);
  __m512i code = _mm512_sub_epi32(_mm512_srli_epi32(magnitude, k->dropped),
                                  _mm512_set1_epi32((127 - k->bias) << k->mantissa));
  __m512 steps = _mm512_maskz_mul_ps(small, _mm512_castsi512_ps(magnitude), k->steps);
  __m512 floor = _mm512_roundscale_ps(steps, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
  fraction = _mm512_mask_sub_ps(fraction, small, steps, floor);
  code = _mm512_mask_mov_epi32(code, small, _mm512_cvtps_epi32(floor));
  __mmask16 up = _mm512_cmp_ps_mask(u, fraction, _CMP_LT_OQ);
  return _mm512_mask_add_epi32(code, up, code, _mm512_set1_epi32(1));
}

INLINE __m512i fp8(const Constants *k, int drawn, __m512 t, __m512 u) {
  __m512i bits = _mm512_castps_si512(t);
  __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
  __m512i sign = _mm512_and_si512(_mm512_srli_epi32(bits, 24), _mm512_set1_epi32(0x80));
  __mmask16 small = _mm512_cmplt_epi32_mask(magnitude, k->small);
  __m512i nearest = nearest_fp8(k, magnitude, small);
  __m512i code = _mm512_min_epi32(drawn ? drawn_fp8(k, magnitude, small, u) : nearest, k->largest);
  __mmask16 over = _mm512_cmpgt_epi32_mask(magnitude, k->limit);
  code = _mm512_mask_min_epi32(code, over, nearest, k->beyond_code);
  code = _mm512_or_si512(code, sign);
  __mmask16 nan = _mm512_cmpgt_epi32_mask(magnitude, _mm512_set1_epi32(0x7F800000));
  return _mm512_mask_mov_epi32(code, nan, _mm512_set1_epi32(0x7F));
}

// k = 0 stands for 0, k for 2^(k-1); below 1, t itself is the fraction.
INLINE __m512i power(const Constants *k, int packed, __m512 t, __m512 u) {
  t = _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(t, t, _CMP_ORD_Q), t);
  __m512i bits = _mm512_castps_si512(t);
  __m512i magnitude = _mm512_and_si512(bits, _mm512_set1_epi32(0x7FFFFFFF));
  __m512i one = _mm512_set1_epi32(ONE);
  __mmask16 small = _mm512_cmplt_epi32_mask(magnitude, one);
  __m512i mantissa = _mm512_or_si512(_mm512_and_si512(magnitude, _mm512_set1_epi32(0x7FFFFF)), one);
  __m512 fraction = _mm512_sub_ps(_mm512_castsi512_ps(mantissa), _mm512_set1_ps(1));
  fraction = _mm512_mask_mov_ps(fraction, small, _mm512_castsi512_ps(magnitude));
  __mmask16 large = _knot_mask16(small);
  __m512i code = _mm512_maskz_sub_epi32(large, _mm512_srli_epi32(magnitude, 23), _mm512_set1_epi32(126));
  __mmask16 up = _mm512_cmp_ps_mask(u, fraction, _CMP_LT_OQ);
  code = _mm512_mask_add_epi32(code, up, code, _mm512_set1_epi32(1));
  code = _mm512_min_epi32(code, k->largest);
  __m512i sign = _mm512_slli_epi32(_mm512_srli_epi32(bits, 31), packed ? 3 : 7);
  return _mm512_maskz_or_epi32(_mm512_test_epi32_mask(code, code), code, sign);
}

// The low bytes of four vectors, in order.
INLINE __m512i bytes(const __m512i code[4]) {
  const __m512i low = _mm512_set1_epi32(0xFF);
  __m512i a = _mm512_packus_epi32(_mm512_and_si512(code[0], low), _mm512_and_si512(code[1], low));
  __m512i b = _mm512_packus_epi32(_mm512_and_si512(code[2], low), _mm512_and_si512(code[3], low));
  const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
  return _mm512_permutexvar_epi32(order, _mm512_packus_epi16(a, b));
}

// Writes up to 64 codes; where two share a byte, the half after the last one becomes 0.
INLINE void store(int packed, __m512i codes, int64_t count, uint8_t *to) {
  if (!packed) {
    _mm512_mask_storeu_epi8(to, first_bytes(count), codes);
    return;
  }
  codes = _mm512_maskz_mov_epi8(first_bytes(count), _mm512_and_si512(codes, _mm512_set1_epi8(15)));
  __m512i pairs = _mm512_maddubs_epi16(codes, _mm512_set1_epi16(0x1001));
  _mm256_mask_storeu_epi8(to, (__mmask32)first_bytes((count + 1) / 2), _mm512_cvtepi16_epi8(pairs));
}

// Where a row goes.
typedef struct {
  uint8_t *codes, *lower;
} Target;

// Up to 64 neighbours in a row, of which each has its multiplier.
INLINE int64_t step(const QuantizeCall *call, const Constants *k, int kind, int packed, int drawn, const float *x,
                    const float *multipliers, const uint32_t *words, int64_t count, Target to) {
  __m512i code[4], upper[4];
  int64_t beyond = 0;
#pragma GCC unroll 4
  for (int i = 0; i < 4; i++) {
    __mmask16 there = first(count - i * LANES);
    __m512 multiplier = _mm512_maskz_loadu_ps(there, multipliers + i * LANES);
    // Multiplier 0 says that the code is 0, whatever x is.
    __mmask16 scaled = _mm512_cmp_ps_mask(multiplier, _mm512_setzero_ps(), _CMP_NEQ_UQ);
    __m512 t = _mm512_maskz_mul_ps(scaled, _mm512_maskz_loadu_ps(there, x + i * LANES), multiplier);
    if (call->divisor != ONE) {
      t = _mm512_div_ps(t, k->divisor);
    }
    if (call->counted) {
      beyond += __builtin_popcount(_mm512_cmp_ps_mask(t, k->low, _CMP_LT_OQ) | _mm512_cmp_ps_mask(t, k->high, _CMP_GT_OQ));
    }
    __m512 u = drawn ? uniform(words + i * LANES) : _mm512_setzero_ps();
    if (kind == KIND_FP8) {
      code[i] = fp8(k, drawn, t, u);
    } else if (kind == KIND_POWER) {
      code[i] = power(k, packed, t, u);
    } else {
      code[i] = whole(k, drawn, t, u);
    }
    if (kind == KIND_DIGITS) {
      upper[i] = _mm512_srai_epi32(_mm512_add_epi32(code[i], _mm512_set1_epi32(8)), 4);
    }
  }
  if (kind == KIND_DIGITS) {
    store(packed, bytes(upper), count, to.codes);
    store(packed, bytes(code), count, to.lower);
  } else {
    store(packed, bytes(code), count, to.codes);
  }
  return beyond;
}

// Part of a row. The first step ends where a line of the codes does, so that the others write whole lines.
INLINE int64_t run(const QuantizeCall *call, const Constants *k, int kind, int packed, int drawn, int64_t element,
                   const float *x, const float *multipliers, int64_t count, Target to) {
  uint32_t words[PART + 4 * QUADS + STEP] __attribute__((aligned(64)));
  const uint32_t *word = drawn ? draw(call, element, count, words) : words;
  int64_t beyond = 0;
  int64_t size = packed ? STEP : STEP - ((uintptr_t)to.codes & (STEP - 1));
  for (int64_t i = 0; i < count; i += size, size = STEP) {
    int64_t at = packed ? i >> 1 : i;
    Target target = {to.codes + at, kind == KIND_DIGITS ? to.lower + at : to.lower};
    int64_t rest = count - i < size ? count - i : size;
    if (call->ahead) {
#pragma GCC unroll 4
      for (int line = 0; line < STEP; line += LANES) {
        _mm_prefetch(x + i + line + call->ahead, _MM_HINT_T1);
      }
    }
    beyond += step(call, k, kind, packed, drawn, x + i, multipliers + i, word + i, rest, target);
  }
  return beyond;
}

// Writes the multiplier of each column from `col` on.
static void spread(const QuantizeCall *call, const float *own, int64_t col, int64_t count, float *out) {
  for (int64_t i = 0; i < count;) {
    int64_t block = (col + i) / call->width;
    int64_t end = (block + 1) * call->width - col;
    end = end < count ? end : count;
    for (__m512 value = _mm512_set1_ps(own[block * call->col_step]); i < end; i += LANES) {
      _mm512_mask_storeu_ps(out + i, first(end - i), value);
    }
    i = end;
  }
}

INLINE void area(QuantizeCall *call, int kind, int packed, int drawn, const float *x, const float *multipliers,
                 uint8_t *codes, uint8_t *lower) {
  Constants k = constants_of(call);
  int columns = call->width == 1 && call->matrix_cols > 1;  // each has a multiplier of its own
  float each[PART];
  int64_t beyond = 0;
  for (int64_t from = 0; from < call->cols; from += PART) {
    int64_t count = call->cols - from < PART ? call->cols - from : PART;
    int64_t col = call->col + from;
    int64_t known = -1;  // row of blocks
    for (int64_t i = 0; i < call->rows; i++) {
      int64_t row = call->row + i;
      const float *own = multipliers + row / call->height * call->row_step;
      if (!columns && row / call->height != known) {
        spread(call, own, col, count, each);
        known = row / call->height;
      }
      int64_t at = row * call->code_pitch + col;
      at = packed ? at >> 1 : at;
      Target to = {codes + at, kind == KIND_DIGITS ? lower + at : lower};
      beyond += run(call, &k, kind, packed, drawn, row * call->matrix_cols + col, x + call->x_at + i * call->x_pitch + from,
                    columns ? own + col : each, count, to);
    }
  }
  call->beyond = beyond;
}

typedef void Area(QuantizeCall *call, const float *x, const float *multipliers, uint8_t *codes, uint8_t *lower);

#define AREA(name, kind, packed, drawn)                                                                              \
  static void name(QuantizeCall *call, const float *x, const float *multipliers, uint8_t *codes, uint8_t *lower) {   \
    area(call, kind, packed, drawn, x, multipliers, codes, lower);                                                   \
  }

AREA(integer, KIND_INTEGER, 0, 0)
AREA(integer_drawn, KIND_INTEGER, 0, 1)
AREA(integer_packed, KIND_INTEGER, 1, 0)
AREA(integer_packed_drawn, KIND_INTEGER, 1, 1)
AREA(fp8_nearest, KIND_FP8, 0, 0)
AREA(fp8_drawn, KIND_FP8, 0, 1)
AREA(power_drawn, KIND_POWER, 0, 1)
AREA(power_packed_drawn, KIND_POWER, 1, 1)
AREA(digits_drawn, KIND_DIGITS, 1, 1)

void nibble_quantize(QuantizeCall *call, const float *x, const float *multipliers, uint8_t *codes, uint8_t *lower) {
  static Area *const areas[4][4] = {  // [kind][packed, drawn]
      {integer, integer_drawn, integer_packed, integer_packed_drawn},
      {fp8_nearest, fp8_drawn, 0, 0},
      {0, power_drawn, 0, power_packed_drawn},
      {0, 0, 0, digits_drawn}};
  areas[call->kind][2 * call->packed + call->drawn](call, x, multipliers, codes, lower);
}

INLINE __m512i magnitudes(__mmask16 there, const float *x) {
  return _mm512_and_si512(_mm512_maskz_loadu_epi32(there, x), _mm512_set1_epi32(0x7FFFFFFF));
}

// Raises each of the values to the magnitude of its element; bits of FP32 without a sign have the order of the values.
static void raise(const float *x, int64_t count, int first_row, float *amaxes) {
  for (int64_t i = 0; i < count; i += LANES) {
    __mmask16 there = first(count - i);
    __m512i old = _mm512_maskz_loadu_epi32(first_row ? 0 : there, amaxes + i);
    _mm512_mask_storeu_epi32(amaxes + i, there, _mm512_max_epi32(old, magnitudes(there, x + i)));
  }
}

// The blocks beside one another are measured together, along the rows that they share.
static void measure_row(const QuantizeCall *call, const float *x, int64_t rows, float *amaxes) {
  enum { TOGETHER = 16 };
  for (int64_t col = 0; col < call->cols; col += TOGETHER * call->width) {
    __m512i largest[TOGETHER];
    int64_t blocks = 0;
    for (int64_t row = 0; row < rows; row++) {
      blocks = 0;
      for (int64_t from = col; from < call->cols && blocks < TOGETHER; from += call->width, blocks++) {
        const float *block = x + row * call->x_pitch + from;
        int64_t count = call->cols - from < call->width ? call->cols - from : call->width;
        __m512i acc = row ? largest[blocks] : _mm512_setzero_si512();
        __m512i other = _mm512_setzero_si512();
        int64_t i = 0;
        for (; i + 2 * LANES <= count; i += 2 * LANES) {
          acc = _mm512_max_epi32(acc, magnitudes(0xFFFF, block + i));
          other = _mm512_max_epi32(other, magnitudes(0xFFFF, block + i + LANES));
        }
        for (; i < count; i += LANES) {
          acc = _mm512_max_epi32(acc, magnitudes(first(count - i), block + i));
        }
        largest[blocks] = _mm512_max_epi32(acc, other);
      }
    }
    for (int64_t i = 0; i < blocks; i++) {
      int32_t bits = _mm512_reduce_max_epi32(largest[i]);
      memcpy(amaxes + ((call->col + col) / call->width + i) * call->col_step, &bits, sizeof bits);
    }
  }
}

void nibble_measure(const QuantizeCall *call, const float *x, float *amaxes) {
  for (int64_t row = 0; row < call->rows; row += call->height) {
    int64_t rows = call->rows - row < call->height ? call->rows - row : call->height;
    const float *from = x + call->x_at + row * call->x_pitch;
    float *own = amaxes + (call->row + row) / call->height * call->row_step;
    if (call->width > 1 || call->matrix_cols == 1) {
      measure_row(call, from, rows, own);
      continue;
    }
    for (int64_t i = 0; i < rows; i++) {
      raise(from + i * call->x_pitch, call->cols, i == 0, own + call->col);
    }
  }
}

void nibble_residual(ResidualCall *call, const float *x, const uint8_t *codes, float *d) {
  __m512 scale = _mm512_set1_ps(float_of(call->scale));
  __m512i largest = _mm512_setzero_si512();
  for (int64_t row = 0; row < call->rows; row++) {
    const float *from = x + call->x_at + row * call->x_pitch;
    const uint8_t *code = codes + call->codes_at + row * call->code_pitch;
    for (int64_t i = 0; i < call->cols; i += LANES) {
      __mmask16 there = first(call->cols - i);
      __m512i whole = _mm512_cvtepi8_epi32(_mm_maskz_loadu_epi8(there, code + i));
      __m512 value = call->mantissa ? decode_fp8(whole, (int)call->mantissa, (int)call->bias) : _mm512_cvtepi32_ps(whole);
      __m512 rest = _mm512_fnmadd_ps(scale, value, _mm512_maskz_loadu_ps(there, from + i));
      _mm512_mask_storeu_ps(d + row * call->cols + i, there, rest);
      __m512i magnitude = _mm512_and_si512(_mm512_castps_si512(rest), _mm512_set1_epi32(0x7FFFFFFF));
      largest = _mm512_mask_max_epi32(largest, there, largest, magnitude);
    }
  }
  call->largest = _mm512_reduce_max_epi32(largest);
}
