// Stored samples as R'G'B': eight neighbouring pixels of a row at a time, wherever they lie; edges are repeated.
//
// Luma comes by one load of eight samples where it is aligned and inside the picture. Chroma is interpolated along
// columns once per chroma site, which neighbouring pixels then share.
#pragma once
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

FR_DEVICE void read_chroma(const Planes& source, float siting_x, float siting_y, int plane, int x, int y,
                           float (&chroma)[kPixels]) {
  float down;
  const int above = chroma_site(y, source.shift_y, siting_y, source.chroma_height, down);
  const int below = min(above + 1, source.chroma_height - 1);
  int column = -2;
  float near = 0.0f, next = 0.0f;
#pragma unroll
  for (int i = 0; i < kPixels; ++i) {
    float across;
    const int wanted =
        chroma_site(clamped(x + i, source.width - 1), source.shift_x, siting_x, source.chroma_width, across);
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

// Components of pixels x .. x + 7 of row y, as stored; x may be outside the picture, y may not.
FR_DEVICE void read_components(const Planes& source, float siting_x, float siting_y, int x, int y,
                               float (&component)[3][kPixels]) {
  read_luma(source, x, y, component[0]);
  if (source.count == 3) {
    read_chroma(source, siting_x, siting_y, 1, x, y, component[1]);
    read_chroma(source, siting_x, siting_y, 2, x, y, component[2]);
  }
}
