/* SPDX-License-Identifier: Apache-2.0 */
/* Sums over text, by which what is known is found again (memo.c, announce.c, search.c) and an image that is torn is told (verdict.c). libc only. */
#ifndef AGENT_SUMS_H
#define AGENT_SUMS_H

#include <stddef.h>
#include <stdint.h>

#include "pyaudit/policy.h"

/* The last word of a text, of which the others have been taken: never reads beyond its ends. With the
 * length, which is in the key as well, it says what the bytes are. */
static inline uint64_t
last_word(const char *s, size_t len)
{
	uint64_t a, b;

	pyaudit_ends(s, len, &a, &b);
	return len >= 8 ? b : len >= 4 ? a | b << 32 : a | b << 8;
}

/* Sums of words and of these sums, so that it matters where a word stands; two words at a time. */
typedef uint64_t words2 __attribute__((vector_size(16)));

struct sums {
	words2 sum, sum_of_sums;
};

static inline void
add_words(struct sums *sums, words2 words)
{
	sums->sum += words;
	sums->sum_of_sums += sums->sum;
}

/* FNV-1a; never 0. For what is asked seldom. */
static inline uint64_t
text_hash(const char *s, size_t len)
{
	uint64_t hash = UINT64_C(0xcbf29ce484222325);

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ (unsigned char)s[i]) * UINT64_C(0x100000001b3);
	return hash != 0 ? hash : 1;
}

static inline words2
load_words(const char *s)
{
	return (words2){pyaudit_load64(s), pyaudit_load64(s + 8)};
}

static inline void
add_text(struct sums *sums, const char *s, size_t len)
{
	words2 words = {0, 0};

	if (len >= 16) {
		/* An image is long, and each program that starts sums it up. */
		for (; len > 64; s += 64, len -= 64) {
			add_words(sums, load_words(s));
			add_words(sums, load_words(s + 16));
			add_words(sums, load_words(s + 32));
			add_words(sums, load_words(s + 48));
		}
		for (; len > 16; s += 16, len -= 16)
			add_words(sums, load_words(s));
		/* may overlap the one before */
		words = load_words(s + len - 16);
	} else if (len > 0) {
		words[0] = last_word(s, len);
		words[1] ^= len > 8 ? pyaudit_load64(s) : 0;
	}
	add_words(sums, words);
}

#endif
