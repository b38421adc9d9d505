/* SPDX-License-Identifier: Apache-2.0 */
#include "rates.h"

#include <stdlib.h>
#include <string.h>

bool
rates_init(struct rates *rates)
{
	*rates = (struct rates){.rate = calloc(RATES_MAX, sizeof(rates->rate[0]))};
	return rates->rate != NULL;
}

static void
drop(struct rate *rate)
{
	free(rate->name);
	free(rate->place);
	*rate = (struct rate){0};
}

void
rates_fini(struct rates *rates)
{
	for (size_t i = 0; i < rates->n; i++)
		drop(&rates->rate[i]);
	free(rates->rate);
	*rates = (struct rates){0};
}

static uint64_t
key_of(const char *name, unsigned pid)
{
	uint64_t h = UINT64_C(0xcbf29ce484222325) ^ pid;

	for (; *name != '\0'; name++)
		h = (h ^ (unsigned char)*name) * UINT64_C(0x100000001b3);
	return h;
}

/* The busiest come first after each sorting, so that most looks are short. */
void
rates_add(struct rates *rates, const char *name, unsigned pid, const char *place, bool is_denied)
{
	uint64_t key = key_of(name, pid);
	struct rate *rate = NULL;

	for (size_t i = 0; i < rates->n && rate == NULL; i++)
		if (rates->rate[i].key == key && rates->rate[i].pid == pid &&
		    strcmp(rates->rate[i].name, name) == 0)
			rate = &rates->rate[i];
	if (rate == NULL) {
		if (rates->n == RATES_MAX)
			return;
		rate = &rates->rate[rates->n];
		*rate = (struct rate){.name = strdup(name), .place = strdup(place), .key = key, .pid = pid};
		if (rate->name == NULL || rate->place == NULL) {
			drop(rate);
			return;
		}
		rates->n++;
	}
	rate->n++;
	rate->n_denied += is_denied;
	rate->total++;
}

static int
busier(const void *a, const void *b)
{
	const struct rate *x = a, *y = b;

	if (x->n != y->n)
		return x->n > y->n ? -1 : 1;
	if (x->total != y->total)
		return x->total > y->total ? -1 : 1;
	return strcmp(x->name, y->name);
}

void
rates_sort(struct rates *rates)
{
	if (rates->n > 0)
		qsort(rates->rate, rates->n, sizeof(rates->rate[0]), busier);
}

void
rates_next(struct rates *rates)
{
	bool is_full = rates->n > RATES_MAX / 4 * 3;
	size_t n = 0;

	for (size_t i = 0; i < rates->n; i++) {
		if (is_full && rates->rate[i].n == 0) {
			drop(&rates->rate[i]);
			continue;
		}
		rates->rate[i].n = rates->rate[i].n_denied = 0;
		if (n != i) {
			rates->rate[n] = rates->rate[i];
			rates->rate[i] = (struct rate){0};
		}
		n++;
	}
	rates->n = n;
}
