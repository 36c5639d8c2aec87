// The few words of CUDA that the kernels use, for a C++ compiler: a card of one thread, for tests without a GPU.
#pragma once
#include <math.h>
#include <stdint.h>
#include <string.h>

#define FR_KERNEL extern "C" void
#define FR_DEVICE static inline
#define FR_THREAD_LOCAL static thread_local __attribute__((tls_model("initial-exec")))

struct uint3 {
  unsigned x, y, z;
};
struct alignas(8) float2 {
  float x, y;
};
struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
using half = _Float16;

FR_THREAD_LOCAL uint3 blockIdx, threadIdx, blockDim;

FR_DEVICE int min(int a, int b) { return a < b ? a : b; }
FR_DEVICE int max(int a, int b) { return a > b ? a : b; }
FR_DEVICE float4 make_float4(float x, float y, float z, float w) { return float4{x, y, z, w}; }
template <typename T>
FR_DEVICE T __ldg(const T* at) {
  return *at;
}
FR_DEVICE float __half2float(half value) { return static_cast<float>(value); }
FR_DEVICE half __float2half_rn(float value) { return static_cast<half>(value); }
// Never contracted to a fused multiplication: nor does the compiler, for the processors that FLAGS name.
FR_DEVICE float __fmul_rn(float a, float b) { return a * b; }
FR_DEVICE float __fadd_rn(float a, float b) { return a + b; }
FR_DEVICE double __dmul_rn(double a, double b) { return a * b; }
FR_DEVICE double __dadd_rn(double a, double b) { return a + b; }
FR_DEVICE int __float_as_int(float value) {
  int bits;
  memcpy(&bits, &value, sizeof bits);
  return bits;
}
FR_DEVICE unsigned __float_as_uint(float value) { return static_cast<unsigned>(__float_as_int(value)); }
// Sum of the absolute differences of four bytes.
FR_DEVICE unsigned __vsadu4(unsigned a, unsigned b) {
  unsigned sum = 0;
  for (int shift = 0; shift < 32; shift += 8) {
    const int apart = static_cast<int>((a >> shift) & 255) - static_cast<int>((b >> shift) & 255);
    sum += static_cast<unsigned>(apart < 0 ? -apart : apart);
  }
  return sum;
}
template <typename T>
FR_DEVICE void atomicAdd(T* at, T value) {
  __atomic_fetch_add(at, value, __ATOMIC_RELAXED);
}
FR_DEVICE void atomicMax(unsigned* at, unsigned value) {
  unsigned seen = __atomic_load_n(at, __ATOMIC_RELAXED);
  while (seen < value && !__atomic_compare_exchange_n(at, &seen, value, true, __ATOMIC_RELAXED, __ATOMIC_RELAXED)) {
  }
}
