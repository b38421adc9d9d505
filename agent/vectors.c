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
#include <immintrin.h>
#endif

static atomic_uint vectors;

#ifdef __x86_64__

/* Does the kernel keep the registers of 32 bytes of a thread? */
static bool
wide_registers_are_kept(void)
{
	uint32_t low, high;

	__asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
	(void)high;
	return (low & 6) == 6;
}

static enum pyaudit_vectors
ask_processor(void)
{
	unsigned a, b, c, d;

	if (__get_cpuid(1, &a, &b, &c, &d) == 0 || (c & bit_SSSE3) == 0)
		return PYAUDIT_VECTORS_NONE;
	if ((c & bit_OSXSAVE) == 0 || (c & bit_AVX) == 0 || !wide_registers_are_kept() ||
	    __get_cpuid_count(7, 0, &a, &b, &c, &d) == 0 || (b & bit_AVX2) == 0)
		return PYAUDIT_VECTORS_16;
	return PYAUDIT_VECTORS_32;
}

/* Bytes that are not zero at each of the 32 places from @s on with such a slash. One more byte is read. */
static inline __attribute__((always_inline, target("avx2"))) __m256i
odd_slashes(const char *s)
{
	const __m256i slash = _mm256_set1_epi8('/');
	__m256i here = _mm256_loadu_si256((const void *)s);
	__m256i next = _mm256_loadu_si256((const void *)(s + 1));

	/* '.' and '/' differ in their lowest bit only */
	next = _mm256_or_si256(next, _mm256_set1_epi8(1));
	return _mm256_and_si256(_mm256_cmpeq_epi8(here, slash), _mm256_cmpeq_epi8(next, slash));
}

__attribute__((target("avx2"))) bool
pyaudit_odd_slashes_32(const char *s, size_t len)
{
	/* The last step overlaps the one before. */
	__m256i found = odd_slashes(s + len - 33);

	for (size_t i = 0; i + 33 < len; i += 32)
		found = _mm256_or_si256(found, odd_slashes(s + i));
	return _mm256_testz_si256(found, found) == 0;
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
