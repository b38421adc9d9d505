/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Collects mistakes. A mistake that cannot be stored (no memory, too many) is still counted, so
 * that a run with mistakes never looks clean.
 */
#include "diag.h"

#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "buf.h"
#include "cleanup.h"

void
diag_init(struct diag *diag)
{
	*diag = (struct diag){0};
}

void
diag_fini(struct diag *diag)
{
	for (size_t i = 0; i < diag->n_entries; i++) {
		free(diag->entries[i].file);
		free(diag->entries[i].message);
	}
	free(diag->entries);
	*diag = (struct diag){0};
}

void
diag_add(struct diag *diag, enum diag_level level, const char *file, unsigned line, unsigned column,
	 const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	diag_vadd(diag, level, file, line, column, format, ap);
	va_end(ap);
}

void
diag_vadd(struct diag *diag, enum diag_level level, const char *file, unsigned line,
	  unsigned column, const char *format, va_list ap)
{
	CLEANUP(freep) char *message = NULL;
	CLEANUP(freep) char *name = NULL;
	struct diag_entry *entries;

	if (level == DIAG_ERROR)
		diag->n_errors++;
	else if (level == DIAG_WARNING)
		diag->n_warnings++;
	else
		diag->n_notes++;
	if (diag->n_entries >= DIAG_MAX)
		return;

	if (vasprintf(&message, format, ap) < 0) {
		message = NULL;
		return;
	}
	name = strdup(file != NULL ? file : "");
	if (name == NULL)
		return;
	/* Grown by one: there are few, and never more than DIAG_MAX. */
	entries = realloc(diag->entries, (diag->n_entries + 1) * sizeof(*entries));
	if (entries == NULL)
		return;
	diag->entries = entries;
	entries[diag->n_entries++] = (struct diag_entry){
		.level = level,
		.file = TAKE_PTR(name),
		.line = line,
		.column = column,
		.message = TAKE_PTR(message),
	};
}

void
diag_code(struct diag *diag, const char *code)
{
	/* Of an entry that was not kept there is nothing to name. */
	if (diag->n_entries > 0 && diag->entries[diag->n_entries - 1].code == NULL)
		diag->entries[diag->n_entries - 1].code = code;
}

static int
compare_entries(const void *a, const void *b)
{
	const struct diag_entry *x = *(const struct diag_entry *const *)a;
	const struct diag_entry *y = *(const struct diag_entry *const *)b;
	int r = strcmp(x->file, y->file);

	if (r != 0)
		return r;
	if (x->line != y->line)
		return x->line < y->line ? -1 : 1;
	if (x->column != y->column)
		return x->column < y->column ? -1 : 1;
	/* Entries of one place keep their order: the array they point into is in that order. */
	return (x > y) - (x < y);
}

/* Controls, C1 and what ends or reorders a line: U+200E, U+200F, U+2028 to U+202E, U+2066 to
 * U+2069. @s is valid UTF-8 of @len bytes. */
static bool
steers_terminal(const unsigned char *s, size_t len)
{
	if (len == 1)
		return s[0] < 0x20 || s[0] == 0x7f;
	if (len == 2)
		return s[0] == 0xc2 && s[1] < 0xa0;
	if (len != 3 || s[0] != 0xe2)
		return false;
	if (s[1] == 0x80)
		return s[2] == 0x8e || s[2] == 0x8f || (s[2] >= 0xa8 && s[2] <= 0xae);
	return s[1] == 0x81 && s[2] >= 0xa6 && s[2] <= 0xa9;
}

/* Text of a rule file stands in messages, and its name may be anything. Backslashes stay single:
 * messages are about them. */
static void
print_escaped(const char *text, FILE *out)
{
	size_t left = strlen(text);

	while (left > 0) {
		size_t len = utf8_sequence(text, left);
		bool escape = len == 0 || steers_terminal((const unsigned char *)text, len);

		len = len == 0 ? 1 : len;
		for (size_t i = 0; escape && i < len; i++)
			(void)fprintf(out, "\\x%02x", (unsigned char)text[i]);
		if (!escape)
			(void)fwrite(text, 1, len, out);
		text += len;
		left -= len;
	}
}

static void
print_entry(const struct diag_entry *entry, FILE *out)
{
	if (entry->file[0] != '\0') {
		print_escaped(entry->file, out);
		if (entry->line > 0)
			(void)fprintf(out, ":%u:%u", entry->line, entry->column);
		(void)fputs(": ", out);
	}
	if (entry->level == DIAG_WARNING)
		(void)fputs("warning: ", out);
	if (entry->level == DIAG_NOTE)
		(void)fputs("note: ", out);
	print_escaped(entry->message, out);
	(void)fputc('\n', out);
}

void
diag_print(const struct diag *diag, FILE *out)
{
	CLEANUP(freep) const struct diag_entry **sorted = NULL;
	size_t n_left = diag->n_errors + diag->n_warnings + diag->n_notes - diag->n_entries;

	if (diag->n_entries > 0)
		sorted = calloc(diag->n_entries, sizeof(*sorted));
	for (size_t i = 0; sorted != NULL && i < diag->n_entries; i++)
		sorted[i] = &diag->entries[i];
	if (sorted != NULL)
		qsort(sorted, diag->n_entries, sizeof(*sorted), compare_entries);

	for (size_t i = 0; i < diag->n_entries; i++)
		print_entry(sorted != NULL ? sorted[i] : &diag->entries[i], out);
	if (n_left > 0)
		(void)fprintf(out, "%zu more not shown\n", n_left);
}
