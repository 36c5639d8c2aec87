// Old film, along time: a plane seen along a motion, marks mended from the frames beside them, grain averaged away.
#include "film.cuh"
#include "warp.cuh"

// A displacement as it counts: none where it is not finite.
FR_DEVICE float finite(float displacement) { return fabsf(displacement) < INFINITY ? displacement : 0.0f; }

template <typename T>
FR_DEVICE float seen_along(const WarpParams& p, int x, int y) {
  const Source source = {p.source, p.source_pitch, p.width, p.height, 1, 0};
  const float2 flow = __ldg(row_of<float2>(p.flow, p.flow_pitch, y) + x);
  return sampled<T>(source, displaced(x, finite(flow.x), p.width), displaced(y, finite(flow.y), p.height));
}

// A plane seen along a flow, bilinear, edges repeated. Twin: fastrestore.kernels.film_clean.warped. A thread a sample.
FR_KERNEL fr_warp(const WarpParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.columns || y >= p.rows) return;
  if (p.bits == 32)
    target_row<float>(p.target, p.target_pitch, y)[x] = seen_along<float>(p, x, y);
  else if (p.bits > 8)
    target_row<uint16_t>(p.target, p.target_pitch, y)[x] =
        static_cast<uint16_t>(rounded(seen_along<uint16_t>(p, x, y), p.bits));
  else
    target_row<uint8_t>(p.target, p.target_pitch, y)[x] =
        static_cast<uint8_t>(rounded(seen_along<uint8_t>(p, x, y), p.bits));
}

// How far the worse neighbour is from the better one around a sample: a Gaussian over 5x5, edges repeated.
FR_DEVICE float smoothed_apart(const MendParams& p, int x, int y) {
  const float weight[5] = {p.beyond, p.beside, p.centre, p.beside, p.beyond};
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < 5; ++j) {
    const int row = clamped(y + j - 2, p.height - 1);
    const float* const better = row_of<float>(p.better, p.better_pitch, row);
    const float* const worse = row_of<float>(p.worse, p.worse_pitch, row);
    float line = 0.0f;
#pragma unroll
    for (int i = 0; i < 5; ++i) {
      const int column = clamped(x + i - 2, p.width - 1);
      line += weight[i] * (__ldg(worse + column) - __ldg(better + column));
    }
    sum += weight[j] * line;
  }
  return sum;
}

template <typename T>
FR_DEVICE void mend(const MendParams& p, int x, int y) {
  const float mask = __ldg(row_of<float>(p.mask, p.mask_pitch, y) + x);
  if (!(mask > 0.0f)) return;
  const float old = static_cast<float>(row_of<T>(p.source, p.source_pitch, y)[x]);
  // The tones of a blend and the detail of the better one: smooth(blend) + better - smooth(better), smoothed once.
  const float put = __ldg(row_of<float>(p.better, p.better_pitch, y) + x) + p.share * smoothed_apart(p, x, y);
  target_row<T>(p.target, p.target_pitch, y)[x] = static_cast<T>(rounded(old + mask * (put - old), p.bits));
}

// What is masked, taken from the frames before and after; what is not is not written. Twin:
// fastrestore.kernels.film_clean.mended, then rounding. A thread a sample of the surroundings of one mark: mostly idle.
FR_KERNEL fr_mend(const MendParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.width || y >= p.height) return;
  if (p.bits > 8)
    mend<uint16_t>(p, x, y);
  else
    mend<uint8_t>(p, x, y);
}

constexpr int kCompared = 7, kSmoothed = 5;  // sides of squares of samples

// Samples x - 3 .. x + 6 of a row, mirrored beyond its ends.
FR_DEVICE void read_compared(const uint8_t* row, int x, int width, int (&sample)[kFour + kCompared - 1]) {
  constexpr int kBefore = kCompared / 2;
  if (x >= 4 && x + 8 <= width && aligned(row + x, 4)) {
    const uint32_t* const words = reinterpret_cast<const uint32_t*>(row + x - 4);
    const uint32_t word[3] = {__ldg(words), __ldg(words + 1), __ldg(words + 2)};
#pragma unroll
    for (int i = 0; i < kFour + kCompared - 1; ++i) sample[i] = (word[(i + 1) / 4] >> (8 * ((i + 1) % 4))) & 255;
    return;
  }
#pragma unroll
  for (int i = 0; i < kFour + kCompared - 1; ++i)
    sample[i] = __ldg(row + mirrored_at_sample(x + i - kBefore, width));
}

// How much a neighbour in time is believed: less, the more it differs from the frame over 7x7 samples than grain alone
// makes it. Twin: fastrestore.kernels.film_degrain.agreement, of 8-bit luma: sums are whole numbers. A thread owns four
// samples of a row.
FR_KERNEL fr_agreement(const AgreementParams p) {
  const int x = thread_x() * kFour, y = thread_y();
  if (x >= p.width || y >= p.height) return;
  int sum[kFour] = {};
  for (int j = -kCompared / 2; j <= kCompared / 2; ++j) {
    const int row = mirrored_at_sample(y + j, p.height);
    int one[kFour + kCompared - 1], other[kFour + kCompared - 1];
    read_compared(row_of<uint8_t>(p.luma, p.luma_pitch, row), x, p.width, one);
    read_compared(row_of<uint8_t>(p.neighbour, p.neighbour_pitch, row), x, p.width, other);
#pragma unroll
    for (int i = 0; i < kFour + kCompared - 1; ++i) {
      const int apart = one[i] - other[i];
#pragma unroll
      for (int k = 0; k < kFour; ++k)
        if (i >= k && i < k + kCompared) sum[k] += apart * apart;
    }
  }
  float variance[kFour], weight[kFour];
  read_four(row_of<float>(p.variance, p.variance_pitch, y) + x, p.width - x, variance);
#pragma unroll
  for (int k = 0; k < kFour; ++k) {
    const float ratio = 0.5f / (kCompared * kCompared) * static_cast<float>(sum[k]) / variance[k];
    weight[k] = fminf(fmaxf(p.most - p.slope * ratio, 0.0f), 1.0f);
  }
  write_four(target_row<float>(p.weight, p.weight_pitch, y) + x, p.width - x, weight);
}

// Up to four samples of a row, in units of 8-bit code values.
FR_DEVICE void read_codes(uint64_t address, int pitch, int bits, int x, int y, int count, float (&code)[kFour]) {
  int sample[kFour];
  if (bits > 8)
    read_four(row_of<uint16_t>(address, pitch, y) + x, count, sample);
  else
    read_four(row_of<uint8_t>(address, pitch, y) + x, count, sample);
  const float unit = static_cast<float>(1 << (bits - 8));
#pragma unroll
  for (int i = 0; i < kFour; ++i) code[i] = static_cast<float>(sample[i]) / unit;
}

// The mean of a frame and its neighbours, and which share of the variance of grain it leaves. Twins:
// fastrestore.kernels.film_degrain.averaged and variance_left. A thread owns four samples of a row.
FR_KERNEL fr_average(const AverageParams p) {
  const int x = thread_x() * kFour, y = thread_y(), count = p.width - x;
  if (x >= p.width || y >= p.height) return;
  float total[kFour], share[kFour], squares[kFour];
  read_codes(p.source, p.source_pitch, p.bits, x, y, count, total);
#pragma unroll
  for (int i = 0; i < kFour; ++i) share[i] = squares[i] = 1.0f;
  const uint64_t planes[2] = {p.before, p.after}, weights[2] = {p.before_weight, p.after_weight};
  const int pitches[2] = {p.before_pitch, p.after_pitch}, steps[2] = {p.before_weight_pitch, p.after_weight_pitch};
#pragma unroll
  for (int side = 0; side < 2; ++side) {
    if (!planes[side]) continue;
    float code[kFour], weight[kFour];
    read_codes(planes[side], pitches[side], p.bits, x, y, count, code);
    read_four(row_of<float>(weights[side], steps[side], y) + x, count, weight);
#pragma unroll
    for (int i = 0; i < kFour; ++i) {
      total[i] += code[i] * weight[i];
      share[i] += weight[i];
      squares[i] += weight[i] * weight[i];
    }
  }
#pragma unroll
  for (int i = 0; i < kFour; ++i) {
    total[i] /= share[i];
    squares[i] /= share[i] * share[i];
  }
  write_four(target_row<float>(p.mean, p.mean_pitch, y) + x, count, total);
  if (p.left) write_four(target_row<float>(p.left, p.left_pitch, y) + x, count, squares);
}

// Values x - 2 .. x + 5 of a row, mirrored beyond its ends.
FR_DEVICE void read_smoothed(const float* row, int x, int width, float (&value)[kFour + kSmoothed - 1]) {
  if (x >= 4 && x + 8 <= width && aligned(row + x, 16)) {
    float before[4], here[4], after[4];
    read_four(row + x - 4, 4, before);
    read_four(row + x, 4, here);
    read_four(row + x + 4, 4, after);
#pragma unroll
    for (int i = 0; i < 4; ++i) value[2 + i] = here[i];
    value[0] = before[2], value[1] = before[3], value[6] = after[0], value[7] = after[1];
    return;
  }
#pragma unroll
  for (int i = 0; i < kFour + kSmoothed - 1; ++i)
    value[i] = __ldg(row + mirrored_at_sample(x + i - kSmoothed / 2, width));
}

// Sums over the 5x5 values around each of four, as differences from `origin`: squares of small numbers cancel well.
struct Around {
  float sum[kFour], squares[kFour];
};

FR_DEVICE Around around(const CalmParams& p, int x, int y, float origin) {
  Around found = {};
  for (int j = -kSmoothed / 2; j <= kSmoothed / 2; ++j) {
    float value[kFour + kSmoothed - 1];
    read_smoothed(row_of<float>(p.mean, p.mean_pitch, mirrored_at_sample(y + j, p.height)), x, p.width, value);
#pragma unroll
    for (int i = 0; i < kFour + kSmoothed - 1; ++i) {
      const float away = value[i] - origin;
#pragma unroll
      for (int k = 0; k < kFour; ++k) {
        if (i < k || i >= k + kSmoothed) continue;
        found.sum[k] += away;
        found.squares[k] += away * away;
      }
    }
  }
  return found;
}

// Samples drawn to the mean around them where they vary no more than grain does, and stored. Twin:
// fastrestore.kernels.film_degrain.calmed, then rounding. A thread owns four samples of a row.
FR_KERNEL fr_calm(const CalmParams p) {
  constexpr float kEach = 1.0f / (kSmoothed * kSmoothed), kLeastSpread = 1e-3f;
  const int x = thread_x() * kFour, y = thread_y(), count = p.width - x;
  if (x >= p.width || y >= p.height) return;
  float here[kFour], variance[kFour] = {p.grain, p.grain, p.grain, p.grain}, left[kFour] = {1.0f, 1.0f, 1.0f, 1.0f};
  read_four(row_of<float>(p.mean, p.mean_pitch, y) + x, count, here);
  if (p.variance) read_four(row_of<float>(p.variance, p.variance_pitch, y) + x, count, variance);
  if (p.left) read_four(row_of<float>(p.left, p.left_pitch, y) + x, count, left);
  const Around found = around(p, x, y, here[0]);
  const float unit = static_cast<float>(1 << (p.bits - 8));
  int value[kFour];
#pragma unroll
  for (int k = 0; k < kFour; ++k) {
    const float apart = found.sum[k] * kEach, mean = here[0] + apart;
    const float spread = fmaxf(found.squares[k] * kEach - apart * apart, kLeastSpread);
    const float kept = fminf(fmaxf(1.0f - left[k] * variance[k] / spread, 0.0f), 1.0f);
    value[k] = rounded((mean + kept * (here[k] - mean)) * unit, p.bits);
  }
  if (p.bits > 8)
    write_four(target_row<uint16_t>(p.target, p.target_pitch, y) + x, count, value);
  else
    write_four(target_row<uint8_t>(p.target, p.target_pitch, y) + x, count, value);
}
