/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of the compiler, and the image as it grows: parts before those that refer to them. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "compiler.h"

/* How many times what is in the image may be shared: who checks an image counts what is shared each time. */
#define SHARED_FACTOR 4

void *
compiler_take(struct compiler *c, size_t n)
{
	struct block *block = c->blocks;
	size_t size = n > 65536 ? n : 65536;

	n = (n + 7) & ~(size_t)7;
	if (block == NULL || block->size - block->used < n) {
		block = malloc(sizeof(*block) + size + 8);
		if (block == NULL) {
			c->no_memory = true;
			return NULL;
		}
		block->next = c->blocks;
		block->used = 0;
		block->size = size + 8;
		c->blocks = block;
	}
	block->used += n;
	return block->bytes + block->used - n;
}

bool
compiler_grow(struct compiler *c, void *array, size_t n, size_t *size, size_t each)
{
	size_t wanted = *size > 0 ? *size * 2 : 16;
	void *bytes;

	if (n < *size)
		return true;
	memcpy(&bytes, array, sizeof(bytes));
	bytes = realloc(bytes, wanted * each);
	if (bytes == NULL) {
		c->no_memory = true;
		return false;
	}
	memcpy(array, &bytes, sizeof(bytes));
	*size = wanted;
	return true;
}

__attribute__((format(printf, 5, 6))) void
compiler_mistake(struct compiler *c, const struct expr *expr, unsigned line, unsigned column,
		 const char *format, ...)
{
	char message[256];
	va_list ap;

	va_start(ap, format);
	(void)vsnprintf(message, sizeof(message), format, ap);
	va_end(ap);
	diag_add(c->diag, DIAG_ERROR, expr->file, line, column, "%s", message);
	c->mistakes = true;
}

/* Where the same bytes stand already, so aligned, or the empty entry for them. */
static struct placed *
find_placed(struct compiler *c, const void *bytes, size_t n, size_t align, uint64_t hash)
{
	for (size_t i = hash;; i++) {
		struct placed *placed = &c->placed[i & (c->placed_size - 1)];

		if (placed->n == 0 || (placed->hash == hash && placed->n == n && placed->at % align == 0 &&
				       memcmp(c->out.data + placed->at, bytes, n) == 0))
			return placed;
	}
}

static bool
grow_placed(struct compiler *c)
{
	struct placed *old = c->placed;
	size_t old_size = c->placed_size;

	if (2 * c->n_placed < old_size)
		return true;
	c->placed_size = old_size > 0 ? 2 * old_size : 1024;
	c->placed = calloc(c->placed_size, sizeof(*c->placed));
	if (c->placed == NULL) {
		c->placed = old;
		c->placed_size = old_size;
		c->no_memory = true;
		return false;
	}
	for (size_t i = 0; i < old_size; i++) {
		size_t to = old[i].hash;

		if (old[i].n == 0)
			continue;
		while (c->placed[to & (c->placed_size - 1)].n > 0)
			to++;
		c->placed[to & (c->placed_size - 1)] = old[i];
	}
	free(old);
	return true;
}

static uint32_t
append(struct compiler *c, const void *bytes, size_t n, size_t align)
{
	static const char zeros[64];
	uint32_t offset;

	if (c->out.len % align != 0)
		buf_add(&c->out, zeros, align - c->out.len % align);
	offset = (uint32_t)c->out.len;
	buf_add(&c->out, bytes, n);
	if (c->out.len > PYAUDIT_IMAGE_SIZE_MAX) {
		c->too_large = true;
		c->out.failed = true; /* takes no more */
	}
	return offset;
}

uint32_t
image_put(struct compiler *c, const void *bytes, size_t n, size_t align)
{
	uint64_t hash = n > 0 ? pyaudit_text_hash(bytes, n) : 0;
	struct placed *placed;

	if (n == 0 || c->out.failed || !grow_placed(c))
		return append(c, bytes, n, align);
	placed = find_placed(c, bytes, n, align, hash);
	if (placed->n > 0) {
		if (c->n_shared + n > SHARED_FACTOR * c->out.len)
			return append(c, bytes, n, align);
		c->n_shared += n;
		return placed->at;
	}
	*placed = (struct placed){.hash = hash, .at = append(c, bytes, n, align), .n = (uint32_t)n};
	c->n_placed++;
	return placed->at;
}

struct buf *
image_build(struct compiler *c)
{
	buf_reset(&c->built);
	return &c->built;
}

uint32_t
image_put_built(struct compiler *c, size_t align)
{
	if (c->built.failed)
		c->no_memory = true;
	return image_put(c, c->built.data, c->built.len, align);
}

pyaudit_le32
image_put_table(struct compiler *c, const void *bytes, size_t n, size_t each)
{
	return pyaudit_le32_of(image_put(c, bytes, n * each, n * each >= 64 ? 16 : 4));
}

pyaudit_le32
image_put_text(struct compiler *c, const char *text, size_t len)
{
	return pyaudit_le32_of(image_put(c, text, len, 1));
}

struct pyaudit_list
image_put_list(struct compiler *c, const uint16_t *items, size_t n)
{
	struct pyaudit_list list = {pyaudit_le32_of(0), pyaudit_le32_of((uint32_t)n)};
	struct buf *built = image_build(c);

	if (n == 0)
		return list;
	for (size_t i = 0; i < n; i++) {
		pyaudit_le16 item = pyaudit_le16_of(items[i]);

		buf_add(built, &item, sizeof(item));
	}
	list.at = pyaudit_le32_of(image_put_built(c, 2));
	return list;
}

unsigned
image_bits_for(size_t n)
{
	unsigned bits = 0;

	while (bits < 31 && (size_t)1 << bits < n)
		bits++;
	return bits;
}

pyaudit_le32
image_put_dfa(struct compiler *c, const struct dfa *dfa)
{
	size_t n = (size_t)dfa->n_states * dfa->n_classes;
	struct pyaudit_dfa head = {.n_states = pyaudit_le32_of(dfa->n_states),
				   .n_classes = pyaudit_le32_of(dfa->n_classes),
				   .start = pyaudit_le32_of(dfa->start),
				   .first_accept = pyaudit_le32_of(dfa->first_accept)};
	struct buf *built = image_build(c);

	memcpy(head.classes, dfa->classes, sizeof(head.classes));
	buf_add(built, &head, sizeof(head));
	for (size_t i = 0; i < n; i++) {
		pyaudit_le16 next = pyaudit_le16_of(dfa->next[i]);

		buf_add(built, &next, dfa->n_states <= PYAUDIT_DFA_NARROW ? 1 : 2); /* the low byte comes first */
	}
	return pyaudit_le32_of(image_put_built(c, 16));
}
