/* SPDX-License-Identifier: Apache-2.0 */
/* What happens now, counted by name over one interval after another. */
#ifndef CTL_RATES_H
#define CTL_RATES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RATES_MAX 2048 /* names at a time; of the others only the sums are known */

struct rate {
	char *name;
	char *place; /* unit of a process, or "" */
	uint64_t key; /* hash of the name; of a process, with its number */
	unsigned pid;
	uint64_t n, n_denied; /* in this interval */
	uint64_t total;
};

struct rates {
	struct rate *rate;
	size_t n;
};

/* False without memory. */
bool rates_init(struct rates *rates);
void rates_fini(struct rates *rates);

void rates_add(struct rates *rates, const char *name, unsigned pid, const char *place,
	       bool is_denied);
/* The busiest first. */
void rates_sort(struct rates *rates);
/* Begins the next interval. Where there is hardly room left, names that were silent are dropped. */
void rates_next(struct rates *rates);

#endif
