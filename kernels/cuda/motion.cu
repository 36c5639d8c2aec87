// Motion made ready for warping: cleaned and packed, its mask guarded, its disagreement found.
#include "warp.cuh"

FR_DEVICE float cleaned(const float* flow, int at, float reach) {
  const float value = __ldg(flow + at);
  return fabsf(value) < INFINITY ? fminf(fmaxf(value, -reach), reach) : 0.0f;
}

// Four displacements a cell, NaN and infinity as 0, cut to the reach, in one 16-byte element. Each is then cleaned once
// instead of at every pixel around it, and fetched by one access instead of four.
FR_KERNEL fr_pack_motion(const PackMotionParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.columns || y >= p.rows) return;
  const int at = x * p.step;
  target_of<float4>(p.packed)[int64_t(y) * p.columns + x] =
      make_float4(cleaned(row_of<float>(p.left_x, p.pitch, y), at, p.reach),
                  cleaned(row_of<float>(p.left_y, p.pitch, y), at, p.reach),
                  cleaned(row_of<float>(p.right_x, p.pitch, y), at, p.reach),
                  cleaned(row_of<float>(p.right_y, p.pitch, y), at, p.reach));
}

template <typename T>
FR_DEVICE void guard(const GuardParams& p, int x, int y) {
  const Source left = {p.left, p.left_pitch, p.width, p.height, 1, p.shift};
  const Source right = {p.right, p.right_pitch, p.width, p.height, 1, p.shift};
  Field field = field_of(p.packed, p.columns, p.rows);
  const Span columns = span_of(p.x, x), rows = span_of(p.y, y);
  float apart = 0.0f;
  for (int j = rows.first; j < rows.end; ++j) {
    const Tap row = tap_at(p.y, j);
    float line = 0.0f;
    for (int i = columns.first; i < columns.end; ++i) {
      const Tap column = tap_at(p.x, i);
      line += column.weight * warped_apart<T>(left, right, field, column.offset, row.offset);
    }
    apart += row.weight * line;
  }
  const float peak = static_cast<float>((1 << p.bits) - 1);
  const float known = __ldg(row_of<float>(p.disagreement, p.disagreement_pitch, y) + x);
  const float mask = __ldg(row_of<float>(p.mask, p.mask_pitch, y) + x);
  const float excess = fminf(fmaxf((apart / peak - known - p.tolerance) / p.softness, 0.0f), 1.0f);
  target_of<float>(p.guarded)[int64_t(y) * p.columns + x] = mixed(mask, p.nearer, excess);
}

// The mask, moved to the nearer neighbour where the warped ones disagree by more than the motion says. Twin:
// fastrestore.kernels.reference.guard. A pass of its own, because synthesis interpolates between its results.
FR_KERNEL fr_guard(const GuardParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.columns || y >= p.rows) return;
  if (p.bits > 8)
    guard<uint16_t>(p, x, y);
  else
    guard<uint8_t>(p, x, y);
}

// Twin: ReferenceOps.disagreement.
FR_KERNEL fr_disagreement(const DisagreementParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.columns || y >= p.rows) return;
  const Source left = {p.left, p.left_pitch, p.columns, p.rows, 1, 0};
  const Source right = {p.right, p.right_pitch, p.columns, p.rows, 1, 0};
  Field field = field_of(p.packed, p.columns, p.rows);
  target_of<float>(p.apart)[int64_t(y) * p.columns + x] = warped_apart<uint8_t>(left, right, field, x, y) / 255.0f;
}
