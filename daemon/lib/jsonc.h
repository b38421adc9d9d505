/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON with comments, read into a tree in which every value and every member name knows its line
 * and column: messages about rule files need them, and no common JSON library keeps them. Strict
 * otherwise: UTF-8, no NUL, no duplicate names, no trailing commas.
 */
#ifndef LIB_JSONC_H
#define LIB_JSONC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "diag.h"

#define JSONC_VALUES_MAX (1u << 20) /* of one document */

enum jsonc_type {
	JSONC_NULL,
	JSONC_BOOL,
	JSONC_NUMBER,
	JSONC_STRING,
	JSONC_ARRAY,
	JSONC_OBJECT,
};

struct jsonc {
	enum jsonc_type type;
	bool is_int; /* NUMBER: `integer` holds it exactly */
	bool boolean;
	unsigned line, column; /* from 1, in characters */
	unsigned name_line, name_column;
	char *name; /* of a member of an object */
	size_t name_len;
	const char *raw; /* STRING: first byte behind its opening quote, in the source */
	union {
		struct {
			char *text; /* decoded, NUL terminated */
			size_t len;
		};
		struct {
			double number;
			int64_t integer;
		};
		struct {
			struct jsonc *child; /* ARRAY, OBJECT: first one */
			size_t n_children;
		};
	};
	struct jsonc *next;
};

struct jsonc_doc {
	char *source;
	struct jsonc *root;
};

/* Walks along a string value: offsets in the decoded text to columns in the source. */
struct jsonc_cursor {
	const char *raw;
	size_t offset;
	unsigned line, column;
};

enum jsonc_outcome {
	JSONC_OK = 0,
	JSONC_E_INVALID = 1, /* mistakes are in the diag */
};

/* 0, JSONC_E_INVALID or -ENOMEM. The document is the caller's: jsonc_free. With mistakes that
 * leave its shape clear (a trailing comma, a name that stands twice) it is given out as well, so
 * that further mistakes can be found in it; with others *ret_doc stays as it was. */
int jsonc_parse(struct jsonc_doc **ret_doc, const char *file, const char *text, size_t len,
		struct diag *diag);
void jsonc_free(struct jsonc_doc *doc);
void jsonc_freep(struct jsonc_doc **doc);

/* The member of that name, or NULL. */
const struct jsonc *jsonc_get(const struct jsonc *object, const char *name);
/* "a text", "an array", ... for messages. */
const char *jsonc_type_name(enum jsonc_type type);

void jsonc_cursor_init(struct jsonc_cursor *cursor, const struct jsonc *string);
/* Moves to byte @offset of the decoded text, forward or back (back starts over). */
void jsonc_cursor_move(struct jsonc_cursor *cursor, const struct jsonc *string, size_t offset);

#endif
