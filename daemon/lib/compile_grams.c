/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Texts to find anywhere in a value, by grams of them at successive places, so that only every
 * stride-th place of the value is looked up.
 */
#include <limits.h>
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

/* Where in the literal the grams stand that the fewest others have. */
static size_t
choose_grams(const struct literal *literal, unsigned width, unsigned stride, const uint16_t *use)
{
	size_t best = 0;
	unsigned best_use = UINT_MAX;

	for (size_t at = 0; at + stride - 1 + width <= literal->len; at++) {
		unsigned sum = 0;

		for (size_t i = at; i < at + stride; i++)
			sum += use[pyaudit_gram_hash(gram_at(literal->text + i, width)) %
				   GRAM_USE_SIZE];
		if (sum < best_use) {
			best = at;
			best_use = sum;
		}
	}
	return best;
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
	uint16_t *use = calloc(GRAM_USE_SIZE, sizeof(*use));
	size_t n = 0, n_grams = 0, shortest = SIZE_MAX;
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
		head.stride = (uint8_t)(shortest >= 7 ? 4 : shortest - 3);
	for (size_t i = 0; i < n; i++) {
		size_t at = choose_grams(&literals[i], width, head.stride, use);

		for (size_t k = at; k < at + head.stride; k++) {
			uint32_t value = gram_at(literals[i].text + k, width);
			uint16_t *count = &use[pyaudit_gram_hash(value) % GRAM_USE_SIZE];

			grams[n_grams++] = (struct gram){value, (uint32_t)i, (uint16_t)k};
			*count = (uint16_t)(*count + (*count < UINT16_MAX));
		}
	}
	qsort(grams, n_grams, sizeof(*grams), compare_grams);
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
