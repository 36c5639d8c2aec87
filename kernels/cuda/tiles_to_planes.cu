// Tiles of restored R'G'B' -> stored samples. Twin: pasting or blending the tiles, then ReferenceOps.from_rgb.
//
// Pasting, blending, cropping, resampling and moving chroma to its siting are all linear and separable. The host folds
// them into one list of weighted elements per target column and one per target row (fastrestore.kernels.taps), so that
// one pass reads tiles and writes samples, whatever the factor. Enlarging by Lanczos takes 8x8 elements a sample, which
// is more arithmetic than memory; it is the rare case, for networks enlarge.
//
// A thread owns one chroma site and the luma samples around it, so that the second reading, for chroma, finds what the
// first one brought into the cache. Stores are of two samples.
#include "common.cuh"

struct Rgb {
  float red, green, blue;
};

template <typename Element>
FR_DEVICE Rgb gather(const TilesToPlanesParams& p, const Taps& across, const Taps& down, int x, int y) {
  const Element* const red = pointer<Element>(p.tiles);
  const int64_t channel = int64_t(p.width) * p.height;
  const Element* const green = red + channel;
  const Element* const blue = green + channel;
  const Span columns = span_of(across, x), rows = span_of(down, y);
  Rgb sum = {0.0f, 0.0f, 0.0f};
  for (int j = rows.first; j < rows.end; ++j) {
    const Tap row = tap_at(down, j);
    Rgb line = {0.0f, 0.0f, 0.0f};
    for (int i = columns.first; i < columns.end; ++i) {
      const Tap column = tap_at(across, i);
      const int at = row.offset + column.offset;
      line.red += column.weight * element(red + at);
      line.green += column.weight * element(green + at);
      line.blue += column.weight * element(blue + at);
    }
    sum.red += row.weight * line.red;
    sum.green += row.weight * line.green;
    sum.blue += row.weight * line.blue;
  }
  return sum;
}

FR_DEVICE float component(const TilesToPlanesParams& p, int index, const Rgb& rgb) {
  const float* const m = p.matrix + 3 * index;
  return m[0] * rgb.red + m[1] * rgb.green + (m[2] * rgb.blue + p.offset[index]);
}

FR_DEVICE void report_broken(const TilesToPlanesParams& p, float value) {
  if (p.broken && !(fabsf(value) < INFINITY)) *target_of<int>(p.broken) = 1;  // whoever writes, writes the same
}

template <typename Element>
FR_DEVICE void tiles_to_planes(const TilesToPlanesParams& p, int x, int y) {
  const Planes& target = p.target;
  const Site site = site_at(target, x, y);
  for (int j = site.y; j < site.y + site.down; ++j) {
    int value[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (i >= site.across) continue;
      const float luma = component(p, 0, gather<Element>(p, p.luma_x, p.luma_y, site.x + i, j));
      report_broken(p, luma);
      value[i] = stored(luma, site.x + i, j, target.bits);
    }
    store_samples(target, 0, site.x, j, site.across, value);
  }
  if (target.count == 1) return;
  int value[2] = {1 << (target.bits - 1), 1 << (target.bits - 1)};
  if (!p.neutral) {
    const Rgb rgb = gather<Element>(p, p.chroma_x, p.chroma_y, x, y);
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      const float chroma = component(p, 1 + i, rgb);
      report_broken(p, chroma);
      value[i] = stored(chroma, x, y, target.bits);
    }
  }
  store_chroma(target, x, y, value);
}

FR_KERNEL fr_tiles_to_planes(const TilesToPlanesParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.target.chroma_width || y >= p.target.chroma_height) return;
  if (p.half)
    tiles_to_planes<half>(p, x, y);
  else
    tiles_to_planes<float>(p, x, y);
}
