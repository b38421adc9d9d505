/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The evaluator of policy images (include/pyaudit/policy.h).
 *
 * Cost must not grow with the number of rules. So no rule is looked at until a value of the event
 * has led to it: the index of each field is asked once with the field's value and names the few
 * rules that the value may concern; only their conditions are then evaluated. An index may name
 * too many rules, never too few: what a rule's condition needs in order to hold was chosen by
 * the compiler. The fields a condition tests are fetched when first asked for.
 *
 * It runs inside other people's programs on each security event: nothing is allocated, nothing
 * fails, nothing recurses, all state is in struct judge on the stack (1.5 KiB), and the
 * image is only read, by any number of threads. pyaudit_image_check has made sure once that
 * every offset, count and state number is in range and that every walk ends; so nothing is
 * checked here again.
 */
#include <errno.h>
#include <limits.h>
#include <string.h>

#include "grams.h"
#include "sums.h"
#include "vectors.h"
#include "verdict.h"

/* Fields that are asked of an event stand before those of the process. */
#define N_EVENT_FIELDS PYAUDIT_F_PROC_PID
static_assert(N_EVENT_FIELDS <= 64, "fields fit the word of those fetched");

/* Fields that say the same of the same arguments, wherever and whenever the event is raised. A new one
 * is not among them until it is put here. */
#define PURE_FIELDS ((UINT64_C(2) << PYAUDIT_F_EXEC_PROGRAMS) - 1)
static_assert(PYAUDIT_F_EXEC_PROGRAMS - PYAUDIT_F_EVENT == 44, "each of these fields is pure");

#define MEMO_SIZE 64

struct judge {
	const uint8_t *base;
	const struct pyaudit_proc_bits *proc;
	struct pyaudit_event *event;
	struct pyaudit_verdict *verdict;
	const struct pyaudit_program_rule *rules;
	uint64_t fetched; /* fields whose value is there */
	bool memo_used;
	bool weakened; /* a hit that observe mode has weakened */
	uint8_t strength[PYAUDIT_HITS_MAX];
	uint16_t memo[MEMO_SIZE]; /* rules that have been looked at, by their low bits */
	struct pyaudit_value values[N_EVENT_FIELDS];
};
static_assert(sizeof(struct judge) <= 1600, "the evaluator's stack is the guest's");

/* The accessors of le.h put bytes together, which compilers do not always see through. */
#define get16(v) pyaudit_load16((v).b)
#define get32(v) pyaudit_load32((v).b)
#define get64(v) pyaudit_load64((v).b)

#define LIKELY(x) __builtin_expect(!!(x), 1)
#define UNLIKELY(x) __builtin_expect(!!(x), 0)

static inline const void *
at(const void *base, pyaudit_le32 offset)
{
	return (const uint8_t *)base + get32(offset);
}

/* Paths and addresses. */

size_t
pyaudit_path_normalise(char *out, size_t size, const char *path, size_t len)
{
	bool absolute = len > 0 && path[0] == '/';
	size_t n = 0, floor = 0; /* what stands before floor is not taken back by ".." */

	if (absolute) {
		if (size == 0)
			return SIZE_MAX;
		out[n++] = '/';
		floor = 1;
	}
	for (size_t i = 0; i < len;) {
		const char *part = path + i;
		const char *slash = memchr(part, '/', len - i);
		size_t n_part = slash != NULL ? (size_t)(slash - part) : len - i;

		i += n_part + 1;
		if (n_part == 0 || (n_part == 1 && part[0] == '.'))
			continue;
		if (n_part == 2 && part[0] == '.' && part[1] == '.') {
			if (n > floor) {
				while (n > floor && out[n - 1] != '/')
					n--;
				if (n > floor)
					n--; /* the slash before it */
				continue;
			}
			if (absolute)
				continue;
		}
		if (n_part + 1 > size - n)
			return SIZE_MAX;
		if (n > 0 && out[n - 1] != '/')
			out[n++] = '/';
		memcpy(out + n, part, n_part);
		n += n_part;
		if (!absolute && n_part == 2 && part[0] == '.' && part[1] == '.')
			floor = n;
	}
	return n;
}

/* How many ".." a normalised path begins with. */
static size_t
leading_ups(const char *path, size_t len)
{
	size_t n = 0;

	for (size_t i = 0; len - i >= 2 && memcmp(path + i, "..", 2) == 0; i += 3) {
		if (len - i > 2 && path[i + 2] != '/')
			break;
		n++;
		if (len - i <= 3)
			break;
	}
	return n;
}

/* Walks over the path's components as normalising would, but keeps only how many of the directory's
 * components are matched: needs no room for the path. */
bool
pyaudit_path_under(const char *dir, size_t dir_len, const char *path, size_t len)
{
	bool absolute = len > 0 && path[0] == '/';
	size_t pos = 0; /* in dir: the first component that is not matched */
	size_t depth = 0, n_matched = 0, n_up = 0;

	if (absolute != (dir_len > 0 && dir[0] == '/'))
		return false;
	if (absolute) {
		dir++;
		dir_len--;
	}
	for (size_t i = 0; i < len;) {
		const char *part = path + i;
		const char *slash = memchr(part, '/', len - i);
		size_t n_part = slash != NULL ? (size_t)(slash - part) : len - i;

		i += n_part + 1;
		if (n_part == 0 || (n_part == 1 && part[0] == '.'))
			continue;
		if (n_part == 2 && part[0] == '.' && part[1] == '.') {
			if (depth > n_up) {
				depth--;
				if (n_matched > depth) {
					n_matched--;
					for (pos--; pos > 0 && dir[pos - 1] != '/'; pos--)
						;
				}
				continue;
			}
			if (absolute)
				continue;
			n_up++;
		}
		if (n_matched == depth && pos < dir_len && dir_len - pos >= n_part &&
		    memcmp(dir + pos, part, n_part) == 0 &&
		    (dir_len - pos == n_part || dir[pos + n_part] == '/')) {
			n_matched++;
			pos += n_part + 1;
		}
		depth++;
	}
	return pos >= dir_len && n_up == leading_ups(dir, dir_len);
}

/* Sixteen bytes at once; the compiler has an instruction for each of these steps, on every machine
 * that has vectors at all. */
typedef uint8_t bytes16 __attribute__((vector_size(16)));

/* A slash before a slash or dot at one of the sixteen bytes from @s on? One more is read. Bytes
 * that are not zero where the answer is yes. */
static inline bytes16
odd_slashes(const char *s)
{
	bytes16 here, next;

	memcpy(&here, s, sizeof(here));
	memcpy(&next, s + 1, sizeof(next));
	/* '.' and '/' differ in their lowest bit only */
	return (bytes16)(here == '/') & (bytes16)((next | 1) == '/');
}

static inline bool
is_zero(bytes16 v)
{
	uint64_t halves[2];

	memcpy(halves, &v, sizeof(halves));
	return (halves[0] | halves[1]) == 0;
}

/* Nothing to normalise but slashes at the end? May say no where the answer is yes. */
static bool
path_is_plain(const char *s, size_t len)
{
	size_t i = 0;

	if (len > 0 && s[0] == '.')
		return false;
	if (LIKELY(pyaudit_vectors() == PYAUDIT_VECTORS_64))
		return !pyaudit_odd_slashes_64(s, len);
	if (len >= 33 && pyaudit_vectors() == PYAUDIT_VECTORS_32)
		return !pyaudit_odd_slashes_32(s, len);
	if (len >= 17) {
		/* The last step overlaps the one before. */
		bytes16 found = odd_slashes(s + len - 17);

		for (; i < len - 17; i += 16)
			found |= odd_slashes(s + i);
		return is_zero(found);
	}
	for (; i + 1 < len; i++)
		if (pyaudit_is_odd_slash(s[i], s[i + 1]))
			return false;
	return true;
}

/* One number as the C library's address parser takes it: decimal, 0x hexadecimal, 0 octal. */
static bool
parse_part(const char **s, const char *end, uint64_t *ret)
{
	const char *p = *s;
	unsigned base = 10;
	uint64_t n = 0;

	if (p == end || *p < '0' || *p > '9')
		return false;
	if (*p == '0' && end - p > 1 && (p[1] == 'x' || p[1] == 'X')) {
		base = 16;
		p += 2;
		if (p == end)
			return false;
	} else if (*p == '0') {
		base = 8;
	}
	for (; p < end && *p != '.'; p++) {
		unsigned c = (uint8_t)*p;
		unsigned digit = c - '0' < 10		? c - '0'
				 : (c | 0x20) - 'a' < 6 ? (c | 0x20) - 'a' + 10
							: 99;

		if (digit >= base)
			return false;
		n = n * base + digit;
		if (n > UINT32_MAX)
			return false;
	}
	*s = p;
	*ret = n;
	return true;
}

static bool
parse_v4(const char *s, const char *end, uint8_t ret[4])
{
	uint64_t parts[4], address = 0;
	unsigned n = 0;

	for (;;) {
		if (n == 4 || !parse_part(&s, end, &parts[n]))
			return false;
		n++;
		if (s == end)
			break;
		s++; /* the dot */
	}
	for (unsigned i = 0; i + 1 < n; i++) {
		if (parts[i] > 255)
			return false;
		address |= parts[i] << (24 - 8 * i);
	}
	if (parts[n - 1] >> (8 * (5 - n)) != 0)
		return false;
	address |= parts[n - 1];
	for (unsigned i = 0; i < 4; i++)
		ret[i] = (uint8_t)(address >> (24 - 8 * i));
	return true;
}

static bool
parse_v6(const char *s, const char *end, uint8_t ret[16])
{
	uint8_t out[16] = {0};
	unsigned n = 0, gap = UINT_MAX;

	if (end - s >= 2 && s[0] == ':' && s[1] == ':') {
		gap = 0;
		s += 2;
	}
	while (s < end) {
		const char *start = s;
		unsigned value = 0, n_digits = 0;

		for (; s < end && *s != ':' && *s != '.'; s++, n_digits++) {
			unsigned c = (uint8_t)*s;
			unsigned digit = c - '0' < 10		? c - '0'
					 : (c | 0x20) - 'a' < 6 ? (c | 0x20) - 'a' + 10
								: 99;

			if (digit > 15 || n_digits == 4)
				return false;
			value = value << 4 | digit;
		}
		if (s < end && *s == '.') {
			if (n > 12 || !parse_v4(start, end, out + n))
				return false;
			n += 4;
			s = end;
			break;
		}
		if (n_digits == 0 || n > 14)
			return false;
		out[n++] = (uint8_t)(value >> 8);
		out[n++] = (uint8_t)value;
		if (s == end)
			break;
		s++; /* the colon */
		if (s == end)
			return false;
		if (*s == ':') {
			if (gap != UINT_MAX)
				return false;
			gap = n;
			s++;
		}
	}
	if (gap == UINT_MAX ? n != 16 : n > 14)
		return false;
	memset(ret, 0, 16);
	if (gap == UINT_MAX)
		gap = n;
	memcpy(ret, out, gap);
	memcpy(ret + 16 - (n - gap), out + gap, n - gap);
	return true;
}

unsigned
pyaudit_address_parse(const char *s, size_t len, uint8_t ret[16])
{
	static const uint8_t mapped[12] = {0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff};
	const char *zone;
	uint8_t v6[16];

	if (len == 0 || len > 64)
		return 0;
	if (memchr(s, ':', len) == NULL)
		return parse_v4(s, s + len, ret) ? 4 : 0;
	zone = memchr(s, '%', len);
	if (!parse_v6(s, zone != NULL ? zone : s + len, v6))
		return 0;
	if (memcmp(v6, mapped, sizeof(mapped)) == 0) {
		memcpy(ret, v6 + 12, 4);
		return 4;
	}
	memcpy(ret, v6, 16);
	return 6;
}

bool
pyaudit_network_parse(struct pyaudit_network *ret, const char *s, size_t len)
{
	const char *slash = memchr(s, '/', len);
	size_t n_address = slash != NULL ? (size_t)(slash - s) : len;
	struct pyaudit_network net = {.family = 0};
	bool v6 = memchr(s, ':', n_address) != NULL;
	unsigned bits = 0;

	net.family = (uint8_t)pyaudit_address_parse(s, n_address, net.address);
	if (net.family == 0)
		return false;
	if (slash == NULL) {
		bits = net.family == 4 ? 32 : 128;
	} else {
		if (len - n_address < 2 || len - n_address > 4)
			return false;
		for (slash++; slash < s + len; slash++) {
			if (*slash < '0' || *slash > '9')
				return false;
			bits = bits * 10 + (unsigned)(*slash - '0');
		}
		if (net.family == 4 && v6) {
			if (bits < 96)
				return false;
			bits -= 96;
		}
		if (bits > (net.family == 4 ? 32u : 128u))
			return false;
	}
	net.bits = (uint8_t)bits;
	*ret = net;
	return true;
}

bool
pyaudit_address_within(unsigned family, const uint8_t *address, const struct pyaudit_network *net)
{
	unsigned n = net->bits / 8, rest = net->bits % 8;

	if (family == 0 || family != net->family || memcmp(address, net->address, n) != 0)
		return false;
	return rest == 0 || (address[n] ^ net->address[n]) >> (8 - rest) == 0;
}

bool
pyaudit_number_parse(const char *s, size_t len, int64_t *ret)
{
	bool negative = len > 0 && s[0] == '-';
	uint64_t limit = (uint64_t)INT64_MAX + negative, n = 0;

	s += negative;
	len -= negative;
	if (len == 0 || len > 20)
		return false;
	for (size_t i = 0; i < len; i++) {
		uint64_t digit = (uint64_t)(unsigned char)s[i] - '0';

		if (digit > 9 || n > (limit - digit) / 10)
			return false;
		n = n * 10 + digit;
	}
	*ret = negative ? (int64_t)(0 - n) : (int64_t)n;
	return true;
}

/* Tests: one value against one test. */

static bool
dfa_holds(const struct pyaudit_dfa *dfa, const char *s, size_t len)
{
	uint32_t n_classes = get32(dfa->n_classes);
	uint32_t state = get32(dfa->start);

	if (get32(dfa->n_states) <= PYAUDIT_DFA_NARROW)
		for (size_t i = 0; i < len && state > 1; i++)
			state = dfa->next[state * n_classes + dfa->classes[(uint8_t)s[i]]];
	else
		for (size_t i = 0; i < len && state > 1; i++)
			state = pyaudit_load16(&dfa->next[2 * (state * n_classes + dfa->classes[(uint8_t)s[i]])]);
	return state == 1 || state >= get32(dfa->first_accept);
}

static bool
set_has(const uint8_t *base, const struct pyaudit_test *test, const char *s, size_t len)
{
	const struct pyaudit_text *set = at(base, test->data);
	uint32_t mask = get32(test->n_data) - 1;

	for (uint32_t i = (uint32_t)pyaudit_text_hash(s, len);; i++) {
		const struct pyaudit_text *text = &set[i & mask];
		uint32_t text_len = get32(text->len);

		if (text_len == PYAUDIT_TEXT_EMPTY)
			return false;
		if (text_len == len && memcmp(at(base, text->at), s, len) == 0)
			return true;
	}
}

static bool
number_holds(const uint8_t *base, const struct pyaudit_test *test, int64_t number)
{
	const pyaudit_le64 *ints = at(base, test->ints);
	uint32_t low = 0, high = get32(test->n_ints);

	if (test->op == PYAUDIT_TEST_RANGE)
		return number >= (int64_t)get64(ints[0]) && number <= (int64_t)get64(ints[1]);
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int64_t n = (int64_t)get64(ints[middle]);

		if (n == number)
			return true;
		if (n < number)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool
text_holds(const uint8_t *base, const struct pyaudit_test *test, const char *s, size_t len)
{
	const struct pyaudit_text *texts = at(base, test->data);
	uint32_t n = get32(test->n_data);
	uint8_t address[16];
	unsigned family;
	int64_t number;

	switch (test->op) {
	case PYAUDIT_TEST_RANGE:
		return pyaudit_number_parse(s, len, &number) && number_holds(base, test, number);
	case PYAUDIT_TEST_EQUAL:
		for (uint32_t i = 0; i < n; i++)
			if (get32(texts[i].len) == len &&
			    memcmp(at(base, texts[i].at), s, len) == 0)
				return true;
		return false;
	case PYAUDIT_TEST_EQUAL_SET:
		return set_has(base, test, s, len);
	case PYAUDIT_TEST_STARTSWITH:
		for (uint32_t i = 0; i < n; i++) {
			uint32_t text_len = get32(texts[i].len);

			if (text_len <= len && memcmp(at(base, texts[i].at), s, text_len) == 0)
				return true;
		}
		return false;
	case PYAUDIT_TEST_ENDSWITH:
		for (uint32_t i = 0; i < n; i++) {
			uint32_t text_len = get32(texts[i].len);

			if (text_len <= len &&
			    memcmp(at(base, texts[i].at), s + len - text_len, text_len) == 0)
				return true;
		}
		return false;
	case PYAUDIT_TEST_CONTAINS:
		for (uint32_t i = 0; i < n; i++)
			if (memmem(s, len, at(base, texts[i].at), get32(texts[i].len)) != NULL)
				return true;
		return false;
	case PYAUDIT_TEST_UNDER:
		for (uint32_t i = 0; i < n; i++)
			if (pyaudit_path_under(at(base, texts[i].at), get32(texts[i].len), s, len))
				return true;
		return false;
	case PYAUDIT_TEST_PATTERN: {
		const pyaudit_le32 *automata = at(base, test->data);

		for (uint32_t i = 0; i < n; i++)
			if (dfa_holds(at(base, automata[i]), s, len))
				return true;
		return false;
	}
	case PYAUDIT_TEST_CIDR: {
		const struct pyaudit_network *nets = at(base, test->data);

		family = pyaudit_address_parse(s, len, address);
		for (uint32_t i = 0; i < n; i++)
			if (pyaudit_address_within(family, address, &nets[i]))
				return true;
		return false;
	}
	default:
		return false;
	}
}

static inline bool
is_number(const struct pyaudit_value *v)
{
	return v->type == PYAUDIT_TAG_INT || v->type == PYAUDIT_TAG_BOOL;
}

static bool
value_holds(const uint8_t *base, const struct pyaudit_test *test, const struct pyaudit_value *v)
{
	if (pyaudit_value_is_text(v))
		return text_holds(base, test, v->s, v->len);
	if (is_number(v))
		return number_holds(base, test, v->i);
	return false;
}

static bool
test_holds(const uint8_t *base, const struct pyaudit_test *test, const struct pyaudit_value *v)
{
	if (test->op == PYAUDIT_TEST_EXISTS)
		return v->type == PYAUDIT_TAG_BOOL
			       ? v->i != 0
			       : v->type == PYAUDIT_TAG_LIST || v->type == PYAUDIT_TAG_INT ||
					 pyaudit_value_is_text(v);
	if (v->type != PYAUDIT_TAG_LIST)
		return value_holds(base, test, v);
	for (unsigned i = 0; i < v->n_items; i++)
		if (value_holds(base, test, &v->items[i]))
			return true;
	return false;
}

/* Rules. */

static const struct pyaudit_value *
field_value(struct judge *j, unsigned field)
{
	struct pyaudit_value *v = &j->values[field];

	if ((PYAUDIT_PLAIN_FIELDS >> field & 1) != 0)
		return pyaudit_field_plain(j->event, field);
	if ((j->fetched >> field & 1) == 0) {
		j->fetched |= UINT64_C(1) << field;
		if (!pyaudit_field(j->event, field, v))
			v->type = 0;
	}
	return v;
}

static bool
rule_holds(struct judge *j, const struct pyaudit_rule *rule)
{
	const struct pyaudit_image *image = (const void *)j->base;
	const struct pyaudit_test *tests = at(image, image->tests);
	const struct pyaudit_node *nodes = at(image, rule->nodes);
	uint32_t n = get32(rule->n_nodes);
	uint32_t i = get32(rule->entry);

	while (i < n) {
		const struct pyaudit_test *test = &tests[get32(nodes[i].test)];
		uint32_t bit = get16(test->proc_bit);
		bool holds;

		if (bit != PYAUDIT_NO_PROC_BIT)
			holds = j->proc != NULL && (j->proc->word[bit / 64] >> bit % 64 & 1) != 0;
		else
			holds = test_holds(j->base, test, field_value(j, test->field));
		i = get32(holds ? nodes[i].yes : nodes[i].no);
	}
	return i == n + 1;
}

/* Keeps hits sorted, strongest first, then by number. */
static void
add_hit(struct judge *j, unsigned number, const struct pyaudit_rule *rule)
{
	struct pyaudit_verdict *verdict = j->verdict;
	unsigned i = verdict->n_hits;

	if (rule->action > verdict->action)
		verdict->action = rule->action;
	if (rule->flags & PYAUDIT_RULE_WEAKENED)
		j->weakened = true;
	if (rule->flags & PYAUDIT_RULE_MEMORY)
		verdict->is_counted = 1;

	for (unsigned k = 0; k < verdict->n_hits; k++)
		if (verdict->hits[k] == number)
			return;
	while (i > 0 && (j->strength[i - 1] < rule->action ||
			 (j->strength[i - 1] == rule->action && verdict->hits[i - 1] > number))) {
		i--;
		if (i + 1 < PYAUDIT_HITS_MAX) {
			j->strength[i + 1] = j->strength[i];
			verdict->hits[i + 1] = verdict->hits[i];
		}
	}
	if (i == PYAUDIT_HITS_MAX)
		return;
	j->strength[i] = rule->action;
	verdict->hits[i] = (uint16_t)number;
	if (verdict->n_hits < PYAUDIT_HITS_MAX)
		verdict->n_hits++;
}

/* Looks at rule @i of the program. To look twice changes nothing; the memo only saves time. */
static void
consider(struct judge *j, unsigned i)
{
	const struct pyaudit_image *image = (const void *)j->base;
	const struct pyaudit_rule *rules = at(image, image->rules);
	const struct pyaudit_program_rule *own = &j->rules[i];
	const pyaudit_le16 *allow = at(image, own->allow);
	unsigned number = get16(own->rule);

	if (j->memo[i % MEMO_SIZE] == i)
		return;
	j->memo[i % MEMO_SIZE] = (uint16_t)i;
	if (!rule_holds(j, &rules[number]))
		return;
	for (unsigned k = 0; k < get16(own->n_allow); k++)
		if (rule_holds(j, &rules[get16(allow[k])]))
			return;
	add_hit(j, number, &rules[number]);
}

static __attribute__((noinline)) void
trigger(struct judge *j, const struct pyaudit_list *list)
{
	const pyaudit_le16 *rules = at(j->base, list->at);
	uint32_t n = get32(list->n);

	if (!j->memo_used) {
		j->memo_used = true;
		memset(j->memo, 0xff, sizeof(j->memo));
	}
	for (uint32_t i = 0; i < n; i++)
		consider(j, get16(rules[i]));
}

static inline bool
list_is_empty(const struct pyaudit_list *list)
{
	return get32(list->n) == 0;
}

/* Indexes: from a value to the rules that it may concern. */

/* Up to eight bytes of the text from @i on, the first one lowest, never read beyond its ends. */
static inline uint64_t
bytes_from(const char *s, size_t len, size_t i)
{
	size_t left = len - i;
	uint64_t a, b;

	if (LIKELY(left >= 8))
		return pyaudit_load64(s + i);
	if (left == 0)
		return 0;
	if (len >= 8)
		return pyaudit_load64(s + len - 8) >> (64 - 8 * left);
	pyaudit_ends(s, len, &a, &b);
	if (len >= 4)
		a |= b << (8 * len - 32);
	else
		a = (uint8_t)s[0] | (b >> 8) << (8 * (len / 2)) | (b & 0xff) << (8 * (len - 1));
	return a >> (8 * i);
}

/* Are the @n bytes of the label, up to eight, the next of the text? */
static inline bool
label_fits(const struct pyaudit_trie_node *node, size_t n, const char *s, size_t len, size_t i,
	   bool backward)
{
	uint64_t bytes;

	if (n == 0)
		return true;
	bytes = bytes_from(s, len, backward ? len - i - n : i);
	return (bytes ^ get64(node->label)) << (64 - 8 * n) == 0;
}

/* Triggers the rules on the way of the text. Without @j only says whether there are any, which is no
 * nearly always, and to say so takes no call. */
static inline __attribute__((always_inline)) bool
walk(struct judge *j, const uint8_t *base, const struct pyaudit_trie *trie, const char *s, size_t len, bool backward)
{
	const struct pyaudit_trie_node *nodes = at(base, trie->nodes);
	const struct pyaudit_trie_node *node = nodes;
	size_t i = 0;

	for (;;) {
		size_t n = node->label_len;
		const pyaudit_le32 *children;
		uint32_t child;

		if (n > len - i || !label_fits(node, n, s, len, i, backward))
			return false;
		i += n;
		if (UNLIKELY(!list_is_empty(&node->here))) {
			if (j == NULL)
				return true;
			trigger(j, &node->here);
		}
		if (i == len)
			break;
		child = (uint32_t)(uint8_t)(backward ? s[len - 1 - i] : s[i]) - node->low;
		if (child >= get16(node->n_children))
			return false;
		i++;
		children = at(base, node->children);
		child = get32(children[child]);
		if (child == 0)
			return false;
		node = &nodes[child];
	}
	if (list_is_empty(&node->end))
		return false;
	if (j != NULL)
		trigger(j, &node->end);
	return true;
}

static inline __attribute__((always_inline)) bool
is_on_the_way(const uint8_t *base, pyaudit_le32 trie, const char *s, size_t len, bool backward)
{
	return UNLIKELY(walk(NULL, base, at(base, trie), s, len, backward));
}

static __attribute__((noinline)) void
walk_forward(struct judge *j, const struct pyaudit_trie *trie, const char *s, size_t len)
{
	(void)walk(j, j->base, trie, s, len, false);
}

static __attribute__((noinline)) void
walk_backward(struct judge *j, const struct pyaudit_trie *trie, const char *s, size_t len)
{
	(void)walk(j, j->base, trie, s, len, true);
}

/* A path that is not in normal form: walks the normal one, made in the event's scratch; where that
 * is full, all rules that ask `under` are looked at. */
static __attribute__((noinline)) void
walk_normalised(struct judge *j, const struct pyaudit_index *index, const char *s, size_t len)
{
	struct pyaudit_event *event = j->event;
	size_t n = SIZE_MAX;

	if (event->scratch != NULL && event->scratch_len < event->scratch_size)
		n = pyaudit_path_normalise(event->scratch + event->scratch_len,
					   event->scratch_size - event->scratch_len, s, len);
	if (n == SIZE_MAX)
		trigger(j, &index->paths);
	else
		walk_forward(j, at(j->base, index->forward), event->scratch + event->scratch_len,
			     n);
}

static void
found_within(void *data, const struct pyaudit_list *rules)
{
	trigger(data, rules);
}

static inline __attribute__((always_inline)) void
scan(const uint8_t *base, const struct pyaudit_index *index, const char *s, size_t len,
     void (*found)(void *data, const struct pyaudit_list *rules), void *data)
{
	for (unsigned i = 0; i < 3; i++)
		if ((index->parts & PYAUDIT_INDEX_GRAMS << i) != 0)
			pyaudit_grams_scan(base, at(base, index->grams[i]), s, len, found, data);
}

static __attribute__((noinline)) void
look_up_number(struct judge *j, const struct pyaudit_index *index, int64_t number)
{
	const struct pyaudit_index_int *ints = at(j->base, index->ints);
	uint32_t low = 0, high = get32(index->n_ints);

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		int64_t n = (int64_t)get64(ints[middle].value);

		if (n == number) {
			trigger(j, &ints[middle].rules);
			return;
		}
		if (n < number)
			low = middle + 1;
		else
			high = middle;
	}
}

static __attribute__((noinline)) void
look_up_address(struct judge *j, const struct pyaudit_index *index, const char *s, size_t len)
{
	uint8_t key[17];
	unsigned family = pyaudit_address_parse(s, len, key + 1);

	if (family == 0)
		return;
	key[0] = family == 4 ? '4' : '6';
	walk_forward(j, at(j->base, index->address), (const char *)key, family == 4 ? 5 : 17);
}

static __attribute__((noinline)) void
run_automata(struct judge *j, const struct pyaudit_index *index, const char *s, size_t len)
{
	const struct pyaudit_index_automaton *automata = at(j->base, index->automata);

	for (unsigned i = 0; i < get16(index->n_automata); i++)
		if (dfa_holds(at(j->base, automata[i].dfa), s, len))
			trigger(j, &automata[i].rules);
}

static inline void
look_up(struct judge *j, const struct pyaudit_index *index, const struct pyaudit_value *v)
{
	const char *s = v->s;
	size_t len = v->len;
	unsigned parts = index->parts;

	if (!pyaudit_value_is_text(v)) {
		if (is_number(v))
			look_up_number(j, index, v->i);
		return;
	}
	if ((parts & PYAUDIT_INDEX_FORWARD) != 0 && is_on_the_way(j->base, index->forward, s, len, false))
		walk_forward(j, at(j->base, index->forward), s, len);
	if ((parts & PYAUDIT_INDEX_PATHS) != 0 && UNLIKELY(!path_is_plain(s, len)))
		walk_normalised(j, index, s, len);
	if ((parts & PYAUDIT_INDEX_BACKWARD) != 0 && is_on_the_way(j->base, index->backward, s, len, true))
		walk_backward(j, at(j->base, index->backward), s, len);
	if (parts >= PYAUDIT_INDEX_GRAMS)
		scan(j->base, index, s, len, found_within, j);
	if ((parts & PYAUDIT_INDEX_ADDRESS) != 0)
		look_up_address(j, index, s, len);
	if (get16(index->n_automata) != 0)
		run_automata(j, index, s, len);
}

void
pyaudit_judge(const void *image, const struct pyaudit_slot *slot,
	      const struct pyaudit_proc_bits *proc, struct pyaudit_event *event,
	      struct pyaudit_verdict *ret)
{
	const struct pyaudit_program *program = at(image, slot->program);
	const struct pyaudit_index *index;
	struct judge j;
	uint32_t n, n_items;

	ret->action =
		slot->flags & PYAUDIT_SLOT_RECORD ? PYAUDIT_ACTION_RECORD : PYAUDIT_ACTION_NONE;
	ret->observed = 0;
	ret->n_hits = 0;
	ret->pure = 1;
	ret->is_counted = 0;
	if ((slot->flags & PYAUDIT_SLOT_JUDGE) == 0)
		return;

	j.base = image;
	j.proc = proc;
	j.event = event;
	j.verdict = ret;
	j.rules = at(image, program->rules);
	j.fetched = 0;
	j.memo_used = false;
	j.weakened = false;

	if (!list_is_empty(&program->always))
		trigger(&j, &program->always);
	index = at(image, program->indexes);
	for (n = get32(program->n_indexes); n > 0; n--, index++) {
		const struct pyaudit_value *v = field_value(&j, index->field);

		if (v->type == 0)
			continue;
		if ((index->parts & PYAUDIT_INDEX_ANY) != 0)
			trigger(&j, &index->any);
		n_items = 1;
		if (v->type == PYAUDIT_TAG_LIST) {
			n_items = v->n_items;
			v = v->items;
		}
		for (; n_items > 0; n_items--, v++)
			look_up(&j, index, v);
	}
	if (j.weakened && ret->action == PYAUDIT_ACTION_ALERT)
		ret->observed = 1;
	ret->pure = (j.fetched & ~PURE_FIELDS) == 0;
}

/* A glance: the same looks, without what a rule would need. */

static void
found_any(void *data, const struct pyaudit_list *rules)
{
	(void)rules;
	*(bool *)data = true;
}

/* What one look at all bytes of a path may tell. */
#define PATHS_AND_GRAMS (PYAUDIT_INDEX_PATHS | PYAUDIT_INDEX_GRAMS)

static inline bool
leads_to_rules(const uint8_t *base, const struct pyaudit_index *index, const char *s, size_t len)
{
	unsigned parts = index->parts;
	bool found = false;

	if ((parts & PATHS_AND_GRAMS) == PATHS_AND_GRAMS &&
	    LIKELY(pyaudit_grams_none_in_path(base, at(base, index->grams[0]), s, len)))
		parts &= ~PATHS_AND_GRAMS;
	if ((parts & PYAUDIT_INDEX_FORWARD) != 0 && is_on_the_way(base, index->forward, s, len, false))
		return true;
	if ((parts & PYAUDIT_INDEX_PATHS) != 0 && UNLIKELY(!path_is_plain(s, len)))
		return true;
	if ((parts & PYAUDIT_INDEX_BACKWARD) != 0 && is_on_the_way(base, index->backward, s, len, true))
		return true;
	if (parts >= PYAUDIT_INDEX_GRAMS)
		scan(base, index, s, len, found_any, &found);
	return found;
}

bool
pyaudit_glance(const void *image, const struct pyaudit_slot *slot, const char *s, size_t len)
{
	const struct pyaudit_program *program = at(image, slot->program);
	const struct pyaudit_index *index = at(image, program->indexes);

	for (uint32_t n = get32(program->n_indexes); n > 0; n--, index++)
		if (leads_to_rules(image, index, s, len))
			return false;
	return true;
}

void
pyaudit_image_bind(const void *image, const struct pyaudit_facts *facts,
		   struct pyaudit_proc_bits *ret)
{
	const struct pyaudit_image *head = image;
	const struct pyaudit_test *tests = at(image, head->tests);
	const pyaudit_le32 *proc_tests = at(image, head->proc_tests);

	memset(ret, 0, sizeof(*ret));
	for (uint32_t i = 0; i < get32(head->n_proc_tests); i++) {
		const struct pyaudit_test *test = &tests[get32(proc_tests[i])];

		if (test_holds(image, test, &facts->fact[test->field - PYAUDIT_F_PROC_PID]))
			ret->word[i / 64] |= UINT64_C(1) << i % 64;
	}
}

/* Slots and rules. */

const struct pyaudit_slot *
pyaudit_image_slot(const void *image, const char *name)
{
	const struct pyaudit_image *head = image;
	const struct pyaudit_slot *slots = at(image, head->slots);
	unsigned bits = get32(head->slot_bits);
	uint32_t mask = (UINT32_C(1) << bits) - 1, i;
	size_t len = strlen(name);
	uint64_t a, b, slot_a, slot_b;

	pyaudit_ends(name, len, &a, &b);
	for (i = (uint32_t)(pyaudit_name_hash(a, b, len) >> 32);; i++) {
		const struct pyaudit_slot *slot = &slots[i & mask];
		const char *slot_name;

		if (get32(slot->name) == 0)
			return &head->other;
		if (get32(slot->name_len) != len)
			continue;
		slot_name = at(image, slot->name);
		pyaudit_ends(slot_name, len, &slot_a, &slot_b);
		if (((a ^ slot_a) | (b ^ slot_b)) == 0 &&
		    (len <= 16 || memcmp(name + 8, slot_name + 8, len - 16) == 0))
			return slot;
	}
}

uint64_t
pyaudit_image_generation(const void *image)
{
	return get64(((const struct pyaudit_image *)image)->generation);
}

uint32_t
pyaudit_image_flags(const void *image)
{
	return get32(((const struct pyaudit_image *)image)->flags);
}

const struct pyaudit_forms *
pyaudit_image_forms(const void *image)
{
	const struct pyaudit_image *head = image;

	return get32(head->forms) != 0 ? at(image, head->forms) : NULL;
}

const char *
pyaudit_image_rule_id(const void *image, unsigned rule)
{
	const struct pyaudit_image *head = image;
	const struct pyaudit_rule *rules = at(image, head->rules);

	if (rule >= get32(head->n_rules))
		return "?";
	return at(image, rules[rule].id);
}

unsigned
pyaudit_image_rule_ack_ms(const void *image, unsigned rule)
{
	const struct pyaudit_image *head = image;
	const struct pyaudit_rule *rules = at(image, head->rules);

	return rule < get32(head->n_rules) ? get16(rules[rule].ack_ms) : 0;
}

static bool
has_hit(const struct pyaudit_verdict *verdict, uint16_t rule)
{
	unsigned i = 0;

	while (i < verdict->n_hits && verdict->hits[i] != rule)
		i++;
	return i < verdict->n_hits;
}

bool
pyaudit_verdict_adds_nothing(const void *image, const struct pyaudit_verdict *second,
			     const struct pyaudit_verdict *first)
{
	const struct pyaudit_rule *rules = at(image, ((const struct pyaudit_image *)image)->rules);

	if (second->action > first->action)
		return false;
	for (unsigned i = 0; i < second->n_hits; i++) {
		const struct pyaudit_rule *rule = &rules[second->hits[i]];

		if ((rule->action >= PYAUDIT_ACTION_ALERT || (rule->flags & PYAUDIT_RULE_MEMORY) != 0) &&
		    !has_hit(first, second->hits[i]))
			return false;
	}
	return true;
}

bool
pyaudit_verdict_tell_once(const void *image, const struct pyaudit_slot *slot, struct pyaudit_verdict *second,
			  const struct pyaudit_verdict *first)
{
	const struct pyaudit_rule *rules = at(image, ((const struct pyaudit_image *)image)->rules);
	uint8_t action = pyaudit_slot_action(slot);

	if (!pyaudit_verdict_adds_nothing(image, second, first))
		return false;
	if (second->action < PYAUDIT_ACTION_ALERT && !second->is_counted)
		return true;
	for (unsigned i = 0; i < second->n_hits; i++)
		if (rules[second->hits[i]].action == PYAUDIT_ACTION_RECORD &&
		    (rules[second->hits[i]].flags & PYAUDIT_RULE_MEMORY) == 0)
			action = PYAUDIT_ACTION_RECORD;
	*second = (struct pyaudit_verdict){.action = action};
	return true;
}

unsigned
pyaudit_image_n_rules(const void *image)
{
	return get32(((const struct pyaudit_image *)image)->n_rules);
}

/* The check. Every function returns whether what it was given is sound. */

/* Tables may lie over each other; only, so many that the check takes for ever they may not. */
#define WORK_FACTOR 16

struct check {
	const uint8_t *base;
	uint32_t size;
	uint32_t n_rules, n_tests;
	const pyaudit_le32 *programs;
	uint32_t n_programs;
	uint64_t work_left; /* bytes */
};

static bool
text_ok(struct check *c, pyaudit_le32 offset, size_t len)
{
	if (get32(offset) > c->size || len > c->size - get32(offset) || len > c->work_left)
		return false;
	c->work_left -= len;
	return true;
}

static bool
table_ok(struct check *c, pyaudit_le32 offset, pyaudit_le32 count, size_t each)
{
	return text_ok(c, offset, (size_t)get32(count) * each);
}

/* Text with a NUL behind it and none in it. */
static bool
name_ok(struct check *c, pyaudit_le32 offset, size_t len)
{
	return text_ok(c, offset, len + 1) && memchr(at(c->base, offset), '\0', len + 1) ==
						      (const uint8_t *)at(c->base, offset) + len;
}

static bool
items_ok(struct check *c, const struct pyaudit_list *list, uint32_t limit)
{
	const pyaudit_le16 *items = at(c->base, list->at);
	uint32_t n = get32(list->n);

	if (!table_ok(c, list->at, list->n, sizeof(*items)))
		return false;
	for (uint32_t i = 0; i < n; i++)
		if (get16(items[i]) >= limit)
			return false;
	return true;
}

/* Most are empty, and where those would be nobody looks. */
static inline bool
list_ok(struct check *c, const struct pyaudit_list *list, uint32_t limit)
{
	return list_is_empty(list) || items_ok(c, list, limit);
}

/* Automata are most of an image, and each program that starts checks it: 16 bytes at once, and four of these. */
typedef uint16_t words8 __attribute__((vector_size(16)));

static inline bytes16
bytes_beyond(const uint8_t *bytes, uint32_t limit)
{
	bytes16 these;

	memcpy(&these, bytes, sizeof(these));
	return (bytes16)(these >= (uint8_t)limit);
}

static inline bytes16
words_beyond(const uint8_t *bytes, uint32_t limit)
{
	words8 these;

	memcpy(&these, bytes, sizeof(these));
	return (bytes16)(these >= (uint16_t)limit);
}

/* Whether all are below @limit, 256 at most. */
static bool
bytes_below(const uint8_t *bytes, uint64_t n, uint32_t limit)
{
	bytes16 bad = {0};
	uint64_t i = 0;

	if (limit == 256)
		return true;
	for (; i + 64 <= n; i += 64)
		bad |= bytes_beyond(&bytes[i], limit) | bytes_beyond(&bytes[i + 16], limit) |
		       bytes_beyond(&bytes[i + 32], limit) | bytes_beyond(&bytes[i + 48], limit);
	for (; i + 16 <= n; i += 16)
		bad |= bytes_beyond(&bytes[i], limit);
	for (; i < n; i++)
		if (bytes[i] >= limit)
			return false;
	return is_zero(bad);
}

/* The same of le16. */
static bool
words_below(const uint8_t *bytes, uint64_t n, uint32_t limit)
{
	uint64_t i = 0;
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	bytes16 bad = {0};

	for (; i + 8 <= n; i += 8)
		bad |= words_beyond(&bytes[2 * i], limit);
	if (!is_zero(bad))
		return false;
#endif
	for (; i < n; i++)
		if (pyaudit_load16(&bytes[2 * i]) >= limit)
			return false;
	return true;
}

static bool
dfa_ok(struct check *c, pyaudit_le32 offset)
{
	const struct pyaudit_dfa *dfa = at(c->base, offset);
	uint32_t n_states, n_classes;
	uint64_t n;
	bool narrow;

	if (!text_ok(c, offset, sizeof(*dfa)))
		return false;
	n_states = get32(dfa->n_states);
	n_classes = get32(dfa->n_classes);
	if (n_states < 2 || n_states > UINT16_MAX || n_classes < 1 || n_classes > 256 ||
	    get32(dfa->start) >= n_states)
		return false;
	n = (uint64_t)n_states * n_classes;
	narrow = n_states <= PYAUDIT_DFA_NARROW;
	if (!text_ok(c, offset, sizeof(*dfa) + n * (narrow ? 1 : 2)) || !bytes_below(dfa->classes, 256, n_classes))
		return false;
	return narrow ? bytes_below(dfa->next, n, n_states) : words_below(dfa->next, n, n_states);
}

static bool
texts_ok(struct check *c, const struct pyaudit_test *test, bool set)
{
	const struct pyaudit_text *texts = at(c->base, test->data);
	uint32_t n = get32(test->n_data);
	bool has_empty = false;

	if (!table_ok(c, test->data, test->n_data, sizeof(*texts)))
		return false;
	if (set && (n == 0 || (n & (n - 1)) != 0))
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t len = get32(texts[i].len);

		if (set && len == PYAUDIT_TEXT_EMPTY)
			has_empty = true;
		else if (!text_ok(c, texts[i].at, len))
			return false;
	}
	return !set || has_empty;
}

static bool
test_ok(struct check *c, const struct pyaudit_test *test, uint32_t n_proc_tests)
{
	uint32_t n = get32(test->n_data), bit = get16(test->proc_bit);

	if (test->field >= PYAUDIT_F_PROC_PID + PYAUDIT_N_FACTS)
		return false;
	if (test->field < PYAUDIT_F_PROC_PID ? bit != PYAUDIT_NO_PROC_BIT : bit >= n_proc_tests)
		return false;
	if (!table_ok(c, test->ints, test->n_ints, sizeof(pyaudit_le64)))
		return false;

	switch (test->op) {
	case PYAUDIT_TEST_EXISTS:
		return true;
	case PYAUDIT_TEST_RANGE:
		return get32(test->n_ints) == 2;
	case PYAUDIT_TEST_EQUAL:
	case PYAUDIT_TEST_STARTSWITH:
	case PYAUDIT_TEST_ENDSWITH:
	case PYAUDIT_TEST_CONTAINS:
	case PYAUDIT_TEST_UNDER:
		return texts_ok(c, test, false);
	case PYAUDIT_TEST_EQUAL_SET:
		return texts_ok(c, test, true);
	case PYAUDIT_TEST_PATTERN: {
		const pyaudit_le32 *automata = at(c->base, test->data);

		if (!table_ok(c, test->data, test->n_data, sizeof(*automata)))
			return false;
		for (uint32_t i = 0; i < n; i++)
			if (!dfa_ok(c, automata[i]))
				return false;
		return true;
	}
	case PYAUDIT_TEST_CIDR: {
		const struct pyaudit_network *nets = at(c->base, test->data);

		if (!table_ok(c, test->data, test->n_data, sizeof(*nets)))
			return false;
		for (uint32_t i = 0; i < n; i++)
			if ((nets[i].family != 4 || nets[i].bits > 32) &&
			    (nets[i].family != 6 || nets[i].bits > 128))
				return false;
		return true;
	}
	default:
		return false;
	}
}

static bool
rule_ok(struct check *c, const struct pyaudit_rule *rule)
{
	const struct pyaudit_node *nodes = at(c->base, rule->nodes);
	uint32_t n = get32(rule->n_nodes);
	size_t id_max = PYAUDIT_RULE_ID_MAX + 1;

	if (!text_ok(c, rule->id, 1))
		return false;
	if (id_max > c->size - get32(rule->id))
		id_max = c->size - get32(rule->id);
	if (memchr(at(c->base, rule->id), '\0', id_max) == NULL)
		return false;
	if (rule->action > PYAUDIT_ACTION_KILL || get16(rule->ack_ms) > PYAUDIT_ACK_MS_MAX ||
	    !table_ok(c, rule->nodes, rule->n_nodes, sizeof(*nodes)) || get32(rule->entry) > n + 1)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		uint32_t yes = get32(nodes[i].yes), no = get32(nodes[i].no);

		if (get32(nodes[i].test) >= c->n_tests || yes <= i || yes > n + 1 || no <= i ||
		    no > n + 1)
			return false;
	}
	return true;
}

static bool
trie_ok(struct check *c, pyaudit_le32 offset, uint32_t n_rules)
{
	const struct pyaudit_trie *trie = at(c->base, offset);
	const struct pyaudit_trie_node *nodes;
	uint32_t n;

	if (!text_ok(c, offset, sizeof(*trie)) ||
	    !table_ok(c, trie->nodes, trie->n_nodes, sizeof(*nodes)))
		return false;
	nodes = at(c->base, trie->nodes);
	n = get32(trie->n_nodes);
	if (n == 0)
		return false;
	for (uint32_t i = 0; i < n; i++) {
		const pyaudit_le32 *children = at(c->base, nodes[i].children);
		uint32_t n_children = get16(nodes[i].n_children);

		if (nodes[i].label_len > PYAUDIT_LABEL_MAX || n_children > 256 ||
		    !text_ok(c, nodes[i].children, n_children * sizeof(*children)) ||
		    !list_ok(c, &nodes[i].here, n_rules) || !list_ok(c, &nodes[i].end, n_rules))
			return false;
		for (uint32_t k = 0; k < n_children; k++) {
			uint32_t child = get32(children[k]);

			if (child != 0 && (child <= i || child >= n))
				return false;
		}
	}
	return true;
}

static bool
grams_ok(struct check *c, pyaudit_le32 offset, unsigned width, uint32_t n_rules)
{
	const struct pyaudit_grams *grams = at(c->base, offset);
	const struct pyaudit_gram_literal *literals;
	const struct pyaudit_gram *table;
	uint64_t n_table, n_literals;
	bool has_empty = false;

	if (!text_ok(c, offset, sizeof(*grams)) || grams->stride == 0 || grams->width != width ||
	    grams->filter_bits < 3 || grams->filter_bits > 24 || grams->table_bits > 24)
		return false;
	n_table = UINT64_C(1) << grams->table_bits;
	n_literals = get32(grams->n_literals);
	table = at(c->base, grams->table);
	literals = at(c->base, grams->literals);
	if (!text_ok(c, grams->filter, (size_t)1 << (grams->filter_bits - 3)) ||
	    !text_ok(c, grams->table, n_table * sizeof(*table)) ||
	    !table_ok(c, grams->literals, grams->n_literals, sizeof(*literals)))
		return false;
	/* Masks say which places to look at, whatever the stride. */
	if (get32(grams->masks) != 0 &&
	    (grams->stride != 1 || grams->n_masks == 0 ||
	     grams->first_mask + grams->n_masks > grams->width ||
	     !text_ok(c, grams->masks, grams->width * sizeof(struct pyaudit_gram_masks)) ||
	     !text_ok(c, grams->whole, grams->width * sizeof(struct pyaudit_gram_whole))))
		return false;
	for (uint64_t i = 0; i < n_table; i++) {
		uint64_t n = get32(table[i].n);

		if (n == 0)
			has_empty = true;
		else if (get32(table[i].first) > n_literals ||
			 n > n_literals - get32(table[i].first))
			return false;
	}
	for (uint64_t i = 0; i < n_literals; i++)
		if (!text_ok(c, literals[i].text, get16(literals[i].len)) ||
		    !list_ok(c, &literals[i].rules, n_rules))
			return false;
	return has_empty;
}

static bool
index_ok(struct check *c, const struct pyaudit_index *index, uint32_t n_rules)
{
	const struct pyaudit_index_automaton *automata = at(c->base, index->automata);
	const struct pyaudit_index_int *ints = at(c->base, index->ints);
	unsigned parts = index->parts;

	if (index->field >= N_EVENT_FIELDS || !list_ok(c, &index->any, n_rules) ||
	    !list_ok(c, &index->paths, n_rules))
		return false;
	/* Paths that are not in normal form are walked too. */
	if ((parts & PYAUDIT_INDEX_PATHS) != 0 && (parts & PYAUDIT_INDEX_FORWARD) == 0)
		return false;
	if (((parts & PYAUDIT_INDEX_FORWARD) != 0 && !trie_ok(c, index->forward, n_rules)) ||
	    ((parts & PYAUDIT_INDEX_BACKWARD) != 0 && !trie_ok(c, index->backward, n_rules)) ||
	    ((parts & PYAUDIT_INDEX_ADDRESS) != 0 && !trie_ok(c, index->address, n_rules)))
		return false;
	for (unsigned i = 0; i < 3; i++)
		if ((parts & PYAUDIT_INDEX_GRAMS << i) != 0 &&
		    !grams_ok(c, index->grams[i], 4u >> i, n_rules))
			return false;
	if (!table_ok(c, index->ints, index->n_ints, sizeof(*ints)))
		return false;
	for (uint32_t i = 0; i < get32(index->n_ints); i++)
		if (!list_ok(c, &ints[i].rules, n_rules))
			return false;
	if (!text_ok(c, index->automata, get16(index->n_automata) * sizeof(*automata)))
		return false;
	for (uint32_t i = 0; i < get16(index->n_automata); i++)
		if (!dfa_ok(c, automata[i].dfa) || !list_ok(c, &automata[i].rules, n_rules))
			return false;
	return true;
}

static bool
program_ok(struct check *c, pyaudit_le32 offset)
{
	const struct pyaudit_program *program = at(c->base, offset);
	const struct pyaudit_program_rule *rules;
	const struct pyaudit_index *indexes;
	uint32_t n_rules, n_indexes;

	if (!text_ok(c, offset, sizeof(*program)) ||
	    !table_ok(c, program->rules, program->n_rules, sizeof(*rules)) ||
	    !table_ok(c, program->indexes, program->n_indexes, sizeof(*indexes)))
		return false;
	rules = at(c->base, program->rules);
	indexes = at(c->base, program->indexes);
	n_rules = get32(program->n_rules);
	n_indexes = get32(program->n_indexes);
	if (n_rules > PYAUDIT_RULES_MAX || n_indexes > N_EVENT_FIELDS)
		return false;
	for (uint32_t i = 0; i < n_rules; i++) {
		const struct pyaudit_list allow = {rules[i].allow,
						   pyaudit_le32_of(get16(rules[i].n_allow))};

		if (get16(rules[i].rule) >= c->n_rules || !list_ok(c, &allow, c->n_rules))
			return false;
	}
	if (!list_ok(c, &program->always, n_rules))
		return false;
	for (uint32_t i = 0; i < n_indexes; i++)
		if (!index_ok(c, &indexes[i], n_rules))
			return false;
	return true;
}

static bool
programs_ok(struct check *c)
{
	for (uint32_t i = 0; i < c->n_programs; i++) {
		if (i > 0 && get32(c->programs[i]) <= get32(c->programs[i - 1]))
			return false;
		if (!program_ok(c, c->programs[i]))
			return false;
	}
	return true;
}

/* All that leads to rules is the argument that a glance is at. */
static bool
glance_ok(struct check *c, const struct pyaudit_slot *slot)
{
	const struct pyaudit_program *program = at(c->base, slot->program);
	const struct pyaudit_index *indexes = at(c->base, program->indexes);

	if (slot->glance == 0)
		return true;
	/* Sound already; looked at once more for each slot, which is work. */
	if (!table_ok(c, program->indexes, program->n_indexes, sizeof(*indexes)))
		return false;
	for (uint32_t i = 0; i < get32(program->n_indexes); i++)
		if (pyaudit_index_glance(get16(slot->event), &indexes[i]) != slot->glance)
			return false;
	return list_is_empty(&program->always) && slot->glance <= PYAUDIT_ARGS_MAX;
}

static bool
slot_ok(struct check *c, const struct pyaudit_slot *slot)
{
	uint32_t program = get32(slot->program), low = 0, high = c->n_programs;

	if (get16(slot->event) >= PYAUDIT_N_EVENTS)
		return false;
	if ((slot->flags & PYAUDIT_SLOT_JUDGE) == 0)
		return true;
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (get32(c->programs[middle]) == program)
			return glance_ok(c, slot);
		if (get32(c->programs[middle]) < program)
			low = middle + 1;
		else
			high = middle;
	}
	return false;
}

static bool
slots_ok(struct check *c, const struct pyaudit_image *head)
{
	const struct pyaudit_slot *slots = at(head, head->slots);
	uint32_t bits = get32(head->slot_bits);
	bool has_empty = false;

	if (bits > 20 || !text_ok(c, head->slots, sizeof(*slots) << bits) ||
	    !slot_ok(c, &head->other))
		return false;
	for (uint32_t i = 0; i < UINT32_C(1) << bits; i++) {
		if (get32(slots[i].name) == 0)
			has_empty = true;
		else if (!name_ok(c, slots[i].name, get32(slots[i].name_len)) ||
			 !slot_ok(c, &slots[i]))
			return false;
	}
	return has_empty;
}

static bool
form_ok(const struct pyaudit_form *form)
{
	size_t len = strnlen(form->kind, sizeof(form->kind));

	if (len == 0 || len == sizeof(form->kind) || form->set >= PYAUDIT_N_FORM_SETS ||
	    form->n_prefix < PYAUDIT_FORM_PREFIX_MIN || form->n_prefix > PYAUDIT_FORM_PREFIX_MAX)
		return false;
	for (size_t i = 0; i < len; i++)
		if ((form->kind[i] < 'a' || form->kind[i] > 'z') &&
		    (form->kind[i] < '0' || form->kind[i] > '9') && form->kind[i] != '-')
			return false;
	return true;
}

static bool
forms_ok(struct check *c, const struct pyaudit_image *head)
{
	const struct pyaudit_forms *forms = at(head, head->forms);

	if (get32(head->forms) == 0)
		return true;
	if (!text_ok(c, head->forms, sizeof(*forms)) || get32(forms->n) > PYAUDIT_FORMS_MAX ||
	    !text_ok(c, head->forms, sizeof(*forms) + get32(forms->n) * sizeof(forms->form[0])))
		return false;
	for (uint32_t i = 0; i < get32(forms->n); i++)
		if (!form_ok(&forms->form[i]))
			return false;
	return true;
}

uint64_t
pyaudit_image_checksum(const void *image, size_t size)
{
	const size_t skip = offsetof(struct pyaudit_image, checksum);
	const char *bytes = image;
	struct sums sums = {{size, 0}, {0, 0}};
	uint64_t sum = 0;

	add_text(&sums, bytes, skip);
	add_text(&sums, bytes + skip + 8, size - skip - 8);
	for (unsigned i = 0; i < 2; i++) {
		sum = (sum ^ sums.sum[i]) * PYAUDIT_HASH_K;
		sum = (sum ^ sum >> 32 ^ sums.sum_of_sums[i]) * PYAUDIT_HASH_K;
	}
	return sum ^ sum >> 32;
}

int
pyaudit_image_check(const void *image, size_t size)
{
	const struct pyaudit_image *head = image;
	struct check c = {.base = image,
			  .size = (uint32_t)size,
			  .work_left = (uint64_t)size * WORK_FACTOR + 65536};
	const pyaudit_le32 *proc_tests;
	const struct pyaudit_test *tests;
	const struct pyaudit_rule *rules;
	uint32_t n_proc_tests;

	if (size < sizeof(*head) || get32(head->magic) != PYAUDIT_IMAGE_MAGIC)
		return -EBADMSG;
	if (get16(head->major) != PYAUDIT_IMAGE_MAJOR)
		return -EPROTO;
	if (size > PYAUDIT_IMAGE_SIZE_MAX || get32(head->size) != size ||
	    ((uintptr_t)image & 7) != 0 ||
	    get64(head->checksum) != pyaudit_image_checksum(image, size))
		return -EBADMSG;

	c.n_rules = get32(head->n_rules);
	c.n_tests = get32(head->n_tests);
	n_proc_tests = get32(head->n_proc_tests);
	if (c.n_rules > PYAUDIT_RULES_MAX || n_proc_tests > PYAUDIT_PROC_ATOMS_MAX ||
	    !table_ok(&c, head->rules, head->n_rules, sizeof(*rules)) ||
	    !table_ok(&c, head->tests, head->n_tests, sizeof(*tests)) ||
	    !table_ok(&c, head->proc_tests, head->n_proc_tests, sizeof(*proc_tests)) ||
	    !table_ok(&c, head->programs, head->n_programs, sizeof(*c.programs)))
		return -EBADMSG;
	c.programs = at(image, head->programs);
	c.n_programs = get32(head->n_programs);
	rules = at(image, head->rules);
	tests = at(image, head->tests);
	proc_tests = at(image, head->proc_tests);

	for (uint32_t i = 0; i < c.n_tests; i++)
		if (!test_ok(&c, &tests[i], n_proc_tests))
			return -EBADMSG;
	for (uint32_t i = 0; i < n_proc_tests; i++)
		if (get32(proc_tests[i]) >= c.n_tests ||
		    tests[get32(proc_tests[i])].field < PYAUDIT_F_PROC_PID)
			return -EBADMSG;
	for (uint32_t i = 0; i < c.n_rules; i++)
		if (!rule_ok(&c, &rules[i]))
			return -EBADMSG;
	return programs_ok(&c) && slots_ok(&c, head) && forms_ok(&c, head) ? 0 : -EBADMSG;
}
