// Stored samples -> a batch of tiles of planar R'G'B'. Twin: ReferenceOps.to_rgb, then np.pad(mode="edge") and a crop.
//
// A thread makes eight neighbouring pixels of one row of one tile: 16-byte stores of halves, two of them for floats.
// Luma comes by one load of eight samples where it is aligned and inside the picture. Chroma is interpolated along
// columns once per chroma site, which neighbouring pixels then share.
// Bytes: every sample that a tile sees is read once and three elements a pixel are written; chroma rows are read by
// two rows of threads, from the cache.
#include "common.cuh"

constexpr int kPixels = 8;

template <typename T>
FR_DEVICE void read_eight(const T* at, int shift, float (&luma)[kPixels]) {
  struct alignas(kPixels * sizeof(T)) Eight {
    T sample[kPixels];
  };
  const Eight eight = *reinterpret_cast<const Eight*>(at);
#pragma unroll
  for (int i = 0; i < kPixels; ++i) luma[i] = static_cast<float>(eight.sample[i] >> shift);
}

FR_DEVICE void read_luma(const Planes& source, int x, int y, float (&luma)[kPixels]) {
  const int bytes = wide(source) ? 2 : 1;
  const uint64_t first = source.address[0] + static_cast<uint64_t>(y) * source.pitch[0] + int64_t(x) * bytes;
  if (x >= 0 && x + kPixels <= source.width && (first & (kPixels * bytes - 1)) == 0) {
    if (wide(source))
      read_eight(pointer<uint16_t>(first), source.shift, luma);
    else
      read_eight(pointer<uint8_t>(first), source.shift, luma);
    return;
  }
#pragma unroll
  for (int i = 0; i < kPixels; ++i) luma[i] = any_sample(source, 0, clamped(x + i, source.width - 1), y);
}

// Where luma coordinate `at` lies among `length` chroma samples: the sample before it and the share of the next.
FR_DEVICE int chroma_site(int at, int shift, float siting, int length, float& share) {
  const float factor = static_cast<float>(1 << shift);
  const float exact = (at - siting * (factor - 1.0f)) / factor;  // halves and quarters: no rounding
  const float within = fminf(fmaxf(exact, 0.0f), static_cast<float>(length - 1));
  const int low = static_cast<int>(within);
  share = within - low;
  return low;
}

FR_DEVICE void read_chroma(const PlanesToTilesParams& p, int plane, int x, int y, float (&chroma)[kPixels]) {
  const Planes& source = p.source;
  float down;
  const int above = chroma_site(y, source.shift_y, p.siting_y, source.chroma_height, down);
  const int below = min(above + 1, source.chroma_height - 1);
  int column = -2;
  float near = 0.0f, next = 0.0f;
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    float across;
    const int wanted =
        chroma_site(clamped(x + i, source.width - 1), source.shift_x, p.siting_x, source.chroma_width, across);
    // Neighbouring pixels share chroma sites: each column is interpolated once.
    if (wanted != column) {
      const int here = wanted * source.step, there = min(wanted + 1, source.chroma_width - 1) * source.step;
      near = wanted == column + 1 && i > 0
                 ? next
                 : mixed(any_sample(source, plane, here, above), any_sample(source, plane, here, below), down);
      next = mixed(any_sample(source, plane, there, above), any_sample(source, plane, there, below), down);
      column = wanted;
    }
    chroma[i] = mixed(near, next, across);
  }
}

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
  read_luma(p.source, from_x, from_y, component[0]);
  if (p.source.count == 3) {
    read_chroma(p, 1, from_x, from_y, component[1]);
    read_chroma(p, 2, from_x, from_y, component[2]);
  }
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
