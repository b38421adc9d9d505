/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Masks of grams (include/pyaudit/policy.h): the grams are put into eight groups of such as are alike, so
 * that little else passes. Those that differ in digits only are one kind from the beginning; then the two
 * kinds that together let the least more pass are joined, until eight are left.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

#define N_GROUPS 8
#define KINDS_MAX 96 /* more do not fit into eight groups without letting much pass */

/* A place that passes for nothing costs as much as looking at so many in the table without masks. */
#define PASS_COST 4
/* What the masks themselves cost for each place, in the same measure. */
#define MASK_COST 0.1

/* Halves of bytes, and places of whole ones in their table, that may stand at each place of its grams. */
struct kind {
	uint16_t low[4], high[4];
	uint64_t whole[4];
	double rate; /* of the places that pass */
	char name[4];
};

/* How much of the text in paths, commands and names a byte is, about. */
static double
share_of(unsigned byte)
{
	static const char common[] = "e/tasnoirl.cpdm-u_hbgfyvkwx 1023456789jzq";
	const char *found = byte != 0 ? strchr(common, (int)byte) : NULL;

	return found != NULL ? 0.6 / (double)(8 + (found - common)) : 0.001;
}

void
masks_shares(double ret[256])
{
	for (unsigned byte = 0; byte < 256; byte++)
		ret[byte] = share_of(byte);
}

double
masks_share(const double shares[256], uint32_t gram, unsigned width)
{
	double share = 1;

	for (unsigned k = 0; k < width; k++) {
		unsigned byte = gram >> 8 * k & 0xff;

		share *= shares[byte] + ((byte & 0x20) != 0 ? shares[byte & ~0x20u] : 0);
	}
	return share;
}

/* How many places pass if so many bytes of its grams are asked for. */
static double
rate_of(const struct kind *kind, unsigned first, unsigned n, const double shares[256])
{
	double rate = 1;

	for (unsigned k = first; k < first + n; k++) {
		double share = 0;

		for (unsigned high = 0; high < 16; high++)
			for (unsigned low = 0; low < 16 && (kind->high[k] >> high & 1) != 0; low++)
				if ((kind->low[k] >> low & 1) != 0)
					share += shares[high << 4 | low];
		rate *= share;
	}
	return rate;
}

/* What @more has may stand in grams of @kind, too. */
static void
widen(struct kind *kind, const struct kind *more, unsigned width)
{
	for (unsigned k = 0; k < width; k++) {
		kind->low[k] |= more->low[k];
		kind->high[k] |= more->high[k];
		kind->whole[k] |= more->whole[k];
	}
}

static struct kind
joined(const struct kind *a, const struct kind *b, unsigned width, const double shares[256])
{
	struct kind both = *a;

	widen(&both, b, width);
	both.rate = rate_of(&both, 0, width, shares);
	return both;
}

/* Text is not folded when masks are asked: both cases of a letter are one gram. */
static struct kind
kind_of(uint32_t gram, unsigned width)
{
	struct kind kind = {.rate = 0};

	for (unsigned k = 0; k < width; k++) {
		unsigned byte = gram >> 8 * k & 0xff;

		kind.name[k] = (char)(byte >= '0' && byte <= '9' ? '0' : byte);
		kind.low[k] = (uint16_t)(1u << (byte & 15));
		kind.high[k] = (uint16_t)(1u << (byte >> 4) | 1u << ((byte & ~0x20u) >> 4));
		kind.whole[k] = UINT64_C(1) << ((byte & 0x1f) | (byte >> 1 & 0x20));
	}
	return kind;
}

/* Returns how many, or KINDS_MAX + 1. */
static size_t
gather_kinds(struct kind *kinds, const uint32_t *grams, size_t n_grams, unsigned width)
{
	size_t n = 0;

	for (size_t i = 0; i < n_grams; i++) {
		struct kind kind = kind_of(grams[i], width);
		size_t k = 0;

		while (k < n && memcmp(kinds[k].name, kind.name, sizeof(kind.name)) != 0)
			k++;
		if (k == KINDS_MAX)
			return KINDS_MAX + 1;
		if (k == n)
			kinds[n++] = kind;
		widen(&kinds[k], &kind, width);
	}
	return n;
}

/* What joining the two would let pass in addition, for each pair, kept from one step to the next. */
struct joining {
	struct kind kinds[KINDS_MAX];
	double more[KINDS_MAX][KINDS_MAX];
	const double *shares;
	size_t n;
};

static void
weigh_pairs(struct joining *j, size_t of, unsigned width)
{
	for (size_t i = 0; i < j->n; i++) {
		double more = joined(&j->kinds[i], &j->kinds[of], width, j->shares).rate -
			      j->kinds[i].rate - j->kinds[of].rate;

		j->more[i][of] = j->more[of][i] = more;
	}
}

static void
join_cheapest(struct joining *j, unsigned width)
{
	size_t a = 0, b = 1, last = j->n - 1;

	for (size_t i = 0; i < j->n; i++)
		for (size_t k = i + 1; k < j->n; k++)
			if (j->more[i][k] < j->more[a][b]) {
				a = i;
				b = k;
			}
	j->kinds[a] = joined(&j->kinds[a], &j->kinds[b], width, j->shares);
	j->kinds[b] = j->kinds[last];
	j->n = last;
	for (size_t i = 0; i < last; i++)
		j->more[i][b] = j->more[b][i] = j->more[i][last];
	weigh_pairs(j, a, width);
}

/* Asking for one byte more at all places costs as much as looking at so many places that pass. */
#define BYTE_COST 0.002

/* The bytes of a gram, one after the other, that are best asked for: fewer do where they tell as much. */
static double
choose_bytes(struct masks *ret, const struct joining *j, unsigned width)
{
	double best = 2, best_rate = 1;

	for (unsigned first = 0; first < width; first++)
		for (unsigned n = 1; first + n <= width; n++) {
			double rate = 0;

			for (size_t i = 0; i < j->n; i++)
				rate += rate_of(&j->kinds[i], first, n, j->shares);
			if (rate + n * BYTE_COST >= best)
				continue;
			best = rate + n * BYTE_COST;
			best_rate = rate;
			ret->first = (uint8_t)first;
			ret->n = (uint8_t)n;
		}
	return best_rate;
}

static void
fill_masks(struct masks *ret, const struct kind *kind, uint8_t group, unsigned width)
{
	for (unsigned k = 0; k < width; k++) {
		for (unsigned half = 0; half < 16; half++) {
			if ((kind->low[k] >> half & 1) != 0)
				ret->bytes[k].low[half] |= group;
			if ((kind->high[k] >> half & 1) != 0)
				ret->bytes[k].high[half] |= group;
		}
		for (unsigned at = 0; at < 64; at++)
			if ((kind->whole[k] >> at & 1) != 0)
				ret->whole[k].groups[at] |= group;
	}
}

bool
masks_make(struct compiler *c, struct masks *ret, const double shares[256], const uint32_t *grams,
	   size_t n_grams, unsigned width, unsigned stride)
{
	struct joining *j = calloc(1, sizeof(*j));
	bool worth = false;

	if (j == NULL) {
		c->no_memory = true;
		return false;
	}
	j->shares = shares;
	j->n = gather_kinds(j->kinds, grams, n_grams, width);
	if (j->n <= KINDS_MAX) {
		for (size_t i = 0; i < j->n; i++)
			j->kinds[i].rate = rate_of(&j->kinds[i], 0, width, j->shares);
		for (size_t i = 0; i < j->n; i++)
			weigh_pairs(j, i, width);
		while (j->n > N_GROUPS)
			join_cheapest(j, width);
		worth = MASK_COST + PASS_COST * choose_bytes(ret, j, width) < 1.0 / stride;
		memset(ret->bytes, 0, sizeof(ret->bytes));
		memset(ret->whole, 0, sizeof(ret->whole));
		for (size_t i = 0; i < j->n; i++)
			fill_masks(ret, &j->kinds[i], (uint8_t)(1u << i), width);
	}
	free(j);
	return worth;
}
