// Operations between the products, with the bits of dev.nibble.reference: every sum is the same chain or has the order of LaneSum,
// so no fast-math and no contraction. AVX-512 only.
#ifndef NIBBLE_NEURAL_H
#define NIBBLE_NEURAL_H

#include <stdint.h>

// Queries whose scores are held at a time, queries and keys of a tile of sums, features and keys of a panel.
enum { QUERIES = 64, ROWS_OF_TILE = 8, WIDTH_OF_PANEL = 32 };

// What the attention functions are told of a head, as an array of longs. Places are elements of the tensors.
typedef struct {
  int64_t sequence, size;       // tokens, features
  int64_t causal;               // whether a token sees only itself and those before it
  int64_t scale;                // of the scores: bits of an FP32
  int64_t first, rows;          // queries of the call, at most QUERIES; calls begin at 0 and ascend
  int64_t q_at, k_at, v_at;     // of position 0 in qkv and its gradient
  int64_t qkv_pitch;            // from one position to the next
  int64_t output_at, output_pitch;
  int64_t logs_at;
} AttentionCall;

// Bytes of the working memory of a head.
int64_t nibble_attention_bytes(int64_t sequence, int64_t size);

// Writes the outputs of some queries; their maxima to `logs`, and the sums of their exponentials to the beginning of `memory`.
void nibble_attention(const AttentionCall *call, const float *qkv, float *out, float *logs, float *memory);

// Writes gradients: those of q of the queries of the call, those of k and v in the last call.
void nibble_attention_backward(const AttentionCall *call, const float *grad_output, const float *qkv, const float *out,
                               const float *logs, float *grad_qkv, float *memory);

// Rows `from` to `to` - 1 of gate_up [rows, 2 * hidden] and h [rows, hidden].
void nibble_swiglu(const float *gate_up, int64_t hidden, int64_t from, int64_t to, float *h);
void nibble_swiglu_backward(const float *grad_output, const float *gate_up, int64_t hidden, int64_t from, int64_t to,
                            float *grad_gate_up);

// The sum of the squares of x[from] to x[to - 1], as dev.nibble.reference.ReferenceGradientNorm has it.
double nibble_squares(const float *x, int64_t from, int64_t to);

// The largest magnitude of x[from] to x[to - 1], NaN if one is.
float nibble_largest(const float *x, int64_t from, int64_t to);

// Groups of 128 elements from group `from` to `to` - 1: their largest magnitudes, NaN if an element is.
void nibble_group_sizes(const float *x, int64_t from, int64_t to, float *sizes);

// Codes of 10 bits of such groups, rint(x * multiplier), as dev.nibble.reference.ReferenceCodec lays them out: 160 bytes a group.
// A multiplier of 0 makes codes 0.
void nibble_encode_10(const float *x, const float *multipliers, int64_t from, int64_t to, uint8_t *bytes);

// Codes of such groups in BF16: 256 bytes a group.
void nibble_encode_bf16(const float *x, int64_t from, int64_t to, uint8_t *bytes);

// What such codes stand for: code * scale, scales beginning with that of group 0.
void nibble_decode_10(const uint8_t *bytes, const float *scales, int64_t from, int64_t to, float *x);
void nibble_decode_bf16(const uint8_t *bytes, int64_t from, int64_t to, float *x);

#endif
