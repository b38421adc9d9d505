/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts to find anywhere in a value: by one gram of each, which masks find at any place; or, where the
 * grams are too many for masks, by grams at successive places, so that only every stride-th place of the
 * value is looked up.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

#define FILTER_BITS_MAX 17 /* 16 KiB: stays in the first-level cache */

struct gram {
	uint32_t value;
	uint32_t literal;
	uint16_t pos;
};

struct literal {
	const char *text;
	uint16_t len;
	struct pyaudit_list rules;
	pyaudit_le32 at;
};

static int
compare_grams(const void *a, const void *b)
{
	const struct gram *x = a, *y = b;

	if (x->value != y->value)
		return x->value < y->value ? -1 : 1;
	if (x->literal != y->literal)
		return x->literal < y->literal ? -1 : 1;
	return x->pos < y->pos ? -1 : x->pos > y->pos;
}

static uint32_t
gram_at(const char *text, unsigned width)
{
	const unsigned char *p = (const unsigned char *)text;

	if (width == 4)
		return pyaudit_load32(p);
	return width == 2 ? (uint32_t)p[0] | (uint32_t)p[1] << 8 : p[0];
}

#define GRAM_USE_SIZE 4096

/* How much grams are in use, by their hash, and how much bytes are. */
struct use {
	uint32_t grams[GRAM_USE_SIZE];
	double shares[256];
};

/* Where in the literal the grams stand that the fewest others have; of those, the ones that texts have least. */
static size_t
choose_grams(const struct literal *literal, unsigned width, unsigned stride, const struct use *use)
{
	size_t best = 0;
	uint64_t best_use = UINT64_MAX;
	double best_share = 1;

	for (size_t at = 0; at + stride - 1 + width <= literal->len; at++) {
		uint64_t sum = 0;
		double share = 0;

		for (size_t i = at; i < at + stride; i++) {
			uint32_t gram = gram_at(literal->text + i, width);

			sum += use->grams[pyaudit_gram_hash(gram) % GRAM_USE_SIZE];
			share += masks_share(use->shares, gram, width);
		}
		if (sum < best_use || (sum == best_use && share < best_share)) {
			best = at;
			best_use = sum;
			best_share = share;
		}
	}
	return best;
}

static void
use_gram(struct use *use, uint32_t gram)
{
	use->grams[pyaudit_gram_hash(gram) % GRAM_USE_SIZE]++;
}

/* One gram of each literal, the rarest in all of them. Ascending; returns how many. */
static size_t
choose_single(struct gram *ret, const struct literal *literals, size_t n, unsigned width, struct use *use)
{
	for (size_t i = 0; i < n; i++)
		for (size_t at = 0; at + width <= literals[i].len; at++)
			use_gram(use, gram_at(literals[i].text + at, width));
	for (size_t i = 0; i < n; i++) {
		size_t at = choose_grams(&literals[i], width, 1, use);

		ret[i] = (struct gram){gram_at(literals[i].text + at, width), (uint32_t)i,
				       (uint16_t)at};
	}
	qsort(ret, n, sizeof(*ret), compare_grams);
	return n;
}

/* So many successive ones of each, which few of those before have. */
static size_t
choose_strided(struct gram *ret, const struct literal *literals, size_t n, unsigned width, unsigned stride,
	       struct use *use)
{
	size_t n_grams = 0;

	memset(use->grams, 0, sizeof(use->grams));
	for (size_t i = 0; i < n; i++) {
		size_t at = choose_grams(&literals[i], width, stride, use);

		for (size_t k = at; k < at + stride; k++) {
			uint32_t value = gram_at(literals[i].text + k, width);

			ret[n_grams++] = (struct gram){value, (uint32_t)i, (uint16_t)k};
			use_gram(use, value);
		}
	}
	qsort(ret, n_grams, sizeof(*ret), compare_grams);
	return n_grams;
}

/* Masks for the grams, or none where they would let too much pass. */
static void
put_masks(struct compiler *c, struct pyaudit_grams *head, const struct gram *grams, size_t n, unsigned stride,
	  const struct use *use)
{
	uint32_t *values = malloc((n + 1) * sizeof(*values));
	struct masks masks = {.n = 0};
	size_t n_values = 0;

	c->no_memory = c->no_memory || values == NULL;
	for (size_t i = 0; values != NULL && i < n; i++)
		if (i == 0 || grams[i].value != grams[i - 1].value)
			values[n_values++] = grams[i].value;
	if (values != NULL && masks_make(c, &masks, use->shares, values, n_values, head->width, stride)) {
		head->masks = pyaudit_le32_of(
			image_put(c, masks.bytes, head->width * sizeof(masks.bytes[0]), 16));
		head->whole = pyaudit_le32_of(
			image_put(c, masks.whole, head->width * sizeof(masks.whole[0]), 64));
		head->first_mask = masks.first;
		head->n_masks = masks.n;
	}
	free(values);
}

static void
put_gram_table(struct compiler *c, struct pyaudit_grams *head, const struct gram *grams, size_t n,
	       const struct literal *literals)
{
	size_t size = (size_t)1 << head->table_bits;
	struct pyaudit_gram *table = calloc(size, sizeof(*table));
	struct pyaudit_gram_literal *entries = calloc(n, sizeof(*entries));
	uint8_t *filter = calloc((size_t)1 << (head->filter_bits - 3), 1);

	if (table == NULL || entries == NULL || filter == NULL) {
		c->no_memory = true;
		goto out;
	}
	for (size_t i = 0; i < n;) {
		uint32_t value = grams[i].value, bit, slot;
		size_t first = i;

		for (; i < n && grams[i].value == value; i++) {
			const struct literal *literal = &literals[grams[i].literal];

			entries[i].text = literal->at;
			entries[i].len = pyaudit_le16_of(literal->len);
			entries[i].pos = pyaudit_le16_of(grams[i].pos);
			entries[i].rules = literal->rules;
		}
		bit = pyaudit_gram_hash(value) >> (32u - head->filter_bits);
		filter[bit / 8] |= (uint8_t)(1u << bit % 8);
		slot = pyaudit_gram_hash(value) >> 7;
		while (pyaudit_get32(table[slot % size].n) != 0)
			slot++;
		table[slot % size] = (struct pyaudit_gram){pyaudit_le32_of(value),
							   pyaudit_le32_of((uint32_t)first),
							   pyaudit_le32_of((uint32_t)(i - first))};
	}
	head->filter =
		pyaudit_le32_of(image_put(c, filter, (size_t)1 << (head->filter_bits - 3), 64));
	head->table = image_put_table(c, table, size, sizeof(*table));
	head->literals = image_put_table(c, entries, n, sizeof(*entries));
	head->n_literals = pyaudit_le32_of((uint32_t)n);
out:
	free(table);
	free(entries);
	free(filter);
}

pyaudit_le32
index_put_grams(struct compiler *c, const struct key *keys, size_t n_keys, unsigned width)
{
	struct pyaudit_grams head = {.width = (uint8_t)width, .stride = 1};
	struct literal *literals = calloc(n_keys + 1, sizeof(*literals));
	struct gram *grams = calloc(4 * n_keys + 1, sizeof(*grams));
	struct use *use = calloc(1, sizeof(*use));
	size_t n = 0, n_grams = 0, shortest = SIZE_MAX;
	unsigned stride = 1;
	pyaudit_le32 offset = pyaudit_le32_of(0);

	if (literals == NULL || grams == NULL || use == NULL) {
		c->no_memory = true;
		goto out;
	}
	for (size_t i = 0; i < n_keys;) {
		size_t first = i;

		while (i < n_keys && keys[i].len == keys[first].len &&
		       memcmp(keys[i].text, keys[first].text, keys[i].len) == 0)
			i++;
		literals[n].text = keys[first].text;
		literals[n].len = keys[first].len;
		literals[n].at = image_put_text(c, keys[first].text, keys[first].len);
		literals[n++].rules = index_put_rules(c, keys + first, i - first);
		if (keys[first].len < shortest)
			shortest = keys[first].len;
	}
	if (width == 4)
		stride = shortest >= 7 ? 4 : (unsigned)shortest - 3;
	masks_shares(use->shares);
	n_grams = choose_single(grams, literals, n, width, use);
	put_masks(c, &head, grams, n_grams, stride, use);
	if (pyaudit_get32(head.masks) == 0) {
		head.stride = (uint8_t)stride;
		n_grams = choose_strided(grams, literals, n, width, stride, use);
	}
	head.table_bits = (uint8_t)image_bits_for(2 * n_grams + 2);
	head.filter_bits = (uint8_t)image_bits_for(64 * n_grams);
	if (head.filter_bits < 10)
		head.filter_bits = 10;
	if (head.filter_bits > FILTER_BITS_MAX)
		head.filter_bits = FILTER_BITS_MAX;
	put_gram_table(c, &head, grams, n_grams, literals);
	offset = pyaudit_le32_of(image_put(c, &head, sizeof(head), 4));
out:
	free(literals);
	free(grams);
	free(use);
	return offset;
}
