// Where a pixel comes from, and what is there: bilinear, edges repeated, never outside the plane whatever the motion.
#pragma once
#include "common.cuh"

// Between which two samples a point lies along an axis. `high` follows `low` unless that is the last one.
struct Between {
  int low, high;
  float share;  // of `high`
};

// Pixel `at` of `length` on a grid of `cells`, centres aligned. Whole numbers: no rounding before the share.
FR_DEVICE Between between_cells(int at, int length, int cells) {
  const int twice = (2 * at + 1) * cells - length, unit = 2 * length;
  if (twice <= 0) return Between{0, min(1, cells - 1), 0.0f};
  const int low = twice / unit;
  if (low >= cells - 1) return Between{cells - 1, cells - 1, 0.0f};
  return Between{low, low + 1, static_cast<float>(twice - low * unit) / static_cast<float>(unit)};
}

// Sample `at` of a plane, displaced. The displacement is split before it is added, which keeps its fraction exact.
FR_DEVICE Between displaced(int at, float displacement, int length) {
  const float far = 1073741824.0f;  // 2^30: whole in a float, and no overflow when added to a coordinate
  const float within = fminf(fmaxf(displacement, -far), far);
  const float whole = floorf(within);
  const int low = at + static_cast<int>(whole);
  if (low < 0) return Between{0, 0, 0.0f};
  if (low >= length - 1) return Between{length - 1, length - 1, 0.0f};
  return Between{low, low + 1, within - whole};
}

FR_DEVICE float4 mixed(const float4& from, const float4& to, float share) {
  return make_float4(mixed(from.x, to.x, share), mixed(from.y, to.y, share), mixed(from.z, to.z, share),
                     mixed(from.w, to.w, share));
}

// The packed motion of fr_pack_motion, and the four cells of it that were fetched last: the pixels that a thread makes
// mostly lie between the same ones, for all threads of a warp alike.
struct Field {
  uint64_t packed;
  int columns, rows;
  int column, row;   // of the first of the four; -1 before the first fetch
  float4 cell[2][2];
};

FR_DEVICE Field field_of(uint64_t packed, int columns, int rows) { return Field{packed, columns, rows, -1, -1, {}}; }

// Returns whether they had to be fetched.
FR_DEVICE bool fetch(Field& field, const Between& x, const Between& y) {
  if (field.column == x.low && field.row == y.low) return false;
  const float4* const above = pointer<float4>(field.packed) + int64_t(y.low) * field.columns;
  const float4* const below = pointer<float4>(field.packed) + int64_t(y.high) * field.columns;
  field.cell[0][0] = __ldg(above + x.low);
  field.cell[0][1] = __ldg(above + x.high);
  field.cell[1][0] = __ldg(below + x.low);
  field.cell[1][1] = __ldg(below + x.high);
  field.column = x.low;
  field.row = y.low;
  return true;
}

// Displacements at a point between the fetched cells, in cells: left x, left y, right x, right y.
FR_DEVICE float4 motion_at(const Field& field, const Between& x, const Between& y) {
  return mixed(mixed(field.cell[0][0], field.cell[0][1], x.share), mixed(field.cell[1][0], field.cell[1][1], x.share),
               y.share);
}

// A plane to be sampled.
struct Source {
  uint64_t address;
  int pitch, width, height;
  int step, shift;
};

template <typename T>
FR_DEVICE float sampled(const Source& source, const Between& x, const Between& y) {
  const T* const above = row_of<T>(source.address, source.pitch, y.low);
  const T* const below = row_of<T>(source.address, source.pitch, y.high);
  const int low = x.low * source.step, high = x.high * source.step;
  return mixed(mixed(sample(above, low, source.shift), sample(above, high, source.shift), x.share),
               mixed(sample(below, low, source.shift), sample(below, high, source.shift), x.share), y.share);
}

// Absolute difference of the warped neighbours at a pixel, both rounded to whole samples.
template <typename T>
FR_DEVICE float warped_apart(const Source& left, const Source& right, Field& field, int x, int y) {
  const float across = static_cast<float>(left.width) / field.columns;
  const float down = static_cast<float>(left.height) / field.rows;
  const Between column = between_cells(x, left.width, field.columns);
  const Between row = between_cells(y, left.height, field.rows);
  fetch(field, column, row);
  const float4 motion = motion_at(field, column, row);
  const float from_left = sampled<T>(left, displaced(x, motion.x * across, left.width),
                                     displaced(y, motion.y * down, left.height));
  const float from_right = sampled<T>(right, displaced(x, motion.z * across, right.width),
                                      displaced(y, motion.w * down, right.height));
  return fabsf(rintf(from_left) - rintf(from_right));
}
