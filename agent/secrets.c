/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time is linear because nothing is looked at often: a token begins only where a word begins and is made
 * of what words are made of; a key is looked for over at most KEY_MAX bytes; a value, once found, is
 * passed over whole.
 *
 * It is short because most of a text is decided by one look into a table: what a byte is (classes), whether
 * a form, a program or a key has these letters (may_begin, may_end_key). What they let pass is compared in
 * full; that they let pass all that stands in secrets_table.h, unit.secrets_plain makes sure.
 */
#include <assert.h>
#include <stdatomic.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

#include "secrets_table.h"

static_assert((int)SET_UPPER == PYAUDIT_FORM_UPPER && (int)SET_URL == PYAUDIT_FORM_URL, "sets of own forms");
static_assert(N_KINDS + PYAUDIT_FORMS_MAX <= 64, "kinds are bits");
static_assert(PYAUDIT_FORM_WHOLE_MIN >= RUN_MIN, "own forms are long enough to be looked at");

#define LENGTH(array) (sizeof(array) / sizeof((array)[0]))

/* Of a byte: bits of the sets that it is in, and these. */
enum {
	WORD_BYTE = 1 << SET_URL, /* what words are made of */
	ALNUM = 1 << SET_ALNUM,
	BLANK = 1 << 8,
	QUOTE = 1 << 9,
	SEPARATOR = 1 << 10, /* between words of a command, and of code */
	BREAK = 1 << 11,     /* between commands */
	SIGN = 1 << 12,	     /* between key and value */
	HOST_END = 1 << 13,  /* behind user, password and host of a URL */
	ESCAPE = 1 << 14,    /* before \n, %3D */
	PLAIN = 1 << 15,     /* of words and paths */
};

#define WORDS (1 << SET_WORD | 1 << SET_URL | 1 << SET_DOTS | 1 << SET_PATH | 1 << SET_BASE64 | PLAIN)
#define LETTER (ALNUM | WORDS)

static const uint16_t classes[256] = {
	['0' ... '9'] = 1 << SET_UPPER | 1 << SET_HEX | LETTER,
	['A' ... 'F'] = 1 << SET_UPPER | 1 << SET_HEX | LETTER,
	['G' ... 'Z'] = 1 << SET_UPPER | LETTER,
	['a' ... 'f'] = 1 << SET_HEX | LETTER,
	['g' ... 'z'] = LETTER,
	['_'] = WORDS,
	['-'] = WORDS & ~(1 << SET_WORD),
	['.'] = 1 << SET_DOTS | 1 << SET_BASE64 | PLAIN,
	['/'] = 1 << SET_PATH | 1 << SET_BASE64 | PLAIN | HOST_END,
	['+'] = 1 << SET_BASE64,
	['='] = 1 << SET_BASE64 | SIGN,
	['~'] = 1 << SET_BASE64,
	[':'] = SIGN,
	['\\'] = ESCAPE,
	['%'] = ESCAPE,
	[' '] = BLANK | SEPARATOR | HOST_END,
	['\t'] = BLANK | SEPARATOR | HOST_END,
	['\r'] = BLANK | SEPARATOR | HOST_END,
	['\n'] = BLANK | SEPARATOR | HOST_END | BREAK,
	['"'] = QUOTE | SEPARATOR | HOST_END,
	['\''] = QUOTE | SEPARATOR | HOST_END,
	['`'] = QUOTE | SEPARATOR | HOST_END,
	[';'] = SEPARATOR | BREAK,
	['|'] = SEPARATOR | BREAK,
	['&'] = SEPARATOR,
	['('] = SEPARATOR,
	[')'] = SEPARATOR,
	[','] = SEPARATOR,
	['['] = SEPARATOR,
	[']'] = SEPARATOR,
	['?'] = HOST_END,
	['#'] = HOST_END,
	['<'] = HOST_END,
	['>'] = HOST_END,
};

/* Letters as bits; those of both cases are the same, and some signs are those of letters. */
#define L(c) (UINT32_C(1) << ((c) & 31))
#define END 0 /* behind two bytes there is no more */
#define HEX_DIGITS                                                                                 \
	(L('0') | L('1') | L('2') | L('3') | L('4') | L('5') | L('6') | L('7') | L('8') | L('9') |  \
	 L('A') | L('B') | L('C') | L('D') | L('E') | L('F'))

/* What follows this byte where it begins a token (also eyJ and bearer; a private key with all that follows
 * its '-'), and where it begins the name of a program. */
struct beginning {
	uint32_t second, third;
};

static const struct beginning token_beginnings[128] = {
	['-'] = {UINT32_MAX, UINT32_MAX},
	['A'] = {L('B') | L('C') | L('G') | L('I') | L('K') | L('S') | L('T'),
		 L('I') | L('C') | L('E') | L('z') | L('A')},
	['B'] = {L('e'), L('a')},
	['G'] = {L('O'), L('C')},
	['N'] = {L('R'), L('A')},
	['P'] = {L('M'), L('A')},
	['S'] = {L('G') | L('K'), L('.') | HEX_DIGITS | L(END)},
	['b'] = {L('e'), L('a')},
	['d'] = {L('a') | L('c') | L('i') | L('o'), L('p') | L('k') | L('s') | L('o')},
	['e'] = {L('y'), L('J')},
	['g'] = {L('h') | L('i') | L('l'),
		 L('o') | L('p') | L('r') | L('s') | L('u') | L('t') | L('c') | L('d')},
	['h'] = {L('f') | L('o') | L('v'), L('_') | L('o') | L('b') | L('s')},
	['k'] = {L('e'), L('y')},
	['l'] = {L('i'), L('n')},
	['n'] = {L('p') | L('t'), L('m') | L('n')},
	['p'] = {L('y'), L('p')},
	['r'] = {L('k') | L('u'), L('_') | L('b')},
	['s'] = {L('e') | L('h') | L('k') | L('q'), L('c') | L('p') | L('-') | L('_') | L('0')},
	['w'] = {L('h'), L('s')},
	['x'] = {L('a') | L('o'), L('p') | L('x')},
	['y'] = {L('a'), L('2')},
};

static const struct beginning program_beginnings[128] = {
	['7'] = {L('z'), UINT32_MAX},
	['b'] = {L('c'), L('p')},
	['c'] = {L('u'), L('r')},
	['d'] = {L('o'), L('c')},
	['l'] = {L('d'), L('a')},
	['m'] = {L('y') | L('a') | L('o'), L('s') | L('r') | L('n')},
	['p'] = {L('o'), L('d')},
	['r'] = {L('e'), L('d')},
	['s'] = {L('s') | L('m') | L('q'), L('h') | L('b') | L('l')},
	['u'] = {L('n'), L('z')},
	['z'] = {L('i'), L('p')},
};

/* What stands before this letter, and before that, where it ends a key. */
static const struct {
	uint32_t before, first;
} key_ends[32] = {
	['d' & 31] = {L('r') | L('w'), L('o') | L('s') | L('p')},
	['e' & 31] = {L('s') | L('d') | L('r') | L('i'), L('a') | L('o') | L('u') | L('k')},
	['l' & 31] = {L('a'), L('i')},
	['n' & 31] = {L('e') | L('o'), L('k') | L('i')},
	['s' & 31] = {L('s') | L('t'), L('a') | L('e')},
	['t' & 31] = {L('r') | L('e'), L('o') | L('r')},
	['y' & 31] = {L('e'), L('k')},
};
#define KEY_MIN 3
#define SHORTEST 4 /* text in which there is something: -pwd */

/* Of the site's own, and which three bytes they begin with, as bits of the byte modulo 64. Those are never taken
 * back, for another thread may still look for what is going to be forgotten: that costs a comparison at times. */
static _Atomic(const struct pyaudit_forms *) own_forms;
static _Atomic uint64_t own_beginnings[3];

void
pyaudit_secrets_use(const struct pyaudit_forms *forms)
{
	for (uint32_t i = 0; forms != NULL && i < pyaudit_get32(forms->n); i++)
		for (unsigned n = 0; n < LENGTH(own_beginnings); n++) {
			const struct pyaudit_form *form = &forms->form[i];
			uint64_t bits = n < form->n_prefix ? UINT64_C(1) << (form->prefix[n] & 63) : UINT64_MAX;

			atomic_fetch_or_explicit(&own_beginnings[n], bits, memory_order_relaxed);
		}
	atomic_store_explicit(&own_forms, forms, memory_order_release);
}

void
pyaudit_secrets_forget(const struct pyaudit_forms *forms)
{
	const struct pyaudit_forms *in_use = forms;

	if (forms != NULL)
		(void)atomic_compare_exchange_strong(&own_forms, &in_use, NULL);
}

const char *
pyaudit_form_set_name(unsigned set)
{
	static const char names[][6] = {"upper", "hex", "alnum", "word", "url"};

	static_assert(LENGTH(names) == PYAUDIT_N_FORM_SETS, "one name each");
	return set < PYAUDIT_N_FORM_SETS ? names[set] : NULL;
}

static inline unsigned
class_of(char c)
{
	return classes[(uint8_t)c];
}

static inline bool
in_set(char c, enum set set)
{
	return (class_of(c) >> set & 1) != 0;
}

static inline bool
is(char c, unsigned class)
{
	return (class_of(c) & class) != 0;
}

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

const char *
pyaudit_secret_kind(const struct pyaudit_secrets *ctx, unsigned kind)
{
	if (kind < N_KINDS)
		return kind_names[kind];
	return kind - N_KINDS < n_own(ctx) ? ctx->own->form[kind - N_KINDS].kind : "";
}

struct pyaudit_secrets
pyaudit_secrets_of(const struct pyaudit_event *event)
{
	return (struct pyaudit_secrets){.code = event->id == PYAUDIT_EV_COMPILE ||
						event->id == PYAUDIT_EV_CPYTHON_RUN_COMMAND,
					.name = event->id == PYAUDIT_EV_OS_PUTENV};
}

/* Are these the last bytes of a key, as far as their letters go? */
static inline bool
may_end_key(const char *end)
{
	unsigned last = end[-1] & 31;

	return (key_ends[last].before >> (end[-2] & 31) & key_ends[last].first >> (end[-3] & 31) & 1) != 0;
}

/* Is s[0..len) the key of a secret? */
static enum kind
kind_of_key(const char *s, size_t len)
{
	char key[KEY_MAX];
	const char *end;

	if (len < KEY_MIN || !may_end_key(s + len))
		return KIND_NONE;
	if (len > KEY_MAX) {
		s += len - KEY_MAX;
		len = KEY_MAX;
	}
	for (size_t i = 0; i < len; i++)
		key[i] = s[i] == '-' || s[i] == '.' ? '_' : lower(s[i]);
	end = key + len;
	for (size_t i = 0; i < LENGTH(words); i++) {
		size_t n = words[i].n_end;
		const char *before = s + len - n;

		if (n > len || end[-1] != words[i].end[n - 1] || memcmp(end - n, words[i].end, n) != 0)
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
	static const char nothing[][10] = {"none", "null", "true", "false", "undefined", "nil"};
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

/* Behind an escape (\n, %3D) a word begins within what looks like one. */
#define ESCAPE_MAX 3

static inline bool
ends_escape(const char *s, size_t at)
{
	return (at >= 2 && s[at - 2] == '\\') || (at >= 3 && s[at - 3] == '%');
}

/* Does one of these begin with the bytes that stand there? */
static inline bool
may_begin(const struct beginning all[128], const char *s, size_t left)
{
	const struct beginning *first;

	if (left < 2 || s[0] < 0)
		return false;
	first = &all[(uint8_t)s[0]];
	return (first->second >> (s[1] & 31) & first->third >> (left > 2 ? s[2] & 31 : END) & 1) != 0;
}

static inline bool
own_may_begin(const char *s, size_t left)
{
	uint64_t bits = 1;

	for (unsigned n = 0; n < LENGTH(own_beginnings) && n < left; n++)
		bits &= atomic_load_explicit(&own_beginnings[n], memory_order_relaxed) >> (s[n] & 63);
	return bits != 0;
}

static bool
find_token(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s + at;
	size_t left = text->len - at;

	for (const struct token *t = tokens; t < tokens + LENGTH(tokens) && t->prefix[0] <= s[0]; t++) {
		size_t n = t->n_prefix, end;

		if (t->prefix[0] != s[0] || n > left || memcmp(s, t->prefix, n) != 0)
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

static inline bool
may_be_form(const struct pyaudit_secrets *ctx, const char *s, size_t left)
{
	return may_begin(token_beginnings, s, left) || (ctx->own != NULL && own_may_begin(s, left));
}

/* What says by itself that it is one: a token, a private key. */
static bool
find_form(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
	  struct pyaudit_secret *ret)
{
	if (find_own(ctx, text, at, ret))
		return true;
	if (text->s[at] == '-')
		return find_private_key(text, at, ret);
	return find_token(text, at, ret) || find_jwt(text, at, ret) || find_bearer(text, at, ret);
}

/* At a colon: may user and password of a URL follow? */
static inline bool
may_be_userinfo(const struct pyaudit_value *text, size_t at)
{
	return text->s[at] == ':' && text->len - at >= 6 && text->s[at + 1] == '/' && text->s[at + 2] == '/';
}

/* scheme://user:password@host, at the colon. */
static bool
find_userinfo(const struct pyaudit_value *text, size_t at, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t colon = 0, sign = 0;

	if (!may_be_userinfo(text, at))
		return false;
	for (size_t i = at + 3; i < text->len; i++) {
		if (is(s[i], HOST_END))
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

	for (unsigned n = 0; n < BLANKS_MAX && at < text->len && is(s[at], BLANK); n++)
		at++;
	for (prefix = at; prefix < text->len && prefix < at + 2 && is_lower(lower(s[prefix]));)
		prefix++;
	if (at < text->len && s[at] == '\\' && at + 1 < text->len && is(s[at + 1], QUOTE))
		at++; /* JSON within a text */
	if (prefix < text->len && is(s[prefix], QUOTE) && !whole)
		at = prefix;
	if (at < text->len && is(s[at], QUOTE)) {
		end = quoted_end(text, at);
		at++;
		if (end > at && s[end - 1] == '\\' && end < text->len)
			end--;
	} else if (ctx->code && !in_string) {
		return false;
	} else if (kind == KIND_AUTHORIZATION || kind == KIND_COOKIE) {
		for (end = at; end < text->len && s[end] != '\r' && s[end] != '\n' && !is(s[end], QUOTE);)
			end++;
	} else if (whole) {
		end = text->len;
	} else {
		for (end = at; end < text->len && !is(s[end], BLANK) && !is(s[end], QUOTE) &&
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

/* Behind the key that stands before the '=' or ':' at @at; 0: there is none that is a secret's. */
static inline size_t
key_end(const char *s, size_t at)
{
	size_t end = at;

	while (end > 0 && at - end < 4 &&
	       (is(s[end - 1], BLANK | QUOTE) || s[end - 1] == ']' || s[end - 1] == '\\'))
		end--;
	return end >= KEY_MIN && may_end_key(s + end) ? end : 0;
}

/* At '=' or ':': is the key before it that of a secret? */
static bool
find_assignment(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at,
		bool in_string, struct pyaudit_secret *ret)
{
	const char *s = text->s;
	size_t end = key_end(s, at), start;
	enum kind kind;
	bool whole;

	if (end == 0)
		return false;
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

#if defined(__SSE2__)
/* Bits of those of 16 bytes that may be in the class, BLANK or SEPARATOR; few of them are not. */
static inline unsigned
may_be_in(const char *s, unsigned class)
{
	const __m128i v = _mm_loadu_si128((const __m128i *)(const void *)s);
	const __m128i blank = _mm_cmplt_epi8(v, _mm_set1_epi8(' ' + 1));
	__m128i in = _mm_cmplt_epi8(v, _mm_set1_epi8(',' + 1));

	if (class == BLANK)
		return (unsigned)_mm_movemask_epi8(blank);
	for (const char *other = ";[]`|"; *other != '\0'; other++)
		in = _mm_or_si128(in, _mm_cmpeq_epi8(v, _mm_set1_epi8(*other)));
	return (unsigned)_mm_movemask_epi8(in);
}
#endif

/* First of the words' ends at or behind @at. */
static size_t
word_end(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at)
{
	unsigned ends = ctx->word ? BLANK : SEPARATOR;

#if defined(__SSE2__)
	for (; text->len - at >= 16; at += 16)
		for (unsigned bits = may_be_in(text->s + at, ends); bits != 0; bits &= bits - 1)
			if (is(text->s[at + (unsigned)__builtin_ctz(bits)], ends))
				return at + (unsigned)__builtin_ctz(bits);
#endif
	while (at < text->len && !is(text->s[at], ends))
		at++;
	return at;
}

static uint8_t
program_of(const char *s, size_t len)
{
	const char *slash = len > 0 ? memrchr(s, '/', len) : NULL;

	if (slash != NULL) {
		len -= (size_t)(slash + 1 - s);
		s = slash + 1;
	}
	if (!may_begin(program_beginnings, s, len))
		return 0;
	for (size_t i = 0; i < LENGTH(options); i++)
		if (options[i].n_program == len && memcmp(s, options[i].program, len) == 0)
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
	if (is(s[at], QUOTE)) { /* "--password", "x" in code */
		at++;
		while (at < text->len && (s[at] == ',' || is(s[at], BLANK)))
			at++;
		if (at >= text->len || !is(s[at], QUOTE))
			return false;
	} else if (!is(s[at], BLANK)) {
		return false;
	}
	while (at < text->len && is(s[at], BLANK))
		at++;
	if (at == text->len || s[at] == '-')
		return false;
	if (is(s[at], QUOTE)) {
		end = quoted_end(text, at);
		at++;
		if (at < text->len && s[at] == '-')
			return false;
	} else {
		for (end = at; end < text->len && !is(s[end], BLANK) && !is(s[end], QUOTE) &&
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
		size_t n = o->n_option;

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
	while (end > 5 && is(text->s[end - 1], BLANK))
		end--;
	return found(ret, 5, end, KIND_PASSWORD);
}

/* Where a word begins: a form; where one begins that stands for itself, an option or a program. */
static inline bool
find_at_word(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, size_t at, unsigned before,
	     struct pyaudit_secret *ret)
{
	const char *s = text->s;

	if (may_be_form(ctx, s + at, text->len - at) && find_form(ctx, text, at, ret))
		return true;
	if ((before & (ctx->word ? BLANK : SEPARATOR)) == 0)
		return false;
	if (s[at] == '-')
		return find_option(ctx, text, at, ret);
	if (is(s[at], ALNUM) || s[at] == '/' || s[at] == '.') {
		uint8_t program = program_of(s + at, word_end(ctx, text, at) - at);

		if (program != 0)
			ctx->program = program;
	}
	return false;
}

bool
pyaudit_secret_next(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, uint32_t at,
		    struct pyaudit_secret *ret)
{
	const char *s = text->s;
	unsigned before = at > 0 ? class_of(s[at - 1]) : BLANK | SEPARATOR; /* class of the byte */
	size_t loose = at + ESCAPE_MAX - 1; /* up to here a word may begin within another */
	char in_string = 0;

	if (at == 0 && ctx->next != 0) {
		enum kind kind = (enum kind)ctx->next;

		ctx->next = 0;
		if (take_part(text, 0, text->len, ctx->after, kind, ret))
			return true;
	}
	if (at == 0 && find_pass_line(text, ret))
		return true;
	for (size_t i = at; i < text->len;) {
		unsigned class = class_of(s[i]);

		if ((class & ESCAPE) != 0)
			loose = i + ESCAPE_MAX;
		if ((class & (QUOTE | BREAK | SIGN)) != 0) {
			if (ctx->code && (class & QUOTE) != 0 && (i == 0 || s[i - 1] != '\\'))
				in_string = in_string == 0 ? s[i] : in_string == s[i] ? 0 : in_string;
			if ((class & BREAK) != 0)
				ctx->program = 0;
			if (find_userinfo(text, i, ret))
				return true;
			if ((class & SIGN) != 0 && find_assignment(ctx, text, i, in_string != 0, ret))
				return true;
		}
		if (((before & WORD_BYTE) == 0 || (i <= loose && ends_escape(s, i))) &&
		    find_at_word(ctx, text, i, before, ret))
			return true;
		before = class;
		i++;
		/* None begins within a word. */
		if ((class & WORD_BYTE) != 0 && i > loose)
			while (i < text->len && is(s[i], WORD_BYTE))
				i++;
	}
	return false;
}

#if defined(__SSE2__)
/* Bits of bytes: those that are not plain, and those that are '.' or '/'. */
static inline unsigned
not_plain(__m128i v, unsigned *ret_gaps)
{
	const __m128i low = _mm_or_si128(v, _mm_set1_epi8(0x20));
	/* A range that is moved up to the highest numbers there are: greater than what was before it. */
	const __m128i letter =
		_mm_cmpgt_epi8(_mm_add_epi8(low, _mm_set1_epi8(127 - 'z')), _mm_set1_epi8(126 - 'z' + 'a'));
	const __m128i number =
		_mm_cmpgt_epi8(_mm_add_epi8(v, _mm_set1_epi8(127 - '9')), _mm_set1_epi8(126 - '9' + '-'));
	const __m128i line = _mm_cmpeq_epi8(v, _mm_set1_epi8('_'));
	const __m128i gap = _mm_cmpeq_epi8(_mm_or_si128(v, _mm_set1_epi8(1)), _mm_set1_epi8('/'));

	static_assert('-' + 1 == '.' && '.' + 1 == '/' && '/' + 1 == '0', "one range");
	*ret_gaps = (unsigned)_mm_movemask_epi8(gap);
	return (unsigned)_mm_movemask_epi8(_mm_or_si128(_mm_or_si128(letter, number), line)) ^ 0xffff;
}

/* 1 to 15 bytes, and zeros behind them. */
static inline __m128i
few_bytes(const char *s, size_t n)
{
	uint64_t low = 0, high = 0;
	uint32_t first = 0, last = 0;

	if (n >= sizeof(low)) {
		memcpy(&low, s, sizeof(low));
		memcpy(&high, s + n - sizeof(high), sizeof(high));
		high = high >> 8 * (15 - n) >> 8;
	} else if (n >= sizeof(first)) {
		memcpy(&first, s, sizeof(first));
		memcpy(&last, s + n - sizeof(last), sizeof(last));
		low = first | (uint64_t)last << 8 * (n - sizeof(last));
	} else {
		low = (uint8_t)s[0] | (uint64_t)(uint8_t)s[n / 2] << 8 * (n / 2) |
		      (uint64_t)(uint8_t)s[n - 1] << 8 * (n - 1);
	}
	return _mm_set_epi64x((int64_t)high, (int64_t)low);
}

static inline unsigned
full_block(const char *s, unsigned *ret_gaps)
{
	return not_plain(_mm_loadu_si128((const __m128i *)(const void *)s), ret_gaps);
}

/* Of the last 1 to 16 bytes, which begin at @at. */
static inline unsigned
last_block(const struct pyaudit_value *text, uint32_t at, unsigned *ret_gaps)
{
	uint32_t n = text->len - at;
	unsigned odd;

	if (n == 16)
		return full_block(text->s + at, ret_gaps);
	if (at == 0)
		return not_plain(few_bytes(text->s, n), ret_gaps) & ((1u << n) - 1);
	/* Together with some that were read. */
	odd = full_block(text->s + text->len - 16, ret_gaps);
	*ret_gaps >>= 16 - n;
	return odd >> (16 - n);
}
#else
static inline unsigned
some_bytes(const char *s, unsigned n, unsigned *ret_gaps)
{
	unsigned odd = 0;

	*ret_gaps = 0;
	for (unsigned i = 0; i < n; i++) {
		odd |= (unsigned)!is(s[i], PLAIN) << i;
		*ret_gaps |= (unsigned)(s[i] == '.' || s[i] == '/') << i;
	}
	return odd;
}

static inline unsigned
full_block(const char *s, unsigned *ret_gaps)
{
	return some_bytes(s, 16, ret_gaps);
}

static inline unsigned
last_block(const struct pyaudit_value *text, uint32_t at, unsigned *ret_gaps)
{
	return some_bytes(text->s + at, text->len - at, ret_gaps);
}
#endif

/* What a text is made of, as far as a quick look tells. */
struct quick {
	uint32_t begun;	  /* where the word at hand begins */
	uint32_t longest; /* of its words */
	bool dash;	  /* a word begins with '-' */
	bool sign;	  /* there is an '=' or ':' */
	bool suspect;	  /* something may be found */
};

static inline bool
has_beginning(const struct beginning all[128], const char *s)
{
	return (all[s[0] & 127].second >> (s[1] & 31) & 1) != 0;
}

/* The word at @at may be the beginning of a form, or of an option. */
static inline void
suspect_word(struct quick *quick, const struct pyaudit_secrets *ctx, const struct pyaudit_value *text,
	     uint32_t at)
{
	struct pyaudit_secret form;

	if (text->s[at] == '-')
		quick->dash = true;
	if (may_be_form(ctx, text->s + at, text->len - at) && find_form(ctx, text, at, &form))
		quick->suspect = true;
}

/* The words of a plain text that end within a block. No word begins at the text's last byte here. */
static inline void
read_words(struct quick *quick, const struct pyaudit_secrets *ctx, const struct pyaudit_value *text,
	   uint32_t at, unsigned gaps)
{
	const char *s = text->s;
	uint32_t begun = quick->begun, longest = quick->longest;

	for (; gaps != 0; gaps &= gaps - 1) {
		uint32_t end = at + (uint32_t)__builtin_ctz(gaps);

		longest = end - begun > longest ? end - begun : longest;
		if (__builtin_expect(has_beginning(token_beginnings, s + begun), 0))
			suspect_word(quick, ctx, text, begun);
		begun = end + 1;
	}
	quick->begun = begun;
	quick->longest = longest;
}

/* False: there is more in the text than words and paths. Most have nothing else. The site's own forms are not looked
 * for here. */
static inline bool
read_plain(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text, struct quick *ret)
{
	uint32_t at, last = text->len - 1;
	unsigned gaps;

	for (at = 0; last - at >= 16; at += 16) {
		if (full_block(text->s + at, &gaps) != 0)
			return false;
		read_words(ret, ctx, text, at, gaps);
	}
	if (last_block(text, at, &gaps) != 0)
		return false;
	read_words(ret, ctx, text, at, gaps & ~(1u << (last - at)));
	/* The last byte ends a word, or is one of it. */
	at = last + !(gaps >> (last - at) & 1);
	ret->longest = at - ret->begun > ret->longest ? at - ret->begun : ret->longest;
	if (ret->begun < last ? has_beginning(token_beginnings, text->s + ret->begun) : ret->begun == last)
		suspect_word(ret, ctx, text, ret->begun);
	return true;
}

/* Nothing but a form can be found in a plain text, or an option at its beginning. */
static bool
is_plain_worth(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, const struct quick *quick)
{
	uint8_t program;

	if (quick->longest < RUN_MIN && !quick->dash)
		return false;
	if (quick->suspect || text->s[0] == '-')
		return true;
	/* What the closer look would have found out for the next text. No program's name has a '.' in it. */
	if (ctx->word || text->s[0] == '_' || (quick->begun > 0 && text->s[quick->begun - 1] == '.'))
		return false;
	program = program_of(text->s + quick->begun, text->len - quick->begun);
	if (program != 0)
		ctx->program = program;
	return false;
}

/* In a text that is not plain, programs and their options are told apart by the closer look. */
static inline void
read_word(struct quick *quick, const struct pyaudit_secrets *ctx, const struct pyaudit_value *text,
	  uint32_t at, uint32_t end)
{
	const char *s = text->s + at;

	quick->longest = end - at > quick->longest ? end - at : quick->longest;
	if (end == at)
		return;
	if (s[0] == '-')
		quick->dash = quick->suspect = true;
	if (text->len - at < 2)
		return;
	if (has_beginning(token_beginnings, s) || ctx->own != NULL)
		suspect_word(quick, ctx, text, at);
	if (has_beginning(program_beginnings, s) && may_begin(program_beginnings, s, text->len - at))
		quick->suspect = true;
}

/* What stands between two words. */
static inline void
read_gap(struct quick *quick, const struct pyaudit_value *text, uint32_t at)
{
	unsigned class = class_of(text->s[at]);

	if ((class & (SIGN | ESCAPE)) == 0)
		return;
	quick->sign = quick->sign || (class & SIGN) != 0;
	if ((class & ESCAPE) != 0 || key_end(text->s, at) != 0 ||
	    (may_be_userinfo(text, at) && memchr(text->s + at, '@', text->len - at) != NULL))
		quick->suspect = true;
}

static inline bool
is_worth(const struct quick *quick)
{
	return quick->suspect && (quick->longest >= RUN_MIN || quick->dash || quick->sign);
}

static __attribute__((noinline)) bool
is_mixed_worth(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	struct quick quick = {.longest = 0};
	uint32_t begun = 0;
	unsigned gaps, odd;

	for (uint32_t at = 0; at < text->len && !is_worth(&quick); at += 16) {
		odd = text->len - at >= 16 ? full_block(text->s + at, &gaps) : last_block(text, at, &gaps);
		for (gaps |= odd; gaps != 0; gaps &= gaps - 1) {
			uint32_t gap = at + (uint32_t)__builtin_ctz(gaps);

			read_word(&quick, ctx, text, begun, gap);
			read_gap(&quick, text, gap);
			begun = gap + 1;
		}
	}
	read_word(&quick, ctx, text, begun, text->len);
	return is_worth(&quick);
}

/*
 * Texts in which nothing was found, byte for byte: the file of who is calling, a path that is opened again and again.
 * What stands here is true for every text that is looked at where the site has no forms of its own, and says
 * nothing of the text after it.
 *
 * `turn` is odd while a thread writes the entry. Who reads a word of that writing (acquire) sees the odd turn that was
 * stored before it (release), and so finds the turn changed behind its reading. Nobody waits: who comes meanwhile
 * looks at the text itself, as does a child that was forked meanwhile.
 */
#define KNOWN_BITS 3
#define KNOWN_MIN 16 /* shorter ones are as quickly looked at */
#define KNOWN_MAX 240

struct known {
	_Atomic uint32_t turn;
	_Atomic uint32_t hash;
	_Atomic uint32_t len;	 /* 0: none stands here */
	_Atomic uint32_t missed; /* hash of the last one that was not here: it takes the place when it comes again */
	_Atomic uint64_t last;	 /* eight bytes */
	_Atomic uint64_t bytes[KNOWN_MAX / 8];
};

static struct known *known_texts; /* 1 << KNOWN_BITS; NULL: there is no room for them */

size_t
pyaudit_secrets_room(void *room)
{
	if (room != NULL)
		known_texts = room;
	return sizeof(*known_texts) << KNOWN_BITS;
}

static inline uint32_t
hash_text(const char *s, uint32_t len)
{
	uint64_t hash = (pyaudit_load64(s + len - 8) * PYAUDIT_HASH_K) ^ (pyaudit_load64(s + len / 2) + len);

	return (uint32_t)(hash * PYAUDIT_HASH_K >> 32);
}

static inline struct known *
known_of(uint32_t hash)
{
	return &known_texts[hash >> (32 - KNOWN_BITS)];
}

static inline bool
is_known(const char *s, uint32_t len, uint32_t hash)
{
	struct known *known = known_of(hash);
	uint32_t turn = atomic_load_explicit(&known->turn, memory_order_acquire);
	uint64_t differ = turn & 1;

	if (atomic_load_explicit(&known->hash, memory_order_acquire) != hash ||
	    atomic_load_explicit(&known->len, memory_order_acquire) != len)
		return false;
	for (uint32_t i = 0; i < len / 8; i++)
		differ |= pyaudit_load64(s + 8 * i) ^ atomic_load_explicit(&known->bytes[i], memory_order_acquire);
	differ |= pyaudit_load64(s + len - 8) ^ atomic_load_explicit(&known->last, memory_order_acquire);
	return differ == 0 && atomic_load_explicit(&known->turn, memory_order_relaxed) == turn;
}

static void
know_text(const char *s, uint32_t len, uint32_t hash)
{
	struct known *known = known_of(hash);
	uint32_t turn = atomic_load_explicit(&known->turn, memory_order_relaxed);

	if (atomic_load_explicit(&known->missed, memory_order_relaxed) != hash) {
		atomic_store_explicit(&known->missed, hash, memory_order_relaxed);
		return;
	}
	if ((turn & 1) != 0 ||
	    !atomic_compare_exchange_strong_explicit(&known->turn, &turn, turn + 1, memory_order_acquire,
						     memory_order_relaxed))
		return;
	atomic_store_explicit(&known->hash, hash, memory_order_release);
	atomic_store_explicit(&known->len, len, memory_order_release);
	for (uint32_t i = 0; i < len / 8; i++)
		atomic_store_explicit(&known->bytes[i], pyaudit_load64(s + 8 * i), memory_order_release);
	atomic_store_explicit(&known->last, pyaudit_load64(s + len - 8), memory_order_release);
	atomic_store_explicit(&known->turn, turn + 2, memory_order_release);
}

static bool
is_worth_a_look(struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	struct quick plain = {.longest = 0};

	if (ctx->own == NULL && read_plain(ctx, text, &plain))
		return is_plain_worth(ctx, text, &plain);
	if (text->len > 5 && memcmp(text->s, "PASS ", 5) == 0)
		return true;
	return is_mixed_worth(ctx, text);
}

bool
pyaudit_secret_likely(struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	uint32_t hash;

	/* Once for a text, which may be looked at twice: to measure and to write. */
	ctx->own = atomic_load_explicit(&own_forms, memory_order_acquire);
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
	if (text->len < SHORTEST)
		return false;
	if (known_texts == NULL || ctx->own != NULL || text->len < KNOWN_MIN || text->len > KNOWN_MAX)
		return is_worth_a_look(ctx, text);
	hash = hash_text(text->s, text->len);
	if (is_known(text->s, text->len, hash))
		return false;
	if (is_worth_a_look(ctx, text))
		return true;
	if (ctx->program == 0)
		know_text(text->s, text->len, hash);
	return false;
}

static uint64_t
replaced_kinds(const struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	static const char mark[] = "<redacted:";
	const char *at = text->s, *end = text->s + text->len;
	uint64_t kinds = 0;

	for (; (at = memmem(at, (size_t)(end - at), mark, sizeof(mark) - 1)) != NULL;) {
		at += sizeof(mark) - 1;
		for (unsigned kind = 1; kind < N_KINDS + n_own(ctx); kind++) {
			const char *name = pyaudit_secret_kind(ctx, kind);
			size_t n = strlen(name);

			if ((size_t)(end - at) > n && at[n] == '>' && memcmp(at, name, n) == 0)
				kinds |= UINT64_C(1) << kind;
		}
	}
	return kinds;
}

uint64_t
pyaudit_secret_kinds(struct pyaudit_secrets *ctx, const struct pyaudit_value *text)
{
	bool likely = pyaudit_secret_likely(ctx, text);
	uint64_t kinds = text->len > 0 ? replaced_kinds(ctx, text) : 0;
	struct pyaudit_secret secret;
	uint32_t at = 0;

	if (!likely)
		return kinds;
	while (pyaudit_secret_next(ctx, text, at, &secret)) {
		kinds |= UINT64_C(1) << secret.kind;
		at = secret.to;
	}
	return kinds;
}

size_t
pyaudit_redact(struct pyaudit_secrets *ctx, const struct pyaudit_value *text, char *out, size_t size)
{
	struct pyaudit_secret secret;
	size_t n = 0;
	uint32_t at = 0;

	for (bool more = true; more;) {
		const char *parts[4] = {text->s + at, "<redacted:", "", ">"};
		size_t lengths[4] = {0, 10, 0, 1};

		more = pyaudit_secret_next(ctx, text, at, &secret);
		lengths[0] = (more ? secret.from : text->len) - at;
		if (more) {
			parts[2] = pyaudit_secret_kind(ctx, secret.kind);
			lengths[2] = strlen(parts[2]);
			at = secret.to;
		}
		for (unsigned i = 0; i < (more ? 4 : 1); n += lengths[i], i++)
			if (n < size)
				memcpy(out + n, parts[i], lengths[i] < size - n ? lengths[i] : size - n);
	}
	return n;
}
