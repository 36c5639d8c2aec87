// Runs a launch on the host: every block and thread, one after the other.
#include "kernels.cu"

namespace {

struct Shape {
  uint32_t x, y, z;
};

template <typename Params, void (*Kernel)(Params)>
int run(const Shape& grid, const Shape& block, const void* bytes, uint64_t size) {
  if (size != sizeof(Params)) return 2;
  Params params;
  memcpy(&params, bytes, sizeof params);
  blockDim = {block.x, block.y, block.z};
  for (blockIdx.z = 0; blockIdx.z < grid.z; ++blockIdx.z)
    for (blockIdx.y = 0; blockIdx.y < grid.y; ++blockIdx.y)
      for (blockIdx.x = 0; blockIdx.x < grid.x; ++blockIdx.x)
        for (threadIdx.z = 0; threadIdx.z < block.z; ++threadIdx.z)
          for (threadIdx.y = 0; threadIdx.y < block.y; ++threadIdx.y)
            for (threadIdx.x = 0; threadIdx.x < block.x; ++threadIdx.x) Kernel(params);
  return 0;
}

struct Entry {
  const char* name;
  int (*run)(const Shape&, const Shape&, const void*, uint64_t);
};

const Entry kEntries[] = {
    {"fr_planes_to_tiles", run<PlanesToTilesParams, fr_planes_to_tiles>},
    {"fr_tiles_to_planes", run<TilesToPlanesParams, fr_tiles_to_planes>},
    {"fr_pack_motion", run<PackMotionParams, fr_pack_motion>},
    {"fr_planes_to_reduced", run<PlanesToReducedParams, fr_planes_to_reduced>},
    {"fr_fill", run<FillParams, fr_fill>},
    {"fr_place_motion", run<PlaceMotionParams, fr_place_motion>},
    {"fr_guard", run<GuardParams, fr_guard>},
    {"fr_disagreement", run<DisagreementParams, fr_disagreement>},
    {"fr_synthesize", run<SynthesizeParams, fr_synthesize>},
    {"fr_statistics", run<StatisticsParams, fr_statistics>},
    {"fr_thumbnail", run<ThumbnailParams, fr_thumbnail>},
    {"fr_unequal", run<UnequalParams, fr_unequal>},
    {"fr_clear", run<ClearParams, fr_clear>},
    {"fr_resize", run<ResizeParams, fr_resize>},
    {"fr_luma8", run<Luma8Params, fr_luma8>},
    {"fr_requantize", run<RequantizeParams, fr_requantize>},
    {"fr_lay_grain", run<GrainParams, fr_lay_grain>},
    {"fr_tone", run<ToneParams, fr_tone>},
    {"fr_tone_chroma", run<ToneChromaParams, fr_tone_chroma>},
    {"fr_resample", run<ResampleParams, fr_resample>},
    {"fr_warp", run<WarpParams, fr_warp>},
    {"fr_mend", run<MendParams, fr_mend>},
    {"fr_agreement", run<AgreementParams, fr_agreement>},
    {"fr_average", run<AverageParams, fr_average>},
    {"fr_calm", run<CalmParams, fr_calm>},
};

}  // namespace

// Returns 0, or 1 where there is no such kernel, or 2 where its parameters have another size.
extern "C" int fr_run(const char* name, const uint32_t* grid, const uint32_t* block, const void* params, uint64_t size) {
  for (const Entry& entry : kEntries)
    if (strcmp(entry.name, name) == 0)
      return entry.run({grid[0], grid[1], grid[2]}, {block[0], block[1], block[2]}, params, size);
  return 1;
}
