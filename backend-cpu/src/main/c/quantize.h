// Codes of the elements of a matrix, 64 at a time:
//
//   t = x * multiplier / divisor, of which one is 1; code = round(t)
//
// Reference: dev.nibble.reference.ElementCode; codes must match it bit for bit, so no fast-math and no contraction.
#ifndef NIBBLE_QUANTIZE_H
#define NIBBLE_QUANTIZE_H

#include <stdint.h>

// How codes arise: clamped whole numbers; 8-bit floats; sign and exponent; two digits of one whole number.
enum { KIND_INTEGER = 0, KIND_FP8 = 1, KIND_POWER = 2, KIND_DIGITS = 3 };

// What nibble_quantize is told, as an array of longs. The area begins and ends with blocks, or lies within one row of them.
typedef struct {
  int64_t kind;
  int64_t packed;               // whether two codes share a byte
  int64_t x_at, x_pitch;        // of the first element, and from one row to the next, in x
  int64_t row, col;             // of the first element, in the matrix
  int64_t rows, cols;           // of the area
  int64_t matrix_cols;          // of the matrix
  int64_t code_pitch;           // codes from one row to the next
  int64_t height, width;        // of a block, in elements
  int64_t row_step, col_step;   // from the multiplier of a block to that of the block below, beside it
  int64_t divisor;              // bits of an FP32
  int64_t low, high;            // bits of FP32: the smallest and the largest value of a code
  int64_t mantissa, bias;       // of 8-bit floats
  int64_t largest;              // code of the largest finite 8-bit float, or largest k of a power
  int64_t beyond_code;          // of an 8-bit float that overflows
  int64_t limit;                // bits of the largest magnitude that does not overflow
  int64_t drawn;                // whether rounding is stochastic
  int64_t counter1, counter2, counter3;  // words 1 to 3 of Philox's counter
  int64_t key;                  // of Philox
  int64_t counted;              // whether elements beyond low..high are counted
  int64_t ahead;                // elements from here to what is read next; 0 if that is not known
  int64_t beyond;               // receives their number
} QuantizeCall;

// What the residual functions are told: one block, whose first plane has bytes for codes.
typedef struct {
  int64_t x_at, x_pitch;
  int64_t codes_at, code_pitch;  // of the first plane
  int64_t rows, cols;
  int64_t mantissa, bias;        // of the first plane; a mantissa of 0 says that its codes are whole numbers
  int64_t scale;                 // of the first plane, bits of an FP32
  int64_t largest;               // receives the bits of max|d|
} ResidualCall;

// max|x| of each block of the area, NaN if an element is NaN; blocks lie as multipliers do.
void nibble_measure(const QuantizeCall *call, const float *x, float *amaxes);

void nibble_quantize(QuantizeCall *call, const float *x, const float *multipliers, uint8_t *codes, uint8_t *lower);

// d = fma(-scale, code, x), what the first plane leaves over: [rows][cols], and max|d|.
void nibble_residual(ResidualCall *call, const float *x, const uint8_t *codes, float *d);

#endif
