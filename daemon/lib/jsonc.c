/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recursive descent over bytes that are known to be UTF-8 (checked first), with the position
 * carried along. A mistake that leaves no doubt about what follows (a trailing comma, a name that
 * stands twice, a wrong escape) is reported and reading goes on; any other one ends the document.
 * Nesting is bounded by RULES_DEPTH_MAX, so the recursion is.
 */
#include "jsonc.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "rules.h"

struct parser {
	const char *p, *end;
	unsigned line, column;
	const char *file;
	struct diag *diag;
	unsigned depth;
	size_t n_values;
	bool mistakes; /* the tree must not be given out */
};

const char *
jsonc_type_name(enum jsonc_type type)
{
	static const char *const names[] = {"null",   "true or false", "a number",
					    "a text", "an array",      "an object"};

	return names[type];
}

static void
free_value(struct jsonc *value)
{
	while (value != NULL) {
		struct jsonc *next = value->next;

		if (value->type == JSONC_STRING)
			free(value->text);
		else if (value->type == JSONC_ARRAY || value->type == JSONC_OBJECT)
			free_value(value->child);
		free(value->name);
		free(value);
		value = next;
	}
}

static void
free_valuep(struct jsonc **value)
{
	free_value(*value);
}

__attribute__((format(printf, 4, 5))) static void
mistake(struct parser *ps, unsigned line, unsigned column, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	diag_vadd(ps->diag, DIAG_ERROR, ps->file, line, column, format, ap);
	va_end(ap);
	ps->mistakes = true;
}

/* The same, at the reading position. */
#define mistake_here(ps, ...) mistake((ps), (ps)->line, (ps)->column, __VA_ARGS__)

static void
step(struct parser *ps)
{
	unsigned char c = (unsigned char)*ps->p++;

	if (c == '\n') {
		ps->line++;
		ps->column = 1;
	} else if ((c & 0xc0) != 0x80) {
		ps->column++;
	}
}

/* Goes over the rest of a character whose first byte was stepped over. */
static void
finish_character(struct parser *ps)
{
	while (ps->p < ps->end && ((unsigned char)*ps->p & 0xc0) == 0x80)
		ps->p++;
}

static bool
at(const struct parser *ps, char c)
{
	return ps->p < ps->end && *ps->p == c;
}

/* What stands at the reading position, quoted for a message. */
static const char *
found(const struct parser *ps, char buf[16])
{
	size_t n = 1;

	if (ps->p >= ps->end)
		return "the end of the file";
	while (n < 4 && ps->p + n < ps->end && ((unsigned char)ps->p[n] & 0xc0) == 0x80)
		n++;
	buf[0] = '\'';
	memcpy(buf + 1, ps->p, n);
	buf[n + 1] = '\'';
	buf[n + 2] = '\0';
	return buf;
}

static int
skip_block_comment(struct parser *ps)
{
	unsigned line = ps->line, column = ps->column;

	step(ps);
	step(ps);
	while (ps->p < ps->end) {
		if (*ps->p == '*' && ps->p + 1 < ps->end && ps->p[1] == '/') {
			step(ps);
			step(ps);
			return 0;
		}
		step(ps);
	}
	mistake(ps, line, column, "this comment has no end");
	return JSONC_E_INVALID;
}

/* Blanks and comments. */
static int
skip(struct parser *ps)
{
	while (ps->p < ps->end) {
		char c = *ps->p;

		if (c == ' ' || c == '\t' || c == '\n' || c == '\r') {
			step(ps);
		} else if (c == '/' && ps->p + 1 < ps->end && ps->p[1] == '/') {
			while (ps->p < ps->end && *ps->p != '\n')
				step(ps);
		} else if (c == '/' && ps->p + 1 < ps->end && ps->p[1] == '*') {
			int r = skip_block_comment(ps);

			if (r != 0)
				return r;
		} else {
			break;
		}
	}
	return 0;
}

static int
hex4(const char *p, const char *end, unsigned *ret)
{
	unsigned v = 0;

	if (end - p < 4)
		return JSONC_E_INVALID;
	for (int i = 0; i < 4; i++) {
		char c = p[i];

		v <<= 4;
		if (c >= '0' && c <= '9')
			v |= (unsigned)(c - '0');
		else if (c >= 'a' && c <= 'f')
			v |= (unsigned)(c - 'a' + 10);
		else if (c >= 'A' && c <= 'F')
			v |= (unsigned)(c - 'A' + 10);
		else
			return JSONC_E_INVALID;
	}
	*ret = v;
	return 0;
}

static size_t
put_utf8(char *out, unsigned c)
{
	if (c < 0x80) {
		out[0] = (char)c;
		return 1;
	}
	if (c < 0x800) {
		out[0] = (char)(0xc0 | c >> 6);
		out[1] = (char)(0x80 | (c & 0x3f));
		return 2;
	}
	if (c < 0x10000) {
		out[0] = (char)(0xe0 | c >> 12);
		out[1] = (char)(0x80 | (c >> 6 & 0x3f));
		out[2] = (char)(0x80 | (c & 0x3f));
		return 3;
	}
	out[0] = (char)(0xf0 | c >> 18);
	out[1] = (char)(0x80 | (c >> 12 & 0x3f));
	out[2] = (char)(0x80 | (c >> 6 & 0x3f));
	out[3] = (char)(0x80 | (c & 0x3f));
	return 4;
}

/*
 * Decodes the escape at @p (at its backslash) into @out. Returns the source bytes it takes, or 0
 * for a wrong one. Used for reading and, by the cursor, for finding a place again.
 */
static size_t
decode_escape(const char *p, const char *end, char out[4], size_t *ret_len)
{
	static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
	unsigned c, low;
	const char *hit;

	if (end - p < 2)
		return 0;
	if (p[1] != 'u') {
		hit = p[1] != '\0' ? strchr(from, p[1]) : NULL;
		if (hit == NULL)
			return 0;
		out[0] = to[hit - from];
		*ret_len = 1;
		return 2;
	}
	if (hex4(p + 2, end, &c) != 0 || c == 0 || (c >= 0xdc00 && c <= 0xdfff))
		return 0;
	if (c < 0xd800 || c > 0xdbff) {
		*ret_len = put_utf8(out, c);
		return 6;
	}
	if (end - p < 12 || p[6] != '\\' || p[7] != 'u' || hex4(p + 8, end, &low) != 0 ||
	    low < 0xdc00 || low > 0xdfff)
		return 0;
	*ret_len = put_utf8(out, 0x10000 + ((c - 0xd800) << 10) + (low - 0xdc00));
	return 12;
}

/* The end of the string literal that starts at @p, behind its quote: at the closing one. */
static const char *
literal_end(const char *p, const char *end)
{
	while (p < end && *p != '"' && *p != '\n')
		p += *p == '\\' && p + 1 < end && p[1] != '\n' ? 2 : 1;
	return p;
}

/* Reads a string; the position is at its quote. */
static int
parse_string(struct parser *ps, char **ret_text, size_t *ret_len)
{
	unsigned line = ps->line, column = ps->column;
	CLEANUP(freep) char *text = NULL;
	const char *end;
	size_t len = 0;

	step(ps);
	end = literal_end(ps->p, ps->end);
	if (end >= ps->end || *end != '"') {
		mistake(ps, line, column, "this text has no closing quote");
		return JSONC_E_INVALID;
	}
	/* No escape decodes to more bytes than it has. */
	text = malloc((size_t)(end - ps->p) + 1);
	if (text == NULL)
		return -ENOMEM;

	while (ps->p < end) {
		unsigned char c = (unsigned char)*ps->p;
		size_t n_out = 0, n;

		if (c == '\\') {
			n = decode_escape(ps->p, end, text + len, &n_out);
			if (n == 0) {
				if (ps->p[1] == 'u')
					mistake_here(ps,
						     "wrong \\u escape: four hexadecimal digits, "
						     "no NUL, surrogates in pairs");
				else
					mistake_here(ps, "unknown escape; a backslash in a text is "
							 "written \\\\");
				n = 2; /* the second may start a longer character */
			}
			len += n_out;
			while (n-- > 0)
				step(ps);
			finish_character(ps);
			continue;
		}
		if (c < 0x20)
			mistake_here(ps, "control character in a text; write it as \\u%04x", c);
		text[len++] = (char)c;
		step(ps);
	}
	step(ps);
	text[len] = '\0';
	*ret_text = TAKE_PTR(text);
	*ret_len = len;
	return 0;
}

static int
parse_number(struct parser *ps, struct jsonc *value)
{
	unsigned line = ps->line, column = ps->column;
	const char *start = ps->p, *p = start;
	bool is_int = true;
	char buf[64];
	size_t len;

#define DIGITS()                                                                                   \
	do {                                                                                       \
		if (p >= ps->end || *p < '0' || *p > '9')                                          \
			goto wrong;                                                                \
		while (p < ps->end && *p >= '0' && *p <= '9')                                      \
			p++;                                                                       \
	} while (0)
	if (*p == '-')
		p++;
	if (p < ps->end && *p == '0')
		p++;
	else
		DIGITS();
	if (p < ps->end && *p == '.') {
		is_int = false;
		p++;
		DIGITS();
	}
	if (p < ps->end && (*p == 'e' || *p == 'E')) {
		is_int = false;
		p++;
		if (p < ps->end && (*p == '+' || *p == '-'))
			p++;
		DIGITS();
	}
#undef DIGITS
	len = (size_t)(p - start);
	if (len >= sizeof(buf))
		goto wrong;
	memcpy(buf, start, len);
	buf[len] = '\0';
	errno = 0;
	value->integer = is_int ? strtoll(buf, NULL, 10) : 0;
	value->is_int = is_int && errno == 0;
	value->number = strtod(buf, NULL);
	ps->p = p;
	ps->column += (unsigned)len;
	return 0;
wrong:
	mistake(ps, line, column, "not a number");
	return JSONC_E_INVALID;
}

static int
parse_word(struct parser *ps, struct jsonc *value)
{
	static const struct {
		const char *word;
		enum jsonc_type type;
		bool boolean;
	} words[] = {
		{"true", JSONC_BOOL, true},
		{"false", JSONC_BOOL, false},
		{"null", JSONC_NULL, false},
	};
	size_t left = (size_t)(ps->end - ps->p);
	char buf[16];

	for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
		size_t len = strlen(words[i].word);

		if (left < len || memcmp(ps->p, words[i].word, len) != 0)
			continue;
		value->type = words[i].type;
		value->boolean = words[i].boolean;
		ps->p += len;
		ps->column += (unsigned)len;
		return 0;
	}
	if (at(ps, '\''))
		mistake_here(ps, "texts stand in double quotes");
	else
		mistake_here(ps, "expected a value, found %s", found(ps, buf));
	return JSONC_E_INVALID;
}

static int parse_value(struct parser *ps, struct jsonc **ret);

static int
compare_names(const void *a, const void *b)
{
	const struct jsonc *x = *(const struct jsonc *const *)a;
	const struct jsonc *y = *(const struct jsonc *const *)b;
	int r = strcmp(x->name, y->name);

	if (r != 0)
		return r;
	if (x->name_line != y->name_line)
		return x->name_line < y->name_line ? -1 : 1;
	return (x->name_column > y->name_column) - (x->name_column < y->name_column);
}

static int
check_duplicates(struct parser *ps, const struct jsonc *object)
{
	CLEANUP(freep) const struct jsonc **members = NULL;
	const struct jsonc *first;
	size_t n = 0;

	if (object->n_children < 2)
		return 0;
	members = calloc(object->n_children, sizeof(*members));
	if (members == NULL)
		return -ENOMEM;
	for (const struct jsonc *m = object->child; m != NULL; m = m->next)
		members[n++] = m;
	qsort(members, n, sizeof(*members), compare_names);
	first = members[0];
	for (size_t i = 1; i < n; i++) {
		if (strcmp(first->name, members[i]->name) == 0)
			mistake(ps, members[i]->name_line, members[i]->name_column,
				"'%s' stands twice, first in line %u", first->name,
				first->name_line);
		else
			first = members[i];
	}
	return 0;
}

/* "name": in front of a member's value; the position is at the quote. */
static int
parse_name(struct parser *ps, struct jsonc *name)
{
	char buf[16];
	int r;

	if (!at(ps, '"')) {
		mistake_here(ps, "expected a name in double quotes, found %s", found(ps, buf));
		return JSONC_E_INVALID;
	}
	name->name_line = ps->line;
	name->name_column = ps->column;
	r = parse_string(ps, &name->name, &name->name_len);
	if (r != 0)
		return r;
	r = skip(ps);
	if (r != 0)
		return r;
	if (!at(ps, ':')) {
		mistake_here(ps, "expected ':' behind the name '%s', found %s", name->name,
			     found(ps, buf));
		return JSONC_E_INVALID;
	}
	step(ps);
	return 0;
}

static int
parse_member(struct parser *ps, bool is_object, struct jsonc **ret)
{
	struct jsonc name = {0};
	int r;

	if (is_object) {
		r = parse_name(ps, &name);
		if (r != 0)
			goto fail;
	}
	r = parse_value(ps, ret);
	if (r != 0)
		goto fail;
	(*ret)->name = name.name;
	(*ret)->name_len = name.name_len;
	(*ret)->name_line = name.name_line;
	(*ret)->name_column = name.name_column;
	return 0;
fail:
	free(name.name);
	return r;
}

/* An array or object; the position is at its opening bracket. */
static int
parse_container(struct parser *ps, struct jsonc *value)
{
	bool is_object = *ps->p == '{';
	char close = is_object ? '}' : ']', buf[16];
	struct jsonc **last = &value->child;
	unsigned line, column;
	int r;

	value->type = is_object ? JSONC_OBJECT : JSONC_ARRAY;
	if (ps->depth >= RULES_DEPTH_MAX) {
		mistake_here(ps, "nested more than %u deep", RULES_DEPTH_MAX);
		return JSONC_E_INVALID;
	}
	ps->depth++;
	step(ps);
	r = skip(ps);
	if (r != 0)
		return r;
	while (!at(ps, close)) {
		r = parse_member(ps, is_object, last);
		if (r != 0)
			return r;
		last = &(*last)->next;
		value->n_children++;
		r = skip(ps);
		if (r != 0)
			return r;
		if (at(ps, close))
			break;
		if (!at(ps, ',')) {
			mistake_here(ps, "expected ',' or '%c', found %s", close, found(ps, buf));
			return JSONC_E_INVALID;
		}
		line = ps->line;
		column = ps->column;
		step(ps);
		r = skip(ps);
		if (r != 0)
			return r;
		if (at(ps, close))
			mistake(ps, line, column, "trailing comma: nothing follows before '%c'",
				close);
	}
	step(ps);
	ps->depth--;
	return is_object ? check_duplicates(ps, value) : 0;
}

static int
parse_value(struct parser *ps, struct jsonc **ret)
{
	CLEANUP(free_valuep) struct jsonc *value = NULL;
	int r;

	r = skip(ps);
	if (r != 0)
		return r;
	if (++ps->n_values > JSONC_VALUES_MAX) {
		mistake_here(ps, "more than %u values in one file", JSONC_VALUES_MAX);
		return JSONC_E_INVALID;
	}
	value = calloc(1, sizeof(*value));
	if (value == NULL)
		return -ENOMEM;
	value->line = ps->line;
	value->column = ps->column;

	if (at(ps, '{') || at(ps, '[')) {
		r = parse_container(ps, value);
	} else if (at(ps, '"')) {
		value->raw = ps->p + 1;
		value->type = JSONC_STRING;
		r = parse_string(ps, &value->text, &value->len);
	} else if (ps->p < ps->end && (*ps->p == '-' || (*ps->p >= '0' && *ps->p <= '9'))) {
		value->type = JSONC_NUMBER;
		r = parse_number(ps, value);
	} else {
		r = parse_word(ps, value);
	}
	if (r == 0)
		*ret = TAKE_PTR(value);
	return r;
}

/* Length of the UTF-8 character at @p, or 0 where there is none. */
static size_t
utf8_length(const unsigned char *p, size_t left)
{
	unsigned min, c;
	size_t n;

	if (p[0] < 0x80)
		return 1;
	if (p[0] >= 0xc2 && p[0] <= 0xdf) {
		n = 2;
		min = 0x80;
		c = p[0] & 0x1f;
	} else if ((p[0] & 0xf0) == 0xe0) {
		n = 3;
		min = 0x800;
		c = p[0] & 0x0f;
	} else if (p[0] >= 0xf0 && p[0] <= 0xf4) {
		n = 4;
		min = 0x10000;
		c = p[0] & 0x07;
	} else {
		return 0;
	}
	if (left < n)
		return 0;
	for (size_t i = 1; i < n; i++) {
		if ((p[i] & 0xc0) != 0x80)
			return 0;
		c = c << 6 | (p[i] & 0x3f);
	}
	return c < min || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff) ? 0 : n;
}

/* Goes over the whole text once; what follows can rely on it. */
static int
check_text(struct parser *ps)
{
	struct parser walk = *ps;

	while (walk.p < walk.end) {
		size_t n = utf8_length((const unsigned char *)walk.p, (size_t)(walk.end - walk.p));

		if (n == 0 || *walk.p == '\0') {
			mistake(ps, walk.line, walk.column,
				n == 0 ? "not UTF-8 here" : "a NUL byte here");
			return JSONC_E_INVALID;
		}
		while (n-- > 0)
			step(&walk);
	}
	return 0;
}

static int
parse_document(struct parser *ps, struct jsonc **ret_root)
{
	char buf[16];
	int r;

	r = check_text(ps);
	if (r != 0)
		return r;
	if (ps->end - ps->p >= 3 && memcmp(ps->p, "\xef\xbb\xbf", 3) == 0)
		ps->p += 3; /* a byte order mark is no character of the text */
	r = parse_value(ps, ret_root);
	if (r != 0)
		return r;
	r = skip(ps);
	if (r != 0)
		return r;
	if (ps->p < ps->end) {
		mistake_here(ps, "expected the end of the file, found %s", found(ps, buf));
		return JSONC_E_INVALID;
	}
	return 0;
}

int
jsonc_parse(struct jsonc_doc **ret_doc, const char *file, const char *text, size_t len,
	    struct diag *diag)
{
	CLEANUP(jsonc_freep) struct jsonc_doc *doc = NULL;
	struct parser ps = {.line = 1, .column = 1, .file = file, .diag = diag};
	int r;

	if (len > RULES_FILE_SIZE_MAX) {
		diag_add(diag, DIAG_ERROR, file, 0, 0, "larger than %u bytes", RULES_FILE_SIZE_MAX);
		return JSONC_E_INVALID;
	}
	doc = calloc(1, sizeof(*doc));
	if (doc == NULL)
		return -ENOMEM;
	doc->source = malloc(len + 1);
	if (doc->source == NULL)
		return -ENOMEM;
	if (len > 0)
		memcpy(doc->source, text, len);
	doc->source[len] = '\0';

	ps.p = doc->source;
	ps.end = doc->source + len;
	r = parse_document(&ps, &doc->root);
	if (r != 0)
		return r;
	*ret_doc = TAKE_PTR(doc);
	return ps.mistakes ? JSONC_E_INVALID : 0;
}

void
jsonc_free(struct jsonc_doc *doc)
{
	if (doc == NULL)
		return;
	free_value(doc->root);
	free(doc->source);
	free(doc);
}

void
jsonc_freep(struct jsonc_doc **doc)
{
	jsonc_free(*doc);
}

const struct jsonc *
jsonc_get(const struct jsonc *object, const char *name)
{
	if (object == NULL || object->type != JSONC_OBJECT)
		return NULL;
	for (const struct jsonc *m = object->child; m != NULL; m = m->next)
		if (strcmp(m->name, name) == 0)
			return m;
	return NULL;
}

void
jsonc_cursor_init(struct jsonc_cursor *cursor, const struct jsonc *string)
{
	*cursor = (struct jsonc_cursor){
		.raw = string->raw,
		.line = string->line,
		.column = string->column + 1, /* behind the quote */
	};
}

void
jsonc_cursor_move(struct jsonc_cursor *cursor, const struct jsonc *string, size_t offset)
{
	if (offset > string->len)
		offset = string->len;
	if (offset < cursor->offset)
		jsonc_cursor_init(cursor, string);
	while (cursor->offset < offset) {
		char out[4];
		size_t n_out;

		if (*cursor->raw == '\\') {
			size_t n = decode_escape(
				cursor->raw, cursor->raw + strnlen(cursor->raw, 12), out, &n_out);

			if (n == 0) { /* a wrong one, which gave nothing */
				n = 2;
				n_out = 0;
			}
			if (cursor->offset + n_out > offset)
				return; /* within a character: stay at its start */
			cursor->raw += n;
			cursor->column += (unsigned)n;
			cursor->offset += n_out;
			while (((unsigned char)*cursor->raw & 0xc0) == 0x80)
				cursor->raw++;
			continue;
		}
		if (((unsigned char)*cursor->raw & 0xc0) != 0x80)
			cursor->column++;
		cursor->raw++;
		cursor->offset++;
	}
}
