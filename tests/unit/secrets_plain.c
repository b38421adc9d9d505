/* SPDX-License-Identifier: Apache-2.0 */
/* Byte by byte, every row of the tables at every place. */
#include <string.h>

#include "secrets_plain.h"
#include "secrets_table.h"

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

static bool
is_lower(char c)
{
	return c >= 'a' && c <= 'z';
}

static bool
is_upper(char c)
{
	return c >= 'A' && c <= 'Z';
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool
in_set(char c, enum set set)
{
	if (is_digit(c) || is_upper(c))
		return set != SET_HEX || c <= 'F';
	if (is_lower(c))
		return set > SET_HEX || (set == SET_HEX && c <= 'f');
	switch (set) {
	case SET_WORD:
		return c == '_';
	case SET_URL:
		return c == '_' || c == '-';
	case SET_DOTS:
		return c == '_' || c == '-' || c == '.';
	case SET_PATH:
		return c == '_' || c == '-' || c == '/';
	case SET_BASE64:
		return memchr("_-./+=~", c, 7) != NULL;
	default:
		return false;
	}
}

static bool
is_blank(char c)
{
	return c == ' ' || c == '\t' || c == '\n' || c == '\r';
}

static bool
is_quote(char c)
{
	return c == '"' || c == '\'' || c == '`';
}

static char
lower(char c)
{
	return is_upper(c) ? (char)(c | 0x20) : c;
}

static unsigned
n_own(const struct pyaudit_secrets *ctx)
{
	return ctx->own != NULL ? pyaudit_get32(ctx->own->n) : 0;
}

/* Is s[0..len) the key of a secret? */
static enum kind
kind_of_key(const char *s, size_t len)
{
	char key[KEY_MAX];
	const char *end;

	if (len > KEY_MAX) {
		s += len - KEY_MAX;
		len = KEY_MAX;
	}
	for (size_t i = 0; i < len; i++)
		key[i] = s[i] == '-' || s[i] == '.' ? '_' : lower(s[i]);
	end = key + len;
	for (size_t i = 0; i < LENGTH(words); i++) {
		size_t n = (size_t)words[i].n_end;
		const char *before = s + len - n;

		if (n > len || memcmp(end - n, words[i].end, n) != 0)
			continue;
		if (words[i].alone && n < len &&
		    (is_digit(before[-1]) ||
		     (in_set(before[-1], SET_ALNUM) && (is_upper(before[-1]) || !is_upper(*before)))))
			continue;
		/* PWD and OLDPWD are directories; Pwd of a connection string is not. */
		if (words[i].kind == KIND_PASSWORD && n == 3 && n == len && is_upper(s[0]) &&
		    is_upper(s[1]))
			continue;
		return (enum kind)words[i].kind;
	}
	return KIND_NONE;
}

/* Is it a stand-in for a value that is somewhere else, or none at all? */
static bool
is_stand_in(const char *s, size_t len)
{
	static const char *const nothing[] = {"none", "null", "true", "false", "undefined", "nil"};
	size_t n = 0;

	if (len == 0)
		return true;
	for (size_t i = 0; i < LENGTH(nothing); i++)
		if (len == strlen(nothing[i])) {
			for (n = 0; n < len && lower(s[n]) == nothing[i][n];)
				n++;
			if (n == len)
				return true;
		}
	if (s[0] == '$' && len > 2 && s[1] == '{' && s[len - 1] == '}')
		return true;
	if ((s[0] == '<' && s[len - 1] == '>') || (s[0] == '{' && s[len - 1] == '}'))
		return true;
	for (n = s[0] == '$' || s[0] == '%'; n < len; n++)
		if (s[0] == '*' ? s[n] != '*' : !(is_upper(s[n]) || s[n] == '_'))
			break;
	if (n == len && (s[0] == '*' || (s[0] == '$' && len > 1)))
		return true;
	return len == 2 && s[0] == '%' && s[1] == 's';
}

static bool
found(struct pyaudit_secret *ret, size_t from, size_t to, enum kind kind)
{
	*ret = (struct pyaudit_secret){(uint32_t)from, (uint32_t)to, (uint8_t)kind};
	return true;
}

/* Where a word begins: not within a run of word characters, but behind an escape (\n, %3D). */
static bool
begins_word(const char *s, size_t at)
{
	if (at == 0 || !in_set(s[at - 1], SET_URL))
		return true;
	return (at >= 2 && s[at - 2] == '\\') || (at >= 3 && s[at - 3] == '%');
}

static bool
find_token(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s + at;
	size_t left = text->len - at;

	for (size_t i = 0; i < LENGTH(tokens); i++) {
		const struct token *t = &tokens[i];
		size_t n, end;

		if (t->prefix[0] != s[0])
			continue;
		n = (size_t)t->n_prefix;
		if (n > left || memcmp(s, t->prefix, n) != 0)
			continue;
		for (end = n; end < left && in_set(s[end], (enum set)t->set);)
			end++;
		/* What is cut off counts as there. */
		if (end - n < t->min && !(end == left && (text->flags & PYAUDIT_VALUE_CUT) != 0))
			continue;
		if (t->exact && end - n != t->min && end != left)
			continue;
		if (t->exact && end - n > t->min)
			continue;
		return found(ret, at + (t->shown ? n : 0), at + end, (enum kind)t->kind);
	}
	return false;
}

/* Of the site's own. */
static bool
find_own(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
	 struct pyaudit_secret *ret)
{
	const char *s = text->s + at;
	size_t left = text->len - at;

	for (unsigned i = 0; i < n_own(ctx); i++) {
		const struct pyaudit_form *form = &ctx->own->form[i];
		size_t n = form->n_prefix, end;

		if (n > left || memcmp(s, form->prefix, n) != 0)
			continue;
		for (end = n; end < left && in_set(s[end], (enum set)form->set);)
			end++;
		if (end - n < form->min && !(end == left && (text->flags & PYAUDIT_VALUE_CUT) != 0))
			continue;
		return found(ret, at, at + end, (enum kind)(N_KINDS + i));
	}
	return false;
}

/* header.payload.signature, each base64url; the first two are JSON objects. */
static bool
find_jwt(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = at, dots = 0;

	if (text->len - at < 8 || memcmp(s + at, "eyJ", 3) != 0)
		return false;
	for (; end < text->len && in_set(s[end], SET_DOTS); end++)
		dots += s[end] == '.';
	if (end - at < RUN_MIN || (dots < 2 && !(end == text->len && text->flags != 0)))
		return false;
	return found(ret, at, end, KIND_JWT);
}

/* -----BEGIN ... PRIVATE KEY----- to the end of its END line, or of the text. */
static bool
find_private_key(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	static const char begin[] = "-----BEGIN ", end[] = "-----END ";
	const char *s = text->s + at, *line, *stop;
	size_t left = text->len - at;

	if (left < sizeof(begin) + 10 || memcmp(s, begin, sizeof(begin) - 1) != 0)
		return false;
	line = memchr(s, 'K', left < 64 ? left : 64); /* PRIVATE KEY: the K of KEY */
	while (line != NULL && memcmp(line - 8, "PRIVATE KEY", 8) != 0)
		line = memchr(line + 1, 'K', (left < 64 ? left : 64) - (size_t)(line + 1 - s));
	if (line == NULL)
		return false;
	stop = memmem(s, left, end, sizeof(end) - 1);
	if (stop == NULL)
		return found(ret, at, text->len, KIND_PRIVATE_KEY);
	stop += sizeof(end) - 1;
	while (stop < s + left && (in_set(*stop, SET_URL) || *stop == ' '))
		stop++;
	return found(ret, at, at + (size_t)(stop - s), KIND_PRIVATE_KEY);
}

/* scheme://user:password@host, at the colon. */
static bool
find_userinfo(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t colon = 0, sign = 0;

	if (text->len - at < 6 || s[at + 1] != '/' || s[at + 2] != '/')
		return false;
	for (size_t i = at + 3; i < text->len; i++) {
		if (is_blank(s[i]) || is_quote(s[i]) || memchr("/?#<>", s[i], 5) != NULL)
			break;
		if (s[i] == ':' && colon == 0 && sign == 0)
			colon = i;
		if (s[i] == '@')
			sign = i;
	}
	if (colon == 0 || sign <= colon + 1 || is_stand_in(s + colon + 1, sign - colon - 1))
		return false;
	return found(ret, colon + 1, sign, KIND_URL_PASSWORD);
}

/* From the opening quote at @at: where its text ends. */
static size_t
quoted_end(const struct pyaudit_value *text, size_t at)
{
	char quote = text->s[at];

	for (at++; at < text->len && text->s[at] != quote; at++)
		if (text->s[at] == '\\')
			at++;
	return at < text->len ? at : text->len;
}

/* The value that stands at @at, behind the key of a secret. */
static bool
find_value(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at, bool whole,
	   bool in_string, enum kind kind, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end, prefix = at;

	for (unsigned n = 0; n < BLANKS_MAX && at < text->len && is_blank(s[at]); n++)
		at++;
	for (prefix = at; prefix < text->len && prefix < at + 2 && is_lower(lower(s[prefix]));)
		prefix++;
	if (at < text->len && s[at] == '\\' && at + 1 < text->len && is_quote(s[at + 1]))
		at++; /* JSON within a text */
	if (prefix < text->len && is_quote(s[prefix]) && !whole)
		at = prefix;
	if (at < text->len && is_quote(s[at])) {
		end = quoted_end(text, at);
		at++;
		if (end > at && s[end - 1] == '\\' && end < text->len)
			end--;
	} else if (ctx->code && !in_string) {
		return false;
	} else if (kind == KIND_AUTHORIZATION || kind == KIND_COOKIE) {
		for (end = at; end < text->len && s[end] != '\r' && s[end] != '\n' && !is_quote(s[end]);)
			end++;
	} else if (whole) {
		end = text->len;
	} else {
		for (end = at; end < text->len && !is_blank(s[end]) && !is_quote(s[end]) &&
			       memchr(";&,)}]|\\", s[end], 8) == NULL;)
			end++;
		if (end < text->len && s[end] == '}' && (s[at] == '$' || s[at] == '{'))
			end++;
	}
	if (kind == KIND_AUTHORIZATION) { /* the scheme may be seen */
		size_t scheme = at;

		while (scheme < end && (in_set(s[scheme], SET_URL)))
			scheme++;
		if (scheme < end && s[scheme] == ' ')
			at = scheme + 1;
	}
	if (end > text->len || end <= at || is_stand_in(s + at, end - at))
		return false;
	return found(ret, at, end, kind);
}

/* At '=' or ':': is the key before it that of a secret? */
static bool
find_assignment(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
		bool in_string, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = at, start;
	enum kind kind;
	bool whole;

	while (end > 0 && at - end < 4 && (is_blank(s[end - 1]) || is_quote(s[end - 1]) ||
					   s[end - 1] == ']' || s[end - 1] == '\\'))
		end--;
	for (start = end; start > 0 && end - start < KEY_MAX && in_set(s[start - 1], SET_DOTS);)
		start--;
	kind = kind_of_key(s + start, end - start);
	if (kind == KIND_NONE || end == start)
		return false;
	if ((s[at] == ':' || s[at] == '=') && at + 1 < text->len && s[at + 1] == '=')
		at++;
	if (at + 1 < text->len && s[at + 1] == '/' && s[at] == ':')
		return false; /* secret://... is a place */
	whole = ctx->word && start == 0 && s[at] == '=';
	return find_value(ctx, text, at + 1, whole, in_string, kind, ret);
}

/* Bearer X, where X is long enough to be one. */
static bool
find_bearer(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	static const char word[] = "bearer ";
	const char *s = text->s + at;
	size_t n = sizeof(word) - 1, end;

	if (text->len - at < n + RUN_MIN || lower(s[0]) != 'b')
		return false;
	for (size_t i = 1; i < n; i++)
		if (lower(s[i]) != word[i])
			return false;
	for (end = n; end < text->len - at && in_set(s[end], SET_BASE64);)
		end++;
	return end - n >= RUN_MIN && found(ret, at + n, at + end, KIND_AUTHORIZATION);
}

static bool
is_separator(char c)
{
	return is_blank(c) || is_quote(c) || memchr(";|&(),[]", c, 8) != NULL;
}

static size_t
word_end(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at)
{
	while (at < text->len && !(ctx->word ? is_blank(text->s[at]) : is_separator(text->s[at])))
		at++;
	return at;
}

static bool
is_word(const char *s, size_t len, const char *word)
{
	return len == strlen(word) && memcmp(s, word, len) == 0;
}

static uint8_t
program_of(const char *s, size_t len)
{
	const char *slash = memrchr(s, '/', len);

	if (slash != NULL) {
		len -= (size_t)(slash + 1 - s);
		s = slash + 1;
	}
	for (size_t i = 0; i < LENGTH(options); i++)
		if (is_word(s, len, options[i].program))
			return (uint8_t)(i + 1);
	return 0;
}

/* Of s[at..end), what the option's value hides. */
static bool
take_part(const struct pyaudit_value *text, size_t at, size_t end, uint8_t after, enum kind kind,
	  struct pyaudit_secret *ret)
{
	const char *sign = after != 0 ? memchr(text->s + at, after, end - at) : NULL;

	if (after != 0 && sign == NULL)
		return false;
	if (sign != NULL)
		at = (size_t)(sign + 1 - text->s);
	return at < end && !is_stand_in(text->s + at, end - at) && found(ret, at, end, kind);
}

/* The word behind the option that ends at @at: in this text, or the next of the list. */
static bool
find_operand(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at, uint8_t after,
	     enum kind kind, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end;

	if (at == text->len) {
		ctx->next = ctx->word ? (uint8_t)kind : 0;
		ctx->after = after;
		return false;
	}
	if (is_quote(s[at])) { /* "--password", "x" in code */
		at++;
		while (at < text->len && (s[at] == ',' || is_blank(s[at])))
			at++;
		if (at >= text->len || !is_quote(s[at]))
			return false;
	} else if (!is_blank(s[at])) {
		return false;
	}
	while (at < text->len && is_blank(s[at]))
		at++;
	if (at == text->len || s[at] == '-')
		return false;
	if (is_quote(s[at])) {
		end = quoted_end(text, at);
		at++;
		if (at < text->len && s[at] == '-')
			return false;
	} else {
		for (end = at; end < text->len && !is_blank(s[end]) && !is_quote(s[end]) &&
			       memchr(";|&", s[end], 3) == NULL;)
			end++;
	}
	return end > at && take_part(text, at, end, after, kind, ret);
}

/* A word that begins with '-'. */
static bool
find_option(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
	    struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = word_end(ctx, text, at), name = at;
	const char *program = ctx->program != 0 ? options[ctx->program - 1].program : NULL;
	enum kind kind;

	for (size_t i = ctx->program; program != NULL && i > 0 && i <= LENGTH(options); i++) {
		const struct option *o = &options[i - 1];
		size_t n = (size_t)o->n_option;

		if (strcmp(o->program, program) != 0)
			break;
		if (end - at < n || memcmp(s + at, o->option, n) != 0)
			continue;
		if (end - at == n && o->glued != 1)
			return find_operand(ctx, text, end, o->after, KIND_PASSWORD, ret);
		if (end - at > n && o->glued != 0)
			return take_part(text, at + n, end, o->after, KIND_PASSWORD, ret);
	}
	while (name < end && s[name] == '-')
		name++;
	if (memchr(s + name, '=', end - name) != NULL || name == end)
		return false;
	kind = kind_of_key(s + name, end - name);
	if (kind == KIND_NONE)
		return false;
	return find_operand(ctx, text, end, 0, kind, ret);
}

/* PASS x of FTP and POP, as a whole line. */
static bool
find_pass_line(const struct pyaudit_value *text, struct pyaudit_secret *ret)
{
	size_t end = text->len;

	if (text->len < 6 || memcmp(text->s, "PASS ", 5) != 0)
		return false;
	while (end > 5 && is_blank(text->s[end - 1]))
		end--;
	return found(ret, 5, end, KIND_PASSWORD);
}

static bool
next_secret(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, uint32_t at,
		    struct pyaudit_secret *ret)
{
	const char *s = text->s;
	char in_string = 0;

	if (at == 0 && ctx->next != 0) {
		enum kind kind = (enum kind)ctx->next;

		ctx->next = 0;
		if (take_part(text, 0, text->len, ctx->after, kind, ret))
			return true;
	}
	if (at == 0 && find_pass_line(text, ret))
		return true;
	for (size_t i = at; i < text->len; i++) {
		bool begins = begins_word(s, i);

		if (ctx->code && is_quote(s[i]) && (i == 0 || s[i - 1] != '\\'))
			in_string = in_string == 0 ? s[i] : in_string == s[i] ? 0 : in_string;
		if (s[i] == '\n' || s[i] == ';' || s[i] == '|')
			ctx->program = 0;
		if (s[i] == '=' || s[i] == ':') {
			if (s[i] == ':' && find_userinfo(text, i, ret))
				return true;
			if (find_assignment(ctx, text, i, in_string != 0, ret) && ret->from >= i)
				return true;
		}
		if (!begins)
			continue;
		if (ctx->own != NULL && find_own(ctx, text, i, ret))
			return true;
		if (find_token(text, i, ret) || find_jwt(text, i, ret) || find_bearer(text, i, ret))
			return true;
		if (s[i] == '-' && find_private_key(text, i, ret))
			return true;
		if (i > 0 && !(ctx->word ? is_blank(s[i - 1]) : is_separator(s[i - 1])))
			continue;
		if (s[i] == '-' && find_option(ctx, text, i, ret))
			return true;
		if (in_set(s[i], SET_ALNUM) || s[i] == '/' || s[i] == '.') {
			uint8_t program = program_of(s + i, word_end(ctx, text, i) - i);

			if (program != 0)
				ctx->program = program;
		}
	}
	return false;
}

/* Is there a run of word characters as long as the shortest token, an '=' or ':', or a '-' that no word character
 * stands before? */
static bool
is_worth_a_look(const struct pyaudit_value *text)
{
	const char *s = text->s;
	unsigned run = 0;

	for (uint32_t i = 0; i < text->len; i++) {
		if (s[i] == '=' || s[i] == ':' || (s[i] == '-' && run == 0))
			return true;
		run = in_set(s[i], SET_URL) ? run + 1 : 0;
		if (run >= RUN_MIN)
			return true;
	}
	return false;
}

static bool
is_likely(struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	if (ctx->name) {
		ctx->name = false;
		ctx->next = (uint8_t)kind_of_key(text->s, text->len);
		ctx->after = 0;
		return false;
	}
	if (ctx->next != 0 || ctx->program != 0 || (text->flags & PYAUDIT_VALUE_CUT) != 0)
		return true;
	if (ctx->word)
		ctx->program = program_of(text->s, text->len);
	return (text->len > 5 && memcmp(text->s, "PASS ", 5) == 0) || is_worth_a_look(text);
}

static size_t
put(char *out, size_t size, size_t at, const char *s, size_t len)
{
	for (size_t i = 0; i < len && at + i < size; i++)
		out[at + i] = s[i];
	return at + len;
}

size_t
secrets_plain(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, char *out, size_t size)
{
	struct pyaudit_secret secret;
	size_t n = 0;
	uint32_t at = 0;

	if (!is_likely(ctx, text))
		return put(out, size, 0, text->s, text->len);
	while (next_secret(ctx, text, at, &secret)) {
		const char *kind = pyaudit_secret_kind(ctx, secret.kind);

		n = put(out, size, n, text->s + at, secret.from - at);
		n = put(out, size, n, "<redacted:", 10);
		n = put(out, size, n, kind, strlen(kind));
		n = put(out, size, n, ">", 1);
		at = secret.to;
	}
	return put(out, size, n, text->s + at, text->len - at);
}
