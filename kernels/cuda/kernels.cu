// Every kernel in one translation unit: one module to load.
#include "planes_to_tiles.cu"
#include "tiles_to_planes.cu"
#include "motion.cu"
#include "synthesize.cu"
#include "statistics.cu"
#include "resample.cu"
#include "film.cu"
#include "film_time.cu"
