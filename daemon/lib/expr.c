/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reads conditions. A lexer gives one token ahead; the parser is a recursive descent whose depth
 * the nesting limit bounds. Chains of `and` and `or` become balanced trees, so that a thousand
 * alternatives are ten levels deep. A mistake in a name or a value leaves the shape of the
 * condition clear: it is reported and reading goes on; one in the grammar ends the condition.
 *
 *   condition  = and-part { "or" and-part }
 *   and-part   = not-part { "and" not-part }
 *   not-part   = "not" not-part | primary
 *   primary    = "(" condition ")" | "exists" FIELD | FIELD | MACRO
 *              | FIELD comparison value | FIELD [ "not" ] "in" values
 *              | FIELD [ "not" ] word-operator ( value | values )
 *   values     = "$" LIST | "[" value { "," value } "]" | "(" value { "," value } ")"
 */
#include "expr.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "cleanup.h"
#include "pattern.h"

#define WORD_MAX 96 /* bytes of a word that messages repeat */
#define OPERANDS_MAX 65536

/* proc.user is no field of the table: it is resolved to proc.uid here, once, by name. */
static const char user_field[] = "proc.user";
#define FIELD_USER (PYAUDIT_N_FIELDS + 1u)
#define FIELD_UNKNOWN (PYAUDIT_N_FIELDS + 2u)

const struct expr expr_broken = {.op = EXPR_TRUE};

/* ---- trees ---- */

void
expr_value_fini(struct expr_value *value)
{
	free(value->text);
	*value = (struct expr_value){0};
}

static void
free_values(struct expr_value *values, size_t n_values)
{
	for (size_t i = 0; i < n_values; i++)
		expr_value_fini(&values[i]);
	free(values);
}

void
expr_free(struct expr *expr)
{
	if (expr == NULL)
		return;
	expr_free(expr->a);
	expr_free(expr->b);
	free_values(expr->values, expr->n_values);
	free(expr);
}

void
expr_freep(struct expr **expr)
{
	expr_free(*expr);
}

struct expr *
expr_join(enum expr_op op, struct expr *a, struct expr *b)
{
	struct expr *expr = NULL;

	if (a != NULL && (b != NULL || op == EXPR_NOT))
		expr = calloc(1, sizeof(*expr));
	if (expr == NULL) {
		expr_free(a);
		expr_free(b);
		return NULL;
	}
	expr->op = op;
	expr->a = a;
	expr->b = b;
	expr->file = a->file;
	expr->line = a->line;
	expr->column = a->column;
	return expr;
}

struct expr *
expr_join_all(enum expr_op op, struct expr **exprs, size_t n_exprs)
{
	bool failed = false;

	/* Neighbours first, then pairs of those: a tree as flat as can be. */
	while (n_exprs > 1) {
		size_t n = 0;

		for (size_t i = 0; i < n_exprs; i += 2) {
			struct expr *expr = exprs[i];

			if (i + 1 < n_exprs)
				expr = expr_join(op, expr, exprs[i + 1]);
			failed = failed || expr == NULL;
			exprs[n++] = expr;
		}
		n_exprs = n;
	}
	if (failed) {
		expr_free(exprs[0]);
		return NULL;
	}
	return exprs[0];
}

void
expr_measure(const struct expr *expr, size_t *ret_n_nodes, unsigned *ret_height)
{
	/* A walk with its own stack: the height is what is to be found out. */
	const struct expr *stack[RULES_DEPTH_MAX + 2];
	unsigned height_at[RULES_DEPTH_MAX + 2];
	unsigned n = 0, height = 0;
	size_t n_nodes = 0;

	stack[n] = expr;
	height_at[n++] = 1;
	while (n > 0) {
		const struct expr *e = stack[--n];
		unsigned h = height_at[n];

		n_nodes++;
		if (h > height)
			height = h;
		if (h > RULES_DEPTH_MAX)
			break;
		/* One pending node per level and the one at hand: the stack cannot overflow. */
		if (e->b != NULL) {
			stack[n] = e->b;
			height_at[n++] = h + 1;
		}
		if (e->a != NULL) {
			stack[n] = e->a;
			height_at[n++] = h + 1;
		}
	}
	*ret_n_nodes = n_nodes;
	*ret_height = height;
}

static int
copy_value(struct expr_value *ret, const struct expr_value *value)
{
	*ret = *value;
	ret->text = NULL;
	if (value->text != NULL) {
		ret->text = malloc(value->len + 1);
		if (ret->text == NULL)
			return -ENOMEM;
		memcpy(ret->text, value->text, value->len + 1);
	}
	return 0;
}

/* A copy of a macro's expression; its height is known to be bounded. */
static struct expr *
copy_expr(const struct expr *expr)
{
	CLEANUP(expr_freep) struct expr *copy = calloc(1, sizeof(*copy));

	if (copy == NULL)
		return NULL;
	*copy = *expr;
	copy->a = copy->b = NULL;
	copy->values = NULL;
	copy->n_values = 0;
	if (expr->n_values > 0) {
		copy->values = calloc(expr->n_values, sizeof(*copy->values));
		if (copy->values == NULL)
			return NULL;
		for (; copy->n_values < expr->n_values; copy->n_values++)
			if (copy_value(&copy->values[copy->n_values],
				       &expr->values[copy->n_values]) != 0)
				return NULL;
	}
	if (expr->a != NULL && (copy->a = copy_expr(expr->a)) == NULL)
		return NULL;
	if (expr->b != NULL && (copy->b = copy_expr(expr->b)) == NULL)
		return NULL;
	return TAKE_PTR(copy);
}

static size_t
count_values(const struct expr *expr)
{
	return expr->n_values + (expr->a != NULL ? count_values(expr->a) : 0) +
	       (expr->b != NULL ? count_values(expr->b) : 0);
}

/* ---- suggestions ---- */

#define SUGGEST_LEN_MAX 64

void
suggest_init(struct suggest *suggest, const char *name, size_t len)
{
	*suggest = (struct suggest){.name = name, .len = len, .distance = ~0u};
}

/* Edits that turn one into the other (insert, remove, replace, swap neighbours), case aside. */
static unsigned
edit_distance(const char *a, size_t n_a, const char *b, size_t n_b)
{
	unsigned rows[3][SUGGEST_LEN_MAX + 1];
	unsigned *before = rows[0], *above = rows[1], *row = rows[2], *swap;

	for (size_t j = 0; j <= n_b; j++)
		above[j] = (unsigned)j;
	for (size_t i = 1; i <= n_a; i++) {
		row[0] = (unsigned)i;
		for (size_t j = 1; j <= n_b; j++) {
			int x = tolower((unsigned char)a[i - 1]),
			    y = tolower((unsigned char)b[j - 1]);
			unsigned d = above[j - 1] + (x != y);

			if (above[j] + 1 < d)
				d = above[j] + 1;
			if (row[j - 1] + 1 < d)
				d = row[j - 1] + 1;
			if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
			    y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < d)
				d = before[j - 2] + 1;
			row[j] = d;
		}
		swap = before;
		before = above;
		above = row;
		row = swap;
	}
	return above[n_b];
}

void
suggest_try(struct suggest *suggest, const char *candidate)
{
	size_t len = strlen(candidate);
	unsigned distance, limit;

	if (suggest->len == 0 || suggest->len > SUGGEST_LEN_MAX || len > SUGGEST_LEN_MAX)
		return;
	limit = (unsigned)(suggest->len > len ? suggest->len : len) / 3;
	if (limit == 0)
		limit = 1;
	if (limit > 3)
		limit = 3;
	distance = edit_distance(suggest->name, suggest->len, candidate, len);
	if (distance > limit && suggest->len >= 3 && len > suggest->len &&
	    strncasecmp(suggest->name, candidate, suggest->len) == 0)
		distance = limit; /* cut short, such as 'warn' */
	if (distance <= limit && distance < suggest->distance) {
		suggest->distance = distance;
		suggest->best = candidate;
	}
}

const char *
suggest_text(const struct suggest *suggest, char buf[128])
{
	if (suggest->best == NULL)
		return "";
	(void)snprintf(buf, 128, ", did you mean '%s'?", suggest->best);
	return buf;
}

/* ---- the lexer ---- */

enum token {
	TOK_END,
	TOK_WORD,
	TOK_STRING,
	TOK_INT,
	TOK_LIST_NAME, /* $name */
	TOK_SYMBOL,    /* = != < <= > >= ( ) [ ] , */
	TOK_WRONG,     /* a mistake was reported */
};

struct parser {
	const struct expr_text *source;
	const char *p, *end;
	struct jsonc_cursor cursor;
	size_t plain_offset; /* without a cursor: where `plain_column` is */
	unsigned plain_column;
	struct expr_names *names;
	struct diag *diag;
	bool mistakes;
	bool no_memory;
	bool pattern; /* backslashes in the next string belong to the pattern */
	unsigned depth;
	size_t n_nodes;

	enum token token;
	const char *start; /* of the token */
	size_t len;
	unsigned line, column;
	char *text; /* STRING: decoded */
	size_t text_len;
	int64_t number;
};

static void
place(struct parser *ps, const char *p, unsigned *ret_line, unsigned *ret_column)
{
	size_t offset = (size_t)(p - ps->source->text);

	if (ps->source->string != NULL) {
		jsonc_cursor_move(&ps->cursor, ps->source->string, offset);
		*ret_line = ps->cursor.line;
		*ret_column = ps->cursor.column;
		return;
	}
	if (offset < ps->plain_offset) {
		ps->plain_offset = 0;
		ps->plain_column = 1;
	}
	for (; ps->plain_offset < offset; ps->plain_offset++)
		if (((unsigned char)ps->source->text[ps->plain_offset] & 0xc0) != 0x80)
			ps->plain_column++;
	*ret_line = 1;
	*ret_column = ps->plain_column;
}

__attribute__((format(printf, 4, 5))) static void
mistake_at(struct parser *ps, unsigned line, unsigned column, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	diag_vadd(ps->diag, DIAG_ERROR, ps->source->file, line, column, format, ap);
	va_end(ap);
	ps->mistakes = true;
}

#define mistake(ps, ...) mistake_at((ps), (ps)->line, (ps)->column, __VA_ARGS__)

static bool
is_word_start(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || c == '@';
}

static bool
is_word(char c)
{
	return is_word_start(c) || (c >= '0' && c <= '9') || c == '.' || c == '-';
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

/*
 * Decodes one escape of a string into *out; returns the bytes it takes, 0 for an unknown one.
 * Patterns keep their backslashes but for those before a quote.
 */
static size_t
string_escape(struct parser *ps, const char *p, char quote, char out[2], size_t *ret_len)
{
	static const char from[] = "\\'\"nrt", to[] = "\\'\"\n\r\t";
	const char *hit;

	if (p[1] == quote) {
		out[0] = quote;
		*ret_len = 1;
		return 2;
	}
	if (ps->pattern) {
		out[0] = p[0];
		out[1] = p[1];
		*ret_len = 2;
		return 2;
	}
	hit = p[1] != '\0' ? strchr(from, p[1]) : NULL;
	*ret_len = 1;
	if (hit != NULL) {
		out[0] = to[hit - from];
		return 2;
	}
	if (p[1] == 'x' && ps->end - p >= 4 && hex_digit(p[2]) >= 0 && hex_digit(p[3]) >= 0) {
		out[0] = (char)(hex_digit(p[2]) << 4 | hex_digit(p[3]));
		return 4;
	}
	return 0;
}

static enum token
lex_string(struct parser *ps)
{
	char quote = *ps->p++;
	CLEANUP(freep) char *text = malloc((size_t)(ps->end - ps->p) + 1);
	size_t len = 0;

	if (text == NULL) {
		ps->no_memory = true;
		return TOK_WRONG;
	}
	while (ps->p < ps->end && *ps->p != quote) {
		size_t n, n_out = 0;
		unsigned line, column;

		if (*ps->p != '\\') {
			text[len++] = *ps->p++;
			continue;
		}
		if (ps->end - ps->p < 2)
			break;
		n = string_escape(ps, ps->p, quote, text + len, &n_out);
		if (n == 0) {
			place(ps, ps->p, &line, &column);
			mistake_at(ps, line, column,
				   "unknown escape; a backslash in a text is written \\\\, within "
				   "JSON \\\\\\\\");
			n = 2;
			n_out = 0;
		}
		len += n_out;
		ps->p += n;
	}
	if (ps->p >= ps->end) {
		mistake(ps, "this text has no closing quote");
		return TOK_WRONG;
	}
	ps->p++;
	text[len] = '\0';
	ps->text = TAKE_PTR(text);
	ps->text_len = len;
	return TOK_STRING;
}

static enum token
lex_int(struct parser *ps)
{
	const char *p = ps->p;
	bool negative = *p == '-';
	uint64_t v = 0, max = negative ? (uint64_t)INT64_MAX + 1 : INT64_MAX;
	int base = 10, digit;

	if (negative)
		p++;
	if (ps->end - p > 2 && p[0] == '0' && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
	} else if (ps->end - p > 2 && p[0] == '0' && p[1] == 'o') {
		base = 8;
		p += 2;
	}
	for (; p < ps->end && (digit = hex_digit(*p)) >= 0 && digit < base; p++) {
		if (v > (max - (uint64_t)digit) / (uint64_t)base) {
			mistake(ps, "this number is too large");
			return TOK_WRONG;
		}
		v = v * (uint64_t)base + (uint64_t)digit;
	}
	if (p < ps->end && is_word(*p)) {
		while (p < ps->end && is_word(*p))
			p++;
		mistake(ps, "'%.*s' is not a number; texts stand in quotes",
			(int)(p - ps->p < WORD_MAX ? p - ps->p : WORD_MAX), ps->p);
		return TOK_WRONG;
	}
	ps->number = negative ? (int64_t)(0 - v) : (int64_t)v;
	ps->p = p;
	return TOK_INT;
}

/* A word; arg[3] counts as one. */
static enum token
lex_word(struct parser *ps)
{
	const char *p = ps->p;

	while (ps->p < ps->end && is_word(*ps->p))
		ps->p++;
	if (ps->p - p == 3 && memcmp(p, "arg", 3) == 0 && ps->p < ps->end && *ps->p == '[') {
		const char *q = ps->p + 1;

		while (q < ps->end && *q >= '0' && *q <= '9')
			q++;
		if (q < ps->end && *q == ']')
			ps->p = q + 1;
	}
	return TOK_WORD;
}

static enum token
lex_symbol(struct parser *ps)
{
	static const struct {
		const char *wrong, *right;
	} hints[] = {
		{"==", "="},  {"&&", "and"},	     {"||", "or"}, {"=~", "matches"},
		{"<>", "!="}, {"!~", "not matches"}, {"=<", "<="}, {"=>", ">="},
	};
	size_t left = (size_t)(ps->end - ps->p);
	char c = *ps->p;

	for (size_t i = 0; left >= 2 && i < sizeof(hints) / sizeof(hints[0]); i++) {
		if (memcmp(ps->p, hints[i].wrong, 2) == 0) {
			mistake(ps, "'%s' is written '%s'", hints[i].wrong, hints[i].right);
			return TOK_WRONG;
		}
	}
	if (strchr("=<>()[],", c) != NULL && c != '\0') {
		ps->p += (c == '<' || c == '>') && left > 1 && ps->p[1] == '=' ? 2 : 1;
		return TOK_SYMBOL;
	}
	if (c == '!' && left > 1 && ps->p[1] == '=') {
		ps->p += 2;
		return TOK_SYMBOL;
	}
	if (c == '!') {
		mistake(ps, "'!' is written 'not'");
	} else {
		size_t n = 1;

		while (n < left && ((unsigned char)ps->p[n] & 0xc0) == 0x80)
			n++;
		mistake(ps, "unexpected character '%.*s'", (int)n, ps->p);
	}
	return TOK_WRONG;
}

static void
next(struct parser *ps)
{
	char c;

	free(ps->text);
	ps->text = NULL;
	while (ps->p < ps->end && strchr(" \t\r\n", *ps->p) != NULL && *ps->p != '\0')
		ps->p++;
	ps->start = ps->p;
	place(ps, ps->p, &ps->line, &ps->column);
	if (ps->p >= ps->end) {
		ps->token = TOK_END;
		ps->len = 0;
		return;
	}
	c = *ps->p;
	if (c == '\'' || c == '"') {
		ps->token = lex_string(ps);
	} else if ((c >= '0' && c <= '9') ||
		   (c == '-' && ps->end - ps->p > 1 && ps->p[1] >= '0' && ps->p[1] <= '9')) {
		ps->token = lex_int(ps);
	} else if (c == '$' && ps->end - ps->p > 1 && is_word_start(ps->p[1])) {
		ps->p++;
		ps->start = ps->p;
		(void)lex_word(ps);
		ps->token = TOK_LIST_NAME;
	} else if (is_word_start(c)) {
		ps->token = lex_word(ps);
	} else {
		ps->token = lex_symbol(ps);
	}
	ps->pattern = false;
	ps->len = (size_t)(ps->p - ps->start);
}

static bool
is_word_token(const struct parser *ps, const char *word)
{
	return ps->token == TOK_WORD && ps->len == strlen(word) &&
	       memcmp(ps->start, word, ps->len) == 0;
}

static bool
is_symbol(const struct parser *ps, const char *symbol)
{
	return ps->token == TOK_SYMBOL && ps->len == strlen(symbol) &&
	       memcmp(ps->start, symbol, ps->len) == 0;
}

/* Words are ASCII; other tokens are cut to whole characters. */
static const char *
token_text(const struct parser *ps, char buf[WORD_MAX + 8])
{
	size_t len = ps->len < WORD_MAX ? ps->len : WORD_MAX;

	if (ps->token == TOK_END)
		return "the end";
	while (len < ps->len && len > 0 && ((unsigned char)ps->start[len] & 0xc0) == 0x80)
		len--;
	(void)snprintf(buf, WORD_MAX + 8, "'%.*s'", (int)len, ps->start);
	return buf;
}

/* ---- operators ---- */

struct operation {
	const char *name;
	enum expr_cmp cmp;
	uint8_t types; /* bits of enum pyaudit_field_type it applies to */
	bool is_word;  /* may have `not` in front */
	bool plural;   /* takes several values */
	bool negate;
};

#define T(type) (1u << PYAUDIT_TYPE_##type)
#define T_TEXT (T(STR) | T(LIST))
#define T_ORDER (T(INT) | T(SEV))
#define T_ANY (T_TEXT | T_ORDER | T(BOOL) | T(IP))

static const struct operation operators[] = {
	{"=", CMP_EQ, T_ANY, false, false, false},
	{"!=", CMP_EQ, T_ANY, false, false, true},
	{"<", CMP_LT, T_ORDER, false, false, false},
	{"<=", CMP_LE, T_ORDER, false, false, false},
	{">", CMP_GT, T_ORDER, false, false, false},
	{">=", CMP_GE, T_ORDER, false, false, false},
	{"in", CMP_EQ, T_ANY & ~T(BOOL), true, true, false},
	{"glob", CMP_GLOB, T_TEXT, true, true, false},
	{"startswith", CMP_STARTSWITH, T_TEXT, true, true, false},
	{"endswith", CMP_ENDSWITH, T_TEXT, true, true, false},
	{"contains", CMP_CONTAINS, T_TEXT, true, true, false},
	{"matches", CMP_MATCHES, T_TEXT, true, true, false},
	{"cidr", CMP_CIDR, T(IP), true, true, false},
	{"under", CMP_UNDER, T_TEXT, true, true, false},
};
#define N_OPERATORS (sizeof(operators) / sizeof(operators[0]))

static const char *const keywords[] = {"and", "or", "not", "exists", "in", "true", "false"};

bool
expr_is_keyword(const char *name, size_t len)
{
	for (size_t i = 0; i < sizeof(keywords) / sizeof(keywords[0]); i++)
		if (strlen(keywords[i]) == len && memcmp(keywords[i], name, len) == 0)
			return true;
	for (size_t i = 0; i < N_OPERATORS; i++)
		if (strlen(operators[i].name) == len && memcmp(operators[i].name, name, len) == 0)
			return true;
	return false;
}

static const struct operation *
current_operator(const struct parser *ps)
{
	if (ps->token != TOK_WORD && ps->token != TOK_SYMBOL)
		return NULL;
	for (size_t i = 0; i < N_OPERATORS; i++)
		if (strlen(operators[i].name) == ps->len &&
		    memcmp(operators[i].name, ps->start, ps->len) == 0)
			return &operators[i];
	return NULL;
}

/* ---- fields and values ---- */

static bool
is_arg_field(unsigned field)
{
	return field >= PYAUDIT_F_ARG0 && field <= PYAUDIT_F_ARG7;
}

static unsigned
field_type(unsigned field)
{
	if (field == FIELD_USER)
		return PYAUDIT_TYPE_STR;
	return pyaudit_fields[field].type;
}

static const char *
field_name(unsigned field)
{
	return field == FIELD_USER ? user_field : pyaudit_fields[field].name;
}

static const char *
type_phrase(unsigned type)
{
	static const char *const phrases[] = {
		[PYAUDIT_TYPE_STR] = "a text",	       [PYAUDIT_TYPE_INT] = "a number",
		[PYAUDIT_TYPE_BOOL] = "true or false", [PYAUDIT_TYPE_LIST] = "a list of texts",
		[PYAUDIT_TYPE_SEV] = "a severity",     [PYAUDIT_TYPE_IP] = "an address",
	};

	return phrases[type];
}

/* Fields with few possible values; another one is a mistake, and quotes can be left out. */
static const char *const *
field_choices(unsigned field)
{
	static const char *const layers[] = {"audit", "libc", "daemon", NULL};
	static const char *const families[] = {"inet", "inet6", "unix", NULL};
	static const char *const kinds[] = {"event", "alert", "summary", "loss",
					   "process", "status", NULL};
	static const char *const actions[] = {"record", "alert", "block", "kill", NULL};

	switch (field) {
	case PYAUDIT_F_LAYER:
		return layers;
	case PYAUDIT_F_NET_FAMILY:
		return families;
	case PYAUDIT_F_KIND:
		return kinds;
	case PYAUDIT_F_ACTION:
		return actions;
	default:
		return NULL;
	}
}

static int
check_choice(struct parser *ps, unsigned field, const char *text, size_t len, unsigned line,
	     unsigned column)
{
	const char *const *choices = field_choices(field);
	struct suggest suggest;
	char hint[128];

	if (choices == NULL)
		return 0;
	suggest_init(&suggest, text, len);
	for (; *choices != NULL; choices++) {
		if (strlen(*choices) == len && memcmp(*choices, text, len) == 0)
			return 0;
		suggest_try(&suggest, *choices);
	}
	mistake_at(ps, line, column, "%s is never '%.*s'%s", field_name(field),
		   (int)(len < WORD_MAX ? len : WORD_MAX), text, suggest_text(&suggest, hint));
	return RULES_E_INVALID;
}

static int
check_severity(struct parser *ps, struct expr_value *value)
{
	struct suggest suggest;
	char hint[128];
	int severity = severity_by_name(value->text);

	if (severity >= 0) {
		value->is_int = true;
		value->number = severity;
		return 0;
	}
	suggest_init(&suggest, value->text, value->len);
	for (unsigned i = 0; i <= PYAUDIT_SEV_CRITICAL; i++)
		suggest_try(&suggest, severity_name(i));
	mistake_at(ps, value->line, value->column, "unknown severity '%.*s'%s",
		   (int)(value->len < WORD_MAX ? value->len : WORD_MAX), value->text,
		   suggest_text(&suggest, hint));
	return RULES_E_INVALID;
}

/* Makes '10.0.0.0/8' of an address or a range; @whole asks for a single address. */
static int
check_address(struct parser *ps, struct expr_value *value, bool whole)
{
	unsigned char bytes[16] = {0}, masked[16];
	char address[INET6_ADDRSTRLEN], canonical[INET6_ADDRSTRLEN];
	const char *slash = memchr(value->text, '/', value->len);
	size_t n_address = slash != NULL ? (size_t)(slash - value->text) : value->len;
	unsigned bits, prefix;
	int family, n;
	char *text, *end;

	if (n_address >= sizeof(address) || memchr(value->text, '\0', value->len) != NULL)
		goto wrong;
	memcpy(address, value->text, n_address);
	address[n_address] = '\0';
	family = strchr(address, ':') != NULL ? AF_INET6 : AF_INET;
	bits = family == AF_INET6 ? 128 : 32;
	if (inet_pton(family, address, bytes) != 1)
		goto wrong;
	prefix = bits;
	if (slash != NULL) {
		unsigned long v;

		if (whole) {
			mistake_at(ps, value->line, value->column,
				   "'%s' is a range: use the operator cidr", value->text);
			return RULES_E_INVALID;
		}
		if (slash[1] < '0' || slash[1] > '9' || strlen(slash + 1) > 3)
			goto wrong;
		v = strtoul(slash + 1, &end, 10);
		if (*end != '\0' || v > bits) {
			mistake_at(ps, value->line, value->column,
				   "'%s': the prefix length is 0 to %u", value->text, bits);
			return RULES_E_INVALID;
		}
		prefix = (unsigned)v;
	}
	for (unsigned i = 0; i < 16; i++) {
		unsigned kept = prefix > i * 8 ? prefix - i * 8 : 0;

		masked[i] = kept >= 8 ? bytes[i] : (unsigned char)(bytes[i] & ~(0xffu >> kept));
	}
	(void)inet_ntop(family, masked, canonical, sizeof(canonical));
	if (memcmp(masked, bytes, sizeof(masked)) != 0) {
		mistake_at(ps, value->line, value->column,
			   "'%s' has bits behind its prefix, did you mean '%s/%u'?", value->text,
			   canonical, prefix);
		return RULES_E_INVALID;
	}
	n = asprintf(&text, "%s/%u", canonical, prefix);
	if (n < 0) {
		ps->no_memory = true;
		return -ENOMEM;
	}
	free(value->text);
	value->text = text;
	value->len = (size_t)n;
	return 0;
wrong:
	mistake_at(ps, value->line, value->column, "'%.*s' is not an address%s",
		   (int)(value->len < WORD_MAX ? value->len : WORD_MAX), value->text,
		   whole ? "" : " or range like 10.0.0.0/8");
	return RULES_E_INVALID;
}

static int
check_user(struct parser *ps, struct expr_value *value)
{
	char stack[1024];
	CLEANUP(freep) char *heap = NULL;
	struct passwd entry, *found = NULL;
	char *buf = stack;
	size_t size = sizeof(stack);
	int r;

	if (value->is_int)
		return 0;
	while ((r = getpwnam_r(value->text, &entry, buf, size, &found)) == ERANGE &&
	       size < (1u << 20)) {
		free(heap);
		size *= 4;
		heap = malloc(size);
		if (heap == NULL) {
			ps->no_memory = true;
			return -ENOMEM;
		}
		buf = heap;
	}
	if (found == NULL) {
		mistake_at(ps, value->line, value->column, "there is no user '%.*s' on this host",
			   (int)(value->len < WORD_MAX ? value->len : WORD_MAX), value->text);
		return RULES_E_INVALID;
	}
	value->is_int = true;
	value->number = (int64_t)found->pw_uid;
	return 0;
}

/* The place of byte @offset of the pattern that is the token: a string, or part of a list. */
static void
place_in_pattern(struct parser *ps, size_t offset, unsigned *line, unsigned *column)
{
	const char *p = ps->start + 1;

	if (ps->token != TOK_STRING)
		return;
	for (size_t at = 0; at < offset && p < ps->p - 1; at++) {
		if (p[0] == '\\' && p[1] != *ps->start && at + 1 < offset) {
			at++; /* the pattern has both */
			p++;
		} else if (p[0] == '\\' && p[1] == *ps->start) {
			p++; /* it has the quote alone */
		}
		p++;
	}
	place(ps, p, line, column);
}

static int
check_pattern(struct parser *ps, enum pattern_kind kind, const struct expr_value *value)
{
	CLEANUP(pattern_freep) struct pattern *pattern = NULL;
	unsigned line = value->line, column = value->column;
	struct pattern_error error;
	int r = pattern_parse(&pattern, kind, value->text, value->len, &error);

	if (r == -ENOMEM) {
		ps->no_memory = true;
	} else if (r != 0) {
		place_in_pattern(ps, error.offset, &line, &column);
		mistake_at(ps, line, column, "%s", error.message);
	}
	return r == 0 ? 0 : RULES_E_INVALID;
}

/* Checks one value against field and operator, and brings it into the form compilers expect. */
static int
check_value(struct parser *ps, unsigned field, const struct operation *op, struct expr_value *value)
{
	unsigned type = field_type(field);
	const char *name = field_name(field);

	if (field == FIELD_USER)
		return check_user(ps, value);
	switch (type) {
	case PYAUDIT_TYPE_INT:
		if (!value->is_int) {
			mistake_at(ps, value->line, value->column,
				   "%s is a number: write it without quotes", name);
			return RULES_E_INVALID;
		}
		if (field == PYAUDIT_F_NET_PORT && (value->number < 0 || value->number > 65535)) {
			mistake_at(ps, value->line, value->column, "a port is 0 to 65535");
			return RULES_E_INVALID;
		}
		return 0;
	case PYAUDIT_TYPE_BOOL:
		mistake_at(ps, value->line, value->column, "%s is true or false", name);
		return RULES_E_INVALID;
	case PYAUDIT_TYPE_SEV:
		if (value->is_int) {
			mistake_at(ps, value->line, value->column,
				   "a severity is info, notice, warning, error or critical");
			return RULES_E_INVALID;
		}
		return check_severity(ps, value);
	default:
		break;
	}
	if (value->is_int) {
		if (is_arg_field(field) && op->cmp == CMP_EQ) {
			value->is_int = false; /* arguments that are integers are seen as text */
			return 0;
		}
		mistake_at(ps, value->line, value->column, "%s is %s: put the value in quotes",
			   name, type_phrase(type));
		return RULES_E_INVALID;
	}
	if (type == PYAUDIT_TYPE_IP)
		return check_address(ps, value, op->cmp == CMP_EQ);
	if (op->cmp == CMP_EQ)
		return check_choice(ps, field, value->text, value->len, value->line, value->column);
	if (value->len == 0 && op->cmp != CMP_GLOB && op->cmp != CMP_MATCHES) {
		mistake_at(ps, value->line, value->column, "'%s' with an empty text always holds",
			   op->name);
		return RULES_E_INVALID;
	}
	if (op->cmp == CMP_GLOB || op->cmp == CMP_MATCHES)
		return check_pattern(ps, op->cmp == CMP_GLOB ? PATTERN_GLOB : PATTERN_REGEX, value);
	if (op->cmp == CMP_UNDER && value->text[0] != '/') {
		mistake_at(ps, value->line, value->column, "'under' takes an absolute path");
		return RULES_E_INVALID;
	}
	return 0;
}

/* Room for one more value, cleared, or NULL. */
static struct expr_value *
add_value(struct parser *ps, struct expr *test, size_t *size)
{
	if (ps->names->n_values >= EXPR_VALUES_MAX) {
		mistake(ps, "more than %u values in all conditions together", EXPR_VALUES_MAX);
		return NULL;
	}
	if (test->n_values >= *size) {
		size_t n = *size > 0 ? *size * 2 : 4;
		struct expr_value *values = realloc(test->values, n * sizeof(*values));

		if (values == NULL) {
			ps->no_memory = true;
			return NULL;
		}
		test->values = values;
		*size = n;
	}
	ps->names->n_values++;
	test->values[test->n_values] = (struct expr_value){0};
	return &test->values[test->n_values++];
}

static int
set_text(struct parser *ps, struct expr_value *value, const char *text, size_t len)
{
	value->text = malloc(len + 1);
	if (value->text == NULL) {
		ps->no_memory = true;
		return -ENOMEM;
	}
	memcpy(value->text, text, len);
	value->text[len] = '\0';
	value->len = len;
	return 0;
}

/* Decimal text beside a number: arg[N] may hold either. */
static int
set_number(struct parser *ps, struct expr_value *value, int64_t number)
{
	char buf[24];
	int n = snprintf(buf, sizeof(buf), "%lld", (long long)number);

	value->is_int = true;
	value->number = number;
	return set_text(ps, value, buf, (size_t)n);
}

static bool
takes_bare_words(const struct parser *ps, unsigned field)
{
	if (expr_is_keyword(ps->start, ps->len))
		return false;
	return field == FIELD_UNKNOWN || ps->names->filter ||
	       field_type(field) == PYAUDIT_TYPE_SEV || field_choices(field) != NULL;
}

/* One literal; the token is at it. */
static int
parse_literal(struct parser *ps, unsigned field, const struct operation *op, struct expr *test,
	      size_t *size)
{
	struct expr_value *value;
	char buf[WORD_MAX + 8];
	bool is_bool = field != FIELD_UNKNOWN && field_type(field) == PYAUDIT_TYPE_BOOL;
	bool is_truth = is_word_token(ps, "true") || is_word_token(ps, "false");
	const char *text = ps->start;
	size_t len = ps->len;
	int r;

	if (ps->token == TOK_WRONG)
		return RULES_E_INVALID;
	if (ps->token == TOK_LIST_NAME) {
		mistake(ps, "'%s' takes one value; use 'in' for a list", op->name);
		return RULES_E_INVALID;
	}
	if (is_bool && !is_truth) {
		mistake(ps, "%s is true or false", field_name(field));
		return RULES_E_INVALID;
	}
	if (ps->token == TOK_WORD && !is_truth && !takes_bare_words(ps, field)) {
		if (!expr_is_keyword(text, len))
			mistake(ps, "texts stand in quotes: '%.*s'",
				(int)(len < WORD_MAX ? len : WORD_MAX), text);
		else
			mistake(ps, "expected a value, found %s", token_text(ps, buf));
		return RULES_E_INVALID;
	}
	if (ps->token != TOK_WORD && ps->token != TOK_STRING && ps->token != TOK_INT) {
		mistake(ps, "expected a value, found %s", token_text(ps, buf));
		return RULES_E_INVALID;
	}
	value = add_value(ps, test, size);
	if (value == NULL)
		return RULES_E_INVALID;
	value->line = ps->line;
	value->column = ps->column;
	if (is_truth && (is_bool || field == FIELD_UNKNOWN)) {
		value->is_int = true;
		value->number = is_word_token(ps, "true");
		next(ps);
		return 0;
	}
	if (ps->token == TOK_INT) {
		r = set_number(ps, value, ps->number);
	} else {
		if (ps->token == TOK_STRING) {
			text = ps->text;
			len = ps->text_len;
		} else if (field == PYAUDIT_F_CLASS && text[0] == '@') {
			text++;
			len--;
		}
		r = set_text(ps, value, text, len);
	}
	if (r != 0)
		return r;
	if (field != FIELD_UNKNOWN)
		(void)check_value(ps, field, op, value);
	next(ps);
	return 0;
}

static int
parse_list_reference(struct parser *ps, unsigned field, const struct operation *op,
		     struct expr *test, size_t *size)
{
	const struct expr_list *list =
		ps->names->list != NULL ? ps->names->list(ps->names->data, ps->start, ps->len)
					: NULL;

	if (list == NULL) {
		struct suggest suggest;
		const char *candidate;
		char hint[128];

		suggest_init(&suggest, ps->start, ps->len);
		for (size_t i = 0; ps->names->list_at != NULL && ps->diag->n_errors < DIAG_MAX &&
				   (candidate = ps->names->list_at(ps->names->data, i)) != NULL;
		     i++)
			suggest_try(&suggest, candidate);
		mistake(ps, "unknown list '%.*s'%s", (int)(ps->len < WORD_MAX ? ps->len : WORD_MAX),
			ps->start, suggest_text(&suggest, hint));
		next(ps);
		return 0;
	}
	for (size_t i = 0; i < list->n_values; i++) {
		struct expr_value *value = add_value(ps, test, size);

		if (value == NULL)
			return RULES_E_INVALID;
		if (copy_value(value, &list->values[i]) != 0) {
			ps->no_memory = true;
			return -ENOMEM;
		}
		/* What does not fit the field is a mistake of the place that joins them. */
		value->line = ps->line;
		value->column = ps->column;
		if (field != FIELD_UNKNOWN && check_value(ps, field, op, value) != 0)
			break;
	}
	next(ps);
	return 0;
}

/* $list, or literals in brackets, or one literal where the operator takes that too. */
static int
parse_values(struct parser *ps, unsigned field, const struct operation *op, struct expr *test)
{
	bool is_in = strcmp(op->name, "in") == 0;
	bool pattern = op->cmp == CMP_GLOB || op->cmp == CMP_MATCHES;
	char buf[WORD_MAX + 8];
	const char *close;
	size_t size = 0;
	int r;

	if (op->plural && ps->token == TOK_LIST_NAME)
		return parse_list_reference(ps, field, op, test, &size);
	if (!op->plural && (is_symbol(ps, "[") || is_symbol(ps, "("))) {
		mistake(ps, "'%s' takes one value; use '%s' for several", op->name,
			op->negate ? "not in" : "in");
		return RULES_E_INVALID;
	}
	if (!is_symbol(ps, "[") && !is_symbol(ps, "(")) {
		if (is_in) {
			mistake(ps, "'in' takes a list: $name or ['a', 'b'], found %s",
				ps->token == TOK_WRONG ? "something else" : token_text(ps, buf));
			return RULES_E_INVALID;
		}
		return parse_literal(ps, field, op, test, &size);
	}
	close = is_symbol(ps, "[") ? "]" : ")";
	do {
		ps->pattern = pattern;
		next(ps);
		r = parse_literal(ps, field, op, test, &size);
		if (r != 0)
			return r;
	} while (is_symbol(ps, ","));
	if (!is_symbol(ps, close)) {
		if (ps->token != TOK_WRONG)
			mistake(ps, "expected ',' or '%s', found %s", close, token_text(ps, buf));
		return RULES_E_INVALID;
	}
	next(ps);
	return 0;
}

/* ---- the parser ---- */

static int parse_condition(struct parser *ps, struct expr **ret);

static struct expr *
new_node(struct parser *ps, enum expr_op op, unsigned line, unsigned column)
{
	struct expr *expr;

	if (++ps->n_nodes > RULES_EXPR_NODES_MAX) {
		mistake(ps, "this condition has more than %u parts, macros included",
			RULES_EXPR_NODES_MAX);
		return NULL;
	}
	expr = calloc(1, sizeof(*expr));
	if (expr == NULL) {
		ps->no_memory = true;
		return NULL;
	}
	expr->op = op;
	expr->file = ps->source->file;
	expr->line = line;
	expr->column = column;
	return expr;
}

/* Takes @a, and gives NOT a. */
static int
negate(struct parser *ps, struct expr *a, struct expr **ret)
{
	struct expr *expr = new_node(ps, EXPR_NOT, a->line, a->column);

	if (expr == NULL) {
		expr_free(a);
		return RULES_E_INVALID;
	}
	expr->a = a;
	*ret = expr;
	return 0;
}

static unsigned
find_field(struct parser *ps)
{
	unsigned field = pyaudit_field_by_name(ps->start, ps->len);

	if (is_word_token(ps, user_field))
		return FIELD_USER;
	if (field >= PYAUDIT_N_FIELDS)
		return FIELD_UNKNOWN;
	return field;
}

static void
report_unknown_name(struct parser *ps, bool macros_too)
{
	bool is_name =
		memchr(ps->start, '.', ps->len) == NULL && memchr(ps->start, '[', ps->len) == NULL;
	struct suggest suggest;
	const char *candidate;
	char hint[128], buf[WORD_MAX + 8];

	if (ps->len > 4 && memcmp(ps->start, "arg[", 4) == 0) {
		mistake(ps, "unknown field %s: there are arg[0] to arg[7]", token_text(ps, buf));
		return;
	}
	suggest_init(&suggest, ps->start, ps->len);
	for (unsigned i = 0; i < PYAUDIT_N_FIELDS; i++)
		if (ps->names->filter || pyaudit_fields[i].scope != PYAUDIT_SCOPE_ALERT)
			suggest_try(&suggest, pyaudit_fields[i].name);
	suggest_try(&suggest, user_field);
	for (size_t i = 0;
	     macros_too && ps->names->macro_at != NULL && ps->diag->n_errors < DIAG_MAX &&
	     (candidate = ps->names->macro_at(ps->names->data, i)) != NULL;
	     i++)
		suggest_try(&suggest, candidate);
	/* The last component alone is what people remember: 'port' for net.port. */
	for (unsigned i = 0; suggest.best == NULL && is_name && i < PYAUDIT_N_FIELDS; i++) {
		const char *dot = strchr(pyaudit_fields[i].name, '.');

		if (dot != NULL && strlen(dot + 1) == ps->len &&
		    memcmp(dot + 1, ps->start, ps->len) == 0)
			suggest.best = pyaudit_fields[i].name;
	}
	mistake(ps, "unknown %s %s%s", is_name && macros_too ? "field or macro" : "field",
		token_text(ps, buf), suggest_text(&suggest, hint));
}

/* `exists FIELD`; the token is behind `exists`. */
static int
parse_exists(struct parser *ps, unsigned line, unsigned column, struct expr **ret)
{
	char buf[WORD_MAX + 8];
	struct expr *test;
	unsigned field;

	if (ps->token != TOK_WORD || expr_is_keyword(ps->start, ps->len)) {
		if (ps->token != TOK_WRONG)
			mistake(ps, "expected a field behind 'exists', found %s",
				token_text(ps, buf));
		return RULES_E_INVALID;
	}
	field = find_field(ps);
	if (field == FIELD_UNKNOWN)
		report_unknown_name(ps, false);
	else if (field != FIELD_USER && !ps->names->filter &&
		 pyaudit_fields[field].scope == PYAUDIT_SCOPE_ALERT)
		mistake(ps, "%s is known only after rules ran: filters may ask for it, rules not",
			field_name(field));
	test = new_node(ps, EXPR_TEST, line, column);
	if (test == NULL)
		return RULES_E_INVALID;
	test->field = field == FIELD_USER ? PYAUDIT_F_PROC_UID : field;
	test->cmp = CMP_EXISTS;
	next(ps);
	*ret = test;
	return 0;
}

/* A macro's expression in place of its name, which is the token. */
static int
parse_macro(struct parser *ps, const struct expr *macro, struct expr **ret)
{
	size_t n_nodes, n_values;
	unsigned height;

	if (macro == &expr_broken) {
		ps->mistakes = true;
		*ret = new_node(ps, EXPR_TRUE, ps->line, ps->column);
		next(ps);
		return *ret != NULL ? 0 : RULES_E_INVALID;
	}
	expr_measure(macro, &n_nodes, &height);
	n_values = count_values(macro);
	if (ps->n_nodes + n_nodes > RULES_EXPR_NODES_MAX) {
		mistake(ps, "this condition has more than %u parts, macros included",
			RULES_EXPR_NODES_MAX);
		return RULES_E_INVALID;
	}
	if (ps->names->n_values + n_values > EXPR_VALUES_MAX) {
		mistake(ps, "more than %u values in all conditions together", EXPR_VALUES_MAX);
		return RULES_E_INVALID;
	}
	*ret = copy_expr(macro);
	if (*ret == NULL) {
		ps->no_memory = true;
		return -ENOMEM;
	}
	ps->n_nodes += n_nodes;
	ps->names->n_values += n_values;
	next(ps);
	return 0;
}

/* Says why an operator does not go with a field, and what does. */
static void
report_type(struct parser *ps, unsigned field, const struct operation *op)
{
	unsigned type = field_type(field);
	const char *hint = "";

	if (op->cmp == CMP_CIDR && field == PYAUDIT_F_NET_HOST)
		hint = "; use net.ip";
	else if (type == PYAUDIT_TYPE_IP)
		hint = "; use cidr";
	else if (op->cmp >= CMP_LT && op->cmp <= CMP_GE)
		hint = "; it compares numbers and severities";
	else if (type == PYAUDIT_TYPE_BOOL)
		hint = "; write the field alone, or = false";
	mistake(ps, "'%s' does not apply to %s, which is %s%s", op->name, field_name(field),
		type_phrase(type), hint);
}

static bool
operator_applies(unsigned field, const struct operation *op)
{
	if (field == FIELD_USER)
		return op->cmp == CMP_EQ;
	return (op->types >> field_type(field) & 1) != 0;
}

/* FIELD, with or without operator and values; the token is the field's name. */
static int
parse_test(struct parser *ps, unsigned field, struct expr **ret)
{
	CLEANUP(expr_freep) struct expr *test = new_node(ps, EXPR_TEST, ps->line, ps->column);
	const struct operation *op;
	char buf[WORD_MAX + 8];
	bool negated = false;
	int r;

	if (test == NULL)
		return RULES_E_INVALID;
	if (field < PYAUDIT_N_FIELDS && !ps->names->filter &&
	    pyaudit_fields[field].scope == PYAUDIT_SCOPE_ALERT)
		mistake(ps, "%s is known only after rules ran: filters may ask for it, rules not",
			field_name(field));
	test->field = field == FIELD_USER ? PYAUDIT_F_PROC_UID : field;
	next(ps);
	if (is_word_token(ps, "not")) {
		negated = true;
		next(ps);
	}
	op = current_operator(ps);
	if (op == NULL && !negated && field != FIELD_UNKNOWN &&
	    field_type(field) == PYAUDIT_TYPE_BOOL) {
		test->cmp = CMP_EQ;
		test->values = calloc(1, sizeof(*test->values));
		if (test->values == NULL)
			return -ENOMEM;
		test->n_values = 1;
		test->values[0] = (struct expr_value){
			.is_int = true, .number = 1, .line = test->line, .column = test->column};
		*ret = TAKE_PTR(test);
		return 0;
	}
	if (op == NULL) {
		if (ps->token == TOK_WORD && !expr_is_keyword(ps->start, ps->len)) {
			struct suggest suggest;
			char hint[128];

			suggest_init(&suggest, ps->start, ps->len);
			for (size_t i = 0; i < N_OPERATORS; i++)
				suggest_try(&suggest, operators[i].name);
			mistake(ps, "unknown operator %s%s", token_text(ps, buf),
				suggest_text(&suggest, hint));
		} else if (field == FIELD_UNKNOWN && !negated) {
			/* Its name was the mistake; what follows goes on. */
			test->op = EXPR_TRUE;
			*ret = TAKE_PTR(test);
			return 0;
		} else if (ps->token != TOK_WRONG) {
			mistake(ps, "expected an operator behind %s, found %s",
				negated ? "'not'" : "the field", token_text(ps, buf));
		}
		return RULES_E_INVALID;
	}
	if (negated && !op->is_word) {
		mistake(ps, "'not' cannot stand before '%s'", op->name);
		negated = false;
	}
	if (field != FIELD_UNKNOWN && !operator_applies(field, op)) {
		report_type(ps, field, op);
		field = FIELD_UNKNOWN;
	}
	test->cmp = op->cmp;
	ps->pattern = op->cmp == CMP_GLOB || op->cmp == CMP_MATCHES;
	next(ps);
	r = parse_values(ps, field, op, test);
	if (r != 0)
		return r;
	if (field != FIELD_UNKNOWN && field != FIELD_USER && field_type(field) == PYAUDIT_TYPE_IP &&
	    test->cmp == CMP_EQ)
		test->cmp = CMP_CIDR; /* check_address made ranges of one: all spellings compare */
	if (test->n_values == 0) {
		/* An empty list: holds for nothing. */
		struct expr *never;

		test->op = EXPR_TRUE;
		r = negate(ps, TAKE_PTR(test), &never);
		if (r != 0)
			return r;
		test = never;
	}
	if (negated || op->negate)
		return negate(ps, TAKE_PTR(test), ret);
	*ret = TAKE_PTR(test);
	return 0;
}

static int
parse_primary(struct parser *ps, struct expr **ret)
{
	char buf[WORD_MAX + 8];
	const struct expr *macro = NULL;
	unsigned line = ps->line, column = ps->column, field;
	int r;

	if (is_symbol(ps, "(")) {
		next(ps);
		r = parse_condition(ps, ret);
		if (r != 0)
			return r;
		if (!is_symbol(ps, ")")) {
			if (ps->token != TOK_WRONG)
				mistake(ps, "expected ')' for the '(' in column %u, found %s",
					column, token_text(ps, buf));
			expr_free(*ret);
			*ret = NULL;
			return RULES_E_INVALID;
		}
		next(ps);
		return 0;
	}
	if (is_word_token(ps, "exists")) {
		next(ps);
		return parse_exists(ps, line, column, ret);
	}
	if (ps->token != TOK_WORD || expr_is_keyword(ps->start, ps->len)) {
		if (ps->token != TOK_WRONG)
			mistake(ps, "expected a field, a macro or '(', found %s",
				token_text(ps, buf));
		return RULES_E_INVALID;
	}
	field = find_field(ps);
	if (field == FIELD_UNKNOWN && ps->names->macro != NULL)
		macro = ps->names->macro(ps->names->data, ps->start, ps->len, ps->source->file,
					 line, column);
	if (macro != NULL)
		return parse_macro(ps, macro, ret);
	if (field == FIELD_UNKNOWN)
		report_unknown_name(ps, true);
	return parse_test(ps, field, ret);
}

static int
parse_not(struct parser *ps, struct expr **ret)
{
	bool negated = false;
	struct expr *expr = NULL;
	int r;

	while (is_word_token(ps, "not")) { /* pairs of them cancel out */
		negated = !negated;
		next(ps);
	}
	r = parse_primary(ps, &expr);
	if (r != 0)
		return r;
	if (negated)
		return negate(ps, expr, ret);
	*ret = expr;
	return 0;
}

/* Operands of one chain, while it is read. */
struct chain {
	struct expr **operands;
	size_t n_operands, size;
};

static void
chain_fini(struct chain *chain)
{
	for (size_t i = 0; i < chain->n_operands; i++)
		expr_free(chain->operands[i]);
	free(chain->operands);
}

static int
chain_add(struct parser *ps, struct chain *chain, struct expr *operand)
{
	if (chain->n_operands >= chain->size) {
		size_t size = chain->size > 0 ? chain->size * 2 : 4;
		struct expr **operands = realloc(chain->operands, size * sizeof(*operands));

		if (operands == NULL) {
			expr_free(operand);
			ps->no_memory = true;
			return -ENOMEM;
		}
		chain->operands = operands;
		chain->size = size;
	}
	chain->operands[chain->n_operands++] = operand;
	return 0;
}

static int
parse_chain(struct parser *ps, enum expr_op op, struct expr **ret)
{
	CLEANUP(chain_fini) struct chain chain = {0};
	const char *word = op == EXPR_AND ? "and" : "or";

	for (;;) {
		struct expr *operand = NULL;
		int r = op == EXPR_OR ? parse_chain(ps, EXPR_AND, &operand)
				      : parse_not(ps, &operand);

		if (r == 0)
			r = chain_add(ps, &chain, operand);
		if (r != 0)
			return r;
		if (!is_word_token(ps, word))
			break;
		next(ps);
	}
	ps->n_nodes += chain.n_operands - 1;
	*ret = expr_join_all(op, chain.operands, chain.n_operands);
	chain.n_operands = 0;
	if (*ret == NULL) {
		ps->no_memory = true;
		return -ENOMEM;
	}
	return 0;
}

static int
parse_condition(struct parser *ps, struct expr **ret)
{
	int r;

	if (ps->depth >= RULES_DEPTH_MAX / 2) {
		mistake(ps, "brackets nested more than %u deep", RULES_DEPTH_MAX / 2);
		return RULES_E_INVALID;
	}
	ps->depth++;
	r = parse_chain(ps, EXPR_OR, ret);
	ps->depth--;
	return r;
}

int
expr_parse(struct expr **ret_expr, const struct expr_text *text, struct expr_names *names,
	   struct diag *diag)
{
	struct parser ps = {
		.source = text,
		.p = text->text,
		.end = text->text + text->len,
		.plain_column = 1,
		.names = names,
		.diag = diag,
	};
	CLEANUP(expr_freep) struct expr *expr = NULL;
	char buf[WORD_MAX + 8];
	size_t n_nodes;
	unsigned height;
	int r;

	if (text->string != NULL)
		jsonc_cursor_init(&ps.cursor, text->string);
	next(&ps);
	if (ps.token == TOK_END) {
		mistake(&ps, "an empty condition");
		r = RULES_E_INVALID;
	} else {
		r = parse_condition(&ps, &expr);
	}
	if (r == 0 && ps.token != TOK_END && ps.token != TOK_WRONG)
		mistake(&ps, "expected 'and', 'or' or the end, found %s", token_text(&ps, buf));
	if (r == 0 && ps.token == TOK_END && !ps.mistakes) {
		expr_measure(expr, &n_nodes, &height);
		if (height > RULES_DEPTH_MAX || n_nodes > RULES_EXPR_NODES_MAX)
			mistake_at(&ps, expr->line, expr->column,
				   "nested more than %u deep, macros included", RULES_DEPTH_MAX);
	}
	free(ps.text);
	if (ps.no_memory || r < 0)
		return -ENOMEM;
	if (r != 0 || ps.mistakes || ps.token != TOK_END)
		return RULES_E_INVALID;
	*ret_expr = TAKE_PTR(expr);
	return 0;
}
