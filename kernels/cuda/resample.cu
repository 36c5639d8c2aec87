// One plane resized, luma in 8 bits, and samples of one layout or depth stored in another.
#include "common.cuh"

template <typename T>
FR_DEVICE float plain(const T* row, int x) {
  return static_cast<float>(__ldg(row + x));
}

template <typename T>
FR_DEVICE float resized(const ResizeParams& p, int x, int y) {
  const Span columns = span_of(p.x, x), rows = span_of(p.y, y);
  float sum = 0.0f;
  for (int j = rows.first; j < rows.end; ++j) {
    const Tap line = tap_at(p.y, j);
    const T* const row = row_of<T>(p.source, p.source_pitch, line.offset);
    float part = 0.0f;
    for (int i = columns.first; i < columns.end; ++i) {
      const Tap tap = tap_at(p.x, i);
      part += tap.weight * plain(row, tap.offset);
    }
    sum += line.weight * part;
  }
  return sum;
}

// Twin: fastrestore.kernels.reference.resize, then `store` unless the target holds floats. A thread a target sample.
FR_KERNEL fr_resize(const ResizeParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.width || y >= p.height) return;
  const float value = p.source_bytes == 1   ? resized<uint8_t>(p, x, y)
                      : p.source_bytes == 2 ? resized<uint16_t>(p, x, y)
                                            : resized<float>(p, x, y);
  if (p.target_bytes == 4)
    target_row<float>(p.target, p.target_pitch, y)[x] = value;
  else if (p.target_bytes == 2)
    target_row<uint16_t>(p.target, p.target_pitch, y)[x] = static_cast<uint16_t>(stored(value, x, y, p.bits));
  else
    target_row<uint8_t>(p.target, p.target_pitch, y)[x] = static_cast<uint8_t>(stored(value, x, y, p.bits));
}

FR_DEVICE uint8_t luma_of(const Luma8Params& p, int x, int y) {
  const Planes& source = p.source;
  float luma = any_sample(source, 0, x, y);
  if (p.weighted)
    luma = p.weights[0] * luma + p.weights[1] * any_sample(source, 1, x, y) + p.weights[2] * any_sample(source, 2, x, y);
  const float scaled = rintf(luma / static_cast<float>(1 << (source.bits - 8)));
  return static_cast<uint8_t>(fminf(scaled, 255.0f));
}

// Twin: ReferenceOps.luma8. A thread makes four neighbouring samples and stores them at once where aligned.
FR_KERNEL fr_luma8(const Luma8Params p) {
  struct alignas(4) Four {
    uint8_t sample[4];
  };
  const int x = thread_x() * 4, y = thread_y();
  if (x >= p.source.width || y >= p.source.height) return;
  uint8_t* const row = target_row<uint8_t>(p.luma, p.pitch, y) + x;
  const int count = min(4, p.source.width - x);
  Four four = {};
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i < count) four.sample[i] = luma_of(p, x + i, y);
  if (count == 4 && aligned(row, 4)) {
    *reinterpret_cast<Four*>(row) = four;
    return;
  }
#pragma unroll
  for (int i = 0; i < 4; ++i)
    if (i < count) row[i] = four.sample[i];
}

FR_DEVICE int requantized(const RequantizeParams& p, int plane, int x, int y, float offset) {
  const int step = plane ? p.source.step : 1;
  return stored(p.factor * any_sample(p.source, plane, x * step, y) + offset, x, y, p.target.bits);
}

// Twin: ReferenceOps.requantize. The same depth in another layout (planar to NV12, say) keeps every sample.
FR_KERNEL fr_requantize(const RequantizeParams p) {
  const int x = thread_x(), y = thread_y();
  const Planes& target = p.target;
  if (x >= target.chroma_width || y >= target.chroma_height) return;
  const Site site = site_at(target, x, y);
  for (int j = site.y; j < site.y + site.down; ++j) {
    int value[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2; ++i)
      if (i < site.across) value[i] = requantized(p, 0, site.x + i, j, p.luma_offset);
    store_samples(target, 0, site.x, j, site.across, value);
  }
  if (target.count == 1) return;
  const int value[2] = {requantized(p, 1, x, y, p.chroma_offset), requantized(p, 2, x, y, p.chroma_offset)};
  store_chroma(target, x, y, value);
}
