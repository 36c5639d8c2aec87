// Stored samples -> a batch of tiles of planar R'G'B'. Twin: ReferenceOps.to_rgb, then np.pad(mode="edge") and a crop.
//
// A thread makes eight neighbouring pixels of one row of one tile: 16-byte stores of halves, two of them for floats.
// Bytes: every sample that a tile sees is read once and three elements a pixel are written; chroma rows are read by
// two rows of threads, from the cache.
#include "rgb.cuh"

FR_DEVICE void write_row(float* to, int x, int width, const float (&value)[kPixels]) {
  if (x + kPixels <= width && aligned(to + x, 16)) {
    float4* const wide = reinterpret_cast<float4*>(to + x);
    wide[0] = make_float4(value[0], value[1], value[2], value[3]);
    wide[1] = make_float4(value[4], value[5], value[6], value[7]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
    if (x + i < width) to[x + i] = value[i];
}

FR_DEVICE void write_row(half* to, int x, int width, const float (&value)[kPixels]) {
  struct alignas(16) Eight {
    half element[kPixels];
  };
  if (x + kPixels <= width && aligned(to + x, 16)) {
    Eight eight;
#pragma unroll
    for (int i = 0; i < kPixels; ++i) eight.element[i] = __float2half_rn(value[i]);
    *reinterpret_cast<Eight*>(to + x) = eight;
    return;
  }
#pragma unroll
  for (int i = 0; i < kPixels; ++i)
    if (x + i < width) to[x + i] = __float2half_rn(value[i]);
}

FR_KERNEL fr_planes_to_tiles(const PlanesToTilesParams p) {
  const int x = thread_x() * kPixels, y = thread_y(), tile = static_cast<int>(blockIdx.z);
  if (x >= p.width || y >= p.height) return;
  const int from_x = p.origin[2 * tile] + x;
  const int from_y = clamped(p.origin[2 * tile + 1] + y, p.source.height - 1);
  float component[3][kPixels] = {};
  read_components(p.source, p.siting_x, p.siting_y, from_x, from_y, component);
#pragma unroll
  for (int channel = 0; channel < 3; ++channel) {
    const float* const m = p.matrix + 3 * channel;
    float value[kPixels];
#pragma unroll
    for (int i = 0; i < kPixels; ++i)
      value[i] = m[0] * component[0][i] + (m[1] * component[1][i] + (m[2] * component[2][i] + p.offset[channel]));
    const int64_t row = ((int64_t(tile) * 3 + channel) * p.height + y) * p.width;
    if (p.half)
      write_row(target_of<half>(p.tiles) + row, x, p.width, value);
    else
      write_row(target_of<float>(p.tiles) + row, x, p.width, value);
  }
}
