/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Symbols of one loaded object, by its own hash table (DT_GNU_HASH). dlsym takes a thousand instructions for a name, and
 * three times as many for one that is missing; of Python's the agent needs sixty, of which each version lacks some.
 */
#ifndef AGENT_SYMBOLS_H
#define AGENT_SYMBOLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct symbols {
	uintptr_t base; /* of the object's addresses */
	const void *table; /* of ElfW(Sym) */
	const char *names;
	const uint32_t *buckets, *chain;
	uint32_t n_buckets, first; /* number of the first symbol that is hashed */
	bool is_program;	   /* not a library: nobody stands before it */
};

/* Those of the object that @address is in. False: there is none, or it has another kind of table. */
bool symbols_of(struct symbols *ret, const void *address);

/* The address of @name and the bytes it takes, or NULL where the object does not have it. */
void *symbols_find(const struct symbols *symbols, const char *name, size_t *ret_size);

#endif
