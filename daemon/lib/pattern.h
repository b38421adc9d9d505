/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Globs and regular expressions, parsed, then made into automata that need no library to run.
 *
 * Regular expressions: literals, . [] [^] [[:alpha:]], \d \w \s \D \W \S, \t \n \r \f \v \xHH,
 * * + ? {m} {m,} {m,n} (with a ? behind: the same), |, (), (?:), (?i) at the start, ^ and $. They
 * work on bytes: . is any byte, a newline too, so that a newline hides nothing; ^ and $ are
 * the ends of the text, not of lines; case is ASCII's. A character beyond ASCII is a sequence of
 * literals, and cannot stand within brackets. No back-references, look-around or \b.
 *
 * Globs match the whole text: * and ? do not cross '/', ** does, [abc] [a-z] [!x] never match '/',
 * a backslash quotes.
 */
#ifndef LIB_PATTERN_H
#define LIB_PATTERN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PATTERN_LEN_MAX 4096
#define PATTERN_REPEAT_MAX 255	/* m and n of {m,n} */
#define PATTERN_DEPTH_MAX 64	/* parentheses */
#define PATTERN_NODES_MAX 16384 /* of the tree, and states of the nondeterministic automaton */
#define PATTERN_STATES_MAX 2048 /* of the automaton in the image */
#define PATTERN_TABLE_MAX (64 * 1024) /* its entries */
#define PATTERN_WORK_MAX 8000000      /* steps to make it */
#define PATTERN_UNION_STATES_MAX 512
#define PATTERN_UNION_WORK_MAX 500000

enum pattern_kind {
	PATTERN_GLOB,
	PATTERN_REGEX,
};

enum pattern_outcome {
	PATTERN_OK = 0,
	PATTERN_E_SYNTAX = 1,
	PATTERN_E_TOO_LARGE = 2,
};

struct pattern_error {
	const char *message;
	size_t offset; /* in the pattern, bytes */
};

struct pattern;

/* 0; PATTERN_E_SYNTAX, said in *ret_error; or -ENOMEM. */
int pattern_parse(struct pattern **ret_pattern, enum pattern_kind kind, const char *text,
		  size_t len, struct pattern_error *ret_error);
void pattern_free(struct pattern *pattern);
void pattern_freep(struct pattern **pattern);

/* An automaton, numbered as struct pyaudit_dfa wants it: 0 dead, 1 matched for good, those from
 * first_accept on hold at the end of the text. */
struct dfa {
	uint32_t n_states, n_classes, start, first_accept;
	uint8_t classes[256];
	uint16_t *next; /* n_states rows of n_classes */
};

/* 0, PATTERN_E_TOO_LARGE, or -ENOMEM. */
int pattern_dfa(struct dfa *ret_dfa, const struct pattern *pattern);
/* One automaton that holds where one of the patterns does; its limits are lower, for whoever asks
 * can do with several. */
int pattern_dfa_union(struct dfa *ret_dfa, const struct pattern *const *patterns, size_t n);
void dfa_fini(struct dfa *dfa);
bool dfa_match(const struct dfa *dfa, const char *text, size_t len);

/* Texts of which one must be in every text that matches, at the place said. */
enum pattern_place {
	PATTERN_WHOLE,
	PATTERN_PREFIX,
	PATTERN_SUFFIX,
	PATTERN_WITHIN,
};

#define PATTERN_LITERALS_MAX 16
#define PATTERN_LITERAL_LEN_MAX 24

struct pattern_literals {
	enum pattern_place place;
	unsigned n; /* 0: nothing is sure */
	uint8_t len[PATTERN_LITERALS_MAX];
	char text[PATTERN_LITERALS_MAX][PATTERN_LITERAL_LEN_MAX];
};

/* Where the pattern ignores case, the place is WITHIN and letters are small. */
void pattern_literals(const struct pattern *pattern, struct pattern_literals *ret);

/* Walks the nondeterministic automaton: no table, any size. */
bool pattern_holds(const struct pattern *pattern, const char *text, size_t len);

#endif
