/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From 3.11 on Python finds a frame's line by decoding the location table of its code from the
 * start (Objects/locations.md): a thousand instructions in a function of some length, more than all
 * else that recording an event takes. Most events come from few places, again and again, so the
 * answers are remembered.
 *
 * Nothing here is known by its address, for addresses are used again: of an answer there is a copy
 * of all that it was made from, which is compared byte by byte. The line follows from the first
 * line of the code, the position in it and the entries of the table up to that position. The first
 * line is an integer before co_filename in the code object; which one it is need not be known, for
 * all the words there are compared (other code with the same words and the same entries has the
 * same lines).
 *
 * Interpreters with a GIL of their own may come here at the same time. Whoever finds the memory
 * taken asks Python, as does a child of a fork that happened meanwhile.
 */
#include <stdatomic.h>
#include <string.h>

#include "lines.h"

#define N_ENTRIES_BITS 4 /* two pages in all */
#define HEAD_MAX 96   /* bytes of a code object from its flags to co_filename: 88 in 3.11 to 3.14 */
#define TABLE_MAX 392 /* what is decoded of the location table: some hundred lines of code */

struct entry {
	int32_t lasti;
	uint32_t line;
	uint32_t seen; /* the last question that had no answer here: it is remembered when it comes
			  again */
	uint32_t n_table; /* 0: empty */
	uint8_t head[HEAD_MAX];
	uint8_t table[TABLE_MAX];
};

static struct entry *entries; /* 1 << N_ENTRIES_BITS */
static atomic_flag busy = ATOMIC_FLAG_INIT;

size_t
lines_use(void *room)
{
	if (room != NULL)
		entries = room;
	return sizeof(*entries) << N_ENTRIES_BITS;
}

struct question {
	const uint8_t *head, *table;
	size_t n_head, n_table; /* the whole table's bytes */
	int lasti;
	uint32_t hash;
};

static bool
make_question(PyObject *frame, PyObject *code, struct question *ret)
{
	size_t head = python.type_offset + 2 * sizeof(void *);
	PyObject *linetable;
	char *bytes;
	ssize_t len;

	if (python.code_linetable == 0 || python.free_threaded ||
	    python.code_filename - head > HEAD_MAX)
		return false;
	memcpy(&linetable, (const char *)code + python.code_linetable, sizeof(linetable));
	if (linetable == NULL || python_type(linetable) != python.PyBytes_Type ||
	    python.PyBytes_AsStringAndSize(linetable, &bytes, &len) != 0)
		return false;
	ret->head = (const uint8_t *)code + head;
	ret->n_head = python.code_filename - head;
	ret->table = (const uint8_t *)bytes;
	ret->n_table = (size_t)len;
	ret->lasti = python.PyFrame_GetLasti(frame);
	ret->hash =
		((uint32_t)((uintptr_t)bytes >> 4) + (uint32_t)ret->lasti * 0x9e5u) * 0x9e3779b1u;
	return ret->lasti >= 0 && len > 0;
}

/* Bytes of the table up to the end of the entry that covers the position. An entry begins with a
 * byte whose highest bit is set; its lowest three are the code units covered, less one. */
static size_t
entries_until(const struct question *q)
{
	int64_t left = q->lasti;
	size_t i = 0;

	while (i < q->n_table && left >= 0) {
		left -= 2 * ((q->table[i] & 7) + 1);
		for (i++; i < q->n_table && (q->table[i] & 0x80) == 0;)
			i++;
	}
	return left < 0 ? i : 0;
}

static bool
is_answer(const struct entry *entry, const struct question *q)
{
	return entry->n_table != 0 && entry->lasti == q->lasti && entry->n_table <= q->n_table &&
	       memcmp(entry->table, q->table, entry->n_table) == 0 &&
	       memcmp(entry->head, q->head, q->n_head) == 0;
}

static void
remember(struct entry *entry, const struct question *q, uint32_t line)
{
	size_t n = entries_until(q);

	if (n == 0 || n > TABLE_MAX)
		return;
	entry->lasti = q->lasti;
	entry->line = line;
	entry->n_table = (uint32_t)n;
	memcpy(entry->head, q->head, q->n_head);
	memcpy(entry->table, q->table, n);
}

static uint32_t
ask_frame(PyObject *frame)
{
	int line = python.PyFrame_GetLineNumber(frame);

	return line > 0 ? (uint32_t)line : 0;
}

uint32_t
line_of(PyObject *frame, PyObject *code)
{
	struct question q;
	struct entry *entry;
	uint32_t line;
	int found;

	if (!make_question(frame, code, &q) ||
	    atomic_flag_test_and_set_explicit(&busy, memory_order_acquire))
		return ask_frame(frame);
	entry = &entries[q.hash >> (32 - N_ENTRIES_BITS)];
	if (is_answer(entry, &q)) {
		line = entry->line;
	} else if (entry->seen != q.hash) {
		entry->seen = q.hash;
		line = ask_frame(frame);
	} else {
		/* Not the frame, which gives another line while a debugger moves it. */
		found = python.PyCode_Addr2Line(code, q.lasti);
		line = found > 0 ? (uint32_t)found : 0;
		remember(entry, &q, line);
	}
	atomic_flag_clear_explicit(&busy, memory_order_release);
	return line;
}
