// What the kernels of the old-film stages share: runs of samples, edges, and cells spread over a plane.
#pragma once
#include "common.cuh"

// Neighbouring samples of a row that a thread owns: where bytes are all that a kernel costs, and where it takes more.
constexpr int kRun = 16, kFour = 4;

// Reads up to kRun samples of a row, by 16-byte accesses where all are there and aligned; the rest are 0. Not by way of
// the read-only cache: what is read may be written by the same thread.
template <typename T>
FR_DEVICE void read_run(const T* at, int count, int (&sample)[kRun]) {
  constexpr int kEach = 4 / sizeof(T), kBits = 8 * sizeof(T);
  if (count >= kRun && aligned(at, 16)) {
    const uint4* const blocks = reinterpret_cast<const uint4*>(at);
#pragma unroll
    for (int block = 0; block < static_cast<int>(sizeof(T)); ++block) {
      const uint4 four = blocks[block];
      const uint32_t word[4] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int i = 0; i < 4 * kEach; ++i)
        sample[block * 4 * kEach + i] = static_cast<T>(word[i / kEach] >> (i % kEach * kBits));
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kRun; ++i) sample[i] = i < count ? at[i] : 0;
}

// Stores up to kRun samples of a row, likewise.
template <typename T>
FR_DEVICE void write_run(T* at, int count, const int (&sample)[kRun]) {
  constexpr int kEach = 4 / sizeof(T), kBits = 8 * sizeof(T);
  if (count >= kRun && aligned(at, 16)) {
    uint4* const blocks = reinterpret_cast<uint4*>(at);
#pragma unroll
    for (int block = 0; block < static_cast<int>(sizeof(T)); ++block) {
      uint32_t word[4] = {};
#pragma unroll
      for (int i = 0; i < 4 * kEach; ++i)
        word[i / kEach] |= static_cast<uint32_t>(static_cast<T>(sample[block * 4 * kEach + i])) << (i % kEach * kBits);
      blocks[block] = uint4{word[0], word[1], word[2], word[3]};
    }
    return;
  }
#pragma unroll
  for (int i = 0; i < kRun; ++i)
    if (i < count) at[i] = static_cast<T>(sample[i]);
}

// Up to four samples of a row, likewise by one access.
template <typename T>
FR_DEVICE void read_four(const T* at, int count, int (&sample)[kFour]) {
  struct alignas(4 * sizeof(T)) Four {
    T sample[kFour];
  };
  Four four = {};
  if (count >= kFour && aligned(at, sizeof four)) {
    four = *reinterpret_cast<const Four*>(at);
  } else {
#pragma unroll
    for (int i = 0; i < kFour; ++i)
      if (i < count) four.sample[i] = at[i];
  }
#pragma unroll
  for (int i = 0; i < kFour; ++i) sample[i] = four.sample[i];
}

template <typename T>
FR_DEVICE void write_four(T* at, int count, const int (&sample)[kFour]) {
  struct alignas(4 * sizeof(T)) Four {
    T sample[kFour];
  };
  Four four;
#pragma unroll
  for (int i = 0; i < kFour; ++i) four.sample[i] = static_cast<T>(sample[i]);
  if (count >= kFour && aligned(at, sizeof four)) {
    *reinterpret_cast<Four*>(at) = four;
    return;
  }
#pragma unroll
  for (int i = 0; i < kFour; ++i)
    if (i < count) at[i] = four.sample[i];
}

// Up to four floats of a row, which the kernel does not write.
FR_DEVICE void read_four(const float* at, int count, float (&value)[kFour]) {
  if (count >= kFour && aligned(at, 16)) {
    const float4 four = __ldg(reinterpret_cast<const float4*>(at));
    value[0] = four.x, value[1] = four.y, value[2] = four.z, value[3] = four.w;
    return;
  }
#pragma unroll
  for (int i = 0; i < kFour; ++i) value[i] = i < count ? __ldg(at + i) : 0.0f;
}

FR_DEVICE void write_four(float* at, int count, const float (&value)[kFour]) {
  if (count >= kFour && aligned(at, 16)) {
    *reinterpret_cast<float4*>(at) = make_float4(value[0], value[1], value[2], value[3]);
    return;
  }
#pragma unroll
  for (int i = 0; i < kFour; ++i)
    if (i < count) at[i] = value[i];
}

// A sample stored by rounding to the nearest, halves to even; what is not a number is stored as 0.
FR_DEVICE int rounded(float value, int bits) {
  return static_cast<int>(fminf(fmaxf(rintf(value), 0.0f), static_cast<float>((1 << bits) - 1)));
}

// The same with dither, which is centred on 0 for it.
FR_DEVICE int rounded(float value, int x, int y, int bits) {
  return rounded(__fadd_rn(value, dither(x, y) - 0.5f), bits);
}

// The sample that stands for one beyond the edge where a plane is mirrored at it: c b a | a b c.
FR_DEVICE int mirrored(int at, int length) {
  if (at >= 0 && at < length) return at;
  const int period = 2 * length, rest = at % period, within = rest < 0 ? rest + period : rest;
  return within < length ? within : period - 1 - within;
}

// The same where it is mirrored at its outermost sample: c b | a b c.
FR_DEVICE int mirrored_at_sample(int at, int length) {
  if (at >= 0 && at < length) return at;
  if (length == 1) return 0;
  const int period = 2 * length - 2, rest = at % period, within = rest < 0 ? rest + period : rest;
  return within < length ? within : period - within;
}

// What four neighbouring cells weigh at a point between the second and the third: bicubic, with -3/4, as OpenCV.
struct Cubic {
  int low;  // the second
  float share[4];
};

// Pixel `at` of `length` on a grid of `cells`, centres aligned. Whole numbers: no rounding before the share.
FR_DEVICE Cubic cubic_at(int at, int length, int cells) {
  constexpr float kSharp = -0.75f;
  const int twice = (2 * at + 1) * cells - length, unit = 2 * length;
  const int low = twice < 0 ? -1 : twice / unit;
  const float x = static_cast<float>(twice - low * unit) / static_cast<float>(unit), past = x + 1.0f, left = 1.0f - x;
  const float first = ((kSharp * past - 5.0f * kSharp) * past + 8.0f * kSharp) * past - 4.0f * kSharp;
  const float second = ((kSharp + 2.0f) * x - (kSharp + 3.0f)) * x * x + 1.0f;
  const float third = ((kSharp + 2.0f) * left - (kSharp + 3.0f)) * left * left + 1.0f;
  return Cubic{low, {first, second, third, 1.0f - first - second - third}};
}

// A small grid of floats, (rows, columns), spread over a plane, along one row of it. The four columns of cells around a
// sample are kept: neighbouring samples mostly lie between the same ones.
struct Spread {
  uint64_t cells;
  int columns, rows;
  Cubic down;
  int low;  // of the kept columns; -2 before the first
  float column[4];
};

FR_DEVICE Spread spread_of(uint64_t cells, int columns, int rows, int y, int height) {
  return Spread{cells, columns, rows, cells ? cubic_at(y, height, rows) : Cubic{}, -2, {}};
}

FR_DEVICE float spread_at(Spread& spread, int x, int width) {
  const Cubic across = cubic_at(x, width, spread.columns);
  if (across.low != spread.low) {
    spread.low = across.low;
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int column = clamped(across.low - 1 + i, spread.columns - 1);
      float sum = 0.0f;
#pragma unroll
      for (int j = 0; j < 4; ++j) {
        const int row = clamped(spread.down.low - 1 + j, spread.rows - 1);
        sum += spread.down.share[j] * __ldg(pointer<float>(spread.cells) + row * spread.columns + column);
      }
      spread.column[i] = sum;
    }
  }
  float sum = 0.0f;
#pragma unroll
  for (int i = 0; i < 4; ++i) sum += across.share[i] * spread.column[i];
  return sum;
}
