// Old film, one picture at a time: grain laid over a plane, tones changed by a table, a plane seen along a similarity.
#include "film.cuh"

// Texels for kRun samples from column `x` of the plane on: two aligned blocks of 16 bytes, shifted into place, wherever
// they do not meet the end of a row of the texture, behind which it begins anew.
FR_DEVICE void read_texels(const GrainParams& p, const int8_t* row, int x, int (&texel)[kRun]) {
  const int first = (p.column + x) % p.texture_width;
  const uint64_t address = reinterpret_cast<uint64_t>(row + first);
  const int past = static_cast<int>(address & 15), begin = first - past;
  if (begin < 0 || begin + (past ? 32 : 16) > p.texture_width) {
    int at = first;
#pragma unroll
    for (int i = 0; i < kRun; ++i) {
      texel[i] = __ldg(row + at);
      if (++at == p.texture_width) at = 0;
    }
    return;
  }
  const uint4* const blocks = pointer<uint4>(address - past);
  const uint4 one = __ldg(blocks), other = past ? __ldg(blocks + 1) : one;
  uint32_t word[8] = {one.x, one.y, one.z, one.w, other.x, other.y, other.z, other.w};
#pragma unroll
  for (int i = 0; i < 6; ++i) word[i] = past & 8 ? word[i + 2] : word[i];
#pragma unroll
  for (int i = 0; i < 5; ++i) word[i] = past & 4 ? word[i + 1] : word[i];
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint64_t both = static_cast<uint64_t>(word[i + 1]) << 32 | word[i];
    const uint32_t four = static_cast<uint32_t>(both >> (8 * (past & 3)));
#pragma unroll
    for (int j = 0; j < 4; ++j) texel[4 * i + j] = static_cast<int8_t>(four >> (8 * j));
  }
}

template <typename T>
FR_DEVICE void lay_grain(const GrainParams& p, int x, int y) {
  const int count = p.width - x, half = (1 << p.shift) >> 1;
  int sample[kRun], texel[kRun];
  read_run(row_of<T>(p.source, p.source_pitch, y) + x, count, sample);
  read_texels(p, row_of<int8_t>(p.texture, p.texture_pitch, (p.row + y) % p.texture_height), x, texel);
#pragma unroll
  for (int i = 0; i < kRun; ++i) {
    const int gain = p.sign * __ldg(pointer<int16_t>(p.gains) + ((sample[i] >> (p.bits - 8)) & 255));
    sample[i] += (gain * texel[i] + half) >> p.shift;
  }
  write_run(target_row<T>(p.target, p.target_pitch, y) + x, count, sample);
}

// Grain over a plane, in fixed point. Twin: fastrestore.kernels.film_grain.laid_over, to the bit. Nothing can leave the
// range of samples: the gains see to it. Bytes: the plane twice, the texture once; its 256 gains stay in the cache.
FR_KERNEL fr_lay_grain(const GrainParams p) {
  const int x = thread_x() * kRun, y = thread_y();
  if (x >= p.width || y >= p.height) return;
  if (p.bits > 8)
    lay_grain<uint16_t>(p, x, y);
  else
    lay_grain<uint8_t>(p, x, y);
}

// Highlights pressed together by a parabola from the knee on.
FR_DEVICE float pressed(const ToneParams& p, float level) {
  const float above = fminf(fmaxf(level - p.knee, 0.0f), p.reach);
  return level - above * above * p.bend;
}

FR_DEVICE float level_of(const ToneParams& p, int sample) {
  return __ldg(pointer<float>(p.table) + min(sample, (1 << p.bits) - 1));
}

// Rounded after either step, as the twin: no fused multiplication.
FR_DEVICE int toned(const ToneParams& p, float level, int x, int y) {
  return rounded(__fadd_rn(__fmul_rn(level, p.span), p.black), x, y, p.bits);
}

template <typename T>
FR_DEVICE void tone_everywhere(const ToneParams& p, int x, int y) {
  const int count = p.width - x;
  int sample[kRun];
  read_run(row_of<T>(p.source, p.source_pitch, y) + x, count, sample);
  // The dither has a period of 8, so that in a run, which begins at a multiple of it, `i` stands for `x + i`.
#pragma unroll
  for (int i = 0; i < kRun; ++i) sample[i] = toned(p, level_of(p, sample[i]), i, y);
  write_run(target_row<T>(p.target, p.target_pitch, y) + x, count, sample);
}

template <typename T>
FR_DEVICE void tone_by_place(const ToneParams& p, const float (&gain)[kFour], int x, int y) {
  const int count = p.width - x;
  int sample[kFour];
  read_four(row_of<T>(p.source, p.source_pitch, y) + x, count, sample);
#pragma unroll
  for (int i = 0; i < kFour; ++i)
    sample[i] = toned(p, pressed(p, level_of(p, sample[i]) * gain[i]), x + i, y);
  write_four(target_row<T>(p.target, p.target_pitch, y) + x, count, sample);
}

FR_DEVICE void tone_by_place(const ToneParams& p, int x, int y) {
  Spread spread = spread_of(p.field, p.columns, p.rows, y, p.height);
  float gain[kFour];
#pragma unroll
  for (int i = 0; i < kFour; ++i) gain[i] = expf(spread_at(spread, x + i, p.width));
  if (p.bits > 8)
    tone_by_place<uint16_t>(p, gain, x, y);
  else
    tone_by_place<uint8_t>(p, gain, x, y);
}

// Tones of a plane of luma, or of R'G'B', by a table of levels; then, if there is a field, by what it adds to the tones
// of a place. Twin: fastrestore.kernels.film_tone.toned; without a field, to the bit. A thread owns kRun samples of a
// row; with a field, which is arithmetic, four.
FR_KERNEL fr_tone(const ToneParams p) {
  const int x = thread_x() * (p.field ? kFour : kRun), y = thread_y();
  if (x >= p.width || y >= p.height) return;
  if (p.field)
    tone_by_place(p, x, y);
  else if (p.bits > 8)
    tone_everywhere<uint16_t>(p, x, y);
  else
    tone_everywhere<uint8_t>(p, x, y);
}

// Luma over a chroma site, the mean of what lies there, as a whole number.
FR_DEVICE int luma_over(const ToneChromaParams& p, int x, int y) {
  const Span columns = span_of(p.x, x), rows = span_of(p.y, y);
  float sum = 0.0f;
  for (int j = rows.first; j < rows.end; ++j) {
    const Tap row = tap_at(p.y, j);
    float line = 0.0f;
    for (int i = columns.first; i < columns.end; ++i) {
      const Tap column = tap_at(p.x, i);
      line += column.weight * any_sample(p.source, 0, column.offset, row.offset);
    }
    sum += row.weight * line;
  }
  return clamped(static_cast<int>(p.half_up ? floorf(sum + 0.5f) : rintf(sum)), (1 << p.source.bits) - 1);
}

// Chroma scaled as the luma over it, by a table of factors. Twin: fastrestore.kernels.film_tone.toned. A thread a site;
// luma is the one that nobody has changed yet.
FR_KERNEL fr_tone_chroma(const ToneChromaParams p) {
  const int x = thread_x(), y = thread_y();
  const Planes& source = p.source;
  if (x >= source.chroma_width || y >= source.chroma_height) return;
  float factor = __ldg(pointer<float>(p.table) + luma_over(p, x, y));
  if (p.field) {
    Spread spread = spread_of(p.field, p.columns, p.rows, y, source.chroma_height);
    factor = __fmul_rn(factor, expf(spread_at(spread, x, source.chroma_width)));
  }
  const float middle = static_cast<float>(1 << (source.bits - 1));
  int value[2];
#pragma unroll
  for (int i = 0; i < 2; ++i) {
    const float away = any_sample(source, 1 + i, x * source.step, y) - middle;
    value[i] = rounded(__fadd_rn(__fmul_rn(away, factor), middle), x, y, source.bits);
  }
  store_chroma(p.target, x, y, value);
}

constexpr int kLobes = 8, kParts = 32, kUnit = 1024;  // taps a side; places a sample; what positions are counted in

// A position in 1/kUnit samples, as OpenCV rounds it. What is absurdly far is cut: it is mirrored somewhere anyway.
FR_DEVICE int64_t fixed(double position) {
  const double far = 1e12;
  return static_cast<int64_t>(llrint(fmin(fmax(position * kUnit, -far), far)));
}

struct Lobes {
  int first;  // sample, which may lie beyond the edge
  float weight[kLobes];
};

FR_DEVICE Lobes lobes_at(uint64_t weights, const double* row, int x, int y) {
  const int64_t along = fixed(__dmul_rn(row[0], x)), across = fixed(__dadd_rn(__dmul_rn(row[1], y), row[2]));
  const int64_t place = (along + across + kUnit / kParts / 2) >> 5;
  const int64_t whole = place >> 5;
  Lobes lobes = {static_cast<int>(whole < -32768 ? -32768 : whole > 32767 ? 32767 : whole) - (kLobes / 2 - 1), {}};
  const float4* const both = pointer<float4>(weights) + 2 * static_cast<int>(place & (kParts - 1));
  const float4 low = __ldg(both), high = __ldg(both + 1);
  const float weight[kLobes] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int i = 0; i < kLobes; ++i) lobes.weight[i] = weight[i];
  return lobes;
}

template <typename T>
FR_DEVICE float resampled(const ResampleParams& p, const Lobes& x, const Lobes& y) {
  int column[kLobes];
#pragma unroll
  for (int i = 0; i < kLobes; ++i) column[i] = mirrored(x.first + i, p.width);
  float sum = 0.0f;
#pragma unroll
  for (int j = 0; j < kLobes; ++j) {
    const T* const row = row_of<T>(p.source, p.source_pitch, mirrored(y.first + j, p.height));
    float line = 0.0f;
#pragma unroll
    for (int i = 0; i < kLobes; ++i) line += x.weight[i] * sample(row, column[i], 0);
    sum += y.weight[j] * line;
  }
  return sum;
}

// A plane seen along a similarity: Lanczos with four lobes, places rounded to 1/32 sample, mirrored beyond the edges.
// Twin: fastrestore.kernels.film_steady.resample. A thread a sample: 64 loads, most of them its neighbours' as well.
FR_KERNEL fr_resample(const ResampleParams p) {
  const int x = thread_x(), y = thread_y();
  if (x >= p.columns || y >= p.rows) return;
  const Lobes across = lobes_at(p.weights, p.matrix, x, y), down = lobes_at(p.weights, p.matrix + 3, x, y);
  if (p.bits > 8)
    target_row<uint16_t>(p.target, p.target_pitch, y)[x] =
        static_cast<uint16_t>(rounded(resampled<uint16_t>(p, across, down), p.bits));
  else
    target_row<uint8_t>(p.target, p.target_pitch, y)[x] =
        static_cast<uint8_t>(rounded(resampled<uint8_t>(p, across, down), p.bits));
}
