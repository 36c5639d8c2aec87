// A network that finds motion: pictures made ready for it, and what it yields made ready for warping.
#include "rgb.cuh"
#include "warp.cuh"

// What eight columns hold, added up over groups of `shrink` neighbours: the first 8 / shrink values are the sums.
FR_DEVICE void gather_groups(float (&value)[kPixels], int shrink) {
  if (shrink >= 2) {
#pragma unroll
    for (int i = 0; i < 4; ++i) value[i] = value[2 * i] + value[2 * i + 1];
  }
  if (shrink >= 4) {
#pragma unroll
    for (int i = 0; i < 2; ++i) value[i] = value[2 * i] + value[2 * i + 1];
  }
  if (shrink >= 8) value[0] += value[1];
}

FR_DEVICE void store_element(uint64_t tile, int64_t at, float value, bool in_half) {
  if (in_half)
    target_of<half>(tile)[at] = __float2half_rn(value);
  else
    target_of<float>(tile)[at] = value;
}

// Pixels that a thread of fr_planes_to_reduced makes; mirrored in kernels/motion_network_launches.py.
FR_DEVICE int made_at_once(int shrink) { return max(1, kPixels / shrink); }

// Stored samples -> one tile of planar R'G'B', reduced by the area mean. Twin: fastrestore.kernels.network_motion.reduced. Conversion is
// linear, so that components are averaged as stored and converted once.
//
// A thread owns as many neighbouring pixels as eight columns of the picture make. Bytes: every sample is read once and
// three elements a pixel of the tile are written.
FR_KERNEL fr_planes_to_reduced(const PlanesToReducedParams p) {
  const int made = made_at_once(p.shrink), x = thread_x() * made, y = thread_y();
  if (x >= p.width || y >= p.height) return;
  // What a tile has beyond its columns repeats the last one, so a group that begins there is made of that one alone.
  const int first = min(x, p.columns - 1) * p.shrink, top = min(y, p.rows - 1) * p.shrink;
  float sum[3][kPixels] = {};
  for (int j = 0; j < p.shrink; ++j) {
    const int row = min(top + j, p.source.height - 1);
    for (int i = 0; i < max(p.shrink, kPixels); i += kPixels) {
      float component[3][kPixels] = {};
      read_components(p.source, p.siting_x, p.siting_y, first + i, row, component);
#pragma unroll
      for (int channel = 0; channel < 3; ++channel)
#pragma unroll
        for (int k = 0; k < kPixels; ++k) sum[channel][k] += component[channel][k];
    }
  }
#pragma unroll
  for (int channel = 0; channel < 3; ++channel) gather_groups(sum[channel], p.shrink);
  const float each = 1.0f / (p.shrink * p.shrink);
#pragma unroll
  for (int k = 0; k < kPixels / 2; ++k) {
    if (k >= made || x + k >= p.width) break;
    // The group of the last column, where this pixel lies beyond it.
    const int from = min(x + k, p.columns - 1) - min(x, p.columns - 1);
    float mean[3];
#pragma unroll
    for (int channel = 0; channel < 3; ++channel)
      mean[channel] = each * (from == 0   ? sum[channel][0]
                              : from == 1 ? sum[channel][1]
                              : from == 2 ? sum[channel][2]
                                          : sum[channel][3]);
#pragma unroll
    for (int channel = 0; channel < 3; ++channel) {
      const float* const m = p.matrix + 3 * channel;
      const float value = m[0] * mean[0] + (m[1] * mean[1] + (m[2] * mean[2] + p.offset[channel]));
      store_element(p.tile, (int64_t(channel) * p.height + y) * p.width + x + k, value, p.half);
    }
  }
}

// One number in every element, such as the instant that a network is asked for.
FR_KERNEL fr_fill(const FillParams p) {
  const int at = thread_x();
  if (at < p.count) store_element(p.address, at, p.value, p.half);
}

FR_DEVICE float element_at(uint64_t plane, int64_t at, bool in_half) {
  return in_half ? element(pointer<half>(plane) + at) : element(pointer<float>(plane) + at);
}

// A plane of the network's output between its cells; `finite` is left alone or becomes false.
FR_DEVICE float between_elements(uint64_t plane, int64_t begin, int width, const Between& x, const Between& y,
                                 bool in_half, bool clip, bool& finite) {
  float value[2][2];
#pragma unroll
  for (int j = 0; j < 2; ++j)
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const int64_t at = begin + int64_t(j ? y.high : y.low) * width + (i ? x.high : x.low);
      const float found = element_at(plane, at, in_half);
      if (!(fabsf(found) < INFINITY)) finite = false;
      value[j][i] = clip ? fminf(fmaxf(found, 0.0f), 1.0f) : found;
    }
  return mixed(mixed(value[0][0], value[0][1], x.share), mixed(value[1][0], value[1][1], x.share), y.share);
}

// What a network yields at its own size -> a motion at the picture's: enlarged, in pixels of the picture, cleaned and
// packed as fr_pack_motion does, its mask within [0, 1]. Twin: fastrestore.kernels.network_motion.placed. A thread owns a cell: one 16-byte
// store and one of four bytes.
FR_KERNEL fr_place_motion(const PlaceMotionParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.width || y >= p.height) return;
  const Between column = between_cells(x, p.columns * p.shrink, p.columns);
  const Between row = between_cells(y, p.rows * p.shrink, p.rows);
  const int64_t plane = int64_t(p.network_width) * p.network_height;
  bool finite = true;
  float found[4];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const float value = static_cast<float>(p.shrink) * between_elements(p.flow, i * plane, p.network_width, column, row,
                                                                        p.half_flow, false, finite);
    found[i] = fabsf(value) < INFINITY ? fminf(fmaxf(value, -p.reach), p.reach) : 0.0f;
  }
  const float share = between_elements(p.mask, 0, p.network_width, column, row, p.half_mask, true, finite);
  const int64_t at = int64_t(y) * p.width + x;
  target_of<float4>(p.packed)[at] = make_float4(found[0], found[1], found[2], found[3]);
  target_of<float>(p.share)[at] = share;
  if (!finite && p.broken) *target_of<int>(p.broken) = 1;
}
