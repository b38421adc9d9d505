/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which instructions the processor has is asked when the first value is looked at, not when the library is
 * loaded: most programs that load it are not Python, and under a hypervisor the question is dear.
 */
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>

#include "vectors.h"

#ifdef __x86_64__
#include <cpuid.h>
#endif

static atomic_uint vectors;

#ifdef __x86_64__

/* What the kernel keeps of a thread's registers: SSE and AVX; their opmasks and upper halves. */
#define KEPT_32 0x06u
#define KEPT_64 0xe6u

static bool
are_kept(uint32_t registers)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	(void)high;
	return (low & registers) == registers;
}

/* VBMI came with processors whose clock these vectors do not lower. */
static bool
has_64(unsigned b, unsigned c)
{
	return (b & bit_AVX512F) != 0 && (b & bit_AVX512BW) != 0 && (c & bit_AVX512VBMI) != 0 && (c & bit_GFNI) != 0 &&
	       are_kept(KEPT_64);
}

static enum pyaudit_vectors
ask_processor(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSSE3) == 0)
		return PYAUDIT_VECTORS_NONE;
	if ((c & bit_OSXSAVE) == 0 || (c & bit_AVX) == 0 || !are_kept(KEPT_32) ||
	    __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & bit_AVX2) == 0)
		return PYAUDIT_VECTORS_16;
	return has_64(b, c) ? PYAUDIT_VECTORS_64 : PYAUDIT_VECTORS_32;
}

__attribute__((target("avx2"))) bool
pyaudit_odd_slashes_32(const char *s, size_t len)
{
	/* The last step overlaps the one before. */
	__m256i found = pyaudit_odd_slashes_at(s + len - 33);

	for (size_t i = 0; i + 33 < len; i += 32)
		found = _mm256_or_si256(found, pyaudit_odd_slashes_at(s + i));
	return _mm256_testz_si256(found, found) == 0;
}

__attribute__((target("avx512f,avx512bw"))) bool
pyaudit_odd_slashes_64(const char *s, size_t len)
{
	const __m512i slash = _mm512_set1_epi8('/'), one = _mm512_set1_epi8(1);
	__mmask64 found = 0;

	for (size_t i = 0; i + 1 < len; i += 64) {
		__mmask64 there = pyaudit_first_64(len - 1 - i);
		__m512i here = _mm512_maskz_loadu_epi8(there, s + i);
		__m512i next = _mm512_maskz_loadu_epi8(there, s + i + 1);
		__mmask64 slashes = _mm512_cmpeq_epi8_mask(here, slash);

		found |= _mm512_mask_cmpeq_epi8_mask(slashes, _mm512_or_si512(next, one), slash);
	}
	return found != 0;
}

#else

static enum pyaudit_vectors
ask_processor(void)
{
	return PYAUDIT_VECTORS_NONE;
}

bool
pyaudit_odd_slashes_32(const char *s, size_t len)
{
	(void)s;
	(void)len;
	abort();
}

bool
pyaudit_odd_slashes_64(const char *s, size_t len)
{
	return pyaudit_odd_slashes_32(s, len);
}

#endif

static __attribute__((noinline)) unsigned
find_vectors(void)
{
	unsigned found = ask_processor();

	atomic_store_explicit(&vectors, found, memory_order_relaxed);
	return found;
}

enum pyaudit_vectors
pyaudit_vectors(void)
{
	unsigned known = atomic_load_explicit(&vectors, memory_order_relaxed);

	return __builtin_expect(known == PYAUDIT_VECTORS_UNKNOWN, 0) ? find_vectors() : known;
}

void
pyaudit_vectors_limit(enum pyaudit_vectors most)
{
	unsigned found = find_vectors();

	if (most != PYAUDIT_VECTORS_UNKNOWN && most < found)
		atomic_store_explicit(&vectors, most, memory_order_relaxed);
}
