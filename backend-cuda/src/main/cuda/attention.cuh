// What both kinds of attention kernels are told, and where heads lie.
#pragma once

namespace {

struct Attention {
    int sequence;
    int heads;
    int size;    // features of a head
    int causal;
    float scale; // of the scores
};

// One head of one sequence: where its rows begin. Rows of qkv are 3 * width apart, rows of the output width.
struct Head {
    long long qkv;
    long long output;
    long long logs;
    long long width;

    __device__ Head(const Attention& a, long long task) {
        width = (long long)a.heads * a.size;
        long long token = task / a.heads * a.sequence;
        long long feature = task % a.heads * a.size;
        qkv = token * 3 * width + feature;
        output = token * width + feature;
        logs = task * a.sequence;
    }
};

// Whether a query of the sequence sees a key.
__device__ __forceinline__ bool has_key(const Attention& a, int query, int key) {
    return key < a.sequence && (!a.causal || key <= query);
}

} // namespace
