/* SPDX-License-Identifier: Apache-2.0 */
/* Tries over the start or the end of a value: one walk finds every rule that has a trigger there.
 */
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

int
index_key_compare(const void *a, const void *b)
{
	const struct key *x = a, *y = b;
	size_t n = x->len < y->len ? x->len : y->len;
	int r = memcmp(x->text, y->text, n);

	if (r != 0)
		return r;
	if (x->len != y->len)
		return x->len < y->len ? -1 : 1;
	if (x->end != y->end)
		return x->end ? 1 : -1;
	return x->rule < y->rule ? -1 : x->rule > y->rule;
}

struct trie {
	struct pyaudit_trie_node *nodes;
	size_t n, size;
	bool backward;
};

struct pyaudit_list
index_put_rules(struct compiler *c, const struct key *keys, size_t n)
{
	uint16_t *rules = malloc((n + 1) * sizeof(*rules));
	struct pyaudit_list list;
	size_t n_rules = 0;

	if (rules == NULL) {
		c->no_memory = true;
		return (struct pyaudit_list){pyaudit_le32_of(0), pyaudit_le32_of(0)};
	}
	for (size_t i = 0; i < n; i++)
		if (n_rules == 0 || rules[n_rules - 1] != keys[i].rule)
			rules[n_rules++] = keys[i].rule;
	list = image_put_list(c, rules, n_rules);
	free(rules);
	return list;
}

/* A label as it stands in the text; keys of what is walked from the end are reversed. */
static pyaudit_le64
label_of(const char *text, size_t n, bool backward)
{
	uint64_t label = 0;

	for (size_t i = 0; i < n; i++) {
		size_t place = backward ? n - 1 - i : i;

		label |= (uint64_t)(unsigned char)text[i] << 8 * place;
	}
	return pyaudit_le64_of(label);
}

/* The keys are sorted and agree in their first @depth bytes. Not deeper than TRIGGER_LEN_MAX. */
static uint32_t
build_trie(struct compiler *c, struct trie *trie, const struct key *keys, size_t n, size_t depth)
{
	const struct key *last = &keys[n - 1];
	size_t start = depth, n_here = 0, n_end = 0, i;
	struct pyaudit_trie_node node = {.low = 0};
	uint32_t number = (uint32_t)trie->n;
	pyaudit_le32 children[256];

	if (!compiler_grow(c, &trie->nodes, trie->n, &trie->size, sizeof(*trie->nodes)))
		return 0;
	trie->n++;

	while (depth - start < PYAUDIT_LABEL_MAX && depth < keys[0].len && depth < last->len &&
	       keys[0].text[depth] == last->text[depth])
		depth++;
	node.label_len = (uint8_t)(depth - start);
	node.label = label_of(keys[0].text + start, depth - start, trie->backward);
	while (n_here < n && keys[n_here].len == depth && !keys[n_here].end)
		n_here++;
	while (n_here + n_end < n && keys[n_here + n_end].len == depth)
		n_end++;
	node.here = index_put_rules(c, keys, n_here);
	node.end = index_put_rules(c, keys + n_here, n_end);

	i = n_here + n_end;
	if (i < n) {
		unsigned low = (unsigned char)keys[i].text[depth];
		unsigned high = (unsigned char)last->text[depth];

		node.low = (uint8_t)low;
		node.n_children = pyaudit_le16_of((uint16_t)(high - low + 1));
		memset(children, 0, sizeof(children));
		while (i < n) {
			unsigned byte = (unsigned char)keys[i].text[depth];
			size_t first = i;

			while (i < n && (unsigned char)keys[i].text[depth] == byte)
				i++;
			children[byte - low] = pyaudit_le32_of(
				build_trie(c, trie, keys + first, i - first, depth + 1));
		}
		node.children = image_put_table(c, children, high - low + 1, sizeof(children[0]));
	}
	if (number < trie->n && trie->nodes != NULL)
		trie->nodes[number] = node;
	return number;
}

pyaudit_le32
index_put_trie(struct compiler *c, struct key *keys, size_t n, bool backward)
{
	struct pyaudit_trie head;
	struct trie trie = {NULL, 0, 0, backward};

	if (n == 0)
		return pyaudit_le32_of(0);
	qsort(keys, n, sizeof(*keys), index_key_compare);
	(void)build_trie(c, &trie, keys, n, 0);
	head.nodes = image_put_table(c, trie.nodes, trie.n, sizeof(*trie.nodes));
	head.n_nodes = pyaudit_le32_of((uint32_t)trie.n);
	free(trie.nodes);
	return pyaudit_le32_of(image_put(c, &head, sizeof(head), 4));
}
