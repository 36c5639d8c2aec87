// What the kernels share: reading and storing samples, clamping, dither, sparse weights.
//
// Every kernel is free of barriers and of shared memory: a thread owns what it writes, and reductions are atomic sums of
// whole numbers, so that results do not depend on the order of threads. The same source is compiled by a C++ compiler
// (host.h) for tests without a card.
#pragma once
#ifdef __CUDACC__
#include <cuda_fp16.h>
#define FR_KERNEL extern "C" __global__ void __launch_bounds__(256)
#define FR_DEVICE static __device__ __forceinline__
#else
#include "host.h"
#endif
#include "params.h"

template <typename T>
FR_DEVICE const T* pointer(uint64_t address) {
  return reinterpret_cast<const T*>(address);
}

template <typename T>
FR_DEVICE T* target_of(uint64_t address) {
  return reinterpret_cast<T*>(address);
}

template <typename T>
FR_DEVICE const T* row_of(uint64_t address, int pitch, int y) {
  return reinterpret_cast<const T*>(address + static_cast<uint64_t>(y) * pitch);
}

template <typename T>
FR_DEVICE T* target_row(uint64_t address, int pitch, int y) {
  return reinterpret_cast<T*>(address + static_cast<uint64_t>(y) * pitch);
}

template <typename T>
FR_DEVICE bool aligned(const T* address, int bytes) {
  return (reinterpret_cast<uint64_t>(address) & (bytes - 1)) == 0;
}

FR_DEVICE int clamped(int value, int last) { return min(max(value, 0), last); }

FR_DEVICE int thread_x() { return static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x); }
FR_DEVICE int thread_y() { return static_cast<int>(blockIdx.y * blockDim.y + threadIdx.y); }

FR_DEVICE float mixed(float from, float to, float share) { return from + share * (to - from); }

// Elements of tiles.
FR_DEVICE float element(const float* at) { return __ldg(at); }
FR_DEVICE float element(const half* at) { return __half2float(__ldg(at)); }

// Ordered dither in (0, 1): Bayer's 8x8 matrix, as fastrestore.kernels.colour.dither_pattern.
FR_DEVICE float dither(int x, int y) {
  const int mixed_bits = x ^ y;
  int value = 0;
#pragma unroll
  for (int bit = 0; bit < 3; ++bit) value = 4 * value + (2 * ((mixed_bits >> bit) & 1) | ((y >> bit) & 1));
  return (value + 0.5f) / 64.0f;
}

// A sample stored with dither; what is not a number is stored as 0.
FR_DEVICE int stored(float value, int x, int y, int bits) {
  const float peak = static_cast<float>((1 << bits) - 1);
  return static_cast<int>(fminf(fmaxf(floorf(value + dither(x, y)), 0.0f), peak));
}

// Whether samples take two bytes. A branch that all threads take alike, at the leaves only where it is not hot: half the
// code of a template.
FR_DEVICE bool wide(const Planes& planes) { return planes.bits > 8; }

template <typename T>
FR_DEVICE float sample(const T* row, int at, int shift) {
  return static_cast<float>(__ldg(row + at) >> shift);
}

FR_DEVICE float sample(const float* row, int at, int) { return __ldg(row + at); }

// Sample `at` of row `y` of a component; `at` counts samples, not chroma sites.
FR_DEVICE float any_sample(const Planes& planes, int plane, int at, int y) {
  const uint64_t row = planes.address[plane] + static_cast<uint64_t>(y) * planes.pitch[plane];
  return wide(planes) ? sample(pointer<uint16_t>(row), at, planes.shift) : sample(pointer<uint8_t>(row), at, planes.shift);
}

// Up to two neighbouring samples of a row: one access where both are there and aligned.
template <typename T>
FR_DEVICE void store_pair(T* at, int count, const int (&value)[2], int shift) {
  const T first = static_cast<T>(value[0] << shift), second = static_cast<T>(value[1] << shift);
  if (count == 2 && aligned(at, 2 * sizeof(T))) {
    struct alignas(2 * sizeof(T)) Pair {
      T first, second;
    };
    *reinterpret_cast<Pair*>(at) = Pair{first, second};
    return;
  }
  at[0] = first;
  if (count == 2) at[1] = second;
}

FR_DEVICE void store_samples(const Planes& target, int plane, int at, int y, int count, const int (&value)[2]) {
  if (wide(target))
    store_pair(target_row<uint16_t>(target.address[plane], target.pitch[plane], y) + at, count, value, target.shift);
  else
    store_pair(target_row<uint8_t>(target.address[plane], target.pitch[plane], y) + at, count, value, target.shift);
}

// Both chroma samples of a site: one access where they lie side by side.
FR_DEVICE void store_chroma(const Planes& target, int x, int y, const int (&value)[2]) {
  if (target.step == 2) {
    store_samples(target, 1, 2 * x, y, 2, value);
    return;
  }
  const int first[2] = {value[0], 0}, second[2] = {value[1], 0};
  store_samples(target, 1, x, y, 1, first);
  store_samples(target, 2, x, y, 1, second);
}

// The luma samples around a chroma site.
struct Site {
  int x, y, across, down;
};

FR_DEVICE Site site_at(const Planes& target, int x, int y) {
  const int first_x = x << target.shift_x, first_y = y << target.shift_y;
  return Site{first_x, first_y, min(1 << target.shift_x, target.width - first_x),
              min(1 << target.shift_y, target.height - first_y)};
}

// The range of a target's entries.
struct Span {
  int first, end;
};

FR_DEVICE Span span_of(const Taps& taps, int target) {
  if (taps.each) return Span{target * taps.each, (target + 1) * taps.each};
  const int* const begin = pointer<int>(taps.begin) + target;
  return Span{__ldg(begin), __ldg(begin + 1)};
}

FR_DEVICE Tap tap_at(const Taps& taps, int index) {
  const float2 both = __ldg(pointer<float2>(taps.entries) + index);
  return Tap{__float_as_int(both.x), both.y};
}
