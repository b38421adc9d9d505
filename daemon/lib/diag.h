/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A list of mistakes, each with file, line and column, collected over a whole run so that a user
 * sees all of them at once. Prints as `file:line:col: message` and a hint.
 */
#ifndef LIB_DIAG_H
#define LIB_DIAG_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

#define DIAG_MAX 200 /* further ones are only counted */

enum diag_level {
	DIAG_ERROR,
	DIAG_WARNING,
	DIAG_NOTE, /* counted neither as the one nor the other */
};

struct diag_entry {
	enum diag_level level;
	char *file;
	unsigned line, column; /* from 1; 0: the whole file. Columns count characters, not bytes */
	char *message;
	const char *code; /* a name for programs that stays the same: a constant; NULL: "mistake" */
};

struct diag {
	struct diag_entry *entries;
	size_t n_entries;
	size_t n_errors, n_warnings, n_notes; /* all, also those beyond DIAG_MAX */
};

void diag_init(struct diag *diag);
void diag_fini(struct diag *diag);
__attribute__((format(printf, 6, 7))) void diag_add(struct diag *diag, enum diag_level level,
						    const char *file, unsigned line,
						    unsigned column, const char *format, ...);
__attribute__((format(printf, 6, 0))) void diag_vadd(struct diag *diag, enum diag_level level,
						     const char *file, unsigned line,
						     unsigned column, const char *format,
						     va_list ap);
/* Gives the entry added last a code, where it has none. */
void diag_code(struct diag *diag, const char *code);
/* One line per entry, sorted by file, line and column, then a count of those left out. */
void diag_print(const struct diag *diag, FILE *out);

#endif
