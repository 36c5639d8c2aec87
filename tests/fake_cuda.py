"""A driver library made for the tests: the part of CUDA's driver interface that is used here, on the host's memory.

Streams do their work at once. It shows that every function is called by its name with its arguments in their order, and
that errors come back as errors; when things happen is what `CountingDevice` is for.
"""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

CAPABILITY = "8.9"
NAME = "Card of the tests"
SMALLEST_REFUSED = 1 << 30
"""Bytes from which on there is not enough memory."""
SOURCE = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
typedef int CUresult; typedef unsigned long long ptr;
#ifndef INIT
#define INIT 0
#endif
#ifndef CARDS
#define CARDS 1
#endif
enum { INVALID = 1, NO_MEMORY = 2, NO_CONTEXT = 201 };
static __thread int depth;      /* of the thread's stack of contexts */
static long live;               /* what was made and not given back */
#define NEED_CONTEXT if (depth <= 0) return NO_CONTEXT
CUresult cuInit(unsigned f) { return f ? INVALID : INIT; }
CUresult cuDriverGetVersion(int *v) { *v = 13000; return 0; }
CUresult cuDeviceGetCount(int *n) { *n = CARDS; return 0; }
CUresult cuDeviceGet(int *d, int i) { *d = i; return i < CARDS ? 0 : 101; }
CUresult cuDeviceGetName(char *s, int n, int d) { snprintf(s, n, "Card of the tests"); return 0; }
CUresult cuDeviceGetAttribute(int *v, int a, int d) { *v = a == 75 ? 8 : a == 76 ? 9 : 0; return 0; }
CUresult cuDeviceTotalMem_v2(size_t *n, int d) { *n = (size_t)1 << 33; return 0; }
CUresult cuDevicePrimaryCtxRetain(void **c, int d) { *c = (void *)0xC0; live++; return 0; }
CUresult cuDevicePrimaryCtxRelease_v2(int d) { live--; return 0; }
CUresult cuCtxPushCurrent_v2(void *c) { if (c != (void *)0xC0) return INVALID; depth++; return 0; }
CUresult cuCtxPopCurrent_v2(void **c) { NEED_CONTEXT; depth--; *c = (void *)0xC0; return 0; }
CUresult cuCtxSynchronize(void) { NEED_CONTEXT; return 0; }
CUresult cuCtxSynchronize_v2(void *c) { return 0; }
CUresult cuCtxGetStreamPriorityRange(int *l, int *g) { NEED_CONTEXT; *l = 0; *g = -5; return 0; }
CUresult cuMemGetInfo_v2(size_t *f, size_t *t) { NEED_CONTEXT; *f = 1 << 20; *t = (size_t)1 << 33; return 0; }
CUresult cuMemAlloc_v2(ptr *p, size_t n) {
  NEED_CONTEXT; if (n >= (1u << 30)) return NO_MEMORY;
  *p = (ptr)aligned_alloc(256, (n + 255) / 256 * 256); live++; return 0; }
CUresult cuMemFree_v2(ptr p) { NEED_CONTEXT; free((void *)p); live--; return 0; }
CUresult cuMemHostAlloc(void **p, size_t n, unsigned f) {
  NEED_CONTEXT; if (f != 1) return INVALID; if (n >= (1u << 30)) return NO_MEMORY;
  *p = malloc(n); live++; return 0; }
CUresult cuMemFreeHost(void *p) { NEED_CONTEXT; free(p); live--; return 0; }
CUresult cuStreamCreateWithPriority(void **s, unsigned f, int p) {
  NEED_CONTEXT; if (f != 1 || (p != 0 && p != -5)) return INVALID; *s = malloc(8); live++; return 0; }
CUresult cuStreamCreate(void **s, unsigned f) { return cuStreamCreateWithPriority(s, f, 0); }
CUresult cuStreamDestroy_v2(void *s) { NEED_CONTEXT; free(s); live--; return 0; }
CUresult cuStreamSynchronize(void *s) { NEED_CONTEXT; return s ? 0 : INVALID; }
CUresult cuStreamWaitEvent(void *s, void *e, unsigned f) { NEED_CONTEXT; return s && e && !f ? 0 : INVALID; }
CUresult cuEventCreate(void **e, unsigned f) { NEED_CONTEXT; int *m = malloc(8); *m = f; *e = m; live++; return 0; }
CUresult cuEventDestroy_v2(void *e) { NEED_CONTEXT; free(e); live--; return 0; }
CUresult cuEventRecord(void *e, void *s) { NEED_CONTEXT; return e ? 0 : INVALID; }  // 0: where others work
CUresult cuEventSynchronize(void *e) { NEED_CONTEXT; return e ? 0 : INVALID; }
CUresult cuEventQuery(void *e) { NEED_CONTEXT; return e ? 0 : INVALID; }
CUresult cuEventElapsedTime(float *ms, void *a, void *b) {
  NEED_CONTEXT; if (*(int *)a || *(int *)b) return 400; *ms = 2.5f; return 0; }
CUresult cuEventElapsedTime_v2(float *ms, void *a, void *b) { return cuEventElapsedTime(ms, a, b); }
CUresult cuMemcpyHtoDAsync_v2(ptr d, const void *h, size_t n, void *s) {
  NEED_CONTEXT; if (!s) return INVALID; memcpy((void *)d, h, n); return 0; }
CUresult cuMemcpyDtoHAsync_v2(void *h, ptr d, size_t n, void *s) {
  NEED_CONTEXT; if (!s) return INVALID; memcpy(h, (void *)d, n); return 0; }
/* One kernel is known, fr_clear; a stream that is captured keeps the launches for its graph. */
typedef struct { ptr address; long long bytes; } clear_params;
typedef struct { clear_params launches[8]; int count; } graph;
static graph *captured; static void *capturing;
CUresult cuModuleLoadData(void **m, const void *image) {
  NEED_CONTEXT; if (!image) return INVALID; *m = malloc(8); live++; return 0; }
CUresult cuModuleLoadDataEx(void **m, const void *image, unsigned n, int *options, void **values) {
  for (unsigned i = 0; i < n; i++) if (options[i] == 4 || options[i] == 6) values[i] = 0;  /* lengths of empty logs */
  return cuModuleLoadData(m, image); }
CUresult cuModuleUnload(void *m) { NEED_CONTEXT; free(m); live--; return 0; }
CUresult cuModuleGetFunction(void **f, void *m, const char *name) {
  NEED_CONTEXT; *f = (void *)0xF1; return m && !strcmp(name, "fr_clear") ? 0 : 500; }
CUresult cuFuncSetBlockShape(void *f, int x, int y, int z) { NEED_CONTEXT; return x * y * z > 0 ? 0 : INVALID; }
CUresult cuLaunchKernel(void *f, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, void *s, void **params, void **extra) {
  NEED_CONTEXT; if (f != (void *)0xF1 || !s || shared || !(gx * gy * gz) || !(bx * by * bz)) return INVALID;
  /* Either a pointer for each parameter, or all of them in one buffer: {1, buffer, 2, its length, 0}. */
  if (!params == !extra) return INVALID;
  if (extra && (extra[0] != (void *)1 || extra[2] != (void *)2 || extra[4])) return INVALID;
  if (extra && *(size_t *)extra[3] != sizeof(clear_params)) return INVALID;
  clear_params given = *(clear_params *)(params ? params[0] : extra[1]);
  if (capturing == s) captured->launches[captured->count++] = given;
  else memset((void *)given.address, 0, given.bytes);
  return 0; }
CUresult cuStreamBeginCapture_v2(void *s, int mode) {
  NEED_CONTEXT; if (mode != 1 || capturing) return INVALID; capturing = s; captured = calloc(1, sizeof(graph)); live++;
  return 0; }
CUresult cuStreamEndCapture(void *s, void **g) {
  NEED_CONTEXT; if (capturing != s) return INVALID; capturing = NULL; *g = captured; return 0; }
CUresult cuGraphInstantiateWithFlags(void **e, void *g, unsigned long long flags) {
  NEED_CONTEXT; if (flags) return INVALID; graph *made = malloc(sizeof(graph)); *made = *(graph *)g; *e = made; live++;
  return 0; }
CUresult cuGraphLaunch(void *e, void *s) {
  NEED_CONTEXT; graph *g = e; if (!s) return INVALID;
  for (int i = 0; i < g->count; i++) memset((void *)g->launches[i].address, 0, g->launches[i].bytes);
  return 0; }
CUresult cuGraphDestroy(void *g) { NEED_CONTEXT; free(g); live--; return 0; }
CUresult cuGraphExecDestroy(void *e) { NEED_CONTEXT; free(e); live--; return 0; }
CUresult cuGetErrorName(int e, const char **s) { *s = e == 1 ? "CUDA_ERROR_INVALID_VALUE" : "CUDA_ERROR"; return 0; }
CUresult cuGetErrorString(int e, const char **s) { *s = e == 1 ? "invalid argument" : "something failed"; return 0; }
long tests_live(void) { return live; }
int tests_depth(void) { return depth; }
/* The newest variant that is here: the bindings ask for `cuMemAlloc` and mean `cuMemAlloc_v2`. */
CUresult cuGetProcAddress_v2(const char *name, void **f, int version, unsigned long flags, int *status) {
  char newer[128];
  snprintf(newer, sizeof newer, "%s_v2", name);
  *f = strcmp(name, "cuCtxSynchronize") ? dlsym(RTLD_DEFAULT, newer) : NULL;
  if (!*f) *f = dlsym(RTLD_DEFAULT, name);
  if (!*f) { void *self = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_NOLOAD);
    if (self) { *f = strcmp(name, "cuCtxSynchronize") ? dlsym(self, newer) : NULL; if (!*f) *f = dlsym(self, name); } }
  if (status) *status = *f ? 0 : 1;
  return *f ? 0 : 500;
}
CUresult cuGetProcAddress(const char *name, void **f, int version, unsigned long flags) {
  return cuGetProcAddress_v2(name, f, version, flags, NULL);
}
"""


def compiler() -> str | None:
    """Return a C compiler, or None."""
    return shutil.which("cc") or shutil.which("gcc")


def wanted_of_driver(library: Path) -> list[str]:
    """Return the functions of the driver that a library cannot be loaded without."""
    run = subprocess.run(["nm", "-D", "--undefined-only", library], capture_output=True, text=True, check=True)
    return [name for name in run.stdout.split() if name.startswith("cu") and name[2:3].isupper()]


def make_driver(folder: Path, *defines: str, name: str = "libcuda.so.1", unsupported: Iterable[str] = ()) -> Path:
    """Compile the library in a folder and return its path.

    Once loaded it stays, and whoever asks for a library of its name gets it: another name keeps it to oneself.
    Functions that are not made here can be had as ones that say so (`CUDA_ERROR_NOT_SUPPORTED`).
    """
    found = compiler()
    assert found is not None
    source, library = folder / "driver.c", folder / name
    source.write_text(SOURCE, encoding="utf-8")
    rest = folder / "unsupported.c"
    weak = (f"__attribute__((weak)) int {function}(void) {{ return 801; }}\n" for function in unsupported)
    rest.write_text("".join(weak), encoding="utf-8")
    flags = [f"-D{define}" for define in defines]
    subprocess.run(
        [found, "-shared", "-fPIC", "-O1", "-w", f"-Wl,-soname,{name}", *flags, "-o", library, source, rest, "-ldl"],
        check=True,
    )
    return library
