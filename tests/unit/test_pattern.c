/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patterns: what they match, by table and by random comparison with the reference; what is
 * refused and where; which literals they are looked up by. Both automata must say the same.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "pattern.h"
#include "reference.h"

static struct pattern *
parse(enum pattern_kind kind, const char *text, size_t len)
{
	struct pattern_error error = {"", 0};
	struct pattern *pattern = NULL;

	if (pattern_parse(&pattern, kind, text, len, &error) != 0)
		fail_msg("%.*s: %s at %zu", (int)len, text, error.message, error.offset);
	return pattern;
}

struct match {
	const char *pattern, *text;
	bool holds;
};

static void
assert_matches(enum pattern_kind kind, const struct match *cases, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		const struct match *m = &cases[i];
		size_t n_pattern = strlen(m->pattern), n_text = strlen(m->text);
		struct pattern *pattern = parse(kind, m->pattern, n_pattern);
		bool walked, referred;
		struct dfa dfa;

		assert_int_equal(pattern_dfa(&dfa, pattern), 0);
		walked = pattern_holds(pattern, m->text, n_text);
		referred = kind == PATTERN_GLOB
				   ? reference_glob(m->pattern, n_pattern, m->text, n_text)
				   : reference_regex(m->pattern, n_pattern, m->text, n_text);
		if (walked != m->holds || referred != m->holds ||
		    dfa_match(&dfa, m->text, n_text) != m->holds)
			fail_msg("'%s' on '%s': walk %d, reference %d, table %d", m->pattern,
				 m->text, walked, referred, dfa_match(&dfa, m->text, n_text));
		dfa_fini(&dfa);
		pattern_free(pattern);
	}
}

#define N(array) (sizeof(array) / sizeof((array)[0]))

static void
globs_match_whole_texts_and_stop_at_slashes(void **state)
{
	static const struct match cases[] = {
		{"", "", true},
		{"", "a", false},
		{"a", "a", true},
		{"a", "ab", false},
		{"*", "", true},
		{"*", "abc", true},
		{"*", "a/c", false},
		{"**", "a/c", true},
		{"a*c", "ac", true},
		{"a*c", "abbc", true},
		{"a*c", "ab/c", false},
		{"a**c", "ab/c", true},
		{"a***c", "ab/c", true},
		{"?", "a", true},
		{"?", "/", false},
		{"?", "", false},
		{"??", "\xc3\xa9", true},
		{"[abc]", "b", true},
		{"[abc]", "d", false},
		{"[!abc]", "d", true},
		{"[^abc]", "d", true},
		{"[!abc]", "b", false},
		{"[!abc]", "/", false},
		{"[+-0]", "/", false},
		{"[a-z][0-9]", "q7", true},
		{"[]]", "]", true},
		{"[!]]", "]", false},
		{"[a-]", "-", true},
		{"[\\]]", "]", true},
		{"\\*", "*", true},
		{"\\*", "a", false},
		{"\\\\", "\\", true},
		{"**/.ssh/*", "/a/b/.ssh/c", true},
		{"**/.ssh/*", "/a/b/.ssh/c/d", false},
		{"(a|b)+", "(a|b)+", true},
		{"a.c", "abc", false},
		{"*.so*", "libc.so.6", true},
		{"x*y*z", "xyyz", true},
		{"a\nb", "a\nb", true},
		{"a*b", "a\nb", true},
	};

	(void)state;
	assert_matches(PATTERN_GLOB, cases, N(cases));
}

static void
expressions_match_as_documented(void **state)
{
	static const struct match cases[] = {
		{"", "", true},
		{"", "abc", true},
		{"b", "abc", true},
		{"^b", "abc", false},
		{"b$", "abc", false},
		{"c$", "abc", true},
		{"^abc$", "abc", true},
		{"^abc$", "abcd", false},
		{"^$", "", true},
		{"^$", "a", false},
		{"$", "abc", true},
		{"a$b", "ab", false},
		{"a^b", "ab", false},
		{".", "", false},
		{".", "\n", true},
		{"a.c", "a\nc", true},
		{"[abc]+", "xxbxx", true},
		{"[^abc]", "abc", false},
		{"[^abc]", "abcd", true},
		{"[]x]", "]", true},
		{"[^]x]", "]x", false},
		{"[a\\-z]", "-", true},
		{"[a\\-z]", "b", false},
		{"[-a]", "-", true},
		{"[a-]", "-", true},
		{"[\\d.]", "7", true},
		{"[\\d.]", ".", true},
		{"[[:alpha:]]", "1a", true},
		{"[[:digit:]]", "ab", false},
		{"[^[:space:]]", "  ", false},
		{"\\d\\w\\s", "1a ", true},
		{"\\D\\W\\S", "a-b", true},
		{"\\D", "123", false},
		{"\\W", "\xc3", true},
		{"\\t\\n\\r\\x41", "\t\n\rA", true},
		{"\\x2F", "/", true},
		{"\\.", "a", false},
		{"\\.", ".", true},
		{"ab*c", "ac", true},
		{"ab*c", "abbbc", true},
		{"ab+c", "ac", false},
		{"ab+c", "abc", true},
		{"ab?c", "ac", true},
		{"ab?c", "abbc", false},
		{"a{3}", "aa", false},
		{"a{3}", "aaa", true},
		{"^a{2,3}$", "aaaa", false},
		{"^a{2,3}$", "aaa", true},
		{"^a{2,}$", "aaaaa", true},
		{"^a{2,}$", "a", false},
		{"^a{0}$", "", true},
		{"^a{0}$", "a", false},
		{"a{,3}", "a{,3}", true},
		{"{", "{", true},
		{"a{x}", "a{x}", true},
		{"x}", "x}", true},
		{"^(ab)*$", "ababab", true},
		{"^(ab)*$", "aba", false},
		{"^(?:ab|cd)+$", "abcdab", true},
		{"a|b", "b", true},
		{"a|b", "c", false},
		{"^(a|)$", "", true},
		{"^(|a)b$", "b", true},
		{"(^|/)etc", "/etc", true},
		{"(^|/)etc", "etc", true},
		{"(^|/)etc", "xetc", false},
		{"etc(/|$)", "etc", true},
		{"etc(/|$)", "etcx", false},
		{"a*$^", "a", false},
		{"a*$^", "", true},
		{"^a|b$", "ax", true},
		{"^a|b$", "xb", true},
		{"^a|b$", "xax", false},
		{"(?i)abc", "aBC", true},
		{"(?i)[a-c]+$", "XABC", true},
		{"(?i)[^a]", "A", false},
		{"(?i)\\x41", "a", true},
		{"A", "a", false},
		{"a*?b", "aab", true},
		{"a+?", "a", true},
		{"a??b", "b", true},
		{"(a*)*b", "aaab", true},
		{"(a+)+$", "aaaa", true},
		{"\xc3\xa9+", "\xc3\xa9\xa9", true},
		{"curl.*[|] *(ba)?sh", "curl -s x | bash", true},
		{"curl.*[|] *(ba)?sh", "curl -s x", false},
		{"^/home/[^/]+/\\.ssh/", "/home/a/.ssh/x", true},
		{"^/home/[^/]+/\\.ssh/", "/home/a/b/.ssh/x", false},
	};

	(void)state;
	assert_matches(PATTERN_REGEX, cases, N(cases));
}

static void
mistakes_say_what_and_where(void **state)
{
	static const struct {
		enum pattern_kind kind;
		const char *pattern, *message;
		size_t offset;
	} cases[] = {
		{PATTERN_REGEX, "a(b", "not closed", 1},
		{PATTERN_REGEX, "ab)", "not opened", 2},
		{PATTERN_REGEX, "a[b", "not closed", 1},
		{PATTERN_REGEX, "[z-a]", "wrong way round", 4},
		{PATTERN_REGEX, "*a", "nothing to repeat", 0},
		{PATTERN_REGEX, "a|*", "nothing to repeat", 2},
		{PATTERN_REGEX, "a**", "nothing to repeat", 2},
		{PATTERN_REGEX, "a{3,2}", "wrong way round", 1},
		{PATTERN_REGEX, "a{300}", "255", 1},
		{PATTERN_REGEX, "(a)\\1", "back-references", 4},
		{PATTERN_REGEX, "(?=a)", "(?: )", 2},
		{PATTERN_REGEX, "a(?i)b", "(?: )", 3},
		{PATTERN_REGEX, "\\bword", "\\b is not supported", 1},
		{PATTERN_REGEX, "\\q", "unknown escape", 1},
		{PATTERN_REGEX, "\\xg0", "hexadecimal", 2},
		{PATTERN_REGEX, "a\\", "backslash", 2},
		{PATTERN_REGEX, "[[:word:]]", "class name", 3},
		{PATTERN_REGEX, "[\xc3\xa9]", "ASCII", 1},
		{PATTERN_REGEX, "[a\\", "backslash", 3},
		{PATTERN_GLOB, "a[b", "not closed", 1},
		{PATTERN_GLOB, "a\\", "backslash", 2},
		{PATTERN_GLOB, "[", "not closed", 0},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct pattern_error error = {"", 0};
		struct pattern *pattern = NULL;
		int r = pattern_parse(&pattern, cases[i].kind, cases[i].pattern,
				      strlen(cases[i].pattern), &error);

		if (r != PATTERN_E_SYNTAX || strstr(error.message, cases[i].message) == NULL ||
		    error.offset != cases[i].offset)
			fail_msg("%s: %d, %s at %zu", cases[i].pattern, r, error.message,
				 error.offset);
	}
}

static void
what_would_explode_is_refused(void **state)
{
	static const char *const patterns[] = {
		"(a|b)*a(a|b){14}",
		"x.{1,60}y.{1,60}z",
		"((((a{255}){255}){255}){255}){255}",
		"(a{200}|b{200}){200}",
	};

	(void)state;
	for (size_t i = 0; i < N(patterns); i++) {
		struct pattern *pattern = parse(PATTERN_REGEX, patterns[i], strlen(patterns[i]));
		struct dfa dfa;

		assert_int_equal(pattern_dfa(&dfa, pattern), PATTERN_E_TOO_LARGE);
		pattern_free(pattern);
	}
}

static void
deep_and_long_patterns_are_refused(void **state)
{
	char pattern[PATTERN_LEN_MAX + 2];
	struct pattern_error error;
	struct pattern *ret = NULL;

	(void)state;
	memset(pattern, '(', sizeof(pattern));
	assert_int_equal(pattern_parse(&ret, PATTERN_REGEX, pattern, PATTERN_LEN_MAX, &error),
			 PATTERN_E_SYNTAX);
	memset(pattern, 'a', sizeof(pattern));
	assert_int_equal(pattern_parse(&ret, PATTERN_REGEX, pattern, PATTERN_LEN_MAX + 1, &error),
			 PATTERN_E_SYNTAX);
	assert_int_equal(pattern_parse(&ret, PATTERN_REGEX, pattern, PATTERN_LEN_MAX, &error), 0);
	pattern_free(ret);
}

static void
patterns_are_looked_up_by_what_they_need(void **state)
{
	static const struct {
		enum pattern_kind kind;
		const char *pattern;
		enum pattern_place place;
		unsigned n;
		const char *texts; /* joined by ',' */
	} cases[] = {
		{PATTERN_GLOB, "/etc/passwd", PATTERN_WHOLE, 1, "/etc/passwd"},
		{PATTERN_GLOB, "/etc/[ab]", PATTERN_WHOLE, 2, "/etc/a,/etc/b"},
		{PATTERN_GLOB, "/etc/*", PATTERN_PREFIX, 1, "/etc/"},
		{PATTERN_GLOB, "*.pem", PATTERN_SUFFIX, 1, ".pem"},
		{PATTERN_GLOB, "**/.ssh/*", PATTERN_WITHIN, 1, "/.ssh/"},
		{PATTERN_GLOB, "*", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "^/etc/", PATTERN_PREFIX, 1, "/etc/"},
		{PATTERN_REGEX, "\\.py$", PATTERN_SUFFIX, 1, ".py"},
		{PATTERN_REGEX, "id_(rsa|dsa)$", PATTERN_SUFFIX, 2, "id_dsa,id_rsa"},
		{PATTERN_REGEX, "curl.*sh", PATTERN_WITHIN, 1, "curl"},
		{PATTERN_REGEX, "(foo|barbar).*x", PATTERN_WITHIN, 2, "barbar,foo"},
		{PATTERN_REGEX, "(?i)ABC", PATTERN_WITHIN, 1, "abc"},
		{PATTERN_REGEX, "\\d+", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "(abc)?x*", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "(abc)+", PATTERN_WITHIN, 1, "abc"},
		{PATTERN_REGEX, "a{3}", PATTERN_WITHIN, 1, "aaa"},
		{PATTERN_REGEX, "abc|", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "^(abc|\\d+)", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "^(\\d+|abc)", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "(abc|\\d+)$", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "(\\d+|abc)$", PATTERN_WITHIN, 0, ""},
		{PATTERN_REGEX, "^(a|b)$", PATTERN_WHOLE, 2, "b,a"},
		{PATTERN_REGEX, "/([.]a/x|[.]b/(y|z/yy))(/|$)", PATTERN_WITHIN, 3, "/.b/z/yy,/.b/y,/.a/x"},
		{PATTERN_REGEX, "/[.]a/x(/|$)|k/[.]a/x|/[.]b/y.*", PATTERN_WITHIN, 2, "/.b/y,/.a/x"},
	};

	(void)state;
	for (size_t i = 0; i < N(cases); i++) {
		struct pattern *pattern =
			parse(cases[i].kind, cases[i].pattern, strlen(cases[i].pattern));
		struct pattern_literals literals;
		char joined[512] = "";

		pattern_literals(pattern, &literals);
		for (unsigned k = 0; k < literals.n; k++) {
			if (k > 0)
				strcat(joined, ",");
			strncat(joined, literals.text[k], literals.len[k]);
		}
		if (literals.n != cases[i].n || literals.place != cases[i].place ||
		    strcmp(joined, cases[i].texts) != 0)
			fail_msg("%s: place %d, %u: %s", cases[i].pattern, (int)literals.place,
				 literals.n, joined);
		pattern_free(pattern);
	}
}

/* Random patterns of few letters, so that texts of the same letters often match. */

static uint64_t random_state;

static uint32_t
below(uint32_t n)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state * 0x9e3779b97f4a7c15u) >> 33) % n;
}

static size_t
random_regex(char *out, unsigned depth)
{
	static const char *const atoms[] = {"a",    "a", "b", "c",   "B", ".",	"[ab]",
					    "[^a]", "^", "$", "\\w", "/", "ab", "[b-c]"};
	static const char *const quantifiers[] = {"*", "+", "?", "{2}", "{1,2}", "{2,}"};
	unsigned n_parts = below(4);
	size_t n = 0;

	for (unsigned i = 0; i <= n_parts; i++) {
		const char *atom = atoms[below(N(atoms))];
		const char *quantifier = quantifiers[below(N(quantifiers))];

		if (depth < 3 && below(4) == 0) {
			out[n++] = '(';
			n += random_regex(out + n, depth + 1);
			out[n++] = ')';
			atom = "";
		}
		n += (size_t)sprintf(out + n, "%s", atom);
		if (*atom != '^' && *atom != '$' && below(3) == 0)
			n += (size_t)sprintf(out + n, "%s", quantifier);
		if (i < n_parts && below(5) == 0)
			out[n++] = '|';
	}
	return n;
}

static size_t
random_glob(char *out)
{
	static const char *const parts[] = {"a", "b", "c", "/", "*", "**", "?", "[ab]", "[!a]"};
	unsigned n_parts = below(7);
	size_t n = 0;

	for (unsigned i = 0; i < n_parts; i++)
		n += (size_t)sprintf(out + n, "%s", parts[below(N(parts))]);
	return n;
}

static bool
literals_allow(const struct pattern_literals *literals, const char *text, size_t len)
{
	for (unsigned i = 0; i < literals->n; i++) {
		size_t n = literals->len[i];

		for (size_t at = 0; at + n <= len; at++) {
			bool same = true;

			for (size_t k = 0; k < n; k++)
				same = same &&
				       (text[at + k] | 0x20) == (literals->text[i][k] | 0x20);
			if (same && (literals->place == PATTERN_WITHIN ||
				     ((literals->place == PATTERN_SUFFIX || at == 0) &&
				      (literals->place == PATTERN_PREFIX || at + n == len))))
				return true;
		}
	}
	return literals->n == 0;
}

static void
random_patterns_agree_with_the_reference(void **state)
{
	const char *count = getenv("PYAUDIT_TEST_PAIRS");
	unsigned long n = count != NULL ? strtoul(count, NULL, 10) : 200000, n_held = 0;

	(void)state;
	random_state = 88172645463325252u;
	for (unsigned long i = 0; i < n;) {
		enum pattern_kind kind = below(4) == 0 ? PATTERN_GLOB : PATTERN_REGEX;
		struct pattern_literals literals;
		struct pattern *pattern;
		struct dfa dfa;
		char source[2048];
		size_t n_source = 0;

		if (kind == PATTERN_GLOB) {
			n_source = random_glob(source);
		} else {
			if (below(6) == 0)
				n_source = (size_t)sprintf(source, "(?i)");
			n_source += random_regex(source + n_source, 0);
		}
		pattern = parse(kind, source, n_source);
		pattern_literals(pattern, &literals);
		if (pattern_dfa(&dfa, pattern) != 0) {
			pattern_free(pattern);
			continue;
		}
		for (unsigned k = 0; k < 25; k++, i++) {
			size_t len = below(12);
			bool walked, listed, referred;
			char text[16];

			for (size_t at = 0; at < len; at++)
				text[at] = "aabbcAB/"[below(8)];
			walked = pattern_holds(pattern, text, len);
			listed = dfa_match(&dfa, text, len);
			referred = kind == PATTERN_GLOB
					   ? reference_glob(source, n_source, text, len)
					   : reference_regex(source, n_source, text, len);
			n_held += referred;
			if (walked != referred || listed != referred)
				fail_msg("'%.*s' on '%.*s': walk %d, table %d, reference %d",
					 (int)n_source, source, (int)len, text, walked, listed,
					 referred);
			if (referred && !literals_allow(&literals, text, len))
				fail_msg("'%.*s' on '%.*s': no literal of it is there",
					 (int)n_source, source, (int)len, text);
		}
		dfa_fini(&dfa);
		pattern_free(pattern);
	}
	assert_true(n_held > n / 10);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(globs_match_whole_texts_and_stop_at_slashes),
		cmocka_unit_test(expressions_match_as_documented),
		cmocka_unit_test(mistakes_say_what_and_where),
		cmocka_unit_test(what_would_explode_is_refused),
		cmocka_unit_test(deep_and_long_patterns_are_refused),
		cmocka_unit_test(patterns_are_looked_up_by_what_they_need),
		cmocka_unit_test(random_patterns_agree_with_the_reference),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
