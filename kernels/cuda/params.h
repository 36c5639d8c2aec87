// What every kernel is given: one structure by value, mirrored field by field in kernels/params.py.
// Addresses are 64-bit numbers, pitches are bytes from one row to the next. A flow or mask has tight rows unless a
// pitch is given.
#pragma once
#include <stdint.h>

constexpr int kMostTiles = 64;

// A picture on the device. Grey has one plane; R'G'B' has the planes G, B, R; chroma may be interleaved.
struct Planes {
  uint64_t address[3];  // of the first sample of each component
  int32_t pitch[3];
  int32_t width, height;
  int32_t chroma_width, chroma_height;  // of the second and third component
  int32_t step;                         // samples from one chroma sample to the next: 2 where interleaved
  int32_t shift;                        // unused low bits of every stored sample: 6 in P010
  int32_t bits;
  int32_t shift_x, shift_y;  // log2 of the chroma subsampling
  int32_t count;             // components: 1 or 3
};

// Sparse weights along one axis. Every target has `each` entries; where that is 0, those of target i are
// entries[begin[i]] .. entries[begin[i + 1] - 1].
struct Taps {
  uint64_t begin;    // int32, one more than there are targets
  uint64_t entries;  // Tap
  int32_t each;
  int32_t unused;
};

struct Tap {
  int32_t offset;  // in elements of the source
  float weight;
};

struct PlanesToTilesParams {
  Planes source;
  uint64_t tiles;  // (count, 3, height, width)
  float matrix[9], offset[3];
  float siting_x, siting_y;
  int32_t width, height, count;
  int32_t half;  // elements are fp16, not fp32
  int32_t origin[2 * kMostTiles];
};

struct TilesToPlanesParams {
  Planes target;
  uint64_t tiles;   // (count, 3, height, width)
  uint64_t broken;  // int32 that becomes 1 where a sample is not finite; 0 if nobody asks
  Taps luma_x, luma_y, chroma_x, chroma_y;
  float matrix[9], offset[3];
  int32_t width, height, count;
  int32_t half;
  int32_t neutral;  // chroma is the middle value
};

struct PackMotionParams {
  uint64_t left_x, left_y, right_x, right_y;  // displacements to the left and to the right neighbour
  uint64_t packed;                            // float4 a cell: left x, left y, right x, right y
  int32_t pitch;
  int32_t step;  // floats from one cell to the next
  int32_t columns, rows;
  float reach;
};

struct GuardParams {
  uint64_t left, right;                // luma
  uint64_t packed;                     // of fr_pack_motion
  uint64_t mask, disagreement;         // (rows, columns) float
  uint64_t guarded;                    // (rows, columns) float
  Taps x, y;                           // luma -> cells
  int32_t left_pitch, right_pitch;
  int32_t mask_pitch, disagreement_pitch;
  int32_t width, height, shift, bits;  // of luma
  int32_t columns, rows;
  float nearer, tolerance, softness;
};

struct SynthesizeParams {
  Planes left, right, target;
  uint64_t packed, mask;
  int32_t mask_pitch;
  int32_t columns, rows;
  int32_t neutral;
};

struct DisagreementParams {
  uint64_t left, right;  // 8-bit luma of the motion's size
  uint64_t packed;
  uint64_t apart;  // (rows, columns) float
  int32_t left_pitch, right_pitch;
  int32_t columns, rows;
};

struct PlanesToReducedParams {
  Planes source;
  uint64_t tile;  // (3, height, width)
  float matrix[9], offset[3];
  float siting_x, siting_y;
  int32_t width, height;
  int32_t columns, rows;  // the rest of the tile repeats the last one
  int32_t shrink;         // a power of two, 2 or more: pixels of the source for one of the tile, along a side
  int32_t half;
};

struct FillParams {
  uint64_t address;
  int32_t count;
  int32_t half;
  float value;
  int32_t unused;
};

struct PlaceMotionParams {
  uint64_t flow;                   // (4, network_height, network_width): x, y to the left, x, y to the right
  uint64_t mask;                   // (network_height, network_width)
  uint64_t packed;                 // float4 a cell, as of fr_pack_motion
  uint64_t share;                  // (height, width) float
  uint64_t broken;                 // int32 that becomes 1 where a number is not finite; 0 if nobody asks
  int32_t network_width, network_height;
  int32_t columns, rows;           // of the network's output that belong to the picture, padded to `shrink`
  int32_t width, height;           // of the motion to be made
  int32_t shrink;
  int32_t half_flow, half_mask;
  float reach;
};

// What fr_statistics adds to; the host sums the slots.
struct StatisticsSlot {
  unsigned long long total;  // of absolute differences
  uint32_t peak;             // bits of the largest block mean, a float in samples
  uint32_t unused;
};

struct StatisticsParams {
  uint64_t left, right;  // 8-bit luma
  uint64_t slots;        // StatisticsSlot
  int32_t left_pitch, right_pitch;
  int32_t width, height;
  int32_t slot_count;  // a power of two
};

struct ThumbnailParams {
  uint64_t luma;  // 8-bit
  uint64_t sums;  // (rows, columns) uint64
  int32_t pitch, width, height;
  int32_t columns, rows;
};

struct UnequalParams {
  uint64_t left, right;
  uint64_t found;  // int32 that becomes 1 where a byte differs
  int32_t left_pitch, right_pitch;
  int32_t row_bytes, height;
};

struct ClearParams {
  uint64_t address;
  int64_t bytes;
};

struct ResizeParams {
  uint64_t source, target;
  Taps x, y;
  int32_t source_pitch, target_pitch;
  int32_t source_bytes, target_bytes;  // a sample: 1, 2, or 4 for float
  int32_t width, height;               // of the target
  int32_t bits;                        // of the target's samples, unless they are floats
};

struct Luma8Params {
  Planes source;
  uint64_t luma;
  float weights[3];  // of the components as stored
  int32_t pitch;
  int32_t weighted;
};

struct RequantizeParams {
  Planes source, target;
  float factor;
  float luma_offset, chroma_offset;
};

struct GrainParams {
  uint64_t source, target;  // one plane; may be the same
  uint64_t texture;         // int8
  uint64_t gains;           // int16, 256 of them, by the upper eight bits of a sample
  int32_t source_pitch, target_pitch, texture_pitch;
  int32_t width, height, bits;
  int32_t texture_width, texture_height;
  int32_t row, column;  // of the texture, for the first sample
  int32_t sign;
  int32_t shift;  // texture times gain is shifted down by so many bits
};

struct ToneParams {
  uint64_t source, target;  // one plane; may be the same
  uint64_t table;           // float level of every sample
  uint64_t field;           // (rows, columns) float: what is added to tones around each cell; 0 if nothing is
  int32_t source_pitch, target_pitch;
  int32_t width, height, bits;
  int32_t columns, rows;
  float span, black;         // from levels to samples
  float knee, reach, bend;  // of the highlights; used with a field
};

struct ToneChromaParams {
  Planes source, target;  // luma of the source, chroma of both
  uint64_t table;         // float factor of every sample of luma
  uint64_t field;         // as in ToneParams
  Taps x, y;              // luma -> chroma sites, area means
  int32_t columns, rows;
  int32_t half_up;  // which way half a sample of mean luma is rounded; to even otherwise
};

struct ResampleParams {
  uint64_t source, target;
  uint64_t weights;  // (32, 8) float, by 1/32 sample
  double matrix[6];  // from places of the target to places of the source
  int32_t source_pitch, target_pitch;
  int32_t width, height;  // of the source
  int32_t columns, rows;  // of the target
  int32_t bits;
};

struct WarpParams {
  uint64_t source, target;
  uint64_t flow;  // float2: x, y
  int32_t source_pitch, target_pitch, flow_pitch;
  int32_t width, height;  // of the source
  int32_t columns, rows;  // of flow and target
  int32_t bits;           // 32 for floats
};

struct MendParams {
  uint64_t source, target;       // part of a plane; may be the same
  uint64_t better, worse, mask;  // float; the neighbours are warped and of the same light
  int32_t source_pitch, target_pitch, better_pitch, worse_pitch, mask_pitch;
  int32_t width, height, bits;
  float share;                   // of the tones that come from the worse neighbour
  float centre, beside, beyond;  // of a Gaussian, along one side
};

struct AgreementParams {
  uint64_t luma, neighbour;  // 8-bit; the neighbour is warped
  uint64_t variance;         // float, of the grain
  uint64_t weight;           // float
  int32_t luma_pitch, neighbour_pitch, variance_pitch, weight_pitch;
  int32_t width, height;
  float slope, most;  // weight is most - slope * ratio, within 0 and 1
};

struct AverageParams {
  uint64_t source;
  uint64_t before, after;                // warped; 0 where there is none
  uint64_t before_weight, after_weight;  // float
  uint64_t mean;                         // float, in 8-bit code values
  uint64_t left;                         // float, share of the variance; 0 if nobody asks
  int32_t source_pitch, before_pitch, after_pitch, before_weight_pitch, after_weight_pitch, mean_pitch, left_pitch;
  int32_t width, height, bits;
};

struct CalmParams {
  uint64_t mean;      // of fr_average
  uint64_t variance;  // float, of the grain; 0 where it is the same everywhere
  uint64_t left;      // of fr_average; 0 where all of it is left
  uint64_t target;
  int32_t mean_pitch, variance_pitch, left_pitch, target_pitch;
  int32_t width, height, bits;
  float grain;  // its variance where that is the same everywhere
};
