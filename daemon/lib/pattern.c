/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs and regular expressions: parser to a tree, tree to a nondeterministic automaton
 * (Thompson), that to a deterministic one (subset construction over byte classes, with limits),
 * and the literal texts that a pattern cannot do without.
 *
 * A search is an automaton that may begin anywhere: a loop over any byte stands before the
 * pattern, unless it begins with ^. As soon as a match is certain, the deterministic automaton is
 * in state 1 and the walk ends; where only the end of the text decides ($, globs), the states
 * from first_accept on do.
 */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pattern.h"

#define REPEAT_ANY UINT16_MAX
#define NONE UINT32_MAX

struct byte_set {
	uint64_t word[4];
};

enum node_type {
	NODE_SET,
	NODE_CAT,
	NODE_ALT,
	NODE_REPEAT,
	NODE_BEGIN,
	NODE_END,
};

struct node {
	enum node_type type;
	uint32_t first_child, last_child, previous, next;
	uint32_t set;
	uint16_t min, max;
};

struct pattern {
	struct node *nodes;
	size_t n_nodes, nodes_size;
	struct byte_set *sets;
	size_t n_sets, sets_size;
	uint32_t root;
	bool fold;
};

/* Byte sets. */

static void
set_add(struct byte_set *set, unsigned byte)
{
	set->word[byte / 64] |= UINT64_C(1) << byte % 64;
}

static bool
set_has(const struct byte_set *set, unsigned byte)
{
	return (set->word[byte / 64] >> byte % 64 & 1) != 0;
}

static void
set_add_range(struct byte_set *set, unsigned first, unsigned last)
{
	for (unsigned byte = first; byte <= last; byte++)
		set_add(set, byte);
}

static void
set_invert(struct byte_set *set)
{
	for (unsigned i = 0; i < 4; i++)
		set->word[i] = ~set->word[i];
}

static void
set_fold(struct byte_set *set)
{
	for (unsigned byte = 'a'; byte <= 'z'; byte++) {
		if (set_has(set, byte))
			set_add(set, byte - 0x20);
		else if (set_has(set, byte - 0x20))
			set_add(set, byte);
	}
}

/* Parser. */

struct parser {
	struct pattern *pattern;
	const char *text;
	size_t len, pos;
	unsigned depth;
	int r; /* first failure */
	struct pattern_error *error;
};

static uint32_t
fail(struct parser *p, int r, size_t offset, const char *message)
{
	if (p->r == 0) {
		p->r = r;
		p->error->message = message;
		p->error->offset = offset;
	}
	return NONE;
}

static uint32_t
syntax(struct parser *p, const char *message)
{
	return fail(p, PATTERN_E_SYNTAX, p->pos, message);
}

static bool
grow(void *array, size_t n, size_t *size, size_t each)
{
	void *bytes;
	size_t wanted = *size > 0 ? *size * 2 : 16;

	if (n < *size)
		return true;
	memcpy(&bytes, array, sizeof(bytes));
	bytes = realloc(bytes, wanted * each);
	if (bytes == NULL)
		return false;
	memcpy(array, &bytes, sizeof(bytes));
	*size = wanted;
	return true;
}

static uint32_t
add_node(struct parser *p, enum node_type type)
{
	struct pattern *pattern = p->pattern;

	if (pattern->n_nodes == PATTERN_NODES_MAX)
		return fail(p, PATTERN_E_SYNTAX, p->pos, "the pattern is too long");
	if (!grow(&pattern->nodes, pattern->n_nodes, &pattern->nodes_size, sizeof(*pattern->nodes)))
		return fail(p, -ENOMEM, p->pos, "out of memory");
	pattern->nodes[pattern->n_nodes] = (struct node){type, NONE, NONE, NONE, NONE, 0, 0, 0};
	return (uint32_t)pattern->n_nodes++;
}

static void
add_child(struct parser *p, uint32_t parent, uint32_t child)
{
	struct node *nodes = p->pattern->nodes;

	if (parent == NONE || child == NONE)
		return;
	nodes[child].previous = nodes[parent].last_child;
	if (nodes[parent].last_child != NONE)
		nodes[nodes[parent].last_child].next = child;
	else
		nodes[parent].first_child = child;
	nodes[parent].last_child = child;
}

static uint32_t
add_set(struct parser *p, const struct byte_set *set)
{
	struct pattern *pattern = p->pattern;
	uint32_t node = add_node(p, NODE_SET);
	size_t i = 0;

	if (node == NONE)
		return NONE;
	while (i < pattern->n_sets && memcmp(&pattern->sets[i], set, sizeof(*set)) != 0)
		i++;
	if (i == pattern->n_sets) {
		if (!grow(&pattern->sets, i, &pattern->sets_size, sizeof(*set)))
			return fail(p, -ENOMEM, p->pos, "out of memory");
		pattern->sets[pattern->n_sets++] = *set;
	}
	pattern->nodes[node].set = (uint32_t)i;
	return node;
}

static uint32_t
add_byte(struct parser *p, unsigned byte)
{
	struct byte_set set = {{0}};

	set_add(&set, byte);
	if (p->pattern->fold)
		set_fold(&set);
	return add_set(p, &set);
}

static uint32_t
add_any(struct parser *p, bool slash_too)
{
	struct byte_set set = {{0}};

	if (!slash_too)
		set_add(&set, '/');
	set_invert(&set);
	return add_set(p, &set);
}

static uint32_t
add_repeat(struct parser *p, uint32_t child, unsigned min, unsigned max)
{
	uint32_t node = add_node(p, NODE_REPEAT);

	if (node == NONE || child == NONE)
		return NONE;
	p->pattern->nodes[node].min = (uint16_t)min;
	p->pattern->nodes[node].max = (uint16_t)max;
	add_child(p, node, child);
	return node;
}

static bool
at_end(const struct parser *p)
{
	return p->pos == p->len;
}

static bool
eat(struct parser *p, char c)
{
	if (at_end(p) || p->text[p->pos] != c)
		return false;
	p->pos++;
	return true;
}

/* \d and the like; false where @c is none of them. */
static bool
add_shorthand(struct byte_set *set, char c)
{
	struct byte_set own = {{0}};

	switch (c | 0x20) {
	case 'd':
		set_add_range(&own, '0', '9');
		break;
	case 'w':
		set_add_range(&own, '0', '9');
		set_add_range(&own, 'a', 'z');
		set_add_range(&own, 'A', 'Z');
		set_add(&own, '_');
		break;
	case 's':
		set_add_range(&own, '\t', '\r');
		set_add(&own, ' ');
		break;
	default:
		return false;
	}
	if ((c & 0x20) == 0)
		set_invert(&own);
	for (unsigned i = 0; i < 4; i++)
		set->word[i] |= own.word[i];
	return true;
}

static int
hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c |= 0x20;
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* The byte that an escape stands for; the backslash is behind us. */
static bool
parse_escape(struct parser *p, unsigned *ret)
{
	static const char names[] = "tnrfv", bytes[] = "\t\n\r\f\v";
	const char *name;
	char c;

	if (at_end(p)) {
		(void)syntax(p, "a backslash at the end quotes nothing");
		return false;
	}
	c = p->text[p->pos++];
	name = memchr(names, c, sizeof(names) - 1);
	if (name != NULL) {
		*ret = (unsigned char)bytes[name - names];
		return true;
	}
	if (c == 'x') {
		int high = p->len - p->pos >= 2 ? hex_digit(p->text[p->pos]) : -1;
		int low = high >= 0 ? hex_digit(p->text[p->pos + 1]) : -1;

		if (low < 0) {
			(void)syntax(p, "\\x takes two hexadecimal digits");
			return false;
		}
		p->pos += 2;
		*ret = (unsigned)(high << 4 | low);
		return true;
	}
	if (isalnum((unsigned char)c)) {
		p->pos--;
		if (c >= '1' && c <= '9')
			(void)syntax(p, "back-references are not supported");
		else if (c == 'b' || c == 'B')
			(void)syntax(p, "\\b is not supported; write what may stand there, such as "
					"(^|[^a-z])");
		else
			(void)syntax(p, "unknown escape");
		return false;
	}
	*ret = (unsigned char)c;
	return true;
}

/* [:alpha:] within brackets; the "[:" is behind us. */
static bool
add_named_class(struct parser *p, struct byte_set *set)
{
	static const struct {
		const char *name;
		int (*has)(int);
	} classes[] = {
		{"alpha", isalpha}, {"digit", isdigit}, {"alnum", isalnum}, {"upper", isupper},
		{"lower", islower}, {"space", isspace}, {"punct", ispunct}, {"xdigit", isxdigit},
		{"blank", isblank}, {"cntrl", iscntrl}, {"print", isprint}, {"graph", isgraph},
	};

	for (size_t i = 0; i < sizeof(classes) / sizeof(classes[0]); i++) {
		size_t n = strlen(classes[i].name);

		if (p->len - p->pos < n + 2 || memcmp(p->text + p->pos, classes[i].name, n) != 0 ||
		    memcmp(p->text + p->pos + n, ":]", 2) != 0)
			continue;
		p->pos += n + 2;
		for (int c = 0; c < 128; c++)
			if (classes[i].has(c))
				set_add(set, (unsigned)c);
		return true;
	}
	(void)syntax(p, "unknown class name");
	return false;
}

/* One end of a range, or a single byte. */
static bool
parse_member(struct parser *p, bool glob, unsigned *ret)
{
	unsigned char c = (unsigned char)p->text[p->pos];

	if (c >= 0x80) {
		(void)syntax(p, "only ASCII within brackets; write alternatives");
		return false;
	}
	p->pos++;
	if (c != '\\') {
		*ret = c;
		return true;
	}
	if (!glob)
		return parse_escape(p, ret);
	if (at_end(p)) {
		(void)syntax(p, "a backslash at the end quotes nothing");
		return false;
	}
	*ret = (unsigned char)p->text[p->pos++];
	return true;
}

/* The opening bracket is behind us. */
static uint32_t
parse_brackets(struct parser *p, bool glob)
{
	struct byte_set set = {{0}};
	size_t start = p->pos - 1;
	bool inverted = eat(p, '^') || (glob && eat(p, '!'));
	bool first = true;

	for (;; first = false) {
		unsigned low, high;

		if (at_end(p))
			return fail(p, PATTERN_E_SYNTAX, start, "the bracket is not closed");
		if (p->text[p->pos] == ']' && !first) {
			p->pos++;
			break;
		}
		if (p->text[p->pos] == '[' && p->len - p->pos > 1 && p->text[p->pos + 1] == ':') {
			p->pos += 2;
			if (!add_named_class(p, &set))
				return NONE;
			continue;
		}
		if (!glob && p->text[p->pos] == '\\' && p->len - p->pos > 1 &&
		    add_shorthand(&set, p->text[p->pos + 1])) {
			p->pos += 2;
			continue;
		}
		if (!parse_member(p, glob, &low))
			return NONE;
		high = low;
		if (p->len - p->pos > 1 && p->text[p->pos] == '-' && p->text[p->pos + 1] != ']') {
			p->pos++;
			if (!parse_member(p, glob, &high))
				return NONE;
			if (high < low)
				return syntax(p, "the range is the wrong way round");
		}
		set_add_range(&set, low, high);
	}
	if (p->pattern->fold)
		set_fold(&set);
	if (inverted)
		set_invert(&set);
	if (glob)
		set.word['/' / 64] &= ~(UINT64_C(1) << '/' % 64);
	return add_set(p, &set);
}

static bool
parse_number(struct parser *p, unsigned *ret)
{
	unsigned n = 0;

	if (at_end(p) || !isdigit((unsigned char)p->text[p->pos]))
		return false;
	while (!at_end(p) && isdigit((unsigned char)p->text[p->pos])) {
		if (n < 100000)
			n = n * 10 + (unsigned)(p->text[p->pos] - '0');
		p->pos++;
	}
	*ret = n;
	return true;
}

/* {m}, {m,} or {m,n}; anything else leaves the brace as a literal. */
static bool
parse_braces(struct parser *p, unsigned *ret_min, unsigned *ret_max)
{
	size_t start = p->pos;
	unsigned min, max;

	if (!eat(p, '{') || !parse_number(p, &min))
		goto literal;
	max = min;
	if (eat(p, ',') && !parse_number(p, &max))
		max = REPEAT_ANY;
	if (!eat(p, '}'))
		goto literal;
	if (min > PATTERN_REPEAT_MAX || (max != REPEAT_ANY && max > PATTERN_REPEAT_MAX))
		(void)fail(p, PATTERN_E_SYNTAX, start, "repetition is limited to 255");
	else if (max < min)
		(void)fail(p, PATTERN_E_SYNTAX, start, "the limits are the wrong way round");
	*ret_min = min;
	*ret_max = max;
	return true;
literal:
	p->pos = start;
	return false;
}

static bool
parse_quantifier(struct parser *p, unsigned *ret_min, unsigned *ret_max)
{
	if (eat(p, '*')) {
		*ret_min = 0;
		*ret_max = REPEAT_ANY;
	} else if (eat(p, '+')) {
		*ret_min = 1;
		*ret_max = REPEAT_ANY;
	} else if (eat(p, '?')) {
		*ret_min = 0;
		*ret_max = 1;
	} else if (!parse_braces(p, ret_min, ret_max)) {
		return false;
	}
	(void)eat(p, '?'); /* lazy: finds no other texts */
	return true;
}

static uint32_t parse_alternatives(struct parser *p);

static uint32_t
parse_group(struct parser *p)
{
	size_t start = p->pos - 1;
	uint32_t node;

	if (eat(p, '?') && !eat(p, ':'))
		return syntax(p, "of groups, only ( ) and (?: ) are supported, and (?i) at the "
				 "start");
	if (++p->depth > PATTERN_DEPTH_MAX)
		return syntax(p, "too many parentheses within each other");
	node = parse_alternatives(p);
	p->depth--;
	if (p->r == 0 && !eat(p, ')'))
		return fail(p, PATTERN_E_SYNTAX, start, "the parenthesis is not closed");
	return node;
}

static uint32_t
parse_atom(struct parser *p)
{
	struct byte_set set = {{0}};
	unsigned byte;
	char c = p->text[p->pos++];

	switch (c) {
	case '(':
		return parse_group(p);
	case '[':
		return parse_brackets(p, false);
	case '.':
		return add_any(p, true);
	case '^':
		return add_node(p, NODE_BEGIN);
	case '$':
		return add_node(p, NODE_END);
	case '*':
	case '+':
	case '?':
		p->pos--;
		return syntax(p, "nothing to repeat");
	case '\\':
		if (!at_end(p) && add_shorthand(&set, p->text[p->pos])) {
			p->pos++;
			return add_set(p, &set);
		}
		return parse_escape(p, &byte) ? add_byte(p, byte) : NONE;
	default:
		return add_byte(p, (unsigned char)c);
	}
}

static uint32_t
parse_sequence(struct parser *p)
{
	uint32_t sequence = add_node(p, NODE_CAT);

	while (p->r == 0 && !at_end(p) && p->text[p->pos] != '|' && p->text[p->pos] != ')') {
		uint32_t atom = parse_atom(p);
		unsigned min, max;

		if (p->r == 0 && parse_quantifier(p, &min, &max)) {
			atom = add_repeat(p, atom, min, max);
			if (!at_end(p) && (p->text[p->pos] == '*' || p->text[p->pos] == '+'))
				return syntax(p, "nothing to repeat");
		}
		add_child(p, sequence, atom);
	}
	return sequence;
}

static uint32_t
parse_alternatives(struct parser *p)
{
	uint32_t first = parse_sequence(p), node;

	if (p->r != 0 || at_end(p) || p->text[p->pos] != '|')
		return first;
	node = add_node(p, NODE_ALT);
	add_child(p, node, first);
	while (p->r == 0 && eat(p, '|'))
		add_child(p, node, parse_sequence(p));
	return node;
}

static void
parse_regex(struct parser *p)
{
	if (p->len >= 4 && memcmp(p->text, "(?i)", 4) == 0) {
		p->pattern->fold = true;
		p->pos = 4;
	}
	p->pattern->root = parse_alternatives(p);
	if (p->r == 0 && !at_end(p))
		(void)syntax(p, "a parenthesis is closed that was not opened");
}

static void
parse_glob(struct parser *p)
{
	uint32_t sequence = add_node(p, NODE_CAT);

	p->pattern->root = sequence;
	add_child(p, sequence, add_node(p, NODE_BEGIN));
	while (p->r == 0 && !at_end(p)) {
		char c = p->text[p->pos++];
		uint32_t node;

		if (c == '*') {
			bool cross = false;

			while (eat(p, '*'))
				cross = true;
			node = add_repeat(p, add_any(p, cross), 0, REPEAT_ANY);
		} else if (c == '?') {
			node = add_any(p, false);
		} else if (c == '[') {
			node = parse_brackets(p, true);
		} else if (c == '\\') {
			if (at_end(p)) {
				(void)syntax(p, "a backslash at the end quotes nothing");
				return;
			}
			node = add_byte(p, (unsigned char)p->text[p->pos++]);
		} else {
			node = add_byte(p, (unsigned char)c);
		}
		add_child(p, sequence, node);
	}
	add_child(p, sequence, add_node(p, NODE_END));
}

/* The nondeterministic automaton. */

enum state_type {
	STATE_SET,
	STATE_SPLIT,
	STATE_BEGIN,
	STATE_END,
	STATE_MATCH,
};

struct state {
	enum state_type type;
	uint32_t next, other; /* other: of SPLIT; of SET: the set */
};

struct nfa {
	struct state *states;
	size_t n_states, states_size;
	struct byte_set *sets; /* of all patterns */
	size_t n_sets, sets_size;
	uint32_t start;
	int r;
};

static void
nfa_fini(struct nfa *nfa)
{
	free(nfa->states);
	free(nfa->sets);
}

static uint32_t
add_state(struct nfa *nfa, enum state_type type, uint32_t next, uint32_t other)
{
	if (nfa->r != 0)
		return 0;
	if (nfa->n_states == PATTERN_NODES_MAX) {
		nfa->r = PATTERN_E_TOO_LARGE;
		return 0;
	}
	if (!grow(&nfa->states, nfa->n_states, &nfa->states_size, sizeof(*nfa->states))) {
		nfa->r = -ENOMEM;
		return 0;
	}
	nfa->states[nfa->n_states] = (struct state){.type = type, .next = next, .other = other};
	return (uint32_t)nfa->n_states++;
}

static uint32_t
nfa_set(struct nfa *nfa, const struct byte_set *set)
{
	size_t i = 0;

	while (i < nfa->n_sets && memcmp(&nfa->sets[i], set, sizeof(*set)) != 0)
		i++;
	if (i == nfa->n_sets) {
		if (!grow(&nfa->sets, i, &nfa->sets_size, sizeof(*set))) {
			nfa->r = -ENOMEM;
			return 0;
		}
		nfa->sets[nfa->n_sets++] = *set;
	}
	return (uint32_t)i;
}

/* Built from the end: each part is told what follows it. Returns where the part begins. */
static uint32_t
build(struct nfa *nfa, const struct pattern *pattern, uint32_t index, uint32_t next)
{
	const struct node *node = &pattern->nodes[index];
	uint32_t start = next, child = node->last_child;

	if (nfa->r != 0)
		return 0;
	switch (node->type) {
	case NODE_SET:
		return add_state(nfa, STATE_SET, next, nfa_set(nfa, &pattern->sets[node->set]));
	case NODE_BEGIN:
		return add_state(nfa, STATE_BEGIN, next, 0);
	case NODE_END:
		return add_state(nfa, STATE_END, next, 0);
	case NODE_CAT:
		for (; child != NONE; child = pattern->nodes[child].previous)
			start = build(nfa, pattern, child, start);
		return start;
	case NODE_ALT:
		start = build(nfa, pattern, child, next);
		for (child = pattern->nodes[child].previous; child != NONE;
		     child = pattern->nodes[child].previous)
			start = add_state(nfa, STATE_SPLIT, build(nfa, pattern, child, next),
					  start);
		return start;
	case NODE_REPEAT:
		if (node->max == REPEAT_ANY) {
			uint32_t loop = add_state(nfa, STATE_SPLIT, 0, next);
			uint32_t body = build(nfa, pattern, child, loop);

			if (nfa->r != 0)
				return 0;
			nfa->states[loop].next = body;
			start = loop;
		} else {
			for (unsigned i = node->min; i < node->max && nfa->r == 0; i++)
				start = add_state(nfa, STATE_SPLIT,
						  build(nfa, pattern, child, start), next);
		}
		for (unsigned i = 0; i < node->min && nfa->r == 0; i++)
			start = build(nfa, pattern, child, start);
		return start;
	}
	return 0;
}

/* Can it match only at the start of the text? */
static bool
begins_at_start(const struct pattern *pattern, uint32_t index)
{
	const struct node *node = &pattern->nodes[index];
	uint32_t child = node->last_child;

	switch (node->type) {
	case NODE_BEGIN:
		return true;
	case NODE_CAT:
		return child != NONE && begins_at_start(pattern, node->first_child);
	case NODE_ALT:
		for (; child != NONE; child = pattern->nodes[child].previous)
			if (!begins_at_start(pattern, child))
				return false;
		return true;
	case NODE_REPEAT:
		return node->min > 0 && begins_at_start(pattern, child);
	default:
		return false;
	}
}

static bool
ends_at_end(const struct pattern *pattern, uint32_t index)
{
	const struct node *node = &pattern->nodes[index];
	uint32_t child = node->last_child;

	switch (node->type) {
	case NODE_END:
		return true;
	case NODE_CAT:
		return child != NONE && ends_at_end(pattern, child);
	case NODE_ALT:
		for (; child != NONE; child = pattern->nodes[child].previous)
			if (!ends_at_end(pattern, child))
				return false;
		return true;
	case NODE_REPEAT:
		return node->min > 0 && ends_at_end(pattern, child);
	default:
		return false;
	}
}

static int
nfa_build(struct nfa *nfa, const struct pattern *const *patterns, size_t n)
{
	static const struct byte_set any = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
	uint32_t match, all = 0;

	memset(nfa, 0, sizeof(*nfa));
	match = add_state(nfa, STATE_MATCH, 0, 0);
	for (size_t i = 0; i < n && nfa->r == 0; i++) {
		uint32_t start = build(nfa, patterns[i], patterns[i]->root, match);

		if (nfa->r == 0 && !begins_at_start(patterns[i], patterns[i]->root)) {
			uint32_t loop = add_state(nfa, STATE_SPLIT, start, 0);
			uint32_t skip = add_state(nfa, STATE_SET, loop, nfa_set(nfa, &any));

			if (nfa->r == 0)
				nfa->states[loop].other = skip;
			start = loop;
		}
		all = i == 0 ? start : add_state(nfa, STATE_SPLIT, start, all);
	}
	nfa->start = all;
	if (nfa->r != 0)
		nfa_fini(nfa);
	return nfa->r;
}

/* A set of states: those that wait for a byte or for the end of the text. */
struct closure {
	const struct nfa *nfa;
	uint32_t *items, n_items;
	uint32_t *stack;
	uint32_t *seen, stamp; /* seen[state] == stamp: is in the set */
	bool match;
	uint64_t work;
};

static bool
closure_init(struct closure *c, const struct nfa *nfa)
{
	memset(c, 0, sizeof(*c));
	c->nfa = nfa;
	c->items = malloc(nfa->n_states * sizeof(*c->items));
	c->stack = malloc((2 * nfa->n_states + 2) * sizeof(*c->stack));
	c->seen = calloc(nfa->n_states, sizeof(*c->seen));
	return c->items != NULL && c->stack != NULL && c->seen != NULL;
}

static void
closure_fini(struct closure *c)
{
	free(c->items);
	free(c->stack);
	free(c->seen);
}

static void
closure_clear(struct closure *c)
{
	c->n_items = 0;
	c->match = false;
	c->stamp++;
}

/* Adds what can be reached from @state without a byte. */
static void
closure_add(struct closure *c, uint32_t state, bool at_begin, bool at_text_end)
{
	size_t n = 0;

	c->stack[n++] = state;
	while (n > 0) {
		const struct state *s;

		state = c->stack[--n];
		c->work++;
		if (c->seen[state] == c->stamp)
			continue;
		c->seen[state] = c->stamp;
		s = &c->nfa->states[state];
		switch (s->type) {
		case STATE_SPLIT:
			c->stack[n++] = s->other;
			c->stack[n++] = s->next;
			break;
		case STATE_BEGIN:
			if (at_begin)
				c->stack[n++] = s->next;
			break;
		case STATE_END:
			if (at_text_end)
				c->stack[n++] = s->next;
			else
				c->items[c->n_items++] = state;
			break;
		case STATE_SET:
			c->items[c->n_items++] = state;
			break;
		case STATE_MATCH:
			c->match = true;
			break;
		}
	}
}

/* Does a match end here, at the end of the text, for the set @items? @c is used up. */
static bool
holds_at_end(struct closure *c, const uint32_t *items, size_t n_items, bool at_begin)
{
	closure_clear(c);
	for (size_t i = 0; i < n_items; i++)
		if (c->nfa->states[items[i]].type == STATE_END)
			closure_add(c, c->nfa->states[items[i]].next, at_begin, true);
	return c->match;
}

static void
closure_step(struct closure *c, const uint32_t *items, size_t n_items, unsigned byte)
{
	closure_clear(c);
	for (size_t i = 0; i < n_items && !c->match; i++) {
		const struct state *s = &c->nfa->states[items[i]];

		if (s->type == STATE_SET && set_has(&c->nfa->sets[s->other], byte))
			closure_add(c, s->next, false, false);
	}
	c->work += n_items;
}

bool
pattern_holds(const struct pattern *pattern, const char *text, size_t len)
{
	struct closure now = {0}, then = {0}, swap;
	struct nfa nfa;
	bool holds = false;

	if (nfa_build(&nfa, &pattern, 1) != 0)
		return false;
	if (!closure_init(&now, &nfa) || !closure_init(&then, &nfa))
		goto out;

	closure_clear(&now);
	closure_add(&now, nfa.start, true, false);
	for (size_t i = 0; i < len && !now.match && now.n_items > 0; i++) {
		closure_step(&then, now.items, now.n_items, (unsigned char)text[i]);
		swap = now;
		now = then;
		then = swap;
	}
	holds = now.match || holds_at_end(&then, now.items, now.n_items, len == 0);
out:
	closure_fini(&now);
	closure_fini(&then);
	nfa_fini(&nfa);
	return holds;
}

/* The deterministic automaton. */

struct subset {
	uint32_t items, n_items; /* in the pool */
	bool holds;		 /* at the end of the text */
};

struct builder {
	struct closure closure, end;
	struct subset *subsets;
	size_t n_subsets, subsets_size;
	uint32_t *pool;
	size_t n_pool, pool_size;
	uint32_t *table; /* hash of subsets, number + 1 */
	uint16_t *next;
	size_t next_size;
	uint8_t classes[256], example[256];
	uint32_t n_classes;
	uint32_t states_max;
	uint64_t work_max;
};

#define SUBSET_TABLE_SIZE (4 * PATTERN_STATES_MAX)

/* Bytes that no set tells apart are one class. */
static void
split_classes(struct builder *b, const struct nfa *nfa)
{
	b->n_classes = 1;
	for (size_t i = 0; i < nfa->n_sets; i++) {
		int in[256], out[256];
		uint32_t n = 0;

		memset(in, -1, sizeof(in));
		memset(out, -1, sizeof(out));
		for (unsigned byte = 0; byte < 256; byte++) {
			int *to = set_has(&nfa->sets[i], byte) ? in : out;

			if (to[b->classes[byte]] < 0)
				to[b->classes[byte]] = (int)n++;
			b->classes[byte] = (uint8_t)to[b->classes[byte]];
		}
		b->n_classes = n;
	}
	for (unsigned byte = 256; byte-- > 0;)
		b->example[b->classes[byte]] = (uint8_t)byte;
}

/* By shell sort: the sets are short and nearly in order, and there are so many of them that calls of a comparison were a third
 * of the daemon's start. */
static void
sort_states(uint32_t *items, uint32_t n)
{
	static const uint32_t gaps[] = {1750, 701, 301, 132, 57, 23, 10, 4, 1};

	for (size_t g = 0; g < sizeof(gaps) / sizeof(gaps[0]); g++)
		for (uint32_t i = gaps[g]; i < n; i++) {
			uint32_t item = items[i], at = i;

			for (; at >= gaps[g] && items[at - gaps[g]] > item; at -= gaps[g])
				items[at] = items[at - gaps[g]];
			items[at] = item;
		}
}

/* Number of the state that the closure is, made where it is new: 0 dead, 1 matched for good. Or
 * an error below 0, or PATTERN_STATES_MAX where there are too many. */
static int
intern(struct builder *b, bool at_begin)
{
	struct closure *c = &b->closure;
	uint32_t hash = 2166136261u, slot;
	struct subset *subset;

	if (c->match)
		return 1;
	if (c->n_items == 0)
		return 0;
	sort_states(c->items, c->n_items);
	for (uint32_t i = 0; i < c->n_items; i++)
		hash = (hash ^ c->items[i]) * 0x9e3779b1u;
	hash ^= (hash >> 15) ^ at_begin; /* the start's own state: ^$ holds nowhere else */
	for (slot = hash % SUBSET_TABLE_SIZE; b->table[slot] != 0;
	     slot = (slot + 1) % SUBSET_TABLE_SIZE) {
		subset = &b->subsets[b->table[slot] - 1];
		if (!at_begin && b->table[slot] - 1 != 2 && subset->n_items == c->n_items &&
		    memcmp(b->pool + subset->items, c->items, c->n_items * sizeof(*c->items)) == 0)
			return (int)(b->table[slot] - 1);
	}
	if (b->n_subsets == b->states_max || (b->n_subsets + 1) * b->n_classes > PATTERN_TABLE_MAX)
		return PATTERN_STATES_MAX;

	while (b->n_pool + c->n_items > b->pool_size)
		if (!grow(&b->pool, b->pool_size, &b->pool_size, sizeof(*b->pool)))
			return -ENOMEM;
	if (!grow(&b->subsets, b->n_subsets, &b->subsets_size, sizeof(*b->subsets)))
		return -ENOMEM;
	subset = &b->subsets[b->n_subsets];
	subset->items = (uint32_t)b->n_pool;
	subset->n_items = c->n_items;
	memcpy(b->pool + b->n_pool, c->items, c->n_items * sizeof(*c->items));
	b->n_pool += c->n_items;
	subset->holds = holds_at_end(&b->end, c->items, c->n_items, at_begin);
	b->table[slot] = (uint32_t)++b->n_subsets;
	return (int)b->n_subsets - 1;
}

static int
explore(struct builder *b, const struct nfa *nfa, uint32_t *ret_start)
{
	int state;

	b->n_subsets = 2; /* dead, and matched for good */
	memset(b->subsets, 0, 2 * sizeof(*b->subsets));
	closure_clear(&b->closure);
	closure_add(&b->closure, nfa->start, true, false);
	state = intern(b, true);
	if (state < 0)
		return state;
	*ret_start = (uint32_t)state;

	for (size_t i = 2; i < b->n_subsets; i++) {
		for (uint32_t class = 0; class < b->n_classes; class ++) {
			closure_step(&b->closure, b->pool + b->subsets[i].items,
				     b->subsets[i].n_items, b->example[class]);
			state = intern(b, false);
			if (state < 0)
				return state;
			if (state == PATTERN_STATES_MAX ||
			    b->closure.work + b->end.work > b->work_max)
				return PATTERN_E_TOO_LARGE;
			while (i * b->n_classes + class >= b->next_size)
				if (!grow(&b->next, b->next_size, &b->next_size, sizeof(*b->next)))
					return -ENOMEM;
			b->next[i * b->n_classes + class] = (uint16_t)state;
		}
	}
	return 0;
}

/* Puts the states that hold at the end last. */
static int
finish(struct dfa *ret, const struct builder *b, uint32_t start)
{
	size_t n = b->n_subsets;
	uint16_t *number = malloc(n * sizeof(*number));
	uint32_t k = 2;

	memset(ret, 0, sizeof(*ret));
	ret->next = calloc(n * b->n_classes, sizeof(*ret->next));
	if (number == NULL || ret->next == NULL) {
		free(number);
		free(ret->next);
		return -ENOMEM;
	}
	number[0] = 0;
	number[1] = 1;
	for (size_t i = 2; i < n; i++)
		if (!b->subsets[i].holds)
			number[i] = (uint16_t)k++;
	ret->first_accept = k;
	for (size_t i = 2; i < n; i++)
		if (b->subsets[i].holds)
			number[i] = (uint16_t)k++;

	ret->n_states = (uint32_t)n;
	ret->n_classes = b->n_classes;
	ret->start = number[start];
	memcpy(ret->classes, b->classes, sizeof(ret->classes));
	for (uint32_t class = 0; class < b->n_classes; class ++)
		ret->next[b->n_classes + class] = 1;
	for (size_t i = 2; i < n; i++)
		for (uint32_t class = 0; class < b->n_classes; class ++)
			ret->next[number[i] * b->n_classes + class] =
				number[b->next[i * b->n_classes + class]];
	free(number);
	return 0;
}

static int
make_dfa(struct dfa *ret_dfa, const struct pattern *const *patterns, size_t n, uint32_t states_max,
	 uint64_t work_max)
{
	struct builder b = {.n_classes = 1, .states_max = states_max, .work_max = work_max};
	uint32_t start = 0;
	struct nfa nfa;
	int r = nfa_build(&nfa, patterns, n);

	if (r != 0)
		return r;
	split_classes(&b, &nfa);
	b.table = calloc(SUBSET_TABLE_SIZE, sizeof(*b.table));
	if (b.table == NULL || !closure_init(&b.closure, &nfa) || !closure_init(&b.end, &nfa) ||
	    !grow(&b.subsets, 0, &b.subsets_size, sizeof(*b.subsets)))
		r = -ENOMEM;
	if (r == 0)
		r = explore(&b, &nfa, &start);
	if (r == 0)
		r = finish(ret_dfa, &b, start);
	closure_fini(&b.closure);
	closure_fini(&b.end);
	free(b.subsets);
	free(b.pool);
	free(b.table);
	free(b.next);
	nfa_fini(&nfa);
	return r;
}

int
pattern_dfa(struct dfa *ret_dfa, const struct pattern *pattern)
{
	return make_dfa(ret_dfa, &pattern, 1, PATTERN_STATES_MAX, PATTERN_WORK_MAX);
}

int
pattern_dfa_union(struct dfa *ret_dfa, const struct pattern *const *patterns, size_t n)
{
	return make_dfa(ret_dfa, patterns, n, PATTERN_UNION_STATES_MAX, PATTERN_UNION_WORK_MAX);
}

void
dfa_fini(struct dfa *dfa)
{
	free(dfa->next);
	dfa->next = NULL;
}

bool
dfa_match(const struct dfa *dfa, const char *text, size_t len)
{
	uint32_t state = dfa->start;

	for (size_t i = 0; i < len && state > 1; i++)
		state = dfa->next[state * dfa->n_classes + dfa->classes[(unsigned char)text[i]]];
	return state == 1 || state >= dfa->first_accept;
}

/* Literals. */

/* What is known of the texts that a part of the pattern matches. Of sets with n 0, nothing is. */
struct text_set {
	unsigned n;
	uint8_t len[PATTERN_LITERALS_MAX];
	char text[PATTERN_LITERALS_MAX][PATTERN_LITERAL_LEN_MAX];
};

struct known {
	bool exact;	     /* all of them */
	struct text_set all; /* where exact */
	struct text_set first, last, within;
};

static void
texts_one_empty(struct text_set *set)
{
	set->n = 1;
	set->len[0] = 0;
}

static bool
texts_add(struct text_set *set, const char *text, size_t len)
{
	for (unsigned i = 0; i < set->n; i++)
		if (set->len[i] == len && memcmp(set->text[i], text, len) == 0)
			return true;
	if (set->n == PATTERN_LITERALS_MAX || len > PATTERN_LITERAL_LEN_MAX)
		return false;
	set->len[set->n] = (uint8_t)len;
	memcpy(set->text[set->n++], text, len);
	return true;
}

/* *set = each of *set followed by each of *more; false where that is too much, and nothing done. */
static bool
texts_cross(struct text_set *set, const struct text_set *more)
{
	struct text_set out = {0};
	char text[2 * PATTERN_LITERAL_LEN_MAX];

	for (unsigned i = 0; i < set->n; i++)
		for (unsigned k = 0; k < more->n; k++) {
			memcpy(text, set->text[i], set->len[i]);
			memcpy(text + set->len[i], more->text[k], more->len[k]);
			if (!texts_add(&out, text, (size_t)set->len[i] + more->len[k]))
				return false;
		}
	*set = out;
	return true;
}

static bool
texts_union(struct text_set *set, const struct text_set *more)
{
	for (unsigned i = 0; i < more->n; i++)
		if (!texts_add(set, more->text[i], more->len[i]))
			return false;
	return true;
}

/* The same of texts that are anywhere: one with another of them in it says nothing more. */
static bool
texts_union_within(struct text_set *set, const struct text_set *more)
{
	for (unsigned i = 0; i < more->n; i++) {
		const char *text = more->text[i];
		size_t len = more->len[i];
		unsigned n = 0;
		bool known = false;

		for (unsigned k = 0; k < set->n && !known; k++)
			known = memmem(text, len, set->text[k], set->len[k]) != NULL;
		if (known)
			continue;
		for (unsigned k = 0; k < set->n; k++)
			if (memmem(set->text[k], set->len[k], text, len) == NULL) {
				memmove(set->text[n], set->text[k], set->len[k]);
				set->len[n++] = set->len[k];
			}
		set->n = n;
		if (!texts_add(set, text, len))
			return false;
	}
	return true;
}

/* The shortest says how much a set is worth. */
static unsigned
texts_worth(const struct text_set *set)
{
	unsigned worth = set->n > 0 ? UINT8_MAX : 0;

	for (unsigned i = 0; i < set->n; i++)
		if (set->len[i] < worth)
			worth = set->len[i];
	return worth;
}

static void
prefer(struct text_set *best, const struct text_set *set)
{
	if (texts_worth(set) > texts_worth(best))
		*best = *set;
}

static void learn(const struct pattern *pattern, uint32_t index, struct known *ret);

static void
learn_set(const struct pattern *pattern, const struct byte_set *set, struct known *ret)
{
	unsigned n = 0;

	for (unsigned byte = 0; byte < 256; byte++) {
		char c = (char)(pattern->fold ? tolower((int)byte) : (int)byte);

		if (!set_has(set, byte))
			continue;
		if (!texts_add(&ret->all, &c, 1) || ++n > 8) {
			ret->all.n = 0;
			return;
		}
	}
	ret->exact = ret->all.n > 0;
}

/* What the ends and the inside of an exact set are. */
static const struct text_set *
first_of(const struct known *known)
{
	return known->exact ? &known->all : &known->first;
}

static const struct text_set *
last_of(const struct known *known)
{
	return known->exact ? &known->all : &known->last;
}

static const struct text_set *
within_of(const struct known *known)
{
	return known->exact ? &known->all : &known->within;
}

struct run {
	struct text_set texts; /* what the part read so far ends with */
	bool from_start;       /* and it is all of it */
	bool first;	       /* nothing has ended a run yet */
};

static void
end_run(struct run *run, struct known *ret)
{
	if (run->first && run->from_start)
		ret->first = run->texts;
	run->first = false;
	run->from_start = false;
	prefer(&ret->within, &run->texts);
}

static void
learn_next(struct run *run, const struct known *child, struct known *ret)
{
	if (child->exact) {
		if (texts_cross(&run->texts, &child->all))
			return;
		end_run(run, ret);
		run->texts = child->all;
		return;
	}
	if (child->first.n > 0)
		(void)texts_cross(&run->texts, &child->first);
	end_run(run, ret);
	prefer(&ret->within, &child->within);
	run->texts = child->last;
	if (run->texts.n == 0)
		texts_one_empty(&run->texts);
}

static void
learn_alternatives(const struct pattern *pattern, uint32_t child, struct known *ret)
{
	bool exact = true, first = true, last = true, within = true;
	struct known known;

	for (; child != NONE; child = pattern->nodes[child].previous) {
		learn(pattern, child, &known);
		exact = exact && known.exact && texts_union(&ret->all, &known.all);
		first = first && first_of(&known)->n > 0 &&
			texts_union(&ret->first, first_of(&known));
		last = last && last_of(&known)->n > 0 && texts_union(&ret->last, last_of(&known));
		within = within && within_of(&known)->n > 0 &&
			 texts_union_within(&ret->within, within_of(&known));
	}
	ret->exact = exact;
	if (!first)
		ret->first.n = 0;
	if (!last)
		ret->last.n = 0;
	if (!within)
		ret->within.n = 0;
}

static void
learn_repeat(const struct pattern *pattern, const struct node *node, struct known *ret)
{
	struct known child;

	learn(pattern, node->last_child, &child);
	if (child.exact && node->max <= 4) {
		bool fits = true;

		texts_one_empty(&ret->all);
		for (unsigned i = 0; i < node->min && fits; i++)
			fits = texts_cross(&ret->all, &child.all);
		for (unsigned i = node->min; i < node->max && fits; i++) {
			struct text_set more = ret->all;

			fits = texts_cross(&more, &child.all) && texts_union(&ret->all, &more);
		}
		ret->exact = fits;
		if (fits)
			return;
	}
	if (node->min == 0)
		return;
	ret->first = *first_of(&child);
	ret->last = *last_of(&child);
	ret->within = *within_of(&child);
}

static void
learn(const struct pattern *pattern, uint32_t index, struct known *ret)
{
	const struct node *node = &pattern->nodes[index];
	struct run run = {.from_start = true, .first = true};

	memset(ret, 0, sizeof(*ret));
	switch (node->type) {
	case NODE_SET:
		learn_set(pattern, &pattern->sets[node->set], ret);
		break;
	case NODE_BEGIN:
	case NODE_END:
		ret->exact = true;
		texts_one_empty(&ret->all);
		break;
	case NODE_CAT:
		texts_one_empty(&run.texts);
		for (uint32_t child = node->first_child; child != NONE;
		     child = pattern->nodes[child].next) {
			struct known known;

			learn(pattern, child, &known);
			learn_next(&run, &known, ret);
		}
		if (run.from_start) {
			ret->exact = true;
			ret->all = run.texts;
		} else {
			ret->last = run.texts;
			prefer(&ret->within, &run.texts);
		}
		break;
	case NODE_ALT:
		learn_alternatives(pattern, node->last_child, ret);
		break;
	case NODE_REPEAT:
		learn_repeat(pattern, node, ret);
		break;
	}
}

void
pattern_literals(const struct pattern *pattern, struct pattern_literals *ret)
{
	bool begin = begins_at_start(pattern, pattern->root);
	bool end = ends_at_end(pattern, pattern->root);
	struct text_set within = {0};
	const struct text_set *best;
	struct known known;

	learn(pattern, pattern->root, &known);
	memset(ret, 0, sizeof(*ret));
	ret->place = PATTERN_WITHIN;
	best = within_of(&known);
	if (!pattern->fold && known.exact && begin && end) {
		ret->place = PATTERN_WHOLE;
	} else if (!pattern->fold) {
		if (end && texts_worth(last_of(&known)) >= texts_worth(best)) {
			ret->place = PATTERN_SUFFIX;
			best = last_of(&known);
		}
		if (begin && texts_worth(first_of(&known)) >= texts_worth(best)) {
			ret->place = PATTERN_PREFIX;
			best = first_of(&known);
		}
	}
	if (ret->place != PATTERN_WHOLE && texts_worth(best) == 0) {
		ret->place = PATTERN_WITHIN;
		return;
	}
	if (ret->place == PATTERN_WITHIN && texts_union_within(&within, best))
		best = &within;
	ret->n = best->n;
	memcpy(ret->len, best->len, sizeof(ret->len));
	memcpy(ret->text, best->text, sizeof(ret->text));
}

int
pattern_parse(struct pattern **ret_pattern, enum pattern_kind kind, const char *text, size_t len,
	      struct pattern_error *ret_error)
{
	struct parser p = {.text = text, .len = len, .error = ret_error};

	if (len > PATTERN_LEN_MAX) {
		*ret_error = (struct pattern_error){"the pattern is longer than 4096 bytes", 0};
		return PATTERN_E_SYNTAX;
	}
	p.pattern = calloc(1, sizeof(*p.pattern));
	if (p.pattern == NULL)
		return -ENOMEM;
	if (kind == PATTERN_GLOB)
		parse_glob(&p);
	else
		parse_regex(&p);
	if (p.r != 0) {
		pattern_free(p.pattern);
		return p.r;
	}
	*ret_pattern = p.pattern;
	return 0;
}

void
pattern_free(struct pattern *pattern)
{
	if (pattern == NULL)
		return;
	free(pattern->nodes);
	free(pattern->sets);
	free(pattern);
}

void
pattern_freep(struct pattern **pattern)
{
	pattern_free(*pattern);
}
