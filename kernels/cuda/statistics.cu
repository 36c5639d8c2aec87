// How two pictures differ, as sums of whole numbers: the same whatever the order of threads. Twin:
// ReferenceOps.difference, whose divisions the host does (fastrestore.kernels.statistics).
#include "common.cuh"

constexpr int kBlock = 16;

// Sum of the absolute differences of sixteen bytes, both aligned.
FR_DEVICE unsigned apart_16(uint64_t left, uint64_t right) {
  const uint4 a = __ldg(pointer<uint4>(left)), b = __ldg(pointer<uint4>(right));
  return __vsadu4(a.x, b.x) + __vsadu4(a.y, b.y) + __vsadu4(a.z, b.z) + __vsadu4(a.w, b.w);
}

// A thread a block of 16x16: sixteen loads of 16 bytes from either picture. Sums go to several slots, so that few
// threads meet at one address.
FR_KERNEL fr_statistics(const StatisticsParams p) {
  const int x = thread_x() * kBlock, y = thread_y() * kBlock;
  if (x >= p.width || y >= p.height) return;
  const int columns = min(kBlock, p.width - x), rows = min(kBlock, p.height - y);
  const uint64_t left = p.left + static_cast<uint64_t>(y) * p.left_pitch + x;
  const uint64_t right = p.right + static_cast<uint64_t>(y) * p.right_pitch + x;
  unsigned sum = 0;
  if (columns == kBlock && ((left | right | p.left_pitch | p.right_pitch) & 15) == 0) {
#pragma unroll 4
    for (int j = 0; j < rows; ++j)
      sum += apart_16(left + static_cast<uint64_t>(j) * p.left_pitch, right + static_cast<uint64_t>(j) * p.right_pitch);
  } else {
    for (int j = 0; j < rows; ++j) {
      const uint8_t* const a = row_of<uint8_t>(left, p.left_pitch, j);
      const uint8_t* const b = row_of<uint8_t>(right, p.right_pitch, j);
#pragma unroll 1
      for (int i = 0; i < columns; ++i) sum += static_cast<unsigned>(abs(int(__ldg(a + i)) - int(__ldg(b + i))));
    }
  }
  StatisticsSlot* const slot = target_of<StatisticsSlot>(p.slots) + ((thread_x() + 7 * thread_y()) & (p.slot_count - 1));
  atomicAdd(&slot->total, static_cast<unsigned long long>(sum));
  // Floats that are not negative are ordered as their bits are.
  atomicMax(&slot->peak, __float_as_uint(static_cast<float>(sum) / static_cast<float>(columns * rows)));
}

// Sums of a plane over the cells of a small grid, each sample weighted by how many of 1/columns x 1/rows of it lie in
// the cell. A thread sums one row of one column of cells.
FR_KERNEL fr_thumbnail(const ThumbnailParams p) {
  const int column = thread_x(), y = thread_y();
  if (column >= p.columns || y >= p.height) return;
  const uint8_t* const row = row_of<uint8_t>(p.luma, p.pitch, y);
  const int from = column * p.width, to = from + p.width;
  unsigned sum = 0;
  for (int x = from / p.columns; x * p.columns < to; ++x) {
    const int overlap = min((x + 1) * p.columns, to) - max(x * p.columns, from);
    sum += static_cast<unsigned>(overlap) * __ldg(row + x);
  }
  const int top = y * p.rows, bottom = top + p.rows;
  for (int cell = top / p.height; cell * p.height < bottom; ++cell) {
    const int overlap = min((cell + 1) * p.height, bottom) - max(cell * p.height, top);
    atomicAdd(target_of<unsigned long long>(p.sums) + cell * p.columns + column,
              static_cast<unsigned long long>(overlap) * sum);
  }
}

// Whether two planes differ in any byte. A thread compares 16 bytes.
FR_KERNEL fr_unequal(const UnequalParams p) {
  const int x = thread_x() * 16, y = thread_y();
  if (x >= p.row_bytes || y >= p.height) return;
  const uint8_t* const left = row_of<uint8_t>(p.left, p.left_pitch, y) + x;
  const uint8_t* const right = row_of<uint8_t>(p.right, p.right_pitch, y) + x;
  unsigned apart = 0;
  if (x + 16 <= p.row_bytes && aligned(left, 16) && aligned(right, 16)) {
    const uint4 a = __ldg(reinterpret_cast<const uint4*>(left)), b = __ldg(reinterpret_cast<const uint4*>(right));
    apart = (a.x ^ b.x) | (a.y ^ b.y) | (a.z ^ b.z) | (a.w ^ b.w);
  } else {
    for (int i = 0; i < 16 && x + i < p.row_bytes; ++i) apart |= __ldg(left + i) ^ __ldg(right + i);
  }
  if (apart) *target_of<int>(p.found) = 1;  // whoever writes, writes the same
}

// Sets memory to 0, in units of 16 bytes: what sums are added to.
FR_KERNEL fr_clear(const ClearParams p) {
  const int64_t at = int64_t(thread_x()) * 16;
  if (at < p.bytes) *target_of<uint4>(p.address + at) = uint4{0, 0, 0, 0};
}
