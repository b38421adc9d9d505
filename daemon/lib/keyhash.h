/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys of tables that strangers fill: the values of chosen fields, hashed with a secret (SipHash-2-4,
 * 128 bits), so that nobody can choose values that meet in one bucket or pass for another's.
 */
#ifndef LIB_KEYHASH_H
#define LIB_KEYHASH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct keyhash_secret {
	uint64_t word[2];
};

struct keyhash {
	uint64_t a, b;
};

/* From the kernel. 0, or a negative errno. */
int keyhash_secret_make(struct keyhash_secret *ret);
struct keyhash keyhash_of(const struct keyhash_secret *secret, const void *bytes, size_t len);

static inline bool
keyhash_equal(struct keyhash x, struct keyhash y)
{
	return x.a == y.a && x.b == y.b;
}

#endif
