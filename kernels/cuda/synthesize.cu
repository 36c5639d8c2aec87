// Two pictures and a packed motion -> the picture between them. Twin: ReferenceOps.synthesize.
//
// A thread owns one chroma site and the luma samples around it. Bytes: both pictures once, the target once, and 20 bytes
// a cell of the motion, which is small beside them where the motion was found on the source.
#include "warp.cuh"

struct Blend {
  Between left_x, left_y, right_x, right_y;
  float share;  // of the left neighbour
};

// The motion and the four shares that belong to its fetched cells.
struct Motion {
  Field field;
  float mask[2][2];
};

// How pixel (x, y) of a plane of width x height is blended.
FR_DEVICE Blend blend_at(const SynthesizeParams& p, Motion& from, int x, int y, int width, int height) {
  const Between column = between_cells(x, width, p.columns), row = between_cells(y, height, p.rows);
  if (fetch(from.field, column, row)) {
    const float* const above = row_of<float>(p.mask, p.mask_pitch, row.low);
    const float* const below = row_of<float>(p.mask, p.mask_pitch, row.high);
    from.mask[0][0] = __ldg(above + column.low);
    from.mask[0][1] = __ldg(above + column.high);
    from.mask[1][0] = __ldg(below + column.low);
    from.mask[1][1] = __ldg(below + column.high);
  }
  const float4 motion = motion_at(from.field, column, row);
  const float across = static_cast<float>(width) / p.columns, down = static_cast<float>(height) / p.rows;
  const float share = mixed(mixed(from.mask[0][0], from.mask[0][1], column.share),
                            mixed(from.mask[1][0], from.mask[1][1], column.share), row.share);
  return Blend{displaced(x, motion.x * across, width), displaced(y, motion.y * down, height),
               displaced(x, motion.z * across, width), displaced(y, motion.w * down, height),
               fminf(fmaxf(share, 0.0f), 1.0f)};
}

template <typename T>
FR_DEVICE int blended(const SynthesizeParams& p, int plane, const Blend& blend, int width, int height) {
  const int step_left = plane ? p.left.step : 1, step_right = plane ? p.right.step : 1;
  const Source left = {p.left.address[plane], p.left.pitch[plane], width, height, step_left, p.left.shift};
  const Source right = {p.right.address[plane], p.right.pitch[plane], width, height, step_right, p.right.shift};
  const float from_left = sampled<T>(left, blend.left_x, blend.left_y);
  const float from_right = sampled<T>(right, blend.right_x, blend.right_y);
  return static_cast<int>(rintf(mixed(from_right, from_left, blend.share)));
}

template <typename T>
FR_DEVICE void synthesize(const SynthesizeParams& p, int x, int y) {
  const Planes& target = p.target;
  const Site site = site_at(target, x, y);
  Motion motion = {field_of(p.packed, p.columns, p.rows), {}};
  Blend blend = {};
  for (int j = site.y; j < site.y + site.down; ++j) {
    int value[2] = {0, 0};
#pragma unroll
    for (int i = 0; i < 2; ++i) {
      if (i >= site.across) continue;
      blend = blend_at(p, motion, site.x + i, j, target.width, target.height);
      value[i] = blended<T>(p, 0, blend, target.width, target.height);
    }
    store_samples(target, 0, site.x, j, site.across, value);
  }
  if (target.count == 1) return;
  int value[2] = {1 << (target.bits - 1), 1 << (target.bits - 1)};
  if (!p.neutral) {
    // Without subsampling, chroma lies where luma does.
    if (target.shift_x || target.shift_y)
      blend = blend_at(p, motion, x, y, target.chroma_width, target.chroma_height);
    value[0] = blended<T>(p, 1, blend, target.chroma_width, target.chroma_height);
    value[1] = blended<T>(p, 2, blend, target.chroma_width, target.chroma_height);
  }
  store_chroma(target, x, y, value);
}

FR_KERNEL fr_synthesize(const SynthesizeParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.target.chroma_width || y >= p.target.chroma_height) return;
  if (wide(p.target))
    synthesize<uint16_t>(p, x, y);
  else
    synthesize<uint8_t>(p, x, y);
}
