/* SPDX-License-Identifier: Apache-2.0 */
/* What the processor can do with many bytes at a time. libc only. */
#ifndef AGENT_VECTORS_H
#define AGENT_VECTORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __x86_64__
#include <immintrin.h>
#endif

/* Bytes that one instruction can look up in a table of 16. */
enum pyaudit_vectors {
	PYAUDIT_VECTORS_UNKNOWN, /* not asked yet */
	PYAUDIT_VECTORS_NONE,
	PYAUDIT_VECTORS_16,
	PYAUDIT_VECTORS_32,
	PYAUDIT_VECTORS_64, /* and in one of 64 */
};

/* What this processor has; asked once. */
enum pyaudit_vectors pyaudit_vectors(void);
/* For tests: less than it has, until set again. */
void pyaudit_vectors_limit(enum pyaudit_vectors most);

/* Is @c, a slash, before a slash or a dot, @next? Those two differ in their lowest bit only. */
static inline bool
pyaudit_is_odd_slash(char c, char next)
{
	return c == '/' && (next | 1) == '/';
}

/* A bit for each of the first 64 of @n bytes, which are 1 at least. */
static inline uint64_t
pyaudit_first_64(size_t n)
{
	return ~UINT64_C(0) >> (n < 64 ? 64 - n : 0);
}

#ifdef __x86_64__
/* Bytes that are not zero at each of the 32 places from @s on with such a slash. One more byte is read. */
static inline __attribute__((always_inline, target("avx2"))) __m256i
pyaudit_odd_slashes_at(const char *s)
{
	const __m256i slash = _mm256_set1_epi8('/');
	__m256i here = _mm256_loadu_si256((const void *)s);
	__m256i next = _mm256_loadu_si256((const void *)(s + 1));

	/* '.' and '/' differ in their lowest bit only */
	next = _mm256_or_si256(next, _mm256_set1_epi8(1));
	return _mm256_and_si256(_mm256_cmpeq_epi8(here, slash), _mm256_cmpeq_epi8(next, slash));
}
#endif

/* Is there a slash before a slash or a dot? Where there are vectors of 32; of 33 bytes at least. */
bool pyaudit_odd_slashes_32(const char *s, size_t len);
/* Where there are vectors of 64; of any text. */
bool pyaudit_odd_slashes_64(const char *s, size_t len);

#endif
