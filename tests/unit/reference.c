/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Regular expressions here are sets of positions: a part of the pattern turns the places where it
 * may begin into those where it may end.
 */
#include <arpa/inet.h>
#include <assert.h>
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "reference.h"

#define TEXT_MAX 255
#define PARTS_MAX 512

/* Positions 0 to len. */
struct places {
	bool at[TEXT_MAX + 1];
};

struct subject {
	const char *text;
	size_t len;
	bool fold;
};

struct regex {
	const char *p, *end;
	const struct subject *subject;
};

static bool class_has(const char *p, const char *end, bool fold, unsigned char c);

/* One atom's bytes: its text from @p to the return value, such as "[a-z]", "\\d" or "x". */
static const char *
atom_end(const char *p, const char *end)
{
	if (*p == '\\')
		return p[1] == 'x' ? p + 4 : p + 2;
	if (*p != '[')
		return p + 1;
	p++;
	if (p < end && *p == '^')
		p++;
	if (p < end && *p == ']')
		p++;
	while (*p != ']') {
		if (*p == '[' && p[1] == ':')
			p = strstr(p, ":]") + 2;
		else if (*p == '\\')
			p += 2;
		else
			p++;
	}
	return p + 1;
}

static bool
shorthand_has(char name, unsigned char c)
{
	switch (name) {
	case 'd':
		return isdigit(c) != 0;
	case 'w':
		return c < 128 && (isalnum(c) != 0 || c == '_');
	case 's':
		return c == ' ' || (c >= 9 && c <= 13);
	default:
		return c >= 128 || !shorthand_has((char)tolower(name), c);
	}
}

static int
escape_value(const char *p)
{
	char hex[3] = {0};

	switch (p[1]) {
	case 't':
		return '\t';
	case 'n':
		return '\n';
	case 'r':
		return '\r';
	case 'f':
		return '\f';
	case 'v':
		return '\v';
	case 'x':
		memcpy(hex, p + 2, 2);
		return (int)strtol(hex, NULL, 16);
	default:
		return (unsigned char)p[1];
	}
}

static bool
same_byte(int a, int b, bool fold)
{
	if (fold && a < 128 && b < 128)
		return tolower(a) == tolower(b);
	return a == b;
}

static bool
range_has(int low, int high, int c, bool fold)
{
	if (c >= low && c <= high)
		return true;
	if (!fold || c >= 128 || !isalpha(c))
		return false;
	c ^= 0x20;
	return c >= low && c <= high;
}

static bool
named_has(const char *name, size_t len, unsigned char c)
{
	if (c >= 128)
		return false;
	if (len == 5 && memcmp(name, "alpha", 5) == 0)
		return isalpha(c) != 0;
	if (len == 5 && memcmp(name, "digit", 5) == 0)
		return isdigit(c) != 0;
	if (len == 5 && memcmp(name, "space", 5) == 0)
		return isspace(c) != 0;
	if (len == 5 && memcmp(name, "upper", 5) == 0)
		return isupper(c) != 0;
	return false;
}

/* Within brackets, after [ and ^. */
static bool
class_has(const char *p, const char *end, bool fold, unsigned char c)
{
	bool first = true;

	for (; p < end && (first || *p != ']'); first = false) {
		int low, high;

		if (*p == '[' && p[1] == ':') {
			const char *close = strstr(p, ":]");

			if (named_has(p + 2, (size_t)(close - p - 2), c) ||
			    (fold && c < 128 && isalpha(c) &&
			     named_has(p + 2, (size_t)(close - p - 2), c ^ 0x20)))
				return true;
			p = close + 2;
			continue;
		}
		if (*p == '\\' && strchr("dwsDWS", p[1]) != NULL) {
			if (shorthand_has(p[1], c))
				return true;
			p += 2;
			continue;
		}
		low = *p == '\\' ? escape_value(p) : (unsigned char)*p;
		p += *p == '\\' ? (p[1] == 'x' ? 4 : 2) : 1;
		high = low;
		if (p + 1 < end && *p == '-' && p[1] != ']') {
			p++;
			high = *p == '\\' ? escape_value(p) : (unsigned char)*p;
			p += *p == '\\' ? (p[1] == 'x' ? 4 : 2) : 1;
		}
		if (range_has(low, high, c, fold))
			return true;
	}
	return false;
}

static bool
atom_has(const char *p, const char *end, bool fold, unsigned char c)
{
	if (*p == '.')
		return true;
	if (*p == '[')
		return p[1] == '^' ? !class_has(p + 2, end, fold, c)
				   : class_has(p + 1, end, fold, c);
	if (*p == '\\' && strchr("dwsDWS", p[1]) != NULL)
		return shorthand_has(p[1], c);
	return same_byte(*p == '\\' ? escape_value(p) : (unsigned char)*p, c, fold);
}

static struct places alternatives(struct regex *r, const struct places *from);

/* A quantifier at @p, if there is one. */
static const char *
quantifier(const char *p, const char *end, unsigned *ret_min, unsigned *ret_max)
{
	char *q;

	*ret_min = *ret_max = 1;
	if (p == end)
		return p;
	if (*p == '*' || *p == '+' || *p == '?') {
		*ret_min = *p == '+';
		*ret_max = *p == '?' ? 1 : 1000;
		p++;
	} else if (*p == '{' && p + 1 < end && isdigit((unsigned char)p[1])) {
		*ret_min = *ret_max = (unsigned)strtoul(p + 1, &q, 10);
		if (*q == ',') {
			*ret_max = 1000;
			if (q[1] != '}')
				*ret_max = (unsigned)strtoul(q + 1, &q, 10);
			else
				q++;
		}
		if (*q != '}') {
			*ret_min = *ret_max = 1;
			return p;
		}
		p = q + 1;
	} else {
		return p;
	}
	return p < end && *p == '?' ? p + 1 : p;
}

/* Where one round of the atom or group at r->p leads; moves r->p behind it. */
static struct places
once(struct regex *r, const struct places *from)
{
	const struct subject *s = r->subject;
	struct places to = {{false}};

	if (*r->p == '(') {
		r->p++;
		if (r->p[0] == '?')
			r->p += 2;
		to = alternatives(r, from);
		r->p++;
		return to;
	}
	if (*r->p == '^' || *r->p == '$') {
		size_t place = *r->p == '^' ? 0 : s->len;

		to.at[place] = from->at[place];
		r->p++;
		return to;
	}
	for (size_t i = 0; i < s->len; i++)
		to.at[i + 1] =
			from->at[i] && atom_has(r->p, r->end, s->fold, (unsigned char)s->text[i]);
	r->p = atom_end(r->p, r->end);
	return to;
}

static struct places
sequence(struct regex *r, const struct places *from)
{
	struct places now = *from;

	while (r->p < r->end && *r->p != '|' && *r->p != ')') {
		const char *start = r->p, *behind;
		struct places ends = {{false}}, step = now;
		unsigned min, max;

		(void)once(r, &now); /* only to find its end */
		behind = quantifier(r->p, r->end, &min, &max);
		for (unsigned n = 0; n <= max; n++) {
			bool grew = false;

			for (size_t i = 0; n >= min && i <= r->subject->len; i++) {
				grew = grew || (step.at[i] && !ends.at[i]);
				ends.at[i] = ends.at[i] || step.at[i];
			}
			if (n >= min && !grew)
				break;
			if (n == max)
				break;
			r->p = start;
			step = once(r, &step);
		}
		now = ends;
		r->p = behind;
	}
	return now;
}

static struct places
alternatives(struct regex *r, const struct places *from)
{
	struct places all = {{false}}, one;

	for (;;) {
		one = sequence(r, from);
		for (size_t i = 0; i <= r->subject->len; i++)
			all.at[i] = all.at[i] || one.at[i];
		if (r->p == r->end || *r->p != '|')
			return all;
		r->p++;
	}
}

bool
reference_regex(const char *pattern, size_t pattern_len, const char *text, size_t len)
{
	struct subject subject = {text, len, false};
	struct regex r = {pattern, pattern + pattern_len, &subject};
	struct places from = {{false}}, to;

	assert(len <= TEXT_MAX);
	if (pattern_len >= 4 && memcmp(pattern, "(?i)", 4) == 0) {
		subject.fold = true;
		r.p += 4;
	}
	for (size_t i = 0; i <= len; i++)
		from.at[i] = true;
	to = alternatives(&r, &from);
	for (size_t i = 0; i <= len; i++)
		if (to.at[i])
			return true;
	return false;
}

static bool
glob_class(const char **p, const char *end, unsigned char c)
{
	bool inverted = **p == '!' || **p == '^', has = false, first = true;

	if (inverted)
		(*p)++;
	for (; *p < end && (first || **p != ']'); first = false) {
		int low, high;

		if (**p == '\\')
			(*p)++;
		low = high = (unsigned char)*(*p)++;
		if (**p == '-' && (*p)[1] != ']') {
			(*p)++;
			if (**p == '\\')
				(*p)++;
			high = (unsigned char)*(*p)++;
		}
		has = has || (c >= low && c <= high);
	}
	(*p)++;
	return c != '/' && has != inverted;
}

bool
reference_glob(const char *p, size_t n, const char *s, size_t len)
{
	const char *end = p + n, *rest;

	if (n == 0)
		return len == 0;
	if (*p == '*') {
		bool cross = n > 1 && p[1] == '*';

		while (p < end && *p == '*')
			p++;
		for (size_t i = 0;; i++) {
			if (reference_glob(p, (size_t)(end - p), s + i, len - i))
				return true;
			if (i == len || (s[i] == '/' && !cross))
				return false;
		}
	}
	if (len == 0)
		return false;
	rest = p + 1;
	if (*p == '?') {
		if (*s == '/')
			return false;
	} else if (*p == '[') {
		if (!glob_class(&rest, end, (unsigned char)*s))
			return false;
	} else {
		if (*p == '\\')
			p++, rest++;
		if (*p != *s)
			return false;
	}
	return reference_glob(rest, (size_t)(end - rest), s + 1, len - 1);
}

struct parts {
	const char *s[PARTS_MAX];
	size_t len[PARTS_MAX];
	size_t n;
	bool absolute;
};

static void
split_path(struct parts *ret, const char *path, size_t len)
{
	ret->n = 0;
	ret->absolute = len > 0 && path[0] == '/';
	for (size_t i = 0; i < len;) {
		size_t n = 0;

		while (i + n < len && path[i + n] != '/')
			n++;
		if (n == 2 && memcmp(path + i, "..", 2) == 0) {
			bool up = ret->n > 0 && !(ret->len[ret->n - 1] == 2 &&
						  memcmp(ret->s[ret->n - 1], "..", 2) == 0);

			if (up) {
				ret->n--;
			} else if (!ret->absolute) {
				ret->s[ret->n] = path + i;
				ret->len[ret->n++] = n;
			}
		} else if (n > 0 && !(n == 1 && path[i] == '.')) {
			ret->s[ret->n] = path + i;
			ret->len[ret->n++] = n;
		}
		assert(ret->n < PARTS_MAX);
		i += n + 1;
	}
}

static size_t
ups(const struct parts *parts)
{
	size_t n = 0;

	while (n < parts->n && parts->len[n] == 2 && memcmp(parts->s[n], "..", 2) == 0)
		n++;
	return n;
}

bool
reference_under(const char *dir, size_t dir_len, const char *path, size_t len)
{
	struct parts d, p;

	split_path(&d, dir, dir_len);
	split_path(&p, path, len);
	if (d.absolute != p.absolute || d.n > p.n || ups(&d) != ups(&p))
		return false;
	for (size_t i = 0; i < d.n; i++)
		if (d.len[i] != p.len[i] || memcmp(d.s[i], p.s[i], d.len[i]) != 0)
			return false;
	return true;
}

/* 4 or 6, and the bytes. IPv4 in all the spellings that resolvers take (5 is 0.0.0.5), but not with
 * what inet_aton lets follow an address. */
static int
address_of(const char *s, size_t len, unsigned char ret[16])
{
	char text[64];
	struct in_addr v4;
	struct in6_addr v6;

	if (len >= sizeof(text) || memchr(s, '\0', len) != NULL)
		return 0;
	memcpy(text, s, len);
	text[len] = '\0';
	if (text[strspn(text, "0123456789abcdefABCDEFxX.")] == '\0' && inet_aton(text, &v4) == 1) {
		memcpy(ret, &v4, 4);
		return 4;
	}
	if (inet_pton(AF_INET6, text, &v6) != 1)
		return 0;
	if (IN6_IS_ADDR_V4MAPPED(&v6)) {
		memcpy(ret, v6.s6_addr + 12, 4);
		return 4;
	}
	memcpy(ret, v6.s6_addr, 16);
	return 6;
}

static bool
cidr(const char *net, size_t net_len, const char *s, size_t len)
{
	const char *slash = memchr(net, '/', net_len);
	size_t n = slash != NULL ? (size_t)(slash - net) : net_len;
	unsigned char a[16], b[16];
	int family = address_of(net, n, a);
	int bits = slash != NULL ? atoi(slash + 1) : family == 4 ? 32 : 128;

	if (family == 0 || address_of(s, len, b) != family)
		return false;
	for (int i = 0; i < bits; i++)
		if (((a[i / 8] ^ b[i / 8]) >> (7 - i % 8) & 1) != 0)
			return false;
	return true;
}

static bool
text_is(const struct expr *test, const struct expr_value *v, const char *s, size_t len)
{
	if (v->text == NULL)
		return false;
	switch (test->cmp) {
	case CMP_EQ:
		if (pyaudit_fields[test->field].type == PYAUDIT_TYPE_IP)
			return cidr(v->text, v->len, s, len);
		return len == v->len && memcmp(s, v->text, len) == 0;
	case CMP_STARTSWITH:
		return len >= v->len && memcmp(s, v->text, v->len) == 0;
	case CMP_ENDSWITH:
		return len >= v->len && memcmp(s + len - v->len, v->text, v->len) == 0;
	case CMP_CONTAINS:
		for (size_t i = 0; i + v->len <= len; i++)
			if (memcmp(s + i, v->text, v->len) == 0)
				return true;
		return false;
	case CMP_GLOB:
		return reference_glob(v->text, v->len, s, len);
	case CMP_MATCHES:
		return reference_regex(v->text, v->len, s, len);
	case CMP_UNDER:
		return reference_under(v->text, v->len, s, len);
	case CMP_CIDR:
		return cidr(v->text, v->len, s, len);
	default:
		return false;
	}
}

static bool
number_is(const struct expr *test, const struct expr_value *v, int64_t n)
{
	if (!v->is_int)
		return false;
	switch (test->cmp) {
	case CMP_EQ:
		return n == v->number;
	case CMP_LT:
		return n < v->number;
	case CMP_LE:
		return n <= v->number;
	case CMP_GT:
		return n > v->number;
	case CMP_GE:
		return n >= v->number;
	default:
		return false;
	}
}

/* Decimal text counts as a number where numbers are ordered. */
static bool
decimal(const char *s, size_t len, int64_t *ret)
{
	char text[24];
	char *end;

	if (len == 0 || len >= sizeof(text) || (!isdigit((unsigned char)s[0]) && s[0] != '-') ||
	    (s[0] == '-' && (len == 1 || !isdigit((unsigned char)s[1]))))
		return false;
	memcpy(text, s, len);
	text[len] = '\0';
	*ret = strtoll(text, &end, 10);
	return end == text + len;
}

static bool
one_is(const struct expr *test, const struct pyaudit_value *value)
{
	bool order = test->cmp == CMP_LT || test->cmp == CMP_LE || test->cmp == CMP_GT ||
		     test->cmp == CMP_GE;
	int64_t n;

	for (size_t i = 0; i < test->n_values; i++) {
		const struct expr_value *v = &test->values[i];

		switch (value->type) {
		case PYAUDIT_TAG_STR:
		case PYAUDIT_TAG_BYTES:
		case PYAUDIT_TAG_CODE:
			if (order ? decimal(value->s, value->len, &n) && number_is(test, v, n)
				  : text_is(test, v, value->s, value->len))
				return true;
			break;
		case PYAUDIT_TAG_INT:
		case PYAUDIT_TAG_BOOL:
			if (number_is(test, v, value->i))
				return true;
			break;
		default:
			break;
		}
	}
	return false;
}

static bool
test_is(const struct expr *test, const struct pyaudit_value *value)
{
	if (test->cmp == CMP_EXISTS) {
		switch (value->type) {
		case PYAUDIT_TAG_BOOL:
			return value->i != 0;
		case PYAUDIT_TAG_INT:
		case PYAUDIT_TAG_STR:
		case PYAUDIT_TAG_BYTES:
		case PYAUDIT_TAG_CODE:
		case PYAUDIT_TAG_LIST:
			return true;
		default:
			return false;
		}
	}
	if (value->type != PYAUDIT_TAG_LIST)
		return one_is(test, value);
	for (unsigned i = 0; i < value->n_items; i++)
		if (one_is(test, &value->items[i]))
			return true;
	return false;
}

bool
reference_expr(const struct expr *expr, const struct pyaudit_facts *facts,
	       struct pyaudit_event *event)
{
	struct pyaudit_value value;
	uint32_t scratch_len = event->scratch_len;
	bool is;

	switch (expr->op) {
	case EXPR_AND:
		return reference_expr(expr->a, facts, event) &&
		       reference_expr(expr->b, facts, event);
	case EXPR_OR:
		return reference_expr(expr->a, facts, event) ||
		       reference_expr(expr->b, facts, event);
	case EXPR_NOT:
		return !reference_expr(expr->a, facts, event);
	case EXPR_TRUE:
		return true;
	case EXPR_TEST:
		break;
	}
	if (expr->field >= PYAUDIT_F_PROC_PID)
		return test_is(expr, &facts->fact[expr->field - PYAUDIT_F_PROC_PID]);
	is = pyaudit_field(event, expr->field, &value) && test_is(expr, &value);
	event->scratch_len = scratch_len; /* each test begins with all of it */
	return is;
}

static bool
applies(const struct rule *rule, const struct pyaudit_event *event)
{
	if ((rule->events[event->id / 8] >> event->id % 8 & 1) != 0)
		return true;
	for (size_t i = 0; event->id == PYAUDIT_EV_OTHER && i < rule->n_other_events; i++)
		if (strlen(rule->other_events[i]) == event->name_len &&
		    memcmp(rule->other_events[i], event->name, event->name_len) == 0)
			return true;
	return false;
}

static bool
holds(const struct rule *rule, const struct pyaudit_facts *facts, struct pyaudit_event *event)
{
	return applies(rule, event) &&
	       (rule->when == NULL || reference_expr(rule->when, facts, event));
}

static bool
is_allowed(const struct rule_set *set, const struct rule *target, const struct pyaudit_facts *facts,
	   struct pyaudit_event *event)
{
	for (size_t i = 0; i < set->n_rules; i++) {
		const struct rule *rule = &set->rules[i];

		for (size_t k = 0; rule->allow && k < rule->n_over; k++)
			if (strcmp(rule->over[k], target->id) == 0 && holds(rule, facts, event))
				return true;
	}
	return false;
}

void
reference_judge(const struct rule_set *set, const struct compile_options *options,
		const struct pyaudit_facts *facts, struct pyaudit_event *event,
		struct pyaudit_verdict *ret)
{
	uint16_t classes = pyaudit_events[event->id].classes;
	bool weakened = false;

	memset(ret, 0, sizeof(*ret));
	if ((classes & PYAUDIT_CLASS_NOISE) == 0 &&
	    (options->record_all || (classes & options->record) != 0))
		ret->action = PYAUDIT_ACTION_RECORD;
	for (int action = PYAUDIT_ACTION_KILL; action >= PYAUDIT_ACTION_NONE; action--)
		for (size_t i = 0; i < set->n_rules; i++) {
			const struct rule *rule = &set->rules[i];
			int own = (int)rule->action;
			bool weak =
				own >= PYAUDIT_ACTION_BLOCK && (rule->observe || options->observe);

			if (weak)
				own = PYAUDIT_ACTION_ALERT;
			if (rule->allow || own != action || !holds(rule, facts, event) ||
			    is_allowed(set, rule, facts, event))
				continue;
			weakened = weakened || weak;
			if (own > ret->action)
				ret->action = (uint8_t)own;
			if (ret->n_hits < PYAUDIT_HITS_MAX)
				ret->hits[ret->n_hits++] = (uint16_t)i;
		}
	ret->observed = weakened && ret->action == PYAUDIT_ACTION_ALERT;
}
