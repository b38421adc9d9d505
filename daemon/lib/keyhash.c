/* SPDX-License-Identifier: Apache-2.0 */
#include "keyhash.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "pyaudit/policy.h"

int
keyhash_secret_make(struct keyhash_secret *ret)
{
	ssize_t n;

	do {
		n = getrandom(ret, sizeof(*ret), 0);
	} while (n < 0 && errno == EINTR);
	return n == (ssize_t)sizeof(*ret) ? 0 : n < 0 ? -errno : -EIO;
}

static uint64_t
rotate(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static void
rounds(uint64_t v[4], unsigned n)
{
	while (n-- > 0) {
		v[0] += v[1];
		v[1] = rotate(v[1], 13) ^ v[0];
		v[0] = rotate(v[0], 32);
		v[2] += v[3];
		v[3] = rotate(v[3], 16) ^ v[2];
		v[0] += v[3];
		v[3] = rotate(v[3], 21) ^ v[0];
		v[2] += v[1];
		v[1] = rotate(v[1], 17) ^ v[2];
		v[2] = rotate(v[2], 32);
	}
}

struct keyhash
keyhash_of(const struct keyhash_secret *secret, const void *bytes, size_t len)
{
	uint64_t v[4] = {
		secret->word[0] ^ UINT64_C(0x736f6d6570736575),
		secret->word[1] ^ UINT64_C(0x646f72616e646f6d) ^ 0xee,
		secret->word[0] ^ UINT64_C(0x6c7967656e657261),
		secret->word[1] ^ UINT64_C(0x7465646279746573),
	};
	const uint8_t *at = bytes;
	uint64_t last = (uint64_t)len << 56;
	struct keyhash hash;
	size_t left = len;

	for (; left >= 8; at += 8, left -= 8) {
		uint64_t word = pyaudit_load64(at);

		v[3] ^= word;
		rounds(v, 2);
		v[0] ^= word;
	}
	for (size_t i = 0; i < left; i++)
		last |= (uint64_t)at[i] << 8 * i;
	v[3] ^= last;
	rounds(v, 2);
	v[0] ^= last;
	v[2] ^= 0xee;
	rounds(v, 4);
	hash.a = v[0] ^ v[1] ^ v[2] ^ v[3];
	v[1] ^= 0xdd;
	rounds(v, 4);
	hash.b = v[0] ^ v[1] ^ v[2] ^ v[3];
	return hash;
}
